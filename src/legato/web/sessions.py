"""Routes of sessions and their messages."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from legato.core.languages import liked_best
from legato.core.model import Message, Session, Stats, Summary
from legato.store import sessions
from legato.store.listing import SessionStatus
from legato.web.bodies import CreateSession, PatchMessage, PatchSession, Prune, Text
from legato.web.context import Asking
from legato.web.replies import MessageList, Prunable, SessionList, SnapshotReply, documents, reply

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


@router.post("", status_code=201, responses=documents(Session, 201) | documents(Session))
async def create_session(
    asking: Asking,
    body: CreateSession,
    accept_language: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Begin a session with an agent; one that has a welcome speaks first.

    With a ``context`` key that you have a session for already, it is that one (200).
    """
    begun = await asking.engine.begin_session(
        asking.owner,
        body.agent_id,
        session_id=body.id,
        model_id=body.model_id,
        title=body.title,
        context=body.context,
        metadata=body.metadata,
        welcome=body.welcome,
        locale=liked_best(accept_language),
    )
    return reply(begun.session, 201 if begun.created else 200)


@router.get("/current", responses=documents(Session) | documents(Session, 201))
async def current_session(
    asking: Asking,
    agent_id: Text | None = None,
    accept_language: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Your active session with an agent; a new one (201) where there is none."""
    begun = await asking.engine.current_session(asking.owner, agent_id, liked_best(accept_language))
    return reply(begun.session, 201 if begun.created else 200)


@router.post("/prune", responses=documents(Prunable))
async def prune_sessions(asking: Asking, body: Prune) -> Response:
    """Remove your sessions that are older than their agents allow, or say (``dry_run``) which those are."""
    rules = asking.engine.lifecycle
    count, oldest = await rules.preview(asking.owner, body.limit)
    if not body.dry_run:
        count = await rules.prune_all(asking.owner)
    return reply(Prunable(tuple(oldest), count, body.dry_run))


@router.get("", responses=documents(SessionList))
async def list_sessions(
    asking: Asking,
    status: SessionStatus | None = None,
    agent_id: Text | None = None,
    context: Text | None = None,
    text: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Text | None = None,
) -> Response:
    """Your sessions, newest activity first; with ``text``, those in whose title or messages it is found."""
    page = await asking.engine.store.read(
        sessions.page,
        asking.owner,
        status=status,
        agent_id=agent_id,
        context=context,
        text=text,
        limit=limit,
        cursor=cursor,
    )
    return reply(SessionList(page.data, page.running, page.next is not None, page.next))


@router.get("/{session_id}", responses=documents(SnapshotReply))
async def get_session(asking: Asking, session_id: Text, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> Response:
    """State and cursor of one instant: follow the events after the cursor and you have the session, always."""
    state, cursor = await asking.engine.snapshot(asking.owner, session_id, limit)
    return reply(SnapshotReply(state, str(cursor)))


@router.patch("/{session_id}", responses=documents(Session))
async def change_session(asking: Asking, session_id: Text, body: PatchSession) -> Response:
    """Rename, pin, archive, set metadata."""
    values = body.model_dump(exclude_unset=True)
    return reply(await asking.engine.change_session(asking.owner, session_id, values))


@router.delete("/{session_id}", status_code=204, responses=documents(None, 204))
async def delete_session(asking: Asking, session_id: Text) -> Response:
    """Delete a session with all that was said in it, for good; what runs or waits in it is cancelled."""
    await asking.engine.delete(asking.owner, session_id)
    return Response(status_code=204)


@router.post("/{session_id}/close", responses=documents(Session))
async def close_session(asking: Asking, session_id: Text) -> Response:
    """Make a session read-only."""
    return reply(await asking.engine.change_session(asking.owner, session_id, {"closed": True}))


@router.post("/{session_id}/reopen", responses=documents(Session))
async def reopen_session(asking: Asking, session_id: Text) -> Response:
    """Let a closed session take turns again."""
    return reply(await asking.engine.lifecycle.reopen(asking.owner, session_id))


@router.post("/{session_id}/clear", status_code=204, responses=documents(None, 204))
async def clear_session(asking: Asking, session_id: Text) -> Response:
    """Empty a session and keep it; what runs or waits in it is cancelled."""
    await asking.engine.clear(asking.owner, session_id)
    return Response(status_code=204)


@router.get("/{session_id}/stats", responses=documents(Stats))
async def session_stats(asking: Asking, session_id: Text) -> Response:
    """Messages, tokens, cost, age."""
    return reply(await asking.engine.stats(asking.owner, session_id))


@router.get("/{session_id}/summary", responses=documents(Summary))
async def session_summary(asking: Asking, session_id: Text) -> Response:
    """What stands in the prompt for the oldest messages of the active branch."""
    return reply(await asking.engine.summary(asking.owner, session_id))


@router.patch("/{session_id}/messages/{message_id}", responses=documents(Message))
async def change_message(asking: Asking, session_id: Text, message_id: Text, body: PatchMessage) -> Response:
    """Pin a message, so that it never falls out of the prompt, or take its pin away."""
    return reply(await asking.engine.pins.set(asking.owner, session_id, message_id, pinned=body.pinned))


@router.get("/{session_id}/messages", responses=documents(MessageList))
async def list_messages(
    asking: Asking,
    session_id: Text,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Text | None = None,
    leaf: Text | None = None,
) -> Response:
    """The active branch, the newest page first; each page in the order of the conversation.

    ``leaf``: any message; the branch that goes through it instead, up to the newest message below it.
    """
    page = await asking.engine.branches.read(asking.owner, session_id, limit, cursor, leaf)
    return reply(MessageList(page.messages, page.older is not None, page.older, page.leaf_id, page.branches))
