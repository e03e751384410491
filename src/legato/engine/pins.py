"""Pinning messages, as far as that leaves room for others (promise C-03)."""

from collections.abc import Sequence

from legato.agents.registry import Registry
from legato.agents.turn import Models
from legato.core.errors import AgentNotFound, ContextOverflow
from legato.core.model import Message, Session
from legato.core.prompt import Budget, turn_cost
from legato.engine.publish import Publisher
from legato.store import pinning


class Pins:
    """``set`` pins and unpins."""

    def __init__(self, *, publisher: Publisher, registry: Registry, models: Models) -> None:
        self._publisher = publisher
        self._registry = registry
        self._models = models

    async def set(self, owner: str, session_id: str, message_id: str, *, pinned: bool) -> Message:
        """Pin a message, or take its pin away.

        Raises:
            SessionNotFound, MessageNotFound; TurnNotFinished: the turn that brought it waits or runs; Invalid: too many are
            pinned; ContextOverflow: all that is pinned would take more than half of the prompt's room.
        """
        work = self._publisher.write(pinning.pin, session_id, owner, message_id, pinned=pinned, check=self._check)
        return (await work).message

    def _check(self, session: Session, held: Sequence[Message]) -> None:
        """What never falls out must leave room for what is said: else nothing could be answered any more."""
        try:
            spec = self._registry.get(session.agent_id)
        except AgentNotFound:
            return
        model_id = session.model_id or spec.model_id
        if model_id is None:
            return
        model, count = self._models.catalog.get(model_id), self._models.catalog.counter(model_id)
        available = (Budget(model.context_window, spec.reserve).prompt_tokens - count(spec.system)) // 2
        needed = sum(turn_cost([message], count, model.capabilities) for message in held)
        if needed > available:
            raise ContextOverflow(
                f"What is pinned may take half of the prompt: {available} tokens; this would make it {needed}.",
                needed=needed,
                available=available,
                window=model.context_window,
                reserved=spec.reserve,
            )
