"""A session of an engine, talked to and followed as the web does it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from sqlalchemy import Connection

from legato.core.events import Done, Event, TurnEvent, UsageEvent, decode_event, decode_lines
from legato.core.fold import Fold
from legato.core.model import Message, Mode, State, TextPart, Turn
from legato.core.sse import Parser
from legato.engine.engine import Engine, SendRequest, Sent
from legato.store import journal
from legato.store.port import Row

PATIENCE_S = 60.0  # a hang, not a slow minute

E = TypeVar("E")


def parse(frames: bytes) -> list[tuple[int, Event]]:
    """The frames of a stream as ``(seq, event)``."""
    return [
        (int(str(frame.id).rpartition(".")[2]), decode_event(frame.event, frame.data))
        for frame in Parser().feed(frames)
    ]


def text_of(message: Message | None) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart)) if message else ""


def only(kind: type[E], told: Sequence[tuple[int, Event]], turn_id: str | None = None) -> list[E]:
    """The events of one kind, of one turn if one is named."""
    return [
        event for _, event in told if isinstance(event, kind) and turn_id in (None, getattr(event, "turn_id", turn_id))
    ]


class Talk:
    """``owner``'s session ``id`` as one engine serves it; ``on`` gives the same session through another one."""

    def __init__(self, engine: Engine, owner: str, session_id: str) -> None:
        self.engine = engine
        self.owner = owner
        self.id = session_id

    @classmethod
    async def begin(cls, engine: Engine, agent_id: str | None = None, owner: str = "ann", **fields: Any) -> Self:
        session = await engine.create_session(owner, agent_id, **fields)
        return cls(engine, owner, session.id)

    def on(self, engine: Engine) -> "Talk":
        return Talk(engine, self.owner, self.id)

    async def sent(self, text: str, message_id: str | None = None, mode: Mode = "queue", **fields: Any) -> Sent:
        request = SendRequest(parts=(TextPart(text),), message_id=message_id, mode=mode, **fields)
        return await self.engine.send(self.owner, self.id, request)

    async def send(self, text: str = "Hello", mode: Mode = "queue", **fields: Any) -> Turn:
        return (await self.sent(text, mode=mode, **fields)).turn

    async def ask(self, text: str = "Hello", **fields: Any) -> Turn:
        """Send, and wait for the end."""
        return await self.ended((await self.send(text, **fields)).id)

    async def cancel(self, turn_id: str) -> Turn:
        return await self.engine.cancel(self.owner, self.id, turn_id)

    async def turn(self, turn_id: str) -> Turn:
        return await self.engine.turn(self.owner, self.id, turn_id)

    async def state(self) -> State:
        return (await self.engine.snapshot(self.owner, self.id))[0]

    async def texts(self) -> list[str]:
        return [text_of(message) for message in (await self.state()).messages]

    async def answer(self, turn_id: str) -> Message:
        """A turn's answer on the active branch."""
        answer_id = (await self.turn(turn_id)).answer_id
        return next(message for message in (await self.state()).messages if message.id == answer_id)

    async def told(self) -> list[tuple[int, Event]]:
        """The whole journal."""
        rows = await self.engine.store.read(_whole, self.id)
        return [line for row in rows for line in decode_lines(row.first_seq, row.payload)]

    async def until(self, wanted: Callable[[Event], bool], after: int = 0) -> list[tuple[int, Event]]:
        """Follow live until a wanted event has come; everything up to it."""
        told: list[tuple[int, Event]] = []
        with self.engine.hub.reader(self.id, after) as reader:
            while True:
                chunk = await reader.next(PATIENCE_S)
                assert chunk is not None, f"nothing more came after {told[-1:]}"
                for line in parse(chunk.frames):
                    told.append(line)
                    if wanted(line[1]):
                        return told

    async def followed(self, turn_id: str) -> list[tuple[int, Event]]:
        """Follow live until the turn's ``done``."""
        return await self.until(lambda event: isinstance(event, Done) and event.turn_id == turn_id)

    async def said(self, text: str) -> list[tuple[int, Event]]:
        """Follow live until the newest answer reads so."""
        fold = Fold()

        def reads(event: Event) -> bool:
            fold.apply(event)
            return fold.leaf_id is not None and text_of(fold.message(fold.leaf_id)) == text

        return await self.until(reads)

    async def running(self, turn_id: str) -> None:
        await self.until(lambda e: isinstance(e, TurnEvent) and e.turn.id == turn_id and e.turn.status == "in_progress")

    async def ended(self, turn_id: str) -> Turn:
        """Wait for the end, and check that there is exactly one (guarantee G4), for readers and in the store."""
        told = await self.followed(turn_id)
        assert told == (await self.told())[: len(told)]
        check_ending(await self.told(), turn_id)
        turn = await self.turn(turn_id)
        assert turn.status == only(Done, told, turn_id)[0].status
        return turn


async def true(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    while True:
        if condition():
            return
        await asyncio.sleep(0)


def check_ending(told: Sequence[tuple[int, Event]], turn_id: str) -> None:
    """One ``done``, ``usage`` at most once and right before it, nothing of the turn after it."""
    events = [event for _, event in told]
    (at,) = [at for at, event in enumerate(events) if isinstance(event, Done) and event.turn_id == turn_id]
    metered = [at for at, event in enumerate(events) if isinstance(event, UsageEvent) and event.turn_id == turn_id]
    assert metered in ([], [at - 1])
    for event in events[at + 1 :]:
        assert getattr(event, "turn_id", None) != turn_id
        assert not (isinstance(event, TurnEvent) and event.turn.id == turn_id)


def _whole(conn: Connection, session_id: str) -> list[Row]:
    rows = journal.read_rows(conn, session_id, 0)
    assert rows[-1].last_seq == journal.heads(conn, [session_id])[session_id]
    return rows
