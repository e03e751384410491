"""LibreChat's export of a conversation: a document with its ``messages``, as a list or (``recursive``) with their children."""

from collections.abc import Iterator
from typing import Any

from legato.core.model import ErrorInfo, Part, ReasoningPart, TextPart
from legato.transfer.decoding import fields, items, moment, text
from legato.transfer.foreign import Node, Talk

FORMAT = "librechat"
_NO_PARENT = "00000000-0000-0000-0000-000000000000"


def looks_like(value: dict[str, Any]) -> bool:
    return isinstance(value.get("conversationId"), str) and isinstance(_messages(value), list)


def talk(value: dict[str, Any], place: str) -> Talk:
    options = fields(value.get("options"))
    found = Talk(
        format=FORMAT,
        id=text(value.get("conversationId")),
        place=place,
        title=text(value.get("title")),
        at=moment(value.get("createdAt")),
        last_at=moment(value.get("updatedAt")),
        model_id=text(options.get("model")) or None,
    )
    for parent, message in _flat(items(_messages(value))):
        found.add(_node(found, parent, message))
    # The export does not say which branch was shown: LibreChat opens the newest.
    dated = [node for node in found.nodes if node.at is not None and not node.why]
    found.leaf_id = _newest(dated) if dated else None
    return found


def _newest(nodes: list[Node]) -> str:
    return max(enumerate(nodes), key=lambda item: (item[1].at.timestamp() if item[1].at else 0.0, item[0]))[1].id


def _messages(value: dict[str, Any]) -> Any:
    """Older versions have another name for it."""
    return value.get("messages") if "messages" in value else value.get("messagesTree")


def _flat(messages: list[Any]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Each message with its parent, the parents before their children."""
    waiting: list[tuple[str | None, Any]] = [(None, message) for message in reversed(messages)]
    before: str | None = None
    while waiting:
        above, raw = waiting.pop()
        message = fields(raw)
        said = text(message.get("parentMessageId"))
        yield (None if said == _NO_PARENT else said or above or before), message
        before = text(message.get("messageId"))
        waiting += [(before, child) for child in reversed(items(message.get("children")))]


def _node(found: Talk, parent: str | None, message: dict[str, Any]) -> Node:
    node_id = text(message.get("messageId")) or f"message {len(found.nodes) + 1}"
    by_user = message.get("isCreatedByUser") is True or text(message.get("sender")).lower() == "user"
    for name in ("files", "attachments"):
        for file in items(message.get(name)):
            found.skip(node_id, "file", f"files are not taken over: {text(fields(file).get('filename'))[:100]}")
    failed = message.get("error") is True
    parts = _parts(found, node_id, items(message.get("content"))) or _text(message)
    return Node(
        id=node_id,
        parent_id=parent,
        role="user" if by_user else "assistant",
        parts=() if failed else parts,
        at=moment(message.get("createdAt")),
        model_id=None if by_user else text(message.get("model")) or None,
        status="failed" if failed else "incomplete" if message.get("unfinished") is True else "completed",
        error=ErrorInfo("imported", text(message.get("text")) or "It failed.") if failed else None,
    )


def _text(message: dict[str, Any]) -> tuple[Part, ...]:
    said = text(message.get("text"))
    return (TextPart(said),) if said.strip() else ()


def _parts(found: Talk, node_id: str, content: list[Any]) -> tuple[Part, ...]:
    said: list[Part] = []
    for raw in content:
        part = fields(raw)
        kind = text(part.get("type"))
        words = part.get(kind)
        words = text(words) or text(fields(words).get("value"))
        if kind == "text" and words:
            said.append(TextPart(words))
        elif kind == "think" and words:
            said.append(ReasoningPart(words))
        elif kind == "tool_call":
            found.skip(node_id, "tool call", "calls of tools are not taken over")
        elif kind not in ("text", "think"):
            what = "image" if kind.startswith("image") else kind[:64] or "part"
            found.skip(node_id, what, "files are not taken over")
    return tuple(said)
