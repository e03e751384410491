"""What a store has room for: what a file says at greater length is cut, or left out."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from legato.core.errors import MAX_WORD_BYTES, cut
from legato.core.metadata import clean
from legato.core.model import ErrorInfo, Message, Turn, Usage
from legato.transfer.amounts import sound_context, sound_usage
from legato.transfer.decoding import sensible
from legato.transfer.records import SessionRecord, Skipped

TITLE: Final = 200  # characters, as a person may write one
_NAME: Final = 128
_MODEL: Final = 255
_CONTEXT: Final = 512
_METADATA_BYTES: Final = 64 * 1024
_ORIGIN: Final = 255
_NUMBER: Final = 2**53
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def origin(format_: str, foreign_id: str) -> str:
    """What a session is remembered by, so that a second import knows it."""
    whole = f"{format_}:{foreign_id}"
    if len(whole) <= _ORIGIN:
        return whole
    return f"{format_}:{hashlib.sha256(foreign_id.encode('utf-8', 'replace')).hexdigest()}"


def bounded_session(session: SessionRecord, place: str) -> tuple[SessionRecord, list[Skipped]]:
    skipped: list[Skipped] = []
    context, metadata = session.context, session.metadata
    if context is not None and not 0 < len(context) <= _CONTEXT:
        context = None
        skipped.append(Skipped(place=place, what="context", why=f"it may have {_CONTEXT} characters"))
    try:
        metadata = _metadata(metadata)
    except ValueError as error:
        metadata = {}
        skipped.append(Skipped(place=place, what="metadata", why=str(error)))
    title = (session.title or "")[:TITLE] or None
    bounded = msgspec.structs.replace(
        session,
        agent_id=session.agent_id[:_NAME],
        agent_name=session.agent_name[:_MODEL],
        parent_role=_short(session.parent_role, _NAME),
        model_id=_short(session.model_id, _MODEL),
        title=title,
        title_source=(session.title_source or "person") if title else None,
        context=context,
        metadata=metadata,
        created_at=_time(session.created_at),
        last_activity=_time(session.last_activity),
        closed_at=_maybe_time(session.closed_at),
        archived_at=_maybe_time(session.archived_at),
    )
    return bounded, skipped


def _metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError: every list that has the session would have to write it."""
    metadata = clean(metadata)
    if len(msgspec.json.encode(metadata)) > _METADATA_BYTES:
        raise ValueError(f"it may have {_METADATA_BYTES} bytes")
    return metadata


def bounded_message(message: Message) -> Message:
    return msgspec.structs.replace(
        message,
        message_type=message.message_type[:64] or "message",
        agent_id=_short(message.agent_id, _NAME),
        model_id=_short(message.model_id, _MODEL),
        client_message_id=_short(message.client_message_id, _NAME),
        usage=sound_usage(message.usage),
        error=_error(message.error),
        created_at=_time(message.created_at),
    )


def bounded_turn(turn: Turn) -> Turn:
    return msgspec.structs.replace(
        turn,
        agent_id=turn.agent_id[:_NAME],
        model_id=_short(turn.model_id, _MODEL),
        attempt=max(0, min(turn.attempt, 2**31 - 1)),
        rank=max(-_NUMBER, min(turn.rank, _NUMBER)),
        reason=cut(turn.reason or "unknown", MAX_WORD_BYTES),
        text=_short(turn.text, 4096),
        error=_error(turn.error) or (ErrorInfo("unknown", "") if turn.status == "failed" else None),
        usage=_usage(turn.usage),
        context=sound_context(turn.context),
        created_at=_time(turn.created_at),
        started_at=_maybe_time(turn.started_at),
        finished_at=_time(turn.finished_at or turn.created_at),
        phase=None,
        detail=None,
    )


def _usage(usage: Usage | None) -> Usage | None:
    """The store keeps no total of its own."""
    usage = sound_usage(usage)
    total = usage.prompt_tokens + usage.completion_tokens if usage else 0
    return msgspec.structs.replace(usage, total_tokens=total) if usage else None


def _error(error: ErrorInfo | None) -> ErrorInfo | None:
    return None if error is None else ErrorInfo(cut(error.code, MAX_WORD_BYTES), cut(error.message))


def _short(value: str | None, limit: int) -> str | None:
    return None if value is None else value[:limit]


def _time(at: datetime) -> datetime:
    return _maybe_time(at) or _BEGINNING


def _maybe_time(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    return sensible(at if at.tzinfo else at.replace(tzinfo=UTC))
