"""Pinning messages, as far as that leaves room for others (promise C-03)."""

from legato.agents.registry import Registry
from legato.agents.turn import Models
from legato.core.errors import AgentNotFound, ContextOverflow
from legato.core.model import Message
from legato.core.prompt import Budget, turn_cost
from legato.engine.publish import Publisher
from legato.store import pinning
from legato.store.pinning import Held
from legato.store.port import Store


class Pins:
    """``set`` pins and unpins."""

    def __init__(self, *, store: Store, publisher: Publisher, registry: Registry, models: Models) -> None:
        self._store = store
        self._publisher = publisher
        self._registry = registry
        self._models = models

    async def set(self, owner: str, session_id: str, message_id: str, *, pinned: bool) -> Message:
        """Pin a message, or take its pin away.

        Raises:
            SessionNotFound, MessageNotFound; TurnNotFinished: the turn that brought it waits or runs; Invalid: too many are
            pinned; ContextOverflow: all that is pinned would take more than half of the prompt's room.
        """
        if pinned:
            self._check(await self._store.read(pinning.with_one_more, session_id, owner, message_id))
        changed = await self._publisher.write(pinning.pin, session_id, owner, message_id, pinned=pinned)
        return changed.message

    def _check(self, held: Held) -> None:
        """What never falls out must leave room for what is said: else nothing could be answered any more."""
        try:
            spec = self._registry.get(held.session.agent_id)
        except AgentNotFound:
            return
        model_id = held.session.model_id or spec.model_id
        if model_id is None:
            return
        model, count = self._models.catalog.get(model_id), self._models.catalog.counter(model_id)
        available = Budget(model.context_window, spec.reserve).prompt_tokens // 2
        needed = sum(turn_cost([message], count, model.capabilities) for message in held.messages)
        if needed > available:
            raise ContextOverflow(
                f"What is pinned may take half of the prompt: {available} tokens; this would make it {needed}.",
                needed=needed,
                available=available,
                window=model.context_window,
                reserved=spec.reserve,
            )
