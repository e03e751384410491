"""A scriptable OpenAI-compatible server over real HTTP, in this process or in another one.

    async with Upstream() as upstream:
        …                   # upstream.url is a base URL, upstream.exchanges are what was asked
    python -m tests.support.upstream --port P
                            # prints ``upstream http://127.0.0.1:P/v1`` once it listens

The script is chosen by the user's message, see ``upstream_scripts``. Every request is validated as the
strictest provider would. ``GET /exchanges`` tells the other process what happened.
"""

import argparse
import asyncio
import json
import sys
import time
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.support.upstream_scripts import Delta, play
from tests.support.upstream_strict import problem


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
        said = [_words(message) for message in self.body.get("messages", ()) if message.get("role") == "user"]
        return said[-1].rsplit("\n\n", 1)[-1] if said else ""

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


class Upstream:
    """The server. ``key`` is asked for if given; ``llama`` makes it accept what only llama.cpp knows.

    ``permits``: ``release`` lets the script ``step`` say one word more.
    """

    def __init__(self, port: int = 0, *, key: str | None = None, llama: bool = False) -> None:
        self.exchanges: list[Exchange] = []
        self.most_at_once = 0
        self.permits = asyncio.Semaphore(0)
        self._port = port
        self._key = key
        self._llama = llama
        self._arrived = asyncio.Condition()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/exchanges", self._tell)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def exchange(self, number: int) -> Exchange:
        """Request number ``number`` (0, 1, …), as soon as it is there."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.exchanges) > number)
        return self.exchanges[number]

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        exchange = Exchange(await request.json(), dict(request.headers), _port_of(request))
        async with self._arrived:
            self.exchanges.append(exchange)
            running = sum(other.outcome == "running" for other in self.exchanges)
            self.most_at_once = max(self.most_at_once, running)
            self._arrived.notify_all()
        if self._key is not None and request.headers.get("Authorization") != f"Bearer {self._key}":
            exchange.end("refused")
            return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
        if said := problem(exchange.body, llama=self._llama):
            exchange.end("refused")
            return _error(400, said)
        return await self._play(request, exchange)

    async def _play(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        times = sum(other.asked == exchange.asked for other in self.exchanges)
        stage = Response(request, exchange, times, self.permits)
        try:
            await play(stage)
        except (asyncio.CancelledError, ConnectionError):
            exchange.end("closed")
            raise
        exchange.end("completed" if stage.finished else "refused" if stage.refused else "broken")
        return stage.response

    async def _tell(self, request: web.Request) -> web.Response:
        return web.json_response([exchange.told() for exchange in self.exchanges])


class Response:
    """The ``Stage`` of one request."""

    def __init__(self, request: web.Request, exchange: Exchange, times: int, permits: asyncio.Semaphore) -> None:
        self.asked = exchange.asked
        self.after_tool = exchange.body["messages"][-1]["role"] == "tool"
        self.finished = False
        self.refused = False
        self.response: web.StreamResponse = web.StreamResponse()
        self._request = request
        self._exchange = exchange
        self._times = times
        self._permits = permits

    def times_asked(self) -> int:
        return self._times

    async def open(self, content_type: str = "text/event-stream", *, gzip: bool = False) -> None:
        self.response.content_type = content_type
        if gzip:
            self.response.enable_compression(web.ContentCoding.gzip)
        await self.response.prepare(self._request)

    async def refuse(self, status: int, headers: dict[str, str], said: str | None = None) -> None:
        self.refused = True
        key = self._request.headers.get("Authorization", "nobody")
        self.response = _error(status, said or f"The server answers {status} to {key}.", headers)

    async def refuse_with_page(self, status: int, page: str) -> None:
        self.refused = True
        self.response = web.Response(status=status, text=page, content_type="text/html")

    async def delta(self, delta: Delta) -> None:
        await self._chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        self._exchange.sent += any(value for key, value in delta.items() if key != "role")

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

    async def _chunk(self, fields: dict[str, Any]) -> None:
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self._exchange.body["model"]}
        await self.raw(b"data: " + json.dumps(chunk | fields).encode() + b"\n\n")

    def _usage(self) -> dict[str, Any]:
        prompt = sum(len(str(message.get("content")).split()) for message in self._exchange.body["messages"])
        sent = self._exchange.sent
        return {
            "prompt_tokens": prompt,
            "completion_tokens": sent,
            "total_tokens": prompt + sent,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error", "code": status}}
    return web.json_response(body, status=status, headers=headers)


def _words(message: dict[str, Any]) -> str:
    """The words of a message, beside which there may be files."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return str(content)


def _port_of(request: web.Request) -> int:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return int(peer[1]) if peer else 0


async def _serve(port: int, *, llama: bool) -> None:
    async with Upstream(port, llama=llama) as upstream:
        sys.stdout.write(f"upstream {upstream.url}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--llama", action="store_true")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, llama=arguments.llama))


if __name__ == "__main__":
    main()
