"""Routes that follow: a session's journal as SSE, long-poll or JSON, and the owner's live list."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from legato.core.cursor import parse_cursor
from legato.core.errors import Corrupted
from legato.core.events import split_lines
from legato.store.port import Row
from legato.web.bodies import Text
from legato.web.context import Asking, Context
from legato.web.replies import EventList, EventReply, documents, reply
from legato.web.streams import EventStream, Until, journal_frames, list_frames, snapshot_frame
from legato.web.turns import wants_stream

router = APIRouter(prefix="/v1", tags=["events"])


@router.get("/sessions/{session_id}/events", responses=documents(EventList, stream=True))
async def events(
    asking: Asking,
    session_id: Text,
    request: Request,
    after: str | None = None,
    until: Text | None = None,
    wait: Annotated[float, Query(ge=0, le=30)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The session's journal after a cursor (``Last-Event-ID`` or ``after``); from a snapshot where there is none."""
    seq, head = await _start(asking, session_id, last_event_id or after)
    if not wants_stream(request):
        return await _as_json(asking, session_id, seq, head, wait)
    first = b""
    if seq is not None and seq < head:  # here, so that a stream that could only break is an answer that says why
        chunk = await asking.engine.first(session_id, seq)
        if until is None:
            seq, first = chunk.last_seq, chunk.frames
    if seq is None:
        state, cursor = await asking.engine.snapshot(asking.owner, session_id)
        seq, first = cursor.seq, snapshot_frame(state, str(cursor))
    ends = Until(until, await asking.engine.done_seq(asking.owner, session_id, until)) if until else None
    engine = asking.engine
    reader = engine.diagnostics.stream(engine.hub.reader(session_id, seq), asking.owner, session_id)
    return EventStream(journal_frames(reader, asking.settings, first, ends))


@router.get("/events", responses=documents(None, stream=True))
async def live_list(asking: Asking) -> Response:
    """What to refetch of your sessions, as it happens."""
    engine = asking.engine
    watching = engine.diagnostics.stream(engine.lists.watch(asking.owner), asking.owner)
    return EventStream(list_frames(watching, lambda: engine.hub.stopped, asking.settings))


async def _start(asking: Context, session_id: str, cursor: str | None) -> tuple[int | None, int]:
    """The seq to go on from, None where only a snapshot helps (no cursor, or one of a future that was lost); and the head.

    Raises:
        SessionNotFound, BadCursor.
    """
    head = await asking.engine.head(asking.owner, session_id)
    if cursor is None or cursor == "0":
        return None if cursor is None else 0, head
    incarnation, seq = parse_cursor(cursor)
    return seq if incarnation == asking.engine.store.incarnation and seq <= head else None, head


async def _as_json(asking: Context, session_id: str, seq: int | None, head: int, wait_s: float) -> Response:
    if seq is None:
        state, cursor = await asking.engine.snapshot(asking.owner, session_id)
        whole = EventReply(str(cursor), "snapshot", msgspec.Raw(msgspec.json.encode({"state": state})))
        return reply(EventList((whole,), str(cursor), has_more=False))
    rows = await asking.engine.rows(session_id, seq, min(wait_s, asking.settings.heartbeat_s))
    if not rows and seq < head:
        raise Corrupted("rows are missing in the session's journal", session_id=session_id, after=seq)
    found = tuple(_event(asking, row_seq, name, data) for row_seq, name, data in _lines(rows))
    last = rows[-1].last_seq if rows else seq
    head = await asking.engine.head(asking.owner, session_id)
    return reply(EventList(found, str(asking.engine.cursor(last)), has_more=last < head))


def _lines(rows: list[Row]) -> list[tuple[int, bytes, bytes]]:
    return [line for row in rows for line in split_lines(row.first_seq, row.payload)]


def _event(asking: Context, seq: int, name: bytes, data: bytes) -> EventReply:
    return EventReply(str(asking.engine.cursor(seq)), name.decode(), msgspec.Raw(data))
