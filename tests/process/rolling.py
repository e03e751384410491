"""A rolling deploy: several servers behind nginx, each told to stop and started again in turn, while people talk through it.

A third of them have short conversations that a stopping server can finish, a third ask for answers that outlive every grace,
and a third are not answered at all until somebody else asks the model anew. All read with the project's client, which waits
as long as it was asked to before it connects again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from time import monotonic
from typing import Final

import anyio
import msgspec
from anyio import to_thread

from legato.client import Sent
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


def _seconds(times: Iterable[float]) -> str:
    return " · ".join(f"{s:.2f}" for s in times) + " s"


async def roll(servers: Sequence[ServerProcess], url: str, model: ModelServer, streams: int) -> Report:
    """Restart each of ``servers`` with SIGTERM, while ``streams`` sessions are followed through ``url``."""
    with anyio.fail_after(_WITHIN_S):
        async with access(url) as to:
            deploy = _Deploy(servers, to, model, streams)
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
    def __init__(self, servers: Sequence[ServerProcess], to: Access, model: ModelServer, streams: int) -> None:
        self.report = Report(streams=streams)
        self._servers = servers
        self._to = to
        self._model = model
        self._over = anyio.Event()
        self._talking = 0

    def noticed(self, notice: Notice) -> None:
        if notice.what == "lost":
            self.report.retries_s.append(notice.retry_in_s)

    async def run(self, patient: Access) -> list[SessionHistory]:
        sessions = [Recorder(self._to, (await self._to.client.create_session()).id) for _ in range(self.report.streams)]
        readers = [session.reader("patient", through=patient) for session in sessions]
        async with reading(*readers):
            async with anyio.create_task_group() as group:
                for number, session in enumerate(sessions):
                    person = (self._talk, self._ask_for_long, self._ask_the_mute)[number % 3]
                    group.start_soon(person, session, 10_000 * (number + 1))
                await self._all_talk()
                stopped_at = [await self._restart(server) for server in self._servers]
                self._over.set()
            histories = [await session.history() for session in sessions]
        self.report.reconnects = list(_by_restart(readers, stopped_at))
        return histories

    async def _restart(self, server: ServerProcess) -> float:
        """SIGTERM, and when it has gone its successor."""
        began = monotonic()
        server.ask_to_stop()
        while await to_thread.run_sync(_is_ready, server):  # noqa: ASYNC110 - another process's doing
            await anyio.sleep(_POLL_S)
        unready_s, ready_again = monotonic() - began, False
        while server.running:
            ready_again = await to_thread.run_sync(_is_ready, server) or ready_again
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
                await self._short(session, sent)

    async def _ask_for_long(self, session: Recorder, first: int) -> None:
        sent = await session.send(Numbers(first + 1, first + 9_000), per_second=10)
        await session.readers[0].until_type("token")
        self._talking += 1
        turn = await session.ended(sent.turn.id)
        self.report.outlived += self._is(turn, "incomplete", "shutdown")
        again = await session.again("continue", turn.id)
        await self._short(session, again)
        self._talking -= 1
        await self._talk(session, first)

    async def _ask_the_mute(self, session: Recorder, first: int) -> None:
        sent = await session.send(Numbers(first + 1, first + _SHORT), per_second=20, mute_once=True)
        behind = await session.send(Numbers(first + 101, first + 100 + _SHORT), per_second=20)
        self._talking += 1
        turn = await session.ended(sent.turn.id)
        self.report.handed_over += self._is(turn, "completed", "stop", attempt=2)
        await self._short(session, behind)
        self._talking -= 1
        await self._talk(session, first + 200)

    async def _short(self, session: Recorder, sent: Sent) -> None:
        turn = await session.ended(sent.turn.id)
        self.report.short += self._is(turn, "completed", "stop")

    async def _all_talk(self) -> None:
        """Returns when every session has its stream, and the model has been asked by those whom it does not answer."""
        await _until(lambda: self._talking == self.report.streams)
        while await to_thread.run_sync(self._mute) < self.report.streams // 3:  # noqa: ASYNC110 - another process's
            await anyio.sleep(_POLL_S)

    def _mute(self) -> int:
        return sum(asked.startswith("mute once") for asked in self._model.with_outcome("running"))

    def _is(self, turn: Turn, status: str, reason: str, *, attempt: int = 1) -> bool:
        found = (turn.status, turn.reason, turn.attempt)
        if found != (status, reason, attempt):
            self.report.wrong.append(f"{turn.id}: {found}, not {(status, reason, attempt)}")
        return found == (status, reason, attempt)


def _is_ready(server: ServerProcess) -> bool:
    return server.ready


def _by_restart(readers: Sequence[Reader], stopped_at: Sequence[float]) -> Iterator[list[float]]:
    """When connections were asked for anew after each SIGTERM, in seconds since then."""
    came_back = sorted(at for reader in readers for at in reader.asked_at[1:])
    for begin, end in pairwise([*stopped_at, monotonic()]):
        yield [at - begin for at in came_back if begin <= at < end]


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - another process's doing
        await anyio.sleep(_POLL_S)
