"""A crowd that follows a session and never reads, and one reader that does: what the crowd costs it, and the server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Final, Self

import anyio
import msgspec

from legato.core.cursor import Cursor, parse_cursor
from legato.core.events import Token
from tests.process.checker import violations
from tests.process.history import Connection, Entry, History
from tests.process.history import Reader as Recorded
from tests.process.reader import events_path
from tests.process.recorder import Recorder, access, reading
from tests.support.proc import memory_kib, open_sockets
from tests.support.raw_reader import RawReader
from tests.support.server import ServerProcess
from tests.support.upstream_scripts import spoken

ALONE: Final = "clock 100 of 1000 at 25/s"
CROWDED: Final = "clock 1000 of 1000 at 25/s"  # 40 s, and a megabyte: more than all buffers on the way hold
_POLL_S: Final = 0.25
_OTHERS: Final = 5  # connections of the clients and to the model, which come and go
_WITHIN_S: Final = 150.0  # catches a hang


class Report(msgspec.Struct, kw_only=True):
    """Lags are from the upstream's word to its arrival at the healthy reader."""

    readers: int
    alone_s: float
    lag_p50_s: float
    lag_p99_s: float
    lag_most_s: float
    grew_mib: float
    gone_s: float
    held_bytes: int
    violations: list[str]

    def table(self) -> str:
        rows = [
            ("readers that never read", self.readers),
            ("lag p99 without them", f"{self.alone_s * 1000:.0f} ms"),
            (
                "lag p50, p99, most",
                " · ".join(f"{s * 1000:.0f}" for s in (self.lag_p50_s, self.lag_p99_s, self.lag_most_s)) + " ms",
            ),
            ("memory grew", f"{self.grew_mib:.1f} MiB"),
            ("the last of them gone", f"{self.gone_s:.1f} s after the turn began"),
            ("held by one of them", f"{self.held_bytes} bytes"),
            ("violations", len(self.violations)),
        ]
        return "\n".join(f"{name:<26} {value}" for name, value in rows)


async def crowd(server: ServerProcess, readers: int) -> Report:
    """``readers`` that never read and a healthy one, on a turn that streams for 40 s."""
    with anyio.fail_after(_WITHIN_S):
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            healthy = session.reader("healthy")
            async with reading(healthy):
                alone = await session.say(ALONE)
                await session.ended(alone.turn.id)
                crowded = await _Crowd(server, session, readers).run()
            lags = {turn_id: _lags(healthy.recorded(), turn_id) for turn_id in (alone.turn.id, crowded.turn_id)}
    return Report(
        readers=readers,
        alone_s=_at(lags[alone.turn.id], 0.99),
        lag_p50_s=_at(lags[crowded.turn_id], 0.5),
        lag_p99_s=_at(lags[crowded.turn_id], 0.99),
        lag_most_s=lags[crowded.turn_id][-1],
        grew_mib=crowded.grew_kib / 1024,
        gone_s=crowded.gone_s,
        held_bytes=crowded.held_bytes,
        violations=crowded.violations,
    )


class _Crowd:
    """The turn that they all follow."""

    def __init__(self, server: ServerProcess, session: Recorder, readers: int) -> None:
        self._server = server
        self._session = session
        self._readers = readers
        self.turn_id = ""
        self.grew_kib = 0
        self.gone_s = 0.0
        self.held_bytes = 0
        self.violations: list[str] = []

    async def run(self) -> Self:
        pid = self._server.pid
        calm_kib, held = memory_kib(pid, "VmRSS"), len(open_sockets(pid))
        sent = await self._session.say(CROWDED)
        self.turn_id = sent.turn.id
        path = f"{events_path(self._session.id)}?after={sent.cursor}"
        with _following(self._server, path, self._readers) as stalled:
            began = monotonic()
            await _until(lambda: len(open_sockets(pid)) >= held + self._readers)
            await _until(lambda: len(open_sockets(pid)) <= held + _OTHERS)
            self.gone_s = monotonic() - began
            await self._session.ended(sent.turn.id)
            self.grew_kib = memory_kib(pid, "VmHWM") - calm_kib
            await self._judge(stalled[0], sent.cursor)
        return self

    async def _judge(self, stalled: RawReader, after: Cursor) -> None:
        """One of the stalled comes back with the last cursor that its kernel holds; all that was told must be the journal."""
        await stalled.take_all()
        self.held_bytes = len(stalled.raw)
        there = _connection(stalled, after)
        back = self._session.reader("came back", after=parse_cursor(there.entries[-1].cursor))
        async with reading(back):
            told = await self._session.history()
        returned = Recorded("came back", (there, *back.recorded().connections))
        others = tuple(reader for reader in told.readers if reader.name != "came back")
        followed = msgspec.structs.replace(told, readers=(*others, returned))
        self.violations = violations(History(sessions=(followed,)))


@contextmanager
def _following(server: ServerProcess, path: str, number: int) -> Iterator[list[RawReader]]:
    with ExitStack() as stack:
        yield [stack.enter_context(RawReader("127.0.0.1", server.port, path)) for _ in range(number)]


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - another process's doing
        await anyio.sleep(_POLL_S)


def _connection(reader: RawReader, after: Cursor) -> Connection:
    frames = [frame for frame in reader.frames() if frame.id is not None]
    return Connection(after.seq, tuple(Entry(frame.id or "", frame.event, frame.data) for frame in frames))


def _lags(reader: Recorded, turn_id: str) -> list[float]:
    """How long the words of a turn took to reach this reader, the shortest first."""
    tokens = [(entry.at, event) for entry in reader.entries if isinstance(event := entry.event(), Token)]
    return sorted(at - said for at, token in tokens if token.turn_id == turn_id for said in spoken(token.text))


def _at(lags: Sequence[float], quantile: float) -> float:
    return lags[min(len(lags) - 1, int(len(lags) * quantile))]
