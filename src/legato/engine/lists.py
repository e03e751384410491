"""The owners' live lists: hints that a session of theirs is worth a look. Nothing is replayed; a lost hint is a refetch."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Final, Literal

from legato.core.errors import Unavailable
from legato.engine.tasks import Tasks
from legato.store import sessions
from legato.store.erasing import Gone
from legato.store.port import Row, Store

What = Literal["refetch", "changed", "running", "finished", "deleted"]
_WHAT: Final[dict[bytes, What]] = {
    b"session": "changed",
    b"snapshot": "changed",
    b"turn": "running",
    b"approval": "running",
    b"done": "finished",
}
_MAX_WAITING: Final = 200
_GATHER_S: Final = 0.5  # rings of other processes come with every commit; a list needs no such haste


class Watcher:
    """One follower of an owner's list: what changed since it was last asked, each session once."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._hints: dict[str, What] = {"": "refetch"}
        self._news = asyncio.Event()
        self._news.set()

    def hint(self, session_id: str, what: What) -> None:
        if len(self._hints) >= _MAX_WAITING:
            self._hints = {}
            session_id, what = "", "refetch"
        self._hints[session_id] = what
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def next(self, timeout_s: float) -> dict[str, What]:
        """What changed, by session id ("" is everything); empty after ``timeout_s`` of silence."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()
        hints, self._hints = self._hints, {}
        return hints


class Lists:
    """The watchers of this process."""

    def __init__(self, *, store: Store, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._watchers: set[Watcher] = set()
        self._heard: set[str] = set()
        self._hints: dict[str, What] = {}
        self._telling = False

    @contextlib.contextmanager
    def watch(self, owner: str) -> Iterator[Watcher]:
        watcher = Watcher(owner)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def committed(self, rows: Iterable[Row]) -> None:
        if not self._watchers:
            return
        hints: dict[str, What] = {}
        for row in rows:
            for name, what in _WHAT.items():
                # Tokens come by the thousand and interest no list: look for the few types that do without splitting.
                if row.payload.startswith(name) or b"\n" + name in row.payload:
                    hints[row.session_id] = what
        self._pass_on(hints)

    def gone(self, sessions: Iterable[Gone]) -> None:
        """These were deleted. Told at once, without looking whose they were: there may be nothing left to look at."""
        for session in sessions:
            for watcher in self._watchers:
                if watcher.owner == session.owner:
                    watcher.hint(session.session_id, "deleted")

    def heard(self, session_ids: Iterable[str] | None) -> None:
        if session_ids is None:
            for watcher in self._watchers:
                watcher.hint("", "refetch")
        elif self._watchers:
            if not self._heard:
                self._tasks.spawn(self._gather(), "live list")
            self._heard.update(session_ids)

    def stop(self) -> None:
        for watcher in self._watchers:
            watcher.wake()

    async def _gather(self) -> None:
        await asyncio.sleep(_GATHER_S)
        heard, self._heard = self._heard, set()
        self._pass_on(dict.fromkeys(heard, "changed"))

    def _pass_on(self, hints: dict[str, What]) -> None:
        if not hints or not self._watchers:
            return
        self._hints |= hints
        if not self._telling:
            self._telling = True
            self._tasks.spawn(self._tell(), "live list")

    async def _tell(self) -> None:
        """One at a time, so that what happened later is told later."""
        try:
            while self._hints:
                hints, self._hints = self._hints, {}
                owners = await self._store.read(sessions.owners, list(hints))
                for session_id, (owner, deleted) in owners.items():
                    for watcher in self._watchers:
                        if watcher.owner == owner:
                            watcher.hint(session_id, "deleted" if deleted else hints[session_id])
        except Unavailable:
            self.heard(None)
        finally:
            self._telling = False
