"""Commit, then deliver: what a transaction has appended is told to the readers here and rung to the other processes."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from legato.doorbell.port import Doorbell
from legato.engine.diagnostics import Diagnostics
from legato.engine.failpoints import reached
from legato.engine.hub import Hub
from legato.engine.lists import Lists
from legato.engine.tasks import Tasks
from legato.store.erasing import Gone
from legato.store.port import Row, Store


class HasRows(Protocol):
    @property
    def rows(self) -> tuple[Row, ...]: ...


P = ParamSpec("P")
T = TypeVar("T", bound=HasRows | None)
G = TypeVar("G", bound=Gone | None)


class Publisher:
    """The way of every change into the store and on to those who follow."""

    def __init__(
        self, *, store: Store, hub: Hub, lists: Lists, doorbell: Doorbell, tasks: Tasks, diagnostics: Diagnostics
    ) -> None:
        self._store = store
        self._hub = hub
        self._lists = lists
        self._doorbell = doorbell
        self._diagnostics = diagnostics
        self.tasks = tasks

    async def write(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a transaction and publish its rows; both happen, or neither, whatever becomes of the caller."""
        return await self.tasks.uncancelled(self.commit(change, *args, **kwargs), "write")

    async def commit(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """``write`` for a task that nobody cancels."""
        result = await self._store.write(change, *args, **kwargs)
        if result is not None:
            self.publish(result.rows)
            self._diagnostics.ended(result.rows)
        return result

    async def remove(self, change: Callable[Concatenate[Connection, P], G], /, *args: P.args, **kwargs: P.kwargs) -> G:
        """Run a transaction that may make a session unreachable, and end its readers; both happen, or neither."""
        return await self.tasks.uncancelled(self._remove(change, *args, **kwargs), "remove")

    async def _remove(self, change: Callable[Concatenate[Connection, P], G], /, *args: P.args, **kwargs: P.kwargs) -> G:
        gone = await self._store.write(change, *args, **kwargs)
        if gone is not None:
            self.gone([gone])
        return gone

    def gone(self, sessions: Sequence[Gone]) -> None:
        """Tell everybody about sessions that are unreachable as of now."""
        for session in sessions:
            self._hub.gone(session.session_id)
            self._diagnostics.deleted(session.turn_ids)
        self._lists.gone(sessions)
        self._doorbell.ring([session.session_id for session in sessions])

    def publish(self, rows: Sequence[Row]) -> None:
        """Tell everybody about rows that are committed."""
        if not rows:
            return
        reached("after_commit")
        for row in rows:
            self._hub.committed(row)
        self._lists.committed(rows)
        self._doorbell.ring({row.session_id for row in rows})
