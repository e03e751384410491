"""Switching between the branches of a session (promise S-15)."""

from typing import Final

from legato.core.errors import Conflict
from legato.engine.publish import Publisher
from legato.engine.quarantine import Quarantine
from legato.store import branching, damaged
from legato.store.branching import Page, Switched
from legato.store.port import Store

_TRIES: Final = 5


class Branches:
    """``read`` looks at one, ``switch`` makes it the active one."""

    def __init__(self, *, store: Store, publisher: Publisher, quarantine: Quarantine) -> None:
        self._store = store
        self._publisher = publisher
        self._quarantine = quarantine

    async def read(
        self, owner: str, session_id: str, limit: int, cursor: str | None = None, through: str | None = None
    ) -> Page:
        """A page of the active branch, or of the one that goes ``through`` a message; of what is damaged, that it is.

        Raises:
            SessionNotFound, MessageNotFound, BadCursor.
        """
        asked = session_id, owner, limit, cursor, through
        return await self._quarantine.reading(
            session_id,
            lambda: self._store.read(branching.history, *asked),
            lambda: self._store.read(branching.history, *asked, damaged.history),
        )

    async def switch(self, owner: str, session_id: str, message_id: str) -> None:
        """Make the branch that goes through a message the active one, up to the newest message below it.

        Raises:
            SessionNotFound, MessageNotFound, SessionClosed, SessionQuarantined; TurnInProgress: something runs or waits;
            Conflict: too much else happens in the session at the same time.
        """
        for _ in range(_TRIES):
            if await self._switched(owner, session_id, message_id) is not None:
                return
        raise Conflict("Too much happens in this session at the same time; try again.")

    async def _switched(self, owner: str, session_id: str, message_id: str) -> Switched | None:
        plan = await self._store.read(branching.plan, session_id, owner, message_id)
        return await self._publisher.write(branching.switch, session_id, owner, plan)
