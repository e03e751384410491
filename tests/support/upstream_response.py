"""One response of the scripted upstream, in OpenAI's words."""

import asyncio
import json
import time
from typing import Any

from aiohttp import web

from legato.agents.calling import GO_ON


class Exchange:
    """One request and what became of it.

    ``outcome`` is ``running``, ``completed``, ``refused``, ``closed`` (by the client, before the end) or
    ``broken`` (by the script). ``sent`` counts pieces of the answer, ``peer`` is the client's port.
    """

    def __init__(self, body: dict[str, Any], headers: dict[str, str], peer: int) -> None:
        self.body = body
        self.headers = headers
        self.peer = peer
        self.outcome = "running"
        self.sent = 0
        self.ended = asyncio.Event()
        self._began = time.monotonic()
        self.took_s: float | None = None

    @property
    def asked(self) -> str:
        """The newest of what the user said; of messages that were joined, the last."""
        said = [text for message in self._spoken if message.get("role") == "user" for text in texts(message)]
        return said[-1].rsplit("\n\n", 1)[-1] if said else ""

    @property
    def prefilled(self) -> str:
        """The answer's beginning, if the request has one to go on from, by itself or because it says so."""
        last = self._spoken[-1] if self._spoken else {}
        return "".join(texts(last)) if last.get("role") == "assistant" else ""

    @property
    def results(self) -> list[str]:
        """What tools have come to since the user spoke."""
        found: list[str] = []
        for message in reversed(self._spoken):
            if message.get("role") == "user" and texts(message):
                break
            if message.get("role") == "tool":
                found += texts(message)
        return found[::-1]

    @property
    def after_tool(self) -> bool:
        last = self._messages[-1] if self._messages else {}
        blocks = last["content"] if isinstance(last.get("content"), list) else ()
        return last.get("role") == "tool" or any(block.get("type") == "tool_result" for block in blocks)

    @property
    def prompt_tokens(self) -> int:
        """Words."""
        return sum(len(text.split()) for message in self._messages for text in texts(message))

    @property
    def _spoken(self) -> list[dict[str, Any]]:
        """Without the request to go on, which nobody has said."""
        last = self._messages[-1] if self._messages else {}
        return self._messages[:-1] if last.get("role") == "user" and texts(last) == [GO_ON] else self._messages

    @property
    def _messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body.get("messages", [])
        return found

    def end(self, outcome: str) -> None:
        if self.outcome == "running":
            self.outcome = outcome
            self.took_s = time.monotonic() - self._began
            self.ended.set()

    def told(self) -> dict[str, Any]:
        return {
            "asked": self.asked,
            "outcome": self.outcome,
            "sent": self.sent,
            "took_s": self.took_s,
            "body": self.body,
        }


class Response:
    """The ``Stage`` of one request."""

    def __init__(self, request: web.Request, exchange: Exchange, times: int, permits: asyncio.Semaphore) -> None:
        self.asked = exchange.asked
        self.prefilled = exchange.prefilled
        self.after_tool = exchange.after_tool
        self.results = exchange.results
        self.prompt_tokens = exchange.prompt_tokens
        self.finished = False
        self.refused = False
        self.response: web.StreamResponse = web.StreamResponse()
        self._request = request
        self._exchange = exchange
        self._times = times
        self._permits = permits

    @property
    def sent(self) -> int:
        return self._exchange.sent

    def times_asked(self) -> int:
        return self._times

    async def open(self, content_type: str = "text/event-stream", *, gzip: bool = False) -> None:
        self.response.content_type = content_type
        if gzip:
            self.response.enable_compression(web.ContentCoding.gzip)
        await self.response.prepare(self._request)

    async def refuse(self, status: int, headers: dict[str, str], said: str | None = None) -> None:
        self.refused = True
        key = self._request.headers.get("Authorization") or self._request.headers.get("x-api-key", "nobody")
        self.response = self.refusal(status, said or f"The server answers {status} to {key}.", headers)

    async def refuse_with_page(self, status: int, page: str) -> None:
        self.refused = True
        self.response = web.Response(status=status, text=page, content_type="text/html")

    async def delta(self, delta: dict[str, Any]) -> None:
        await self._chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        self.count(delta)

    def count(self, delta: dict[str, Any]) -> None:
        self._exchange.sent += any(value for key, value in delta.items() if key != "role")

    def event(self, content: bytes) -> bytes:
        return b'data: {"choices":[{"index":0,"delta":{"content":' + content + b"}}]}\n\n"

    async def fail(self, message: str, kind: str = "api_error") -> None:
        await self.raw(b"data: " + json.dumps({"error": {"message": message, "code": 500}}).encode() + b"\n\n")

    async def raw(self, data: bytes) -> None:
        await self.response.write(data)

    async def finish(self, reason: str = "stop", *, usage: bool = True, done: bool = True) -> None:
        self.finished = True
        await self._chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if usage and self._exchange.body.get("stream_options", {}).get("include_usage"):
            await self._chunk({"choices": [], "usage": self._usage()})
        if done:
            await self.raw(b"data: [DONE]\n\n")

    async def permitted(self) -> None:
        await self._permits.acquire()

    def wire(self, data: bytes) -> None:
        """To the socket, past all that knows HTTP."""
        if self._request.transport is not None:
            self._request.transport.write(data)

    def reset(self) -> None:
        self._exchange.end("broken")
        if self._request.transport is not None:
            self._request.transport.abort()

    def refusal(self, status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
        body = {"error": {"message": message, "type": "invalid_request_error", "code": status}}
        return web.json_response(body, status=status, headers=headers)

    async def _chunk(self, fields: dict[str, Any]) -> None:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self._exchange.body["model"]}
        await self.raw(b"data: " + json.dumps(chunk | fields).encode() + b"\n\n")

    def _usage(self) -> dict[str, Any]:
        sent = self._exchange.sent
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": sent,
            "total_tokens": self.prompt_tokens + sent,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


def texts(message: dict[str, Any]) -> list[str]:
    """What is said in a message of either API."""
    content = message.get("content")
    if isinstance(content, list):
        return [str(block["text"]) for block in content if block.get("type") == "text"]
    return [] if content is None else [str(content)]
