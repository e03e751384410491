"""Rows of the database as values of the model, and back."""

import zlib
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from legato.core.errors import Corrupted
from legato.core.model import ContextInfo, ErrorInfo, Fork, Gauge, Message, Part, Session, Turn, Usage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")

_parts: Final = msgspec.json.Decoder(tuple[Part, ...])
_context: Final = msgspec.json.Decoder(ContextInfo)
_gauge: Final = msgspec.json.Decoder(Gauge)
_usage: Final = msgspec.json.Decoder(Usage)


def to_time(microseconds: int) -> datetime:
    """Raises Corrupted: there is no such time."""
    try:
        return datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    except (ValueError, OverflowError, OSError) as error:
        raise Corrupted("a stored time is damaged") from error


def to_us(time: datetime) -> int:
    delta = time - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def maybe_time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_time(microseconds)


def _read(decoder: msgspec.json.Decoder[T], stored: str | None) -> T | None:
    try:
        return None if stored is None else decoder.decode(stored)
    except msgspec.MsgspecError as error:
        raise Corrupted("a stored value is damaged") from error


def to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _error(row: Any) -> ErrorInfo | None:
    return None if row.error_code is None else ErrorInfo(row.error_code, row.error_message or "")


def to_session(row: Any) -> Session:
    return Session(
        id=row.id,
        owner=row.owner,
        agent_id=row.agent_id,
        agent_name=row.agent_name,
        parent_role=row.parent_role,
        model_id=row.model_id,
        title=row.title,
        title_source=row.title_source,
        created_at=to_time(row.created_at),
        last_activity=to_time(row.last_activity),
        closed_at=maybe_time(row.closed_at),
        archived_at=maybe_time(row.archived_at),
        pinned=row.pinned,
        keep=row.keep,
        memory=row.memory,
        context=row.context,
        metadata=_metadata(row.metadata),
        read_only=row.closed_at is not None,
        forked_from=None if row.forked_from is None else Fork(row.forked_from, row.forked_message_id),
        quarantined=row.quarantined_at is not None,
    )


def _metadata(stored: str) -> dict[str, Any]:
    """Nothing where it is damaged: the owner's other sessions are to be listed all the same. The doctor restores it."""
    try:
        return msgspec.json.decode(stored, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def parts_crc(message_id: str, parts: str) -> int:
    """The checksum of a message's parts, bound to the message they belong to."""
    return zlib.crc32(parts.encode(), zlib.crc32(message_id.encode()))


def to_message(row: Any) -> Message:
    """Raises Corrupted: the parts are not what was written."""
    if parts_crc(row.id, row.parts) != row.crc:
        raise Corrupted("a stored message does not match its checksum", message_id=row.id)
    try:
        return _message(row, _parts.decode(row.parts), _error(row), _read(_usage, row.usage))
    except (Corrupted, msgspec.MsgspecError) as error:
        raise Corrupted("a stored message can't be read", message_id=row.id) from error


def to_unread_message(row: Any, error: ErrorInfo) -> Message:
    """A message whose words are lost: empty, with the error that says so. Raises Corrupted: not even its time is whole."""
    return _message(row, (), error, None)


def _message(row: Any, parts: tuple[Part, ...], error: ErrorInfo | None, usage: Usage | None) -> Message:
    return Message(
        id=row.id,
        session_id=row.session_id,
        turn_id=row.turn_id,
        parent_id=row.parent_id,
        role=row.role,
        message_type=row.message_type,
        status=row.status,
        agent_id=row.agent_id,
        model_id=row.model_id,
        client_message_id=row.client_message_id,
        parts=parts,
        usage=usage,
        error=error,
        created_at=to_time(row.created_at),
        pinned=row.pinned,
    )


def from_message(message: Message) -> dict[str, object]:
    parts = to_json(message.parts)
    return {
        "id": message.id,
        "session_id": message.session_id,
        "turn_id": message.turn_id,
        "parent_id": message.parent_id,
        "role": message.role,
        "message_type": message.message_type,
        "status": message.status,
        "agent_id": message.agent_id,
        "model_id": message.model_id,
        "client_message_id": message.client_message_id,
        "parts": parts,
        "crc": parts_crc(message.id, parts),
        "usage": None if message.usage is None else to_json(message.usage),
        "error_code": message.error.code if message.error else None,
        "error_message": message.error.message if message.error else None,
        "created_at": to_us(message.created_at),
        "pinned": message.pinned,
    }


def to_gauge(text: str | None) -> Gauge | None:
    return _read(_gauge, text)


def to_usage(row: Any) -> Usage | None:
    if row.prompt_tokens is None:
        return None
    return Usage(
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        cached_tokens=row.cached_tokens,
        total_tokens=row.prompt_tokens + row.completion_tokens,
        cost_usd=row.cost_usd,
        estimated=row.estimated,
    )


def to_turn(row: Any) -> Turn:
    """The turn as projected; phase and detail of a running one are in its journal."""
    return Turn(
        id=row.id,
        session_id=row.session_id,
        message_id=row.message_id,
        answer_id=row.answer_id,
        source_turn_id=row.source_turn_id,
        agent_id=row.agent_id,
        model_id=row.model_id,
        kind=row.kind,
        mode=row.mode,
        priority=row.priority,
        rank=row.rank,
        status=row.status,
        attempt=row.attempt,
        context=_read(_context, row.context),
        created_at=to_time(row.created_at),
        started_at=maybe_time(row.started_at),
        finished_at=maybe_time(row.finished_at),
        reason=row.reason,
        text=row.explanation,
        usage=to_usage(row),
        error=_error(row),
    )
