"""What a host's own routes ask of Legato for one of its users; the same words as the client's, in the same process."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, NamedTuple

from legato.core.cursor import Cursor
from legato.core.diagnostics import StreamEnd
from legato.core.errors import BadCursor, Unavailable
from legato.core.events import Done, Event, Reset, Snapshot, Token, Warning, decode_event
from legato.core.model import Approval, Message, Mode, Priority, Session, State, Stats, Summary, TextPart, Turn
from legato.core.sse import Parser
from legato.engine.engine import Engine, SendRequest, Sent
from legato.store import sessions, snapshots
from legato.store.approvals import Decision
from legato.store.listing import SessionStatus
from legato.store.sessions import Page

_SILENCE_S = 15.0


class Unkept(NamedTuple):
    """An answer that nobody stores, and the warning that says so."""

    text: str
    warning: str


class Owner:
    """``owner`` is who the host says is asking. What is somebody else's is not there: calls raise as for what is unknown."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self.id = owner
        self._engine = engine

    async def create_session(self, agent_id: str | None = None, **fields: Any) -> Session:
        """A new session, or the one of its ``context``; ``fields`` as in ``Engine.begin_session``.

        Raises:
            AgentNotFound, ModelNotFound, SessionExists.
        """
        return (await self._engine.begin_session(self.id, agent_id, **fields)).session

    async def current_session(self, agent_id: str | None = None, locale: str | None = None) -> Session:
        """The active session with an agent, a new one where there is none. Raises AgentNotFound."""
        return (await self._engine.current_session(self.id, agent_id, locale)).session

    async def session(self, session_id: str, limit: int = 100) -> tuple[State, Cursor]:
        """State and cursor of one instant; what its rules say of its age has happened. Raises SessionNotFound."""
        await self._engine.lifecycle.visit(self.id, session_id)
        return await self._engine.snapshot(self.id, session_id, limit)

    async def sessions(
        self,
        *,
        status: SessionStatus | None = None,
        agent_id: str | None = None,
        context: str | None = None,
        text: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """A page of sessions, the newest activity first. Raises BadCursor."""
        return await self._engine.store.read(
            sessions.page,
            self.id,
            status=status,
            agent_id=agent_id,
            context=context,
            text=text,
            limit=limit,
            cursor=cursor,
        )

    async def update_session(self, session_id: str, **values: Any) -> Session:
        """Set ``title``, ``pinned``, ``archived``, ``keep``, ``memory``, ``metadata``, ``closed``. Raises SessionNotFound."""
        return await self._engine.change_session(self.id, session_id, values)

    async def reopen(self, session_id: str) -> Session:
        return await self._engine.lifecycle.reopen(self.id, session_id)

    async def clear(self, session_id: str) -> None:
        await self._engine.clear(self.id, session_id)

    async def delete(self, session_id: str) -> None:
        await self._engine.delete(self.id, session_id)

    async def stats(self, session_id: str) -> Stats:
        return await self._engine.stats(self.id, session_id)

    async def pin(self, session_id: str, message_id: str, *, pinned: bool = True) -> Message:
        """Have a message stay in the prompt, or take its pin away. Raises as ``Pins.set``."""
        return await self._engine.pins.set(self.id, session_id, message_id, pinned=pinned)

    async def summary(self, session_id: str) -> Summary:
        """What stands in the prompt for the oldest messages. Raises SessionNotFound, SummaryNotFound."""
        return await self._engine.summary(self.id, session_id)

    async def messages(self, session_id: str, limit: int = 50, cursor: str | None = None) -> list[Message]:
        """A page of the active branch, the newest one first; each in the order of the conversation."""
        return list((await self._engine.branches.read(self.id, session_id, limit, cursor)).messages)

    async def send(
        self,
        session_id: str,
        text: str,
        *,
        message_id: str | None = None,
        mode: Mode = "queue",
        priority: Priority = "interactive",
        model_id: str | None = None,
        locale: str | None = None,
    ) -> Sent:
        """Have a message answered; when this returns, it is safe. Raises as ``Engine.send``."""
        await self._engine.lifecycle.visit(self.id, session_id)
        request = SendRequest(
            parts=(TextPart(text),),
            message_id=message_id,
            mode=mode,
            priority=priority,
            model_id=model_id,
            locale=locale,
        )
        return await self._engine.send(self.id, session_id, request)

    async def answered_without_store(self, session_id: str, text: str) -> Unkept | None:
        """For a send that has met Unavailable: an answer without history that nobody stores, where the agent wants that
        (``on_store_failure``). Raises as ``Engine.answer_without_store``."""
        asked = SendRequest(parts=(TextPart(text),))
        answer = await self._engine.answer_without_store(self.id, session_id, asked)
        if answer is None:
            return None
        parser, said, warning = Parser(), list[str](), ""
        try:
            while (frames := await answer.next(_SILENCE_S)) is not None:
                for frame in parser.feed(frames):
                    match decode_event(frame.event, frame.data):
                        case Token(kind="text") as token:
                            said.append(token.text)
                        case Reset():
                            said.clear()
                        case Warning() as told:
                            warning = warning or told.message
                        case _:
                            pass
        finally:
            answer.stop("abandoned")
        return Unkept("".join(said), warning)

    async def continue_(self, session_id: str, turn_id: str, message_id: str | None = None) -> Sent:
        return await self._engine.go_on(self.id, session_id, turn_id, message_id)

    async def retry(
        self, session_id: str, turn_id: str, message_id: str | None = None, *, model_id: str | None = None
    ) -> Sent:
        return await self._engine.retry(self.id, session_id, turn_id, message_id, model_id)

    async def turn(self, session_id: str, turn_id: str) -> Turn:
        return await self._engine.turn(self.id, session_id, turn_id)

    async def sent(self, session_id: str, turn_id: str) -> Sent:
        """A turn that was accepted before, to ``follow`` it from its beginning. Raises SessionNotFound, TurnNotFound."""
        seq = await self._engine.store.read(snapshots.begun_at, session_id, self.id, turn_id)
        return Sent(await self.turn(session_id, turn_id), self._engine.cursor(seq), fresh=False)

    async def cancel(self, session_id: str, turn_id: str) -> Turn:
        return await self._engine.cancel(self.id, session_id, turn_id)

    async def follow(self, sent: Sent) -> AsyncIterator[Event]:
        """The events of the session from right before the turn's first one to its ``done``, and never less.

        One ``snapshot`` takes the place of all where they are gone (the session was cleared).

        Raises:
            SessionNotFound; Unavailable: the server stops, or the session was deleted.
        """
        engine, session_id, turn_id = self._engine, sent.turn.session_id, sent.turn.id
        done_seq = await engine.done_seq(self.id, session_id, turn_id)
        parser = Parser()
        with engine.hub.reader(session_id, sent.cursor.seq) as reader:
            while not reader.stopped:
                chunk = await reader.next(_SILENCE_S)
                for frame in parser.feed(chunk.frames) if chunk is not None else ():
                    event = decode_event(frame.event, frame.data)
                    yield event
                    if isinstance(event, Done) and event.turn_id == turn_id:
                        return
                    if isinstance(event, Snapshot) and event.state is not None:
                        return
                if done_seq is not None and reader.position >= done_seq:
                    return
        raise Unavailable("The answer goes on elsewhere: ask again.")

    async def answered(self, sent: Sent) -> tuple[Turn, Message | None]:
        """Wait for a turn's end: the turn, and its answer; None where it has none any more. Raises as ``follow``."""
        async with aclosing(self.follow(sent)) as events:  # type: ignore[type-var] # a generator
            async for _ in events:
                pass
        turn = await self.turn(sent.turn.session_id, sent.turn.id)
        return turn, await self._answer(turn)

    async def _answer(self, turn: Turn) -> Message | None:
        """However much has been said since, and on whatever branch."""
        if turn.answer_id is None:
            return None
        try:
            (answer,) = await self.messages(turn.session_id, limit=1, cursor=turn.answer_id)
        except BadCursor:  # rolled back, cleared or trimmed
            return None
        return answer

    async def stream_ends(self, limit: int = 100) -> list[StreamEnd]:
        """Why streams of his ended in this process, the newest first. Raises Unavailable."""
        return await self._engine.diagnostics.ends(self._engine.store, self.id, limit)

    async def approvals(self) -> list[Approval]:
        """What waits for an answer, the oldest first."""
        return await self._engine.approvals.waiting(self.id)

    async def decide(self, approval_id: str, decision: Decision) -> Approval:
        """Raises ApprovalNotFound, AlreadyDecided."""
        return await self._engine.approvals.decide(self.id, approval_id, decision)
