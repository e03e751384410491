"""Routes of what agents ask the asker, and of what he has allowed for always."""

from fastapi import APIRouter
from starlette.responses import Response

from legato.core.model import Approval
from legato.web.bodies import Decide, Text
from legato.web.context import Asking
from legato.web.replies import ApprovalList, GrantList, documents, reply

router = APIRouter(prefix="/v1", tags=["approvals"])


@router.get("/approvals", responses=documents(ApprovalList))
async def list_approvals(asking: Asking) -> Response:
    """What waits for your answer, the oldest first (200 at most)."""
    return reply(ApprovalList(tuple(await asking.engine.approvals.waiting(asking.owner))))


@router.get("/approvals/{approval_id}", responses=documents(Approval))
async def get_approval(asking: Asking, approval_id: Text) -> Response:
    """One that waits, or what was answered."""
    return reply(await asking.engine.approvals.get(asking.owner, approval_id))


@router.post("/approvals/{approval_id}", responses=documents(Approval))
async def decide(asking: Asking, approval_id: Text, body: Decide) -> Response:
    """Answer; the first answer counts, from whatever device. ``always``: and don't ask about this tool again."""
    return reply(await asking.engine.approvals.decide(asking.owner, approval_id, body.decision))


@router.get("/grants", responses=documents(GrantList))
async def list_grants(asking: Asking) -> Response:
    """The tools that you have allowed for always."""
    return reply(GrantList(tuple(await asking.engine.approvals.grants(asking.owner))))


@router.delete("/grants/{grant_id}", status_code=204, responses=documents(None, 204))
async def revoke(asking: Asking, grant_id: Text) -> Response:
    """Be asked again."""
    await asking.engine.approvals.revoke(asking.owner, grant_id)
    return Response(status_code=204)
