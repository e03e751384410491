"""Routes of turns."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from legato.core.errors import Invalid, Unavailable
from legato.core.languages import liked_best
from legato.core.model import Turn
from legato.core.text import normalise
from legato.engine.engine import SendRequest, Sent
from legato.web.bodies import Again, AmendTurn, Retry, SendTurn, Text
from legato.web.context import Asking, AskingAnyhow, Context
from legato.web.replies import SentReply, documents, reply
from legato.web.streams import EventStream, Until, journal_frames, private_frames

router = APIRouter(prefix="/v1/sessions/{session_id}/turns", tags=["turns"])


@router.post("", status_code=202, responses=documents(SentReply, 202) | documents(SentReply, stream=True))
async def send(
    asking: AskingAnyhow,
    session_id: Text,
    body: SendTurn,
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
    accept_language: Annotated[str | None, Header(max_length=1000)] = None,
) -> Response:
    """Send a message. It is answered in the background; a repeat with the same ``message_id`` is the same turn."""
    streaming, cancel = wants_stream(request), body.on_disconnect == "cancel"
    if cancel and not streaming:
        raise Invalid("on_disconnect needs a stream: ask for text/event-stream")
    asked = SendRequest(
        parts=body.content(),
        message_id=body.message_id or (normalise(idempotency_key) if idempotency_key else None),
        edits=body.edits,
        keeps_files=body.text is not None,
        mode=body.mode,
        priority=body.priority,
        model_id=body.model_id,
        locale=liked_best(accept_language),
    )
    try:
        await asking.engine.lifecycle.visit(asking.owner, session_id)
        sent = await asking.engine.send(asking.owner, session_id, asked)
    except Unavailable:
        if not streaming or (answer := await _without_store(asking, session_id, asked)) is None:
            raise
        return answer
    return await _stream(asking, session_id, sent, cancel=cancel) if streaming else _sent(sent)


@router.get("/{turn_id}", responses=documents(Turn))
async def get_turn(asking: Asking, session_id: Text, turn_id: Text) -> Response:
    """A turn as it stands."""
    return reply(await asking.engine.turn(asking.owner, session_id, turn_id))


@router.patch("/{turn_id}", responses=documents(Turn))
async def amend(asking: Asking, session_id: Text, turn_id: Text, body: AmendTurn) -> Response:
    """Change what a waiting turn asks, or before which other one it runs."""
    return reply(await asking.engine.queue.amend(asking.owner, session_id, turn_id, body.what()))


@router.delete("/{turn_id}", responses=documents(Turn))
async def withdraw(asking: Asking, session_id: Text, turn_id: Text) -> Response:
    """Take a waiting turn back."""
    return reply(await asking.engine.withdraw(asking.owner, session_id, turn_id))


@router.post("/{turn_id}/cancel", responses=documents(Turn))
async def cancel(asking: Asking, session_id: Text, turn_id: Text) -> Response:
    """End a turn for good; what it said stays. Asking twice changes nothing."""
    return reply(await asking.engine.cancel(asking.owner, session_id, turn_id))


@router.post("/{turn_id}/continue", status_code=202, responses=documents(SentReply, 202) | documents(SentReply))
async def go_on(asking: Asking, session_id: Text, turn_id: Text, body: Again | None = None) -> Response:
    """A new turn that goes on where an ended one stopped."""
    message_id = body.message_id if body else None
    return _sent(await asking.engine.go_on(asking.owner, session_id, turn_id, message_id))


@router.post("/{turn_id}/retry", status_code=202, responses=documents(SentReply, 202) | documents(SentReply))
async def retry(asking: Asking, session_id: Text, turn_id: Text, body: Retry | None = None) -> Response:
    """A new turn that answers the same message again, with another model if one is named."""
    given = body or Retry()
    return _sent(await asking.engine.retry(asking.owner, session_id, turn_id, given.message_id, given.model_id))


def wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _sent(sent: Sent) -> Response:
    return reply(SentReply(sent.turn, str(sent.cursor)), 202 if sent.fresh else 200)


async def _without_store(asking: Context, session_id: str, asked: SendRequest) -> Response | None:
    """Promise R-14: the answer for this reader alone, where the agent wants that."""
    answer = await asking.engine.answer_without_store(asking.owner, session_id, asked)
    return None if answer is None else EventStream(private_frames(answer, asking.settings), abandoned=answer.abandon)


async def _stream(asking: Context, session_id: str, sent: Sent, *, cancel: bool) -> Response:
    engine, turn_id = asking.engine, sent.turn.id
    ended = None if sent.fresh else await engine.done_seq(asking.owner, session_id, turn_id)
    until = Until(turn_id, ended)
    reader = engine.diagnostics.stream(engine.hub.reader(session_id, sent.cursor.seq), asking.owner, session_id)
    return EventStream(
        journal_frames(reader, asking.settings, until=until),
        {"Legato-Turn": turn_id},
        abandoned=partial(engine.cancel, asking.owner, session_id, turn_id) if cancel else None,
    )
