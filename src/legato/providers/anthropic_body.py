"""A request in the words of Anthropic's ``POST /messages``."""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from legato.core.files import IMAGES
from legato.core.prompt import PromptCall, PromptFile, PromptMessage
from legato.providers.port import ModelRequest, ToolSpec

DEFAULT_MAX_TOKENS: Final = 8192  # of an answer, where nothing is known about its model
_NO_WORD: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_CHARACTERS: Final = 64
_GONE: Final = "Not available any more."

Block = dict[str, Any]


def encode_request(request: ModelRequest, most_tokens: int | None) -> bytes:
    """The body; ``request.options`` may override all but the model, what was said and streaming itself.

    ``most_tokens``: what the model can answer at most, where it is known. The API wants a limit.
    """
    body: dict[str, Any] = {"max_tokens": _max_tokens(request, most_tokens)}
    if tools := [_tool(tool) for tool in request.tools]:
        body["tools"] = tools
    elif names := sorted({_name(call.name) for message in request.messages for call in message.calls}):
        # Calls in a history want their tools to be known, also when they can't be called any more.
        body["tools"] = [_tool(ToolSpec(name, _GONE, {"type": "object"})) for name in names]
        body["tool_choice"] = {"type": "none"}
    body |= request.options
    if request.prefill:
        body.pop("thinking", None)  # the answer has begun: the API refuses to think before it goes on
    if system := "\n\n".join(message.content for message in request.messages if message.role == "system"):
        body["system"] = system
    messages = _messages(request)
    return msgspec.json.encode(body | {"model": request.model, "messages": messages, "stream": True})


def unsent(request: ModelRequest) -> str:
    """The white space at the end of a prefill: the API refuses it, so it is not sent."""
    last = request.messages[-1] if request.messages else None
    if not request.prefill or last is None or last.role != "assistant" or last.calls or not last.content.strip():
        return ""
    return last.content[len(last.content.rstrip()) :]


def _max_tokens(request: ModelRequest, most_tokens: int | None) -> int:
    if request.max_tokens is not None:
        return request.max_tokens
    most = most_tokens or DEFAULT_MAX_TOKENS
    return most if request.room is None else max(1, min(most, request.room))


def _messages(request: ModelRequest) -> list[dict[str, Any]]:
    """User and assistant in turn: what a tool answered is the user's, and neighbours of one role are one message."""
    messages: list[dict[str, Any]] = []
    ids = _Ids()
    for message in request.messages:
        blocks = _blocks(message, ids)
        role = "assistant" if message.role == "assistant" else "user"
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    if messages and messages[-1]["role"] == "assistant" and messages[-1]["content"][-1]["type"] == "text":
        last = messages[-1]["content"][-1]
        last["text"] = last["text"].rstrip()
    return messages


class _Ids:
    """The ids of calls as they are sent.

    Another provider's model may have made them, in an alphabet that Anthropic refuses, or the same ones in each answer,
    which it refuses too.
    """

    def __init__(self) -> None:
        self._sent: dict[str, str] = {}
        self._taken: set[str] = set()

    def of_call(self, call_id: str) -> str:
        good = call_id if 0 < len(call_id) <= _NAME_CHARACTERS and not _NO_WORD.search(call_id) else ""
        if not good or good in self._taken:
            unlike = f"{call_id} {len(self._taken)}".encode("utf-8", "surrogatepass")
            good = "call_" + hashlib.sha256(unlike).hexdigest()[:24]
        self._taken.add(good)
        self._sent[call_id] = good
        return good

    def of_result(self, call_id: str) -> str:
        return self._sent.get(call_id, call_id)


def _blocks(message: PromptMessage, ids: _Ids) -> list[Block]:
    """None of them is empty: the API refuses those. Thoughts have no place here; they would need signatures."""
    match message.role:
        case "system":
            return []
        case "tool":
            result = {"type": "tool_result", "tool_use_id": ids.of_result(message.call_id or "")}
            return [result | {"content": message.content} if message.content.strip() else result]
        case _:
            return [*map(_file, message.files), *_text(message.content), *_calls(message.calls, ids)]


def _file(file: PromptFile) -> Block:
    data = base64.b64encode(file.content).decode()
    kind = "image" if file.media_type in IMAGES else "document"
    return {"type": kind, "source": {"type": "base64", "media_type": file.media_type, "data": data}}


def _text(content: str) -> Iterable[Block]:
    return [{"type": "text", "text": content}] if content.strip() else []


def _calls(calls: Iterable[PromptCall], ids: _Ids) -> Iterable[Block]:
    for call in calls:
        yield {"type": "tool_use", "id": ids.of_call(call.call_id), "name": _name(call.name), "input": _input(call)}


def _input(call: PromptCall) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {"name": _name(tool.name), "description": tool.description, "input_schema": tool.parameters}


def _name(name: str) -> str:
    return _NO_WORD.sub("_", name)[:_NAME_CHARACTERS] or "tool"
