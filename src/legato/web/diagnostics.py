"""Routes of what this process knows of itself, and of why streams ended."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from legato.core.diagnostics import DiagnosticsReport
from legato.store import turns
from legato.web.bodies import ReportStreams
from legato.web.context import Asking
from legato.web.replies import StreamEndList, documents, reply

router = APIRouter(prefix="/v1/diagnostics", tags=["diagnostics"])


@router.get("", responses=documents(DiagnosticsReport))
async def diagnostics(asking: Asking) -> Response:
    """The last hour of the process that answers, in numbers that name nobody."""
    waiting = await asking.engine.store.read(turns.waiting)
    return reply(asking.engine.diagnostics.told(waiting))


@router.get("/streams", responses=documents(StreamEndList))
async def stream_ends(asking: Asking, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> Response:
    """Why your streams ended in the process that answers, the newest first."""
    engine = asking.engine
    return reply(StreamEndList(tuple(await engine.diagnostics.ends(engine.store, asking.owner, limit))))


@router.post("/streams", status_code=204, responses=documents(None, 204))
async def report_streams(asking: Asking, body: ReportStreams) -> Response:
    """What a client says of how its streams ended; kept beside what the server says."""
    asking.engine.diagnostics.report(asking.owner, [(end.code, end.session_id, end.at) for end in body.ends])
    return Response(status_code=204)
