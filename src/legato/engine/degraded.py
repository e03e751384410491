"""Answers without the store, for agents that want that (``on_store_failure = "degrade"``, promise R-14).

Where a send with a stream finds the store away, the agent answers what was just said, and that alone: no history, no memories,
no session that anybody could look up. The answer is one reader's: it is stored nowhere, has no cursor, and ends when its reader
goes. A task of the engine's says it, as always; the response only takes what is there.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Final

from legato.agents.registry import AgentSpec, Registry
from legato.agents.turn import Models, Turn
from legato.core.errors import (
    AgentFailed,
    AgentNotFound,
    LegatoError,
    Misuse,
    SessionClosed,
    SessionQuarantined,
    Unavailable,
)
from legato.core.ids import new_id
from legato.core.model import Message, Part, Session
from legato.core.model import Turn as TurnState
from legato.engine.private import Private
from legato.engine.tasks import Tasks, log, report
from legato.store import sessions
from legato.store.port import Store

_KNOWN: Final = 10_000  # sessions
_LOOK_S: Final = 0.5  # that a store which takes no writes gets to say which session it is


class Degrading:
    """The answers of this process that nobody stores, at most ``limit`` at once. ``close_s`` is what an agent gets to stop."""

    def __init__(
        self, *, store: Store, registry: Registry, models: Models, tasks: Tasks, limit: int, close_s: float
    ) -> None:
        self._store = store
        self._registry = registry
        self._models = models
        self._tasks = tasks
        self._limit = limit
        self._close_s = close_s
        self._answers: set[Private] = set()
        self._agents: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._stopped = False

    def knows(self, owner: str, session_id: str, agent_id: str) -> None:
        """This owner's session has this agent: the store has said so."""
        self._agents[owner, session_id] = agent_id
        self._agents.move_to_end((owner, session_id))
        if len(self._agents) > _KNOWN:
            self._agents.popitem(last=False)

    async def answer(
        self,
        owner: str,
        session_id: str,
        parts: tuple[Part, ...],
        *,
        model_id: str | None,
        locale: str | None,
        check: Callable[[Session], None],
    ) -> Private | None:
        """An answer that has begun; None where the agent does not want that, or too many go on.

        Raises:
            SessionNotFound, SessionClosed, SessionQuarantined, where the store can still say that; and what ``check`` raises.
        """
        session = await self._session(owner, session_id)
        spec = self._spec(owner, session_id, session)
        if spec is None or self._stopped or len(self._answers) >= self._limit:
            return None
        session = session or _stand_in(owner, session_id, spec)
        check(session)
        answer = Private(turn=_turn(session, spec, model_id), catalog=self._models.catalog, locale=locale)
        self._answers.add(answer)
        self._tasks.spawn(self._run(answer, spec, session, parts), f"degraded {answer.state.id}")
        return answer

    def stop(self) -> None:
        """The process stops: end them now."""
        self._stopped = True
        for answer in self._answers:
            answer.stop("shutdown")

    async def _session(self, owner: str, session_id: str) -> Session | None:
        """What the store still says of it: one that takes no writes may be read."""
        try:
            async with asyncio.timeout(_LOOK_S):
                session = await self._store.read(sessions.get, session_id, owner)
        except (Unavailable, TimeoutError):
            return None
        if session.quarantined:
            raise SessionQuarantined
        if session.read_only:
            raise SessionClosed
        return session

    def _spec(self, owner: str, session_id: str, session: Session | None) -> AgentSpec | None:
        """The agent of a session that was here before; of any other, of which nobody can tell now whose it is, the default."""
        agent_id = session.agent_id if session else self._agents.get((owner, session_id))
        try:
            spec = self._registry.default() if agent_id is None else self._registry.get(agent_id)
        except (AgentNotFound, Misuse):
            return None
        return spec if spec.available and spec.on_store_failure == "degrade" else None

    async def _run(self, answer: Private, spec: AgentSpec, session: Session, parts: tuple[Part, ...]) -> None:
        agent = self._tasks.start(self._spoken(answer, spec, session, parts), f"agent of {answer.state.id}")
        agent.add_done_callback(lambda _: answer.settle())
        try:
            in_time = await answer.settled(spec.max_turn_s)
            by_itself = agent.done()
            await self._stop_agent(agent, answer)
            failed = agent.result() if agent.done() and not agent.cancelled() else None
            if by_itself and agent.cancelled():
                failed = AgentFailed()  # something that it waited for was cancelled, not the agent
            answer.end(failed, in_time=in_time)
        finally:
            agent.cancel()
            answer.close()
            self._answers.discard(answer)

    async def _spoken(
        self, answer: Private, spec: AgentSpec, session: Session, parts: tuple[Part, ...]
    ) -> Exception | None:
        """What the agent failed with."""
        answer.given = turn = Turn(
            stage=answer,
            spec=spec,
            models=self._models,
            session=session,
            message=(message := _message(answer.state, parts)),
            history=(message,),
            locale=answer.locale or "en",
        )
        answer.message = message
        try:
            async with aclosing(spec.run(turn)) as pieces:  # type: ignore[type-var] # the registry takes generators only
                async for piece in pieces:
                    if not isinstance(piece, str):
                        raise TypeError(f"an agent yields str, not {type(piece).__name__}")
                    answer.say("text", piece)
                    await answer.room()
        except Exception as error:  # an agent may raise anything
            if not isinstance(error, LegatoError):
                report(error, "an agent failed without the store")
            return error
        return None

    async def _stop_agent(self, agent: "asyncio.Task[Exception | None]", answer: Private) -> None:
        """As the runner does it: tell it twice, then leave it, without its upstreams."""
        for _ in range(2):
            agent.cancel()
            await asyncio.wait([agent], timeout=self._close_s / 2)
            if agent.done():
                return
            await answer.close_upstreams()
        log.error("the agent of the answer %s does not stop; it ends without it", answer.state.id)


def _turn(session: Session, spec: AgentSpec, model_id: str | None) -> TurnState:
    now = datetime.now(UTC)
    return TurnState(
        id=new_id("trn"),
        session_id=session.id,
        message_id=new_id("msg"),
        answer_id=new_id("msg"),
        agent_id=spec.id,
        model_id=model_id or session.model_id or spec.model_id,
        status="in_progress",
        attempt=1,
        created_at=now,
        started_at=now,
    )


def _message(turn: TurnState, parts: tuple[Part, ...]) -> Message:
    return Message(
        id=turn.message_id,
        session_id=turn.session_id,
        turn_id=turn.id,
        role="user",
        status="completed",
        parts=parts,
        created_at=turn.created_at,
    )


def _stand_in(owner: str, session_id: str, spec: AgentSpec) -> Session:
    """What is known of a session that can't be looked up."""
    now = datetime.now(UTC)
    return Session(
        id=session_id,
        owner=owner,
        agent_id=spec.id,
        agent_name=spec.name,
        parent_role=spec.parent_role,
        model_id=spec.model_id,
        created_at=now,
        last_activity=now,
        memory=False,
    )
