"""Approvals: what people answer, and what nobody has answered in time (promise R-10)."""

from typing import Final

from legato.core.errors import AlreadyDecided
from legato.core.model import Approval, Grant
from legato.engine.dispatch import Dispatcher
from legato.engine.publish import Publisher
from legato.store import approvals
from legato.store.approvals import Decided, Decision
from legato.store.port import Store

_MOST: Final = 200
_AT_ONCE: Final = 100


class Approvals:
    """Whatever is decided wakes the turn that waited for it, in whatever process."""

    def __init__(self, *, store: Store, publisher: Publisher, dispatcher: Dispatcher) -> None:
        self._store = store
        self._publisher = publisher
        self._dispatcher = dispatcher

    async def waiting(self, owner: str) -> list[Approval]:
        """What waits for an owner's answer, the oldest first, 200 at most."""
        return await self._store.read(approvals.waiting, owner, _MOST)

    async def get(self, owner: str, approval_id: str) -> Approval:
        """Raises ApprovalNotFound."""
        return await self._store.read(approvals.of_owner, owner, approval_id)

    async def decide(self, owner: str, approval_id: str, decision: Decision) -> Approval:
        """An owner's answer; the first one counts.

        Raises:
            ApprovalNotFound; AlreadyDecided: it was answered before, or it is too late.
        """
        decided = await self._publisher.write(approvals.decide, approval_id, owner, decision)
        self._woken(decided)
        if not decided.fresh:
            raise AlreadyDecided(approval_id=approval_id, decided=decided.approval.status)
        return decided.approval

    async def grants(self, owner: str) -> list[Grant]:
        """The tools that an owner has allowed for always."""
        return await self._store.read(approvals.grants, owner)

    async def revoke(self, owner: str, grant_id: str) -> None:
        """Have an owner asked again. Raises GrantNotFound."""
        await self._store.write(approvals.revoke, owner, grant_id)

    async def step(self) -> None:
        """What nobody has answered in time goes on without an answer."""
        for approval_id in await self._store.read(approvals.expired, _AT_ONCE):
            decided = await self._publisher.write(approvals.expire, approval_id)
            if decided is not None:
                self._woken(decided)

    def _woken(self, decided: Decided) -> None:
        if decided.rows:
            self._dispatcher.wake(decided.approval.session_id)
