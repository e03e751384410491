"""Claude's export: ``conversations.json``, an array of conversations, each with its ``chat_messages`` in order."""

from typing import Any

from legato.core.model import Part, ReasoningPart, TextPart
from legato.transfer.decoding import fields, items, moment, text
from legato.transfer.foreign import Node, Talk

FORMAT = "claude"
_NO_PARENT = "00000000-0000-4000-8000-000000000000"
_LEFT_OUT = {
    "tool_use": ("tool call", "calls of tools are not taken over"),
    "tool_result": ("tool result", "what tools answered is not taken over"),
    "image": ("image", "files are not taken over"),
    "document": ("file", "files are not taken over"),
}
_SILENT = frozenset({"token_budget", "flag"})


def looks_like(value: dict[str, Any]) -> bool:
    return isinstance(value.get("chat_messages"), list)


def talk(value: dict[str, Any], place: str) -> Talk:
    found = Talk(
        format=FORMAT,
        id=text(value.get("uuid")),
        place=place,
        title=text(value.get("name")),
        at=moment(value.get("created_at")),
        last_at=moment(value.get("updated_at")),
        leaf_id=text(value.get("current_leaf_message_uuid")) or None,
        model_id=text(value.get("model")) or None,
        pinned=value.get("is_starred") is True,
    )
    before: str | None = None
    for number, raw in enumerate(items(value.get("chat_messages")), 1):
        message = fields(raw)
        node_id = text(message.get("uuid")) or f"message {number}"
        # Older exports have no tree: each message follows the one before it.
        parent = text(message.get("parent_message_uuid")) or before
        found.add(_node(found, node_id, None if parent == _NO_PARENT else parent, message))
        before = node_id
    return found


def _node(found: Talk, node_id: str, parent: str | None, message: dict[str, Any]) -> Node:
    sender = text(message.get("sender"))
    if sender not in ("human", "assistant"):
        return Node(id=node_id, parent_id=parent, what="message", why="nobody of ours has such a role")
    parts = _parts(found, node_id, items(message.get("content"))) or _text(message)
    for attached in items(message.get("attachments")):
        parts += _attached(found, node_id, fields(attached))
    for file in items(message.get("files")):
        found.skip(node_id, "file", f"files are not taken over: {text(fields(file).get('file_name'))[:100]}")
    return Node(
        id=node_id,
        parent_id=parent,
        role="assistant" if sender == "assistant" else "user",
        parts=tuple(parts),
        at=moment(message.get("created_at")),
        status="incomplete" if message.get("truncated") is True else "completed",
    )


def _text(message: dict[str, Any]) -> list[Part]:
    said = text(message.get("text"))
    return [TextPart(said)] if said.strip() else []


def _parts(found: Talk, node_id: str, content: list[Any]) -> list[Part]:
    said: list[Part] = []
    for raw in content:
        block = fields(raw)
        kind = text(block.get("type"))
        if kind == "text" and text(block.get("text")):
            said.append(TextPart(text(block.get("text"))))
        elif kind == "thinking" and text(block.get("thinking")):
            said.append(ReasoningPart(text(block.get("thinking"))))
        elif kind in _LEFT_OUT:
            found.skip(node_id, *_LEFT_OUT[kind])
        elif kind not in ("text", "thinking") and kind not in _SILENT:
            found.skip(node_id, kind[:64] or "block", "this kind of content is not taken over")
    return said


def _attached(found: Talk, node_id: str, attached: dict[str, Any]) -> list[Part]:
    """A text that was pasted stands in the export as a whole."""
    name, said = text(attached.get("file_name"))[:200], text(attached.get("extracted_content"))
    if not said:
        found.skip(node_id, "file", f"files are not taken over: {name[:100]}")
        return []
    return [TextPart(f"\n\n{name or 'Attachment'}:\n\n{said}")]
