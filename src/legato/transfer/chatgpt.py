"""ChatGPT's export: ``conversations.json``, an array of conversations, each a ``mapping`` of nodes and its ``current_node``."""

from typing import Any

from legato.core.model import Part, ReasoningPart, TextPart
from legato.transfer.decoding import fields, items, moment, text
from legato.transfer.foreign import Node, Talk

FORMAT = "chatgpt"
_ROLES = ("user", "assistant")


def looks_like(value: dict[str, Any]) -> bool:
    return isinstance(value.get("mapping"), dict)


def talk(value: dict[str, Any], place: str) -> Talk:
    found = Talk(
        format=FORMAT,
        id=text(value.get("conversation_id")) or text(value.get("id")),
        place=place,
        title=text(value.get("title")),
        at=moment(value.get("create_time")),
        last_at=moment(value.get("update_time")),
        leaf_id=text(value.get("current_node")) or None,
        model_id=text(value.get("default_model_slug")) or None,
        archived=value.get("is_archived") is True,
        pinned=value.get("is_starred") is True,
    )
    for node_id, node in _in_order(fields(value.get("mapping"))):
        found.add(_node(found, node_id, fields(node)))
    return found


def _in_order(mapping: dict[str, Any]) -> list[tuple[str, Any]]:
    """Parents before their children, as their lists of children have them."""
    order: dict[str, Any] = {}
    roots = [key for key, node in mapping.items() if text(fields(node).get("parent")) not in mapping]
    waiting = roots[::-1]
    while waiting:
        at = waiting.pop()
        if at not in order and at in mapping:
            order[at] = mapping[at]
            waiting += [child for child in items(fields(mapping[at]).get("children")) if isinstance(child, str)][::-1]
    return [*order.items(), *((key, node) for key, node in mapping.items() if key not in order)]


def _node(found: Talk, node_id: str, node: dict[str, Any]) -> Node:
    parent = text(node.get("parent")) or None
    message = node.get("message")
    if not isinstance(message, dict):
        return Node(id=node_id, parent_id=parent, what="root", why="it holds nothing")
    role = text(fields(message.get("author")).get("role"))
    about = fields(message.get("metadata"))
    if why := _left_out(message, role, about):
        what = "hidden message" if about.get("is_visually_hidden_from_conversation") else f"{role or 'unknown'} message"
        return Node(id=node_id, parent_id=parent, what=what, why=why)
    return Node(
        id=node_id,
        parent_id=parent,
        role="assistant" if role == "assistant" else "user",
        parts=_parts(found, node_id, fields(message.get("content"))),
        at=moment(message.get("create_time")),
        model_id=text(about.get("model_slug")) or None,
        status="completed" if text(message.get("status")) in ("", "finished_successfully") else "incomplete",
    )


def _left_out(message: dict[str, Any], role: str, about: dict[str, Any]) -> str:
    if about.get("is_visually_hidden_from_conversation"):
        return "ChatGPT did not show it"
    if role == "system":
        return "instructions belong to the agent"
    if role == "tool":
        return "what tools answered is not taken over"
    if role not in _ROLES:
        return "nobody of ours has such a role"
    if text(message.get("recipient")) not in ("", "all"):
        return "calls of tools are not taken over"
    return ""


def _parts(found: Talk, node_id: str, content: dict[str, Any]) -> tuple[Part, ...]:
    kind = text(content.get("content_type"))
    if kind == "thoughts":
        thoughts = [fields(thought) for thought in items(content.get("thoughts"))]
        said = [f"{text(each.get('summary'))}\n{text(each.get('content'))}".strip() for each in thoughts]
        return (ReasoningPart("\n\n".join(said)),) if any(said) else ()
    if kind == "reasoning_recap":
        return (ReasoningPart(text(content.get("content"))),) if text(content.get("content")).strip() else ()
    if kind == "code":
        return (TextPart(f"```{_language(content)}\n{text(content.get('text'))}\n```"),)
    if kind in ("text", "multimodal_text"):
        return _spoken(found, node_id, items(content.get("parts")))
    if text(content.get("text")).strip():
        return (TextPart(text(content.get("text"))),)
    found.skip(node_id, kind[:64] or "content", "this kind of content is not taken over")
    return ()


def _language(content: dict[str, Any]) -> str:
    language = text(content.get("language"))
    return language if language.isalnum() and language != "unknown" else ""


def _spoken(found: Talk, node_id: str, parts: list[Any]) -> tuple[Part, ...]:
    said: list[Part] = []
    for part in parts:
        if isinstance(part, str):
            if part:
                said.append(TextPart(part))
            continue
        kind = text(fields(part).get("content_type"))
        if kind == "audio_transcription" and text(fields(part).get("text")):
            said.append(TextPart(text(fields(part).get("text"))))
        elif kind == "image_asset_pointer":
            found.skip(node_id, "image", "files are not taken over")
        else:
            found.skip(node_id, kind[:64] or "part", "files are not taken over")
    return tuple(said)
