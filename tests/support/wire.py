"""A server that does as it is told: real sockets, and every way in which a connection can go wrong.

async with Wire() as wire:
    wire.on("GET", "/v1/agents", json_reply({"data": []}))          # one reply, again and again
    wire.on("POST", "/v1/sessions/s/turns", busy(), cut(), json_reply(…))   # in turn; the last one again and
    again wire.on("GET", "/v1/sessions/s/events", lambda request: stream(…))      # by request …
    # wire.url, wire.asked("POST", …)
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

# closed: the response ends as it should. cut: the connection goes in mid-response. silent: it stays, and
# nothing comes.
End = Literal["closed", "cut", "silent"]


@dataclass(frozen=True)
class Request:
    """What a client sent. Header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


@dataclass(frozen=True)
class Reply:
    """A response and its ``end``. Not ``framed``: only the connection's end tells that the body is complete."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncGenerator[bytes, None] = b""
    end: End = "closed"
    framed: bool = True


Replier = Callable[[Request], Reply]


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    fields = {"Content-Type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, fields, msgspec.json.encode(value))


def problem(status: int, code: str, detail: str = "", *, retry_after_s: int | None = None, **fields: object) -> Reply:
    body = {"type": "about:blank", "title": "", "status": status, "code": code, "detail": detail, **fields}
    headers = {"Content-Type": "application/problem+json"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Reply(status, headers, msgspec.json.encode(body))


def cut() -> Reply:
    """The connection goes before a byte of the response."""
    return Reply(status=0, end="cut")


def silence() -> Reply:
    """The request is taken and nothing comes back."""
    return Reply(status=0, end="silent")


def stream(body: bytes | AsyncGenerator[bytes, None], end: End = "closed", *, framed: bool = True) -> Reply:
    return Reply(200, {"Content-Type": "text/event-stream; charset=utf-8"}, body, end, framed)


class Wire:
    """The server. ``requests`` has everything that was asked, in order."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._port = 0
        self._replies: dict[tuple[str, str], list[Replier]] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._came = asyncio.Condition()

    def on(self, method: str, path: str, *replies: Reply | Replier) -> None:
        """What to answer, from now on."""
        self._replies[method, path] = [_replier(reply) for reply in replies]

    def asked(self, method: str, path: str) -> list[Request]:
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    async def until_asked(self, method: str, path: str, times: int = 1) -> Request:
        """Waits for a request; the last of them."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.asked(method, path)) >= times)
        return self.asked(method, path)[-1]

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def open(self) -> None:
        """Listens; after ``kill``, on the same port again."""
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"

    async def kill(self) -> None:
        """Every connection goes, new ones are refused."""
        assert self._server is not None
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while (request := await _read(reader)) is not None:
                async with self._came:
                    self.requests.append(request)
                    self._came.notify_all()
                if not await _write(writer, reader, self._reply(request)):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client went, or the test is over
        finally:
            self._connections.discard(task)
            writer.close()

    def _reply(self, request: Request) -> Reply:
        repliers = self._replies.get((request.method, request.path))
        if repliers is None:
            return problem(404, "not_found", f"the script knows no {request.method} {request.path}")
        return (repliers.pop(0) if len(repliers) > 1 else repliers[0])(request)


def _replier(reply: Reply | Replier) -> Replier:
    return (lambda _: reply) if isinstance(reply, Reply) else reply


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    url = urlsplit(target)
    return Request(method, url.path, dict(parse_qsl(url.query)), headers, body)


async def _write(writer: asyncio.StreamWriter, reader: asyncio.StreamReader, reply: Reply) -> bool:
    """Writes the reply; whether the connection may go on."""
    if reply.status:
        writer.write(_head(reply))
        await _write_body(writer, reply)
    if reply.end == "silent":
        await writer.drain()
        await reader.read(1)  # nothing more is said until the client goes
    return reply.end == "closed" and reply.framed


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines.append("Transfer-Encoding: chunked" if reply.framed else "Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _write_body(writer: asyncio.StreamWriter, reply: Reply) -> None:
    pieces = _once(reply.body) if isinstance(reply.body, bytes) else reply.body
    async with aclosing(pieces):
        async for piece in pieces:
            if piece:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.framed else piece)
                await writer.drain()
    if reply.framed and reply.end == "closed":
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


class Naps:
    """A ``sleep`` that returns at once and remembers for how long it was to sleep, in seconds."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await asyncio.sleep(0)
