"""A request in the words of ``POST /chat/completions``."""

import base64
from typing import Any

import msgspec

from legato.core.files import IMAGES
from legato.core.prompt import PromptCall, PromptFile, PromptMessage
from legato.providers.options import Settings
from legato.providers.port import ModelRequest, ToolSpec


def encode_request(request: ModelRequest, settings: Settings) -> bytes:
    """The body; ``request.options`` may override all but the model, the messages, a prefill and streaming itself."""
    body: dict[str, Any] = {}
    if settings.stream_usage:
        body["stream_options"] = {"include_usage": True}
    if settings.flavour == "llama.cpp":
        body["cache_prompt"] = True
    if request.max_tokens is not None:
        body[_max_tokens_field(settings)] = request.max_tokens
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    body |= request.options
    if request.prefill:
        body |= _prefill(request, settings)
    messages = [_message(message) for message in request.messages]
    return msgspec.json.encode(body | {"model": request.model, "messages": messages, "stream": True})


def _max_tokens_field(settings: Settings) -> str:
    """OpenAI's reasoning models refuse the old name, most other servers know no other."""
    if settings.max_tokens_field is not None:
        return settings.max_tokens_field
    return "max_completion_tokens" if settings.host == "api.openai.com" else "max_tokens"


def _prefill(request: ModelRequest, settings: Settings) -> dict[str, Any]:
    """What makes a server go on from the last message; one that does so by itself needs nothing.

    llama.cpp refuses it for models that think first, unless they are told not to: their answer has begun already.
    """
    match settings.flavour:
        case "vllm":
            return {"continue_final_message": True, "add_generation_prompt": False}
        case "llama.cpp":
            said = request.options.get("chat_template_kwargs")
            kwargs = said if isinstance(said, dict) else {}
            return {"chat_template_kwargs": kwargs | {"enable_thinking": False}}
        case _:
            return {}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _message(message: PromptMessage) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
    if message.calls:
        said = message.content if message.content.strip() else None
        return {"role": message.role, "content": said, "tool_calls": [_call(call) for call in message.calls]}
    if message.files:
        return {"role": message.role, "content": [*map(_file, message.files), *_words(message.content)]}
    return {"role": message.role, "content": message.content}


def _words(content: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if content.strip() else []


def _file(file: PromptFile) -> dict[str, Any]:
    data = f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"
    if file.media_type in IMAGES:
        return {"type": "image_url", "image_url": {"url": data}}
    return {"type": "file", "file": {"filename": file.name, "file_data": data}}


def _call(call: PromptCall) -> dict[str, Any]:
    return {
        "id": call.call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
