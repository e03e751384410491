"""Open WebUI's export of chats: an array, each with a ``chat`` whose ``history`` is a tree of messages with a ``currentId``."""

import re
from html import unescape
from typing import Any, Final

from legato.core.model import ErrorInfo, Part, ReasoningPart, TextPart
from legato.transfer.decoding import fields, items, moment, text
from legato.transfer.foreign import Node, Talk
from legato.transfer.records import MAX_TEXT, TOO_LONG

FORMAT = "open-webui"
# What stands between two of its matches is looked at once: an attribute that holds "<" is escaped by who wrote it.
_OPENING: Final = re.compile(r'<details type="([a-z_]+)"[^<>]*>')
_END: Final = "</details>"


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
        found.add(_node(found, node_id, parent, message))
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
    if len(text(message.get("content"))) > MAX_TEXT:
        return Node(id=node_id, parent_id=parent, why=TOO_LONG)
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
    while (opening := _OPENING.search(content, at)) is not None:
        end = content.find(_END, opening.end())
        if end < 0:
            break
        if content[at : opening.start()].strip():
            parts.append(TextPart(content[at : opening.start()]))
        if opening[1] == "reasoning":
            parts += _thought(content[opening.end() : end])
        else:
            found.skip(node_id, opening[1].replace("_", " ")[:64], "calls of tools are not taken over")
        at = end + len(_END)
        at += content.startswith("\n", at)
    if content[at:].strip():
        parts.append(TextPart(content[at:]))
    return parts


def _thought(block: str) -> list[Part]:
    thought = _unescaped(_without_summaries(block)).strip()
    lines = [line.removeprefix("> ").removeprefix(">") for line in thought.splitlines()]
    return [ReasoningPart("\n".join(lines))] if thought else []


def _without_summaries(block: str) -> str:
    kept: list[str] = []
    at = 0
    while (start := block.find("<summary>", at)) >= 0 and (end := block.find("</summary>", start)) >= 0:
        kept.append(block[at:start])
        at = end + len("</summary>")
        at += block.startswith("\n", at)
    return "".join([*kept, block[at:]])


def _unescaped(text: str) -> str:
    try:
        return unescape(text)
    except ValueError:  # the number of a character has more digits than Python reads
        return text
