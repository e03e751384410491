"""How the scripted upstream speaks Anthropic's Messages API: the same scripts, in other words."""

import json
from typing import Any, Final

from aiohttp import web

from tests.support.upstream_response import Response

_STOPS: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_EMPTY: Final[dict[str, dict[str, Any]]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
}


class AnthropicResponse(Response):
    """The ``Stage`` of one request."""

    async def open(self, content_type: str = "text/event-stream", *, gzip: bool = False) -> None:
        await super().open(content_type, gzip=gzip)
        self._index = -1
        self._kind: object = None  # of the block that is open
        if content_type == "text/event-stream":
            usage = {"input_tokens": self.prompt_tokens, "cache_read_input_tokens": 0, "output_tokens": 1}
            message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "usage": usage}
            await self.raw(_frame("message_start", message=message) + _frame("ping"))

    async def delta(self, delta: dict[str, Any]) -> None:
        for name in ("reasoning_content", "reasoning"):
            if thought := delta.get(name):
                await self._block("thinking", "thinking_delta", "thinking", thought)
        if text := delta.get("content"):
            await self._block("text", "text_delta", "text", text)
        for call in delta.get("tool_calls", ()):
            await self._call(call)
        self.count(delta)

    def event(self, content: bytes) -> bytes:
        begin = self._opened("text")
        delta = b'{"type":"text_delta","text":' + content + b"}"
        event = b'{"type":"content_block_delta","index":%d,"delta":%b}' % (self._index, delta)
        return begin + b"event: content_block_delta\ndata: " + event + b"\n\n"

    async def fail(self, message: str, kind: str = "api_error") -> None:
        await self.raw(_frame("error", error={"type": kind, "message": message}))

    async def finish(self, reason: str = "stop", *, usage: bool = True, done: bool = True) -> None:
        self.finished = True
        delta = {"stop_reason": _STOPS.get(reason, reason), "stop_sequence": None}
        told = {"usage": {"output_tokens": self.sent}} if usage else {}
        await self.raw(self._closed() + _frame("message_delta", delta=delta, **told))
        if done:
            await self.raw(_frame("message_stop"))

    async def _call(self, call: dict[str, Any]) -> None:
        function = call["function"]
        kind = ("tool_use", call["index"])
        begin = b""
        if self._kind != kind:
            block = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            begin = self._closed() + self._begun(kind, block)
        delta = {"type": "input_json_delta", "partial_json": function["arguments"]}
        await self.raw(begin + _frame("content_block_delta", index=self._index, delta=delta))

    async def _block(self, kind: str, delta_type: str, name: str, said: str) -> None:
        delta = {"type": delta_type, name: said}
        await self.raw(self._opened(kind) + _frame("content_block_delta", index=self._index, delta=delta))

    def _opened(self, kind: str) -> bytes:
        return b"" if self._kind == kind else self._closed() + self._begun(kind, {"type": kind} | _EMPTY[kind])

    def _begun(self, kind: object, block: dict[str, Any]) -> bytes:
        self._index += 1
        self._kind = kind
        return _frame("content_block_start", index=self._index, content_block=block)

    def _closed(self) -> bytes:
        if self._kind is None:
            return b""
        self._kind = None
        return _frame("content_block_stop", index=self._index)

    def refusal(self, status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
        error = {"type": _ERRORS.get(status, "api_error"), "message": message}
        return web.json_response({"type": "error", "error": error}, status=status, headers=headers)


def _frame(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n".encode()
