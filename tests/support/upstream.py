"""A scriptable server of OpenAI's and of Anthropic's API over real HTTP, in this process or in another one.

    async with Upstream() as upstream:
        …                   # upstream.url is a base URL, upstream.exchanges are what was asked
    python -m tests.support.upstream --port P
                            # prints ``upstream http://127.0.0.1:P/v1`` once it listens

The script is chosen by the user's message, see ``upstream_scripts``. Every request is validated as the
strictest provider would. ``GET /exchanges`` tells the other process what happened.
"""

import argparse
import asyncio
import sys
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.support import upstream_anthropic_strict, upstream_strict
from tests.support.upstream_anthropic import AnthropicResponse
from tests.support.upstream_response import Exchange, Response
from tests.support.upstream_scripts import play


class Upstream:
    """The server. ``key`` is asked for if given; ``llama`` and ``vllm`` make it accept what only they know.

    ``permits``: ``release`` lets the script ``step`` say one word more.
    """

    def __init__(self, port: int = 0, *, key: str | None = None, llama: bool = False, vllm: bool = False) -> None:
        self.exchanges: list[Exchange] = []
        self.most_at_once = 0
        self.permits = asyncio.Semaphore(0)
        self._port = port
        self._key = key
        self._llama = llama
        self._vllm = vllm
        self._arrived = asyncio.Condition()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/messages", self._say)
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
        exchange = await self._arrive(request)
        said = upstream_strict.problem(exchange.body, llama=self._llama, vllm=self._vllm)
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return await self._answer(request, exchange, Response, key, said)

    async def _say(self, request: web.Request) -> web.StreamResponse:
        exchange = await self._arrive(request)
        said = upstream_anthropic_strict.problem(exchange.body)
        if request.headers.get("anthropic-version") != "2023-06-01":
            said = "anthropic-version: header is required"
        return await self._answer(request, exchange, AnthropicResponse, request.headers.get("x-api-key", ""), said)

    async def _arrive(self, request: web.Request) -> Exchange:
        exchange = Exchange(await request.json(), dict(request.headers), _port_of(request))
        async with self._arrived:
            self.exchanges.append(exchange)
            running = sum(other.outcome == "running" for other in self.exchanges)
            self.most_at_once = max(self.most_at_once, running)
            self._arrived.notify_all()
        return exchange

    async def _answer(
        self, request: web.Request, exchange: Exchange, kind: type[Response], key: str, wrong: str | None
    ) -> web.StreamResponse:
        times = sum(other.asked == exchange.asked for other in self.exchanges)
        stage = kind(request, exchange, times, self.permits)
        if self._key is not None and key != self._key:
            exchange.end("refused")
            return stage.refusal(401, f"Incorrect API key provided: {key}")
        if wrong is not None:
            exchange.end("refused")
            return stage.refusal(400, wrong)
        try:
            await play(stage)
        except (asyncio.CancelledError, ConnectionError):
            exchange.end("closed")
            raise
        exchange.end("completed" if stage.finished else "refused" if stage.refused else "broken")
        return stage.response

    async def _tell(self, request: web.Request) -> web.Response:
        return web.json_response([exchange.told() for exchange in self.exchanges])


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
