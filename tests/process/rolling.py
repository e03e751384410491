"""A rolling deploy: several servers behind nginx, each told to stop and started again in turn, while people talk through it.

A third of them have short conversations that a stopping server can finish, a third ask for answers that outlive every grace,
and a third are not answered at all until somebody else asks the model anew. All read with the project's client, which waits
as long as it was asked to before it connects again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

import anyio
import msgspec
from anyio import to_thread

from legato.client.http import Notice
from legato.core.model import Turn
from tests.process.checker import violations
from tests.process.history import History, Numbers, SessionHistory, delivered, doubled, lost
from tests.process.model_server import ModelServer
from tests.process.reader import Reader, open_http
from tests.process.recorder import Access, Recorder, access, reading
from tests.support.server import ServerProcess

_POLL_S: Final = 0.05
_WITHIN_S: Final = 240.0  # catches a hang
_SHORT: Final = 15  # words, at 20 a second: a fraction of the grace
_BUCKET_S: Final = 0.1


class Exit(msgspec.Struct, frozen=True):
    """Seconds after SIGTERM; and what was wrong with it."""

    unready_s: float
    exited_s: float
    code: int | None
    ready_again: bool


class Report(msgspec.Struct, kw_only=True):
    """What the users of ``streams`` sessions saw. ``wrong`` are turns that ended otherwise than they should."""

    streams: int
    turns: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    short: int = 0
    outlived: int = 0
    handed_over: int = 0
    exits: list[Exit] = []
    retries_s: list[float] = []
    reconnects: list[list[float]] = []
    wrong: list[str] = []
    violations: list[str] = []

    def table(self) -> str:
        """``reconnects`` are shown by restart: how many, over how long, and the most of them within a tenth of a second."""
        rows = [
            ("live streams", self.streams),
            ("turns", self.turns),
            ("… finished in the grace", self.short),
            ("… that outlived it", self.outlived),
            ("… silent, handed over", self.handed_over),
            ("events delivered", self.delivered),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("not ready after", _seconds(each.unready_s for each in self.exits)),
            ("exit after SIGTERM", _seconds(each.exited_s for each in self.exits)),
            ("retry asked for", f"{min(self.retries_s):.2f} to {max(self.retries_s):.2f} s"),
            ("readers came back", " · ".join(f"{len(at)} over {spread(at):.1f} s" for at in self.reconnects)),
            ("… most in 0.1 s", " · ".join(str(most_at_once(at)) for at in self.reconnects)),
            ("turns ended wrongly", len(self.wrong)),
            ("violations", len(self.violations)),
        ]
        return "\n".join(f"{name:<26} {value}" for name, value in rows)


def spread(times: Sequence[float]) -> float:
    return max(times, default=0.0) - min(times, default=0.0)


def most_at_once(times: Sequence[float]) -> int:
    return max(Counter(int(at / _BUCKET_S) for at in times).values(), default=0)


def _seconds(times: object) -> str:
    return " · ".join(f"{s:.2f}" for s in times) + " s"  # type: ignore[attr-defined]


async def roll(servers: Sequence[ServerProcess], url: str, model: ModelServer, streams: int) -> Report:
    """Restart each of ``servers`` with SIGTERM, while ``streams`` sessions are followed through ``url``."""
    with anyio.fail_after(_WITHIN_S):
        async with access(url) as to:
            deploy = _Deploy(servers, to, streams)
            patient = open_http(url, sleep=anyio.sleep, notify=deploy.noticed)
            try:
                histories = await deploy.run(Access(to.client, patient))
            finally:
                await patient.aclose()
    report = deploy.report
    report.turns = sum(len(session.turns) for session in histories)
    report.delivered = sum(map(delivered, histories))
    report.lost = sum(map(lost, histories))
    report.doubled = sum(map(doubled, histories))
    streaming = await to_thread.run_sync(model.with_outcome, "running")
    report.violations = violations(History(sessions=tuple(histories), shared=True, streaming=streaming))
    return report


class _Deploy:
    def __init__(self, servers: Sequence[ServerProcess], to: Access, streams: int) -> None:
        self.report = Report(streams=streams)
        self._servers = servers
        self._to = to
        self._over = anyio.Event()
        self._talking = 0

    def noticed(self, notice: Notice) -> None:
        if notice.what == "lost":
            self.report.retries_s.append(notice.retry_in_s)

    async def run(self, patient: Access) -> list[SessionHistory]:
        sessions = [
            Recorder(self._to, (await self._to.client.create_session()).id) for _ in range(self.report.streams)
        ]
        readers = [session.reader("patient", through=patient) for session in sessions]
        async with reading(*readers):
            async with anyio.create_task_group() as group:
                for number, session in enumerate(sessions):
                    person = (self._talk, self._ask_for_long, self._ask_the_mute)[number % 3]
                    group.start_soon(person, session, 10_000 * (number + 1))
                await _until(lambda: self._talking == len(sessions))
                stopped_at = [await self._restart(server) for server in self._servers]
                self._over.set()
            histories: list[SessionHistory] = [msgspec.UNSET] * len(sessions)  # type: ignore[list-item]

            async def tell(number: int) -> None:
                histories[number] = await sessions[number].history()

            async with anyio.create_task_group() as group:
                for number in range(len(sessions)):
                    group.start_soon(tell, number)
        self.report.reconnects = list(_by_restart(readers, stopped_at))
        return histories

    async def _restart(self, server: ServerProcess) -> float:
        """SIGTERM, and when it has gone its successor."""
        began = monotonic()
        server.ask_to_stop()
        await _until(lambda: not server.ready)
        unready_s, ready_again = monotonic() - began, False
        while server.running:
            ready_again = ready_again or server.ready
            await anyio.sleep(_POLL_S)
        self.report.exits.append(Exit(unready_s, monotonic() - began, server.exit_code, ready_again))
        await to_thread.run_sync(server.start)
        return began

    # The people

    async def _talk(self, session: Recorder, first: int) -> None:
        """One short question after the other, sometimes two at once."""
        self._talking += 1
        while not self._over.is_set():
            both = [
                await session.send(Numbers(begin + 1, begin + _SHORT), per_second=20) for begin in (first, first + 100)
            ]
            first += 200
            for sent in both:
                self.report.short += self._is(await session.ended(sent.turn.id), "completed", "stop")

    async def _ask_for_long(self, session: Recorder, first: int) -> None:
        sent = await session.send(Numbers(first + 1, first + 9_000), per_second=10)
        await session.readers[0].until_type("token")
        self._talking += 1
        turn = await session.ended(sent.turn.id)
        self.report.outlived += self._is(turn, "incomplete", "shutdown")
        again = await session.again("continue", turn.id)
        self.report.short += self._is(await session.ended(again.turn.id), "completed", "stop")
        self._talking -= 1
        await self._talk(session, first)

    async def _ask_the_mute(self, session: Recorder, first: int) -> None:
        sent = await session.send(Numbers(first + 1, first + _SHORT), per_second=20, mute_once=True)
        behind = await session.send(Numbers(first + 101, first + 100 + _SHORT), per_second=20)
        await _until_async(lambda: self._is_running(sent.turn))
        self._talking += 1
        turn = await session.ended(sent.turn.id)
        self.report.handed_over += self._is(turn, "completed", "stop", attempt=2)
        self.report.short += self._is(await session.ended(behind.turn.id), "completed", "stop")
        self._talking -= 1
        await self._talk(session, first + 200)
