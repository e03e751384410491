"""Routes of a session's branches and of what waits in it."""

from fastapi import APIRouter
from starlette.responses import Response

from legato.core.model import Session
from legato.web.bodies import ForkSession, Leaf, Text
from legato.web.context import Asking
from legato.web.replies import QueueList, SnapshotReply, documents, reply

router = APIRouter(prefix="/v1/sessions/{session_id}", tags=["branches"])


@router.put("/leaf", responses=documents(SnapshotReply))
async def switch_branch(asking: Asking, session_id: Text, body: Leaf) -> Response:
    """Make the branch that goes through a message the active one, up to the newest message below it."""
    await asking.engine.branches.switch(asking.owner, session_id, body.message_id)
    state, cursor = await asking.engine.snapshot(asking.owner, session_id)
    return reply(SnapshotReply(state, str(cursor)))


@router.post("/fork", status_code=201, responses=documents(Session, 201))
async def fork_session(asking: Asking, session_id: Text, body: ForkSession | None = None) -> Response:
    """A new session that goes on from a message of this one: it begins with copies of what led to it."""
    body = body or ForkSession()
    session = await asking.engine.forking.fork(
        asking.owner, session_id, body.message_id, title=body.title, new_session_id=body.id
    )
    return reply(session, 201)


@router.get("/queue", responses=documents(QueueList))
async def list_queue(asking: Asking, session_id: Text) -> Response:
    """What waits, the next one first."""
    return reply(QueueList(tuple(await asking.engine.queue.waiting(asking.owner, session_id))))
