"""Files made by hand: ours and others', as small as they can be."""

import io
import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from legato.core.model import Message, Turn
from legato.transfer.reading import conversations
from legato.transfer.records import (
    Conversation,
    End,
    Header,
    Line,
    SessionRecord,
    Skipped,
    line,
)

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


def read(file: bytes) -> tuple[list[Conversation], list[Skipped]]:
    found = list(conversations(io.BytesIO(file)))
    whole = [each for each in found if isinstance(each, Conversation)]
    skipped = [each for each in found if isinstance(each, Skipped)]
    return whole, [*skipped, *(each for one in whole for each in one.skipped)]


def session(session_id: str = "s", **fields: Any) -> SessionRecord:
    return SessionRecord(id=session_id, agent_id="demo", created_at=NOW, last_activity=NOW, **fields)


def message(message_id: str, *parts: Any, **fields: Any) -> Message:
    common: dict[str, Any] = {"session_id": "s", "turn_id": "t", "role": "user", "status": "completed"}
    return Message(id=message_id, created_at=NOW, parts=parts, **(common | fields))


def turn(turn_id: str = "t", **fields: Any) -> Turn:
    common: dict[str, Any] = {"session_id": "s", "message_id": "m", "agent_id": "demo", "status": "completed"}
    return Turn(id=turn_id, created_at=NOW, **(common | fields))


def lines(*records: Line) -> bytes:
    return b"".join(map(line, [Header(exported_at=NOW), *records, End(1, 1)]))


def zipped(content: bytes, name: str = "conversations.json", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def open_webui(content: Any) -> bytes:
    nodes = {"m": {"id": "m", "role": "assistant", "content": content}}
    return json.dumps([{"id": "chat", "chat": {"history": {"currentId": "m", "messages": nodes}}}]).encode()


def claude(messages: Iterable[dict[str, Any]]) -> bytes:
    return json.dumps([{"uuid": "chat", "chat_messages": list(messages)}]).encode()
