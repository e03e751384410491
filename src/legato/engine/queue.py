"""What waits in a session: seen and changed by its owner (promise R-03)."""

from collections.abc import Callable

import msgspec

from legato.core.model import Part, Session, TextPart, Turn
from legato.core.text import normalise
from legato.engine.publish import Publisher
from legato.store import queueing
from legato.store.port import Store
from legato.store.queueing import Amend, Waiting

#: Raises what makes words unacceptable for a session and the model that is asked (None: the session's).
Acceptable = Callable[[Session, str | None, tuple[Part, ...]], None]


class Queue:
    """``acceptable`` runs inside the changing transaction: it looks at nothing but its arguments."""

    def __init__(self, *, store: Store, publisher: Publisher, acceptable: Acceptable) -> None:
        self._store = store
        self._publisher = publisher
        self._acceptable = acceptable

    async def waiting(self, owner: str, session_id: str) -> list[Waiting]:
        """What waits, the next one first. Raises SessionNotFound."""
        return await self._store.read(queueing.waiting, session_id, owner)

    async def amend(self, owner: str, session_id: str, turn_id: str, what: Amend) -> Turn:
        """Change what a waiting turn asks, or when it runs.

        Raises:
            SessionNotFound, TurnNotFound, TurnNotQueued, Invalid, ContextOverflow.
        """
        if what.parts is not None:
            what = msgspec.structs.replace(what, parts=normalised(what.parts))
        amended = await self._publisher.write(queueing.amend, session_id, owner, turn_id, what, self._check)
        return amended.turn

    def _check(self, session: Session, turn: Turn, parts: tuple[Part, ...]) -> None:
        self._acceptable(session, turn.model_id, parts)


def normalised(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """What a person said, as it is stored."""
    return tuple(TextPart(normalise(part.text)) if isinstance(part, TextPart) else part for part in parts)
