"""Who meets damage marks the session, once (promise X-06); what is whole is served all the same, and the rest goes on."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from legato.core.errors import Corrupted, NotFound
from legato.engine.publish import Publisher
from legato.engine.tasks import log, report
from legato.store import quarantine
from legato.store.port import Store

T = TypeVar("T")


class Quarantine:
    """The damage that this process meets."""

    def __init__(self, *, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    async def reading(
        self, session_id: str, whole: Callable[[], Awaitable[T]], legible: Callable[[], Awaitable[T]]
    ) -> T:
        """What ``whole`` reads; where it meets damage, what ``legible`` makes of it, once the session is marked."""
        try:
            return await whole()
        except Corrupted as error:
            await self.met(session_id, error)
        return await legible()

    async def met(self, session_id: str, error: Corrupted) -> None:
        """Mark the session. Never fails: where the store takes no write, whoever meets it next does it."""
        try:
            if await self._store.read(quarantine.is_marked, session_id):
                return
            place = quarantine.place_of(error)
            if (await self._publisher.write(quarantine.mark, session_id, place)).rows:
                log.error("session %s is in quarantine: damaged (%s); see `legato doctor`", session_id, place)
        except NotFound:
            pass  # deleted meanwhile, with the rows that were missing
        except Exception as failure:
            report(failure, f"session {session_id} is damaged and could not be put into quarantine")

    def hear(self, session_id: str, error: Corrupted) -> None:
        """``met``, for those who can't wait."""
        self._publisher.tasks.spawn(self.met(session_id, error), "quarantine")
