"""Open WebUI's export of chats: an array, each with a ``chat`` whose ``history`` is a tree of messages with a ``currentId``."""

import re
from html import unescape
from typing import Any

from legato.core.model import ErrorInfo, Part, ReasoningPart, TextPart
from legato.transfer.decoding import fields, items, moment, text
from legato.transfer.foreign import Node, Talk

FORMAT = "open-webui"
_DETAILS = re.compile(r'<details type="([a-z_]+)"[^>]*>(.*?)</details>\n?', re.DOTALL)
_SUMMARY = re.compile(r"<summary>.*?</summary>\n?", re.DOTALL)


def looks_like(value: dict[str, Any]) -> bool:
    chat = fields(value.get("chat"))
    return isinstance(chat.get("history"), dict) or isinstance(chat.get("messages"), list)


def talk(value: dict[str, Any], place: str) -> Talk:
    chat = fields(value.get("chat"))
    history = fields(chat.get("history"))
    models = [text(model) for model in items(chat.get("models"))]
    found = Talk(
        format=FORMAT,
        id=text(value.get("id")) or text(chat.get("id")),
        place=place,
        title=text(value.get("title")) or text(chat.get("title")),
        at=moment(value.get("created_at")) or moment(chat.get("timestamp")),
        last_at=moment(value.get("updated_at")),
        leaf_id=text(history.get("currentId")) or None,
        model_id=next(filter(None, models), None),
        archived=value.get("archived") is True,
        pinned=value.get("pinned") is True,
    )
    tree = fields(history.get("messages"))
    before: str | None = None
    for number, raw in enumerate(tree.values() or items(chat.get("messages")), 1):
        message = fields(raw)
        node_id = text(message.get("id")) or f"message {number}"
        parent = text(message.get("parentId")) or (None if tree else before)
        found.nodes.append(_node(found, node_id, parent, message))
        before = node_id
    found.nodes = _in_order(found.nodes)
    return found


def _in_order(nodes: list[Node]) -> list[Node]:
    """Parents before their children, otherwise as they stand."""
    by_id = {node.id: node for node in nodes}
    order: dict[str, Node] = {}
    for node in nodes:
        chain: dict[str, Node] = {}
        at: Node | None = node
        while at is not None and at.id not in order and at.id not in chain:
            chain[at.id] = at
            at = by_id.get(at.parent_id or "")
        order |= dict(reversed(chain.items()))
    return list(order.values())


def _node(found: Talk, node_id: str, parent: str | None, message: dict[str, Any]) -> Node:
    role = text(message.get("role"))
    if role not in ("user", "assistant"):
        why = "instructions belong to the agent" if role == "system" else "nobody of ours has such a role"
        return Node(id=node_id, parent_id=parent, what=f"{role or 'unknown'} message"[:64], why=why)
    for file in items(message.get("files")):
        kind = text(fields(file).get("type")) or "file"
        found.skip(node_id, kind[:64], f"files are not taken over: {text(fields(file).get('name'))[:100]}")
    error = _error(message.get("error"))
    return Node(
        id=node_id,
        parent_id=parent,
        role="assistant" if role == "assistant" else "user",
        parts=_parts(found, node_id, message.get("content")),
        at=moment(message.get("timestamp")),
        model_id=text(message.get("model")) or None,
        status="failed" if error else "incomplete" if message.get("done") is False else "completed",
        error=error,
    )


def _error(value: Any) -> ErrorInfo | None:
    if not value:
        return None
    said = value if isinstance(value, str) else text(fields(value).get("content"))
    return ErrorInfo("imported", said or "It failed.")


def _parts(found: Talk, node_id: str, content: Any) -> tuple[Part, ...]:
    if isinstance(content, list):
        said = [text(fields(part).get("text")) for part in content]
        for part in content:
            if text(fields(part).get("type")) not in ("", "text"):
                found.skip(node_id, text(fields(part).get("type"))[:64], "files are not taken over")
        return tuple(TextPart(each) for each in said if each)
    return tuple(_apart(found, node_id, text(content)))


def _apart(found: Talk, node_id: str, content: str) -> list[Part]:
    """What the model thought stands in its text, in a block of HTML."""
    parts: list[Part] = []
    at = 0
    for block in _DETAILS.finditer(content):
        if content[at : block.start()].strip():
            parts.append(TextPart(content[at : block.start()]))
        at = block.end()
        if block[1] == "reasoning":
            thought = unescape(_SUMMARY.sub("", block[2])).strip()
            lines = [line.removeprefix("> ").removeprefix(">") for line in thought.splitlines()]
            if thought:
                parts.append(ReasoningPart("\n".join(lines)))
        else:
            found.skip(node_id, block[1].replace("_", " ")[:64], "calls of tools are not taken over")
    if content[at:].strip():
        parts.append(TextPart(content[at:]))
    return parts
