"""What the engine asks of a database: run this function in a transaction. The functions are this package's other modules."""

from collections.abc import Callable, Sequence
from typing import Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar

import msgspec
from sqlalchemy import Connection

P = ParamSpec("P")
T = TypeVar("T")


class Row(NamedTuple):
    """A journal row: one commit of one session. ``payload`` has a line for each seq from ``first_seq`` to ``last_seq``."""

    session_id: str
    first_seq: int
    last_seq: int
    payload: bytes


class Batch(msgspec.Struct, frozen=True):
    """Events of one open turn, numbered so that a commit of unknown outcome can be tried again without doubling.

    ``after`` is the seq where the turn's own events begin. ``again``: it may have entered before.
    """

    session_id: str
    turn_id: str
    epoch: int
    number: int
    count: int
    payload: bytes
    crc: int
    after: int
    again: bool = False


class Store(Protocol):
    """A database that has been brought to the current schema by ``start``.

    Every method raises ``Unavailable`` when the database can't be reached or can't take a write.
    """

    incarnation: str
    #: Whether several processes may serve the same store.
    shared: bool

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def read(self, query: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``query`` on a snapshot of one instant."""
        ...

    async def write(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``change`` in a transaction of its own and return when it is durable. Cancelling the caller does not undo it."""
        ...

    async def vital(self, change: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """As ``write``, for the heartbeat alone: it does not queue behind changes that wait for a locked session."""
        ...

    async def append(self, batches: Sequence[Batch]) -> list[Row | None]:
        """Commit batches of different sessions together; None where the epoch is no longer the session's."""
        ...

    async def scrub(self) -> bool:
        """Leave no byte in the files of what was removed before, as far as that is ours; False: not now, ask again."""
        ...
