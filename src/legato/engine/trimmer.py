"""The chore that keeps a session's newest messages only, where its agent says so (promise S-10)."""

from legato.agents.registry import Registry
from legato.engine.chores import Duty
from legato.engine.publish import Publisher
from legato.store import sessions, trimming
from legato.store.chores import Chore
from legato.store.port import Store


class Trimmer:
    def __init__(self, *, store: Store, publisher: Publisher, registry: Registry) -> None:
        self.duty = Duty(kind="trim", work=self.work)
        self._store = store
        self._publisher = publisher
        self._registry = registry

    async def work(self, chore: Chore) -> None:
        """Trim the session, a slice a transaction."""
        session = await self._store.read(sessions.owned_by_anybody, chore.session_id)
        limit = self._registry.get(session.agent_id).history_limit
        while limit and (await self._publisher.write(trimming.trim, session.id, limit)).more:
            pass
