"""An answer read from a server: the growing answer, and the stream that feeds it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from legato.client.answer import GrowingAnswer, Piece
from legato.client.model import Sent
from legato.core.cursor import Cursor
from legato.core.events import Event
from legato.core.model import Message, State, Turn

if TYPE_CHECKING:
    from legato.client.async_client import AsyncClient


class Update(NamedTuple):
    """An event, and what it did to the answer's text. Without an event: learnt by asking for the turn."""

    event: Event | None
    piece: Piece | None


class AsyncAnswer:
    """The answer of one turn. Iterating gives its text in pieces and ends with the turn.

    Everything received is kept here, so that an iteration that was broken off may be begun again: it goes on
    after the last piece. ``text`` is always all of it.
    """

    def __init__(self, client: "AsyncClient", sent: Sent, state: State | None = None) -> None:
        self._client = client
        self._growing = GrowingAnswer(sent.turn, state)
        self._cursor = sent.cursor

    @property
    def turn(self) -> Turn:
        """The turn as far as it is known; after the end, with its status and reason."""
        return self._growing.turn

    @property
    def message(self) -> Message | None:
        """The answer as far as it is known; None for a turn that has none."""
        return self._growing.message

    @property
    def text(self) -> str:
        return self._growing.text

    @property
    def cursor(self) -> Cursor:
        """Everything up to here has been taken in."""
        return self._cursor

    @property
    def finished(self) -> bool:
        return self._growing.finished

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self.pieces()

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """The text as it comes. Raises as ``AsyncClient.follow``."""
        async with aclosing(self.updates()) as updates:
            async for update in updates:
                if update.piece is not None:
                    yield update.piece

    async def updates(self) -> AsyncGenerator[Update, None]:
        """Every event until the turn's end, those of other turns too. Raises as ``AsyncClient.follow``."""
        if self._growing.finished:
            return
        turn = self.turn
        follow = self._client.follow(turn.session_id, after=self._cursor, until=turn.id)
        async with aclosing(follow) as events:
            async for cursor, event in events:
                piece = self._growing.apply(event)
                self._cursor = cursor
                yield Update(event, piece)
                if self._growing.unknown:
                    yield await self._ask()
                if self.finished:
                    return
        yield await self._ask()  # it ended before our cursor, or its end was cleared from the journal

    async def result(self) -> Message | None:
        """Waits for the turn's end; the whole answer. Raises as ``AsyncClient.follow``."""
        async with aclosing(self.updates()) as updates:
            async for _ in updates:
                pass
        return self.message

    async def _ask(self) -> Update:
        turn = self.turn
        return Update(None, self._growing.know(await self._client.turn(turn.session_id, turn.id)))
