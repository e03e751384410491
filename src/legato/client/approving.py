"""What agents ask the one who asks: seen, answered; and what he has allowed for always."""

from typing import Literal
from urllib.parse import quote

import msgspec

from legato.client.http import Http
from legato.core.model import Approval, Grant


class _Approvals(msgspec.Struct):
    data: tuple[Approval, ...]


class _Grants(msgspec.Struct):
    data: tuple[Grant, ...]


class Approving:
    """The part of ``AsyncClient`` that is about approvals."""

    _http: Http

    async def approvals(self) -> tuple[Approval, ...]:
        """What waits for an answer, the oldest first (200 at most)."""
        return (await self._http.call(_Approvals, "GET", "/v1/approvals")).data

    async def approval(self, approval_id: str) -> Approval:
        """Raises ApprovalNotFound."""
        return await self._http.call(Approval, "GET", f"/v1/approvals/{quote(approval_id, safe='')}")

    async def decide(self, approval_id: str, decision: Literal["allow", "deny", "always"]) -> Approval:
        """Answers; ``always`` allows the tool from now on. The turn that asks goes on.

        Raises:
            ApprovalNotFound; AlreadyDecided: somebody, or an earlier attempt of this, was faster, or it is too late.
        """
        path = f"/v1/approvals/{quote(approval_id, safe='')}"
        return await self._http.call(Approval, "POST", path, body={"decision": decision})

    async def grants(self) -> tuple[Grant, ...]:
        """The tools that are allowed for always."""
        return (await self._http.call(_Grants, "GET", "/v1/grants")).data

    async def revoke(self, grant_id: str) -> None:
        """Has an agent ask again. Raises GrantNotFound, also when an earlier attempt got through."""
        await self._http.call(type(None), "DELETE", f"/v1/grants/{quote(grant_id, safe='')}")
