"""What a user's program says and hears, read as strictly as ``docs/protocol.md`` is written."""

import re
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import msgspec

from legato.core.events import Event as CoreEvent
from legato.core.events import decode_event
from legato.core.fold import Fold
from legato.core.model import State

STREAM: Final = {"Accept": "text/event-stream"}
PATIENCE_S: Final = 30.0
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_FRAME: Final = re.compile(rb"(?:id: ([0-9a-f]{1,16}\.[0-9]{1,18})\n)?event: ([a-z_]+)\ndata: ([^\n\r]+)")
_PROTOCOL: Final = Path(__file__).parents[2] / "docs" / "protocol.md"


def _documented_codes() -> dict[int, set[str]]:
    """The table of problems in the protocol: code by status."""
    codes: dict[int, set[str]] = {405: {"method_not_allowed"}, 503: {"not_started"}}
    for line in _PROTOCOL.read_text().splitlines():
        row = re.fullmatch(r"\| (\d{3}(?: / \d{3})*) \| (`.*) \|", line)
        if row is None:
            continue
        for status, names in zip(row[1].split(" / "), _split(row), strict=True):
            codes.setdefault(int(status), set()).update(re.findall(r"`(\w+)`", names))
    return codes


def _split(row: re.Match[str]) -> list[str]:
    """A row for two statuses divides its codes by a semicolon, or by the comma where there is none."""
    count = row[1].count("/") + 1
    if count == 1:
        return [row[2]]
    return row[2].split("; ") if ";" in row[2] else row[2].split(", ")


CODES: Final = _documented_codes()


class Event(NamedTuple):
    """One event as it was read. ``raw`` are the bytes of its frame."""

    cursor: str | None
    type: str
    data: dict[str, Any]
    raw: bytes

    @property
    def seq(self) -> int:
        assert self.cursor is not None
        return int(self.cursor.partition(".")[2])

    def core(self) -> CoreEvent:
        return decode_event(self.type, msgspec.json.encode(self.data))


class Stream:
    """An open stream. Everything on it is a frame, ``retry:`` or the heartbeat, and nothing else."""

    def __init__(self, response: httpx2.Response, chunks: AsyncIterator[bytes]) -> None:
        self.response = response
        self.events: list[Event] = []
        self.retries: list[int] = []
        self.beats = 0
        self.raw = b""
        self._rest = b""
        self._chunks = chunks
        self._seen = 0

    async def event(self) -> Event | None:
        """The next event; None at the stream's end."""
        while self._seen == len(self.events):
            if not await self._read():
                return None
        self._seen += 1
        return self.events[self._seen - 1]

    async def until(self, wanted: str | Callable[[Event], bool]) -> Event:
        """Reads on to an event of this type, or to one that fits."""
        while (event := await self.event()) is not None:
            if event.type == wanted if isinstance(wanted, str) else wanted(event):
                return event
        raise AssertionError(f"the stream ended before {wanted}: {[event.type for event in self.events]}")

    async def until_beats(self, count: int) -> None:
        while self.beats < count:
            assert await self._read()

    async def rest(self) -> list[Event]:
        """Everything up to the end of the stream."""
        while await self._read():
            pass
        assert self._rest == b""
        self._seen = len(self.events)
        return self.events

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    @property
    def text(self) -> str:
        """What the tokens say."""
        return "".join(event.data["text"] for event in self.events if event.type == "token")

    @property
    def frames(self) -> bytes:
        """The events' bytes, without ``retry:`` and heartbeats."""
        return b"".join(event.raw for event in self.events)

    async def _read(self) -> bool:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            return False
        self.raw += chunk
        *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
        for block in blocks:
            self._take(block)
        return True

    def _take(self, block: bytes) -> None:
        if block == b":keep-alive":
            self.beats += 1
        elif found := re.fullmatch(rb"retry: ([0-9]+)", block):
            self.retries.append(int(found[1]))
        else:
            frame = _FRAME.fullmatch(block)
            assert frame is not None, f"not a frame: {block!r}"
            cursor = frame[1].decode() if frame[1] else None
            self.events.append(Event(cursor, frame[2].decode(), msgspec.json.decode(frame[3]), block + b"\n\n"))


class Api:
    """One user's way to the server. Every refusal has to be a problem that the protocol knows."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def ask(self, method: str, path: str, json: object = None, **options: Any) -> httpx2.Response:
        """The response, whatever it says."""
        if json is not None:
            options["json"] = json
        response = await self.http.request(method, path, **options)
        if response.status_code >= 400:
            check_problem(response)
        return response

    async def call(self, method: str, path: str, json: object = None, *, status: int = 200, **options: Any) -> Any:
        """The decoded body of a response that has to have this status."""
        response = await self.ask(method, path, json, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text[:2000]}"
        return response.json() if response.content else None

    async def refused(self, status: int, code: str, method: str, path: str, json: object = None, **options: Any) -> Any:
        """The problem of a request that has to be refused like this."""
        problem = await self.call(method, path, json, status=status, **options)
        assert problem["code"] == code
        return problem

    async def session(self, agent_id: str = "puppet", **fields: Any) -> str:
        """A new session's path."""
        made = await self.call("POST", "/v1/sessions", {"agent_id": agent_id, **fields}, status=201)
        return f"/v1/sessions/{made['id']}"

    async def send(self, session: str, text: str = "Hello", *, status: int = 202, **fields: Any) -> Any:
        """The turn of a message that is sent now."""
        sent = await self.call("POST", f"{session}/turns", {"text": text, **fields}, status=status)
        return sent["turn"]

    async def turn(self, session: str, turn_id: str) -> Any:
        return await self.call("GET", f"{session}/turns/{turn_id}")

    async def state(self, session: str) -> Any:
        return (await self.call("GET", session))["state"]

    async def texts(self, session: str) -> list[str]:
        """What stands in the history, each message's text."""
        return [text_of(message) for message in (await self.call("GET", f"{session}/messages"))["data"]]

    async def over(self, session: str, turn_id: str) -> Any:
        """The turn, once it has ended. A stream that ends without its ``done`` is not the end: it goes on there."""
        cursor: str | None = "0"
        while True:
            async with self.follow(session, cursor, until=turn_id) as stream:
                events = await stream.rest()
            turn = await self.turn(session, turn_id)
            if "finished_at" in turn:
                return turn
            cursor = events[-1].cursor if events else cursor

    async def answered(self, session: str, text: str = "Hello", **fields: Any) -> Any:
        """The turn of a message that is sent now, once it has ended."""
        turn = await self.send(session, text, **fields)
        return await self.over(session, turn["id"])

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> AsyncIterator[Stream]:
        """An event stream; leaving closes the connection."""
        async with self.http.stream(method, path, headers=STREAM | (headers or {}), **options) as response:
            if response.status_code != 200:
                await response.aread()
            assert response.status_code == 200, response.text
            assert response.headers["content-type"].startswith("text/event-stream")
            async with aclosing(response.aiter_raw()) as chunks:
                yield Stream(response, chunks)

    def follow(
        self, session: str, after: str | None = None, *, headers: dict[str, str] | None = None, **params: str
    ) -> AbstractAsyncContextManager[Stream]:
        """The session's events as a stream."""
        query = params if after is None else {"after": after, **params}
        return self.stream("GET", f"{session}/events", headers=headers, params=query)

    async def journal(self, session: str, after: str = "0") -> list[dict[str, Any]]:
        """All events that there are now, read as JSON, page by page."""
        events: list[dict[str, Any]] = []
        while True:
            page = await self.call("GET", f"{session}/events", params={"after": after})
            events += page["data"]
            after = page["cursor"]
            if not page["has_more"]:
                return events


def client(url: str, headers: dict[str, str] | None = None) -> httpx2.AsyncClient:
    """A client that opens as many connections as it needs, and does not read the machine's certificates for them."""
    limits = httpx2.Limits(max_connections=None)
    return httpx2.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S, limits=limits, verify=_NO_TLS)


@asynccontextmanager
async def user_of(url: str, name: str | None = None) -> AsyncIterator[Api]:
    """Somebody whom the server's authenticator knows by a header: a name, or nobody it has seen before."""
    async with client(url, {"X-User": name or f"user-{secrets.token_hex(6)}"}) as http:
        yield Api(http)


def check_problem(response: httpx2.Response) -> None:
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == response.status_code
    assert problem["title"]
    assert problem["detail"]
    assert problem["code"] in CODES[response.status_code], problem
    if response.status_code in (429, 503, 507):
        assert int(response.headers["retry-after"]) > 0


def text_of(message: dict[str, Any]) -> str:
    return "".join(part.get("text", "") for part in message.get("parts", ()) if part["type"] == "text")


def state_of(json: dict[str, Any]) -> State:
    """A state as it was read; fields at their default may be left out, so that JSON is not to be compared."""
    return msgspec.convert(json, State, strict=False)


def folded(state: State | None, events: list[Event]) -> State:
    """State ⊕ events."""
    return Fold(state).apply_all(event.core() for event in events).state()
