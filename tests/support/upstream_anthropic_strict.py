"""What the strictest server of Anthropic's Messages API accepts (promise C-05), by its documentation and its refusals."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

Body = dict[str, Any]

_KNOWN: Final = frozenset(
    {"model", "messages", "system", "max_tokens", "stream", "temperature", "thinking", "tools", "tool_choice"}
)
_IMAGES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{20,}={0,2}")
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FIELDS: Final = {
    "text": {"type", "text"},
    "image": {"type", "source"},
    "document": {"type", "source"},
    "tool_use": {"type", "id", "name", "input"},
    "tool_result": {"type", "tool_use_id", "content", "is_error"},
}


def problem(body: object) -> str | None:
    """What is wrong with a request, None if nothing is."""
    if not isinstance(body, dict):
        return "the body is not an object"
    return "; ".join(_problems(body)) or None


def _problems(body: Body) -> Iterator[str]:
    if unknown := body.keys() - _KNOWN:
        yield f"unknown fields: {', '.join(sorted(unknown))}"
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model is missing"
    if not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        yield "max_tokens is missing"
    if "system" in body and not (isinstance(body["system"], str) and body["system"].strip()):
        yield "system is empty"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages are missing"
        return
    for index, message in enumerate(messages):
        for said in _message_problems(message):
            yield f"messages[{index}]: {said}"
    yield from _order_problems(messages)
    yield from _pair_problems(messages)
    yield from _tool_problems(body, messages)
    yield from _prefill_problems(body, messages[-1])


def _message_problems(message: Body) -> Iterator[str]:
    if message.keys() != {"role", "content"} or message["role"] not in ("user", "assistant"):
        yield "it is not a role and a content"
        return
    if not isinstance(message["content"], list) or not message["content"]:
        yield "content is empty"
        return
    for block in message["content"]:
        yield from _block_problems(block, message["role"])
    kinds = [block["type"] == "tool_result" for block in message["content"]]
    if kinds != sorted(kinds, reverse=True):
        yield "a tool's result comes after something else"


def _block_problems(block: Body, role: str) -> Iterator[str]:
    kind = block.get("type")
    if kind not in _FIELDS or block.keys() - _FIELDS[kind]:
        yield f"unknown block or field: {sorted(block)}"
        return
    if kind == "text" and not (isinstance(block.get("text"), str) and block["text"].strip()):
        yield "a text is empty"
    if kind in ("image", "document"):
        yield from _source_problems(block, role)
    if kind == "tool_use":
        if role != "assistant" or not isinstance(block.get("input"), dict):
            yield "a tool use of the user's, or without an object"
        if not _WORD.fullmatch(block.get("id") or "") or not _WORD.fullmatch(block.get("name") or ""):
            yield "a tool use's id or name has a letter that may not be there"
    if kind == "tool_result":
        if role != "user":
            yield "a tool result of the assistant's"
        if "content" in block and not (isinstance(block["content"], str) and block["content"].strip()):
            yield "a tool result is empty"


def _source_problems(block: Body, role: str) -> Iterator[str]:
    source = block.get("source")
    types = _IMAGES if block["type"] == "image" else ("application/pdf",)
    if role != "user":
        yield "a file of the assistant's"
    elif not isinstance(source, dict) or source.keys() != {"type", "media_type", "data"} or source["type"] != "base64":
        yield "a file without a source"
    elif source["media_type"] not in types or not _BASE64.fullmatch(source["data"]):
        yield "a file of another type, or not in base 64"


def _order_problems(messages: list[Body]) -> Iterator[str]:
    roles = [message.get("role") for message in messages]
    if roles[0] != "user":
        yield "the first message is not the user's"
    if any(one == next_one for one, next_one in pairwise(roles)):
        yield "roles do not alternate"


def _pair_problems(messages: list[Body]) -> Iterator[str]:
    seen: set[str] = set()
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        answered = {block.get("tool_use_id", "") for block in _of_type(message, "tool_result")}
        if answered != waiting:
            yield f"messages[{index}]: the results of {sorted(answered)} for the calls {sorted(waiting)}"
        called = [block.get("id", "") for block in _of_type(message, "tool_use")]
        if len(set(called)) < len(called) or seen & set(called):
            yield f"messages[{index}]: the id of a call stands twice"
        waiting = set(called)
        seen |= waiting
    if waiting:
        yield f"the calls {sorted(waiting)} have no result"


def _tool_problems(body: Body, messages: list[Body]) -> Iterator[str]:
    tools = {tool.get("name") for tool in body.get("tools", ())}
    if "tools" in body and not tools:
        yield "tools are empty"
    for tool in body.get("tools", ()):
        schema = tool.get("input_schema")
        if (
            not _WORD.fullmatch(tool.get("name") or "")
            or not isinstance(schema, dict)
            or schema.get("type") != "object"
        ):
            yield f"a tool without a good name or schema: {tool.get('name')!r}"
    if not tools and any(_of_type(message, "tool_use") for message in messages):
        yield "tools are missing though some were called"


def _prefill_problems(body: Body, last: Body) -> Iterator[str]:
    if last.get("role") != "assistant":
        return
    if "no-prefill" in str(body.get("model")):
        yield "This model does not support assistant message prefill."
    if str(last["content"][-1].get("text", " ")).endswith((" ", "\n", "\t")):
        yield "the final assistant content ends with white space"
    if "thinking" in body:
        yield "a prefill can't be thought about"


def _of_type(message: Body, kind: str) -> list[Body]:
    content = message.get("content")
    return [block for block in content if block.get("type") == kind] if isinstance(content, list) else []
