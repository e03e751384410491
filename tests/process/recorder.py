"""One session as its users see it: everything they ask, and everything they are told, written down for the checker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import anyio
import msgspec

from legato.client import AsyncAnswer, AsyncClient, Sent
from legato.client.http import Http
from legato.core.cursor import Cursor, parse_cursor
from legato.core.errors import NotFound
from legato.core.ids import new_id
from legato.core.model import Mode, State, Turn, TurnKind
from tests.process.history import Answer, Cancel, Entry, Numbers, Send, SessionHistory, Snapshot
from tests.process.reader import Reader, events_path, nap, open_http

_LIMIT: Final = 500
_ENDS_WITHIN_S: Final = 45.0  # generous: rescue through another process takes up to 15
_HEARD_WITHIN_S: Final = 20.0


class _Line(msgspec.Struct):
    cursor: str
    type: str
    data: msgspec.Raw


class _Page(msgspec.Struct):
    data: list[_Line]
    cursor: str
    has_more: bool


class _View(msgspec.Struct):
    state: State
    cursor: str


class Access:
    """The ways to one server: the client that users have, and the same requests unread."""

    def __init__(self, client: AsyncClient, http: Http) -> None:
        self.client = client
        self.http = http


@asynccontextmanager
async def access(url: str) -> AsyncIterator[Access]:
    """To the server at ``url``, through any number of its deaths."""
    http = open_http(url)
    async with AsyncClient(url, sleep=nap, random=lambda: 0.0, retry_for_s=60) as client:
        try:
            yield Access(client, http)
        finally:
            await http.aclose()


class Recorder:
    """``to`` is where answers are followed, and where everything is asked that names no other server to go ``through``."""

    def __init__(self, to: Access, session_id: str) -> None:
        self.id = session_id
        self._to = to
        self._sends: dict[str, Send] = {}
        self._answers: dict[str, AsyncAnswer] = {}
        self._cancels: list[Cancel] = []
        self.snapshots: list[Snapshot] = []
        self.readers: list[Reader] = []

    def reader(self, name: str, *, after: Cursor | None = None, through: Access | None = None) -> Reader:
        """A new follower; whoever wants it to read calls ``read``."""
        reader = Reader((through or self._to).http, self.id, name=name, after=after)
        self.readers.append(reader)
        return reader

    async def send(
        self,
        numbers: Numbers,
        *,
        per_second: int | None = None,
        mute_once: bool = False,
        mode: Mode = "queue",
        message_id: str | None = None,
        through: Access | None = None,
    ) -> Sent:
        """Asks for ``numbers``, again and again with one message id until the server acknowledges."""
        pace = f" at {per_second}/s" if per_second else ""
        text = f"{'mute once, ' if mute_once else ''}count {numbers.last} from {numbers.first}{pace}"
        return await self.say(text, numbers=numbers, mode=mode, message_id=message_id, through=through)

    async def say(
        self,
        text: str,
        *,
        numbers: Numbers | None = None,
        mode: Mode = "queue",
        message_id: str | None = None,
        model_id: str | None = None,
        through: Access | None = None,
    ) -> Sent:
        """Says anything; ``numbers`` are what the answer must be, if that is known."""
        message_id = message_id or new_id("msg")
        self._begun(message_id, "send", numbers)
        client = (through or self._to).client
        sent = await client.send(self.id, text, message_id=message_id, mode=mode, model_id=model_id)
        return self._acknowledged(message_id, sent)

    async def again(self, kind: TurnKind, turn_id: str, *, through: Access | None = None) -> Sent:
        """Continues or retries a turn; a retry is asked for the same numbers."""
        to, message_id = through or self._to, new_id("msg")
        asked = next((send for send in self._sends.values() if turn_id in send.turn_ids), None)
        self._begun(message_id, kind, asked.numbers if asked and kind == "retry" else None)
        ask = to.client.continue_ if kind == "continue" else to.client.retry
        return self._acknowledged(message_id, await ask(self.id, turn_id, message_id=message_id))

    async def cancel(self, turn_id: str, *, through: Access | None = None) -> Turn:
        to = through or self._to
        turn = await to.client.cancel(self.id, turn_id)
        view = await self._view(to)
        self._cancels.append(Cancel(turn_id, turn.status, turn.reason, parse_cursor(view.cursor).seq))
        return turn

    async def snapshot(self, *, through: Access | None = None) -> Snapshot:
        view = await self._view(through or self._to)
        self.snapshots.append(Snapshot(view.state, view.cursor))
        return self.snapshots[-1]

    async def ended(self, turn_id: str) -> Turn:
        """Waits until the client that sent it has seen a turn to its end."""
        answer = self._answers[turn_id]
        await answer.result()
        return answer.turn

    async def all_ended(self) -> None:
        """Waits, not for ever, until all turns have ended."""
        with anyio.move_on_after(_ENDS_WITHIN_S):
            for turn_id in self._answers:
                with suppress(NotFound):  # the checker misses it
                    await self.ended(turn_id)

    async def history(self, *, through: Access | None = None) -> SessionHistory:
        """When all turns have ended and all readers have heard it (or never will): what stands there."""
        to = through or self._to
        await self.all_ended()
        final = await self._view(to)
        async with anyio.create_task_group() as group:
            for reader in self.readers:
                group.start_soon(_catch_up, reader, parse_cursor(final.cursor).seq)
        view = await self._view(to)
        return SessionHistory(
            id=self.id,
            sends=tuple(self._sends.values()),
            cancels=tuple(self._cancels),
            readers=tuple(reader.recorded() for reader in self.readers),
            snapshots=tuple(self.snapshots),
            answers=tuple(Answer(turn_id, answer.text) for turn_id, answer in self._answers.items()),
            journal=tuple(await self._journal(to)),
            final=Snapshot(view.state, view.cursor),
            messages=tuple(await to.client.messages(self.id)),
            turns=tuple(await self._turns(to)),
        )

    def _begun(self, message_id: str, kind: TurnKind, numbers: Numbers | None) -> None:
        known = self._sends.get(message_id)
        self._sends[message_id] = known or Send(message_id=message_id, turn_ids=(), kind=kind, numbers=numbers)

    def _acknowledged(self, message_id: str, sent: Sent) -> Sent:
        send = self._sends[message_id]
        self._sends[message_id] = msgspec.structs.replace(send, turn_ids=(*send.turn_ids, sent.turn.id))
        self._answers.setdefault(sent.turn.id, self._to.client.watch(sent))
        return sent

    async def _view(self, to: Access) -> _View:
        return await to.http.call(_View, "GET", f"/v1/sessions/{self.id}", params={"limit": str(_LIMIT)})

    async def _turns(self, to: Access) -> list[Turn]:
        turns: list[Turn] = []
        for turn_id in self._answers:
            with suppress(NotFound):
                turns.append(await to.client.turn(self.id, turn_id))
        return turns

    async def _journal(self, to: Access) -> list[Entry]:
        entries: list[Entry] = []
        after, more = "0", True
        while more:
            page = await to.http.call(_Page, "GET", events_path(self.id), params={"after": after})
            entries += [Entry(line.cursor, line.type, bytes(line.data).decode()) for line in page.data]
            after, more = page.cursor, page.has_more
        return entries


async def _catch_up(reader: Reader, seq: int) -> None:
    with anyio.move_on_after(_HEARD_WITHIN_S):
        await reader.until(seq)


@asynccontextmanager
async def reading(*readers: Reader) -> AsyncIterator[None]:
    """Lets ``readers`` read meanwhile."""
    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(reader.read)
        yield
        group.cancel_scope.cancel()
