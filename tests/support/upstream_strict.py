"""What the strictest provider accepts. A request that passes here is valid everywhere (promise C-05)."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

Body = dict[str, Any]

_KNOWN: Final = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "tools",
    }
)
_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]{20,}={0,2}\Z")
_DOCUMENT: Final = re.compile(r"data:application/pdf;base64,[A-Za-z0-9+/]{20,}={0,2}\Z")
_FIELDS: Final = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
}


_LLAMA: Final = frozenset({"cache_prompt", "chat_template_kwargs"})
_VLLM: Final = frozenset({"continue_final_message", "add_generation_prompt"})


def problem(body: object, *, llama: bool = False, vllm: bool = False) -> str | None:
    """What is wrong with a request, None if nothing is; ``llama`` and ``vllm`` allow what only they know."""
    if not isinstance(body, dict):
        return "the body is not an object"
    known = _KNOWN | (_LLAMA if llama else frozenset()) | (_VLLM if vllm else frozenset())
    goes_on = llama or (vllm and body.get("continue_final_message") is True)
    return "; ".join([*_problems(body, known, goes_on=goes_on), *(_thoughts(body) if llama else ())]) or None


def _thoughts(body: Body) -> Iterator[str]:
    """llama.cpp's condition with models that think, taken for every model."""
    messages = body.get("messages") or [{}]
    thinks = body.get("chat_template_kwargs", {}).get("enable_thinking", True)
    if messages[-1].get("role") == "assistant" and thinks:
        yield "Assistant response prefill is incompatible with enable_thinking."


def _problems(body: Body, known: frozenset[str], *, goes_on: bool) -> Iterator[str]:
    if unknown := body.keys() - known:
        yield f"unknown fields: {', '.join(sorted(unknown))}"
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield "model is missing"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        yield "messages are missing"
        return
    for index, message in enumerate(messages):
        for said in _message_problems(message):
            yield f"messages[{index}]: {said}"
    yield from _order_problems(messages, goes_on=goes_on)


def _message_problems(message: Body) -> Iterator[str]:
    role = message.get("role")
    if role not in _FIELDS:
        yield f"unknown role {role!r}"
        return
    if unknown := message.keys() - _FIELDS[role]:
        yield f"unknown fields: {', '.join(sorted(unknown))}"
    calls = message.get("tool_calls")
    if calls is not None and not calls:
        yield "tool_calls is empty"
    content = message.get("content")
    if role == "user" and isinstance(content, list):
        yield from _content_problems(content)
    elif not (content is None and calls) and not (isinstance(content, str) and content.strip()):
        yield "content is empty"
    for call in calls or ():
        yield from _call_problems(call)


def _content_problems(content: list[Body]) -> Iterator[str]:
    """Of a user's message with files."""
    if not content:
        yield "content is empty"
    for part in content:
        match part:
            case {"type": "text", "text": str(text)} if text.strip() and len(part) == 2:
                continue
            case {"type": "image_url", "image_url": {"url": str(url)}} if _IMAGE.match(url):
                continue
            case {"type": "file", "file": {"filename": str(), "file_data": str(url)}} if _DOCUMENT.match(url):
                continue
            case _:
                yield f"a part that nobody knows: {str(part)[:80]}"


def _call_problems(call: Body) -> Iterator[str]:
    function = call.get("function", {})
    if not call.get("id") or call.get("type") != "function" or not function.get("name"):
        yield "a tool call lacks its id, type or name"
    try:
        arguments = json.loads(function.get("arguments", ""))
    except ValueError:
        yield "a tool call's arguments are not JSON"
    else:
        if not isinstance(arguments, dict):
            yield "a tool call's arguments are not an object"


def _order_problems(messages: list[Body], *, goes_on: bool) -> Iterator[str]:
    spoken = messages[1:] if messages[0].get("role") == "system" else messages
    if not spoken or spoken[0].get("role") != "user":
        yield "the first message after the system prompt is not the user's"
    if messages[-1].get("role") not in ("user", "tool", *(("assistant",) if goes_on else ())):
        yield "the last message is not the user's"
    before = "system"
    open_calls: list[str] = []
    for index, message in enumerate(spoken):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                yield f"message {index}: a tool result without its call"
            else:
                open_calls.remove(message["tool_call_id"])
        else:
            if open_calls:
                yield f"message {index}: the tool calls {', '.join(open_calls)} have no result"
            if role == "system" or (role == before and role == "user") or (role == before == "assistant"):
                yield f"message {index}: roles do not alternate ({before}, then {role})"
            if role == "user" and before == "tool":
                yield f"message {index}: the user speaks before the assistant has answered the tool"
        open_calls += [call.get("id", "") for call in message.get("tool_calls") or ()]
        before = str(role)
    if open_calls:
        yield f"the tool calls {', '.join(open_calls)} have no result"
