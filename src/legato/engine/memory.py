"""Memory: facts drawn from closed and silent sessions in the background, found again for a turn, forgotten (T-02 to T-04)."""

from typing import Final

from legato.agents.registry import AgentSpec, Registry
from legato.core.memory import SYSTEM, Remembered, parse, transcribe
from legato.core.model import Session
from legato.engine.chores import Duty
from legato.engine.settings import EngineSettings
from legato.engine.side import SideModel
from legato.engine.tasks import report
from legato.store import memories
from legato.store.chores import Chore
from legato.store.memories import Material
from legato.store.port import Store

_MOST_TOKENS: Final = 1_500  # of an answer: 20 facts, and room for one that thinks aloud to be cut


class Memories:
    """Draws facts: ``duty`` is what the chores do."""

    def __init__(self, *, store: Store, side: SideModel, registry: Registry, settings: EngineSettings) -> None:
        self._store = store
        self._side = side
        self._registry = registry
        self._idle_us = int(settings.memory_idle_s * 1_000_000)
        self.duty = Duty(kind="memory", work=self.draw)

    async def draw(self, chore: Chore) -> float | None:
        """Remember what a session says of its owner; the seconds to wait where it may go on.

        Raises:
            SessionNotFound: it has been deleted. AgentNotFound: another process may have its agent. Whatever the model's
            provider raises.
        """
        wait_s = await self._store.read(memories.wait_s, chore.session_id, self._idle_us)
        if wait_s > 0:
            return wait_s
        found = await self._store.read(memories.material, chore.session_id)
        if found is None:
            return None
        spec = self._registry.get(found.session.agent_id)
        if spec.memory:
            await self._draw(spec, found)
        return None

    async def _draw(self, spec: AgentSpec, found: Material) -> None:
        told = transcribe(found.messages, spec.memory, found.known_id, found.since)
        answer = None
        if told.sources:
            answer = await self._side.ask(spec, found.session, "memory", SYSTEM, told.text, max_tokens=_MOST_TOKENS)
        facts = parse(answer or "", spec.memory, told.sources)
        await self._store.write(memories.keep, found.session.id, facts, found.leaf_id)


async def forget_all(store: Store, owner: str, agent_id: str | None = None) -> None:
    """Forget all that is remembered of an owner, or all that one agent knows."""
    while await store.write(memories.forget_some, owner, agent_id):
        pass


async def recalled(store: Store, spec: AgentSpec, session: Session) -> tuple[Remembered, ...]:
    """What the agent is told of the session's owner. No turn fails for want of it."""
    if not spec.memory or not session.memory:
        return ()
    try:
        return await store.read(memories.given, session.id, session.owner, spec.id, spec.memory_sessions)
    except Exception as error:  # whatever it is, the person waits for an answer
        report(error, "a turn goes on without memories")
        return ()
