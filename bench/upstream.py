"""The model behind every server under test: chat completions, streamed, by a raw protocol that costs next to nothing.

It runs in the process and event loop of the clients, on the other core than the server. What it does is said by the prompt
(``Script``); what it did is noted in the turn's ``Flow``, which the client that reads the turn shares.
"""

import asyncio
import heapq
import re
import time
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, cast

from legato.core.titles import SYSTEM

WORD_BYTES: Final = 6
MAX_WORDS: Final = 99_999

_FIELDS: Final = (
    b'data: {"id":"chatcmpl-CfHkT3LqZ0bXw7yPzGvN5s2RmUaE8","object":"chat.completion.chunk","created":1764054645,'
    b'"model":"gpt-5-mini-2025-08-07","service_tier":"default","system_fingerprint":null,'
)
_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(delta: bytes, finish: bytes = b"null") -> bytes:
    choice = b'{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}' % (delta, finish)
    return _chunk(_FIELDS + b'"choices":[%b],"usage":null}\n\n' % choice)


_FIRST: Final = _HEAD + _delta(b'{"role":"assistant","content":"","refusal":null}')
_BEFORE, _AFTER = _delta(b'{"content":"' + b"#" * WORD_BYTES + b'"}').split(b"#" * WORD_BYTES)
_LAST: Final = (
    _delta(b"{}", b'"stop"')
    + _chunk(
        _FIELDS
        + b'"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":%d,"total_tokens":%d}}\n\n'
        % ((MAX_WORDS,) * 2)
    )
    + _chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)
WORDS: Final = [b"%05d " % number for number in range(1, MAX_WORDS + 1)]
_CHUNKS: Final = [_BEFORE + word + _AFTER for word in WORDS]


class Script(NamedTuple):
    """How one answer goes. Without ``words`` until it is told to stop; without a rate as fast as it is read."""

    words: int = 0
    rate: float = 0.0  # words a second
    per_write: int = 1
    delay_s: float = 0.0  # before the first word
    window: int = 0  # words that may be under way between here and the reader, where there is no rate
    tokens: tuple[bytes, ...] = ()  # what is said instead of numbered words, as it stands in JSON


class Flow:
    """One answer: what was sent of it, and when."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked_at = 0.0
        self.first_at = 0.0
        self.sent = 0
        self.delivered = 0
        self.stopping = False
        self.more: Callable[[], None] | None = None

    def stop(self) -> None:
        """Let the answer end after what was sent."""
        self.stopping = True

    @property
    def over(self) -> bool:
        return (self.stopping and self.sent > 0) or self.sent >= self.most

    @property
    def most(self) -> int:
        """How many words there are to say."""
        return len(self.script.tokens) or self.script.words or MAX_WORDS


#: What the small model does that is asked for titles.
TitleModel = Literal["hangs", "garbage"]
_TITLE: Final = SYSTEM[:40].encode()
_GARBAGE: Final = _FIRST + _delta(b'{"content":"%b"}' % (b"# NOT\\n a title \\u202e" * 50)) + _LAST
_PROMPT: Final = re.compile(rb"bench turn (\d+)(?!.*bench turn )", re.DOTALL)


def prompt(number: int) -> str:
    """What a client says to get the answer with this number."""
    return f"bench turn {number}"


class Upstream:
    """All answers, by the number of their turn."""

    def __init__(self) -> None:
        self.flows: dict[int, Flow] = {}
        self.port = 0
        self.tempo = 1.0  # all rates at once
        self.title_model: TitleModel = "hangs"
        self.titles = 0  # that were asked for
        self._timer = _Timer(self)
        self._pump = _Pump()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def sent(self) -> int:
        """Words of all answers."""
        return sum(flow.sent for flow in self.flows.values())

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self, self._timer, self._pump), "127.0.0.1", 0, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: Upstream, timer: "_Timer", pump: "_Pump") -> None:
        self._upstream = upstream
        self._timer = timer
        self._pump = pump
        self._request = b""
        self._transport: asyncio.Transport | None = None
        self.flow: Flow | None = None
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._more()

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, found, body = self._request.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._request = b""
        if _TITLE in body:
            self._entitle()
            return
        number = _PROMPT.search(body)
        if number is None:
            raise ValueError(f"not a turn of the benchmark: {body[:200]!r}")
        self._begin(self._upstream.flows[int(number[1])])

    def _entitle(self) -> None:
        self._upstream.titles += 1
        if self._upstream.title_model == "garbage" and self._transport is not None:
            self._transport.write(_GARBAGE)

    def _begin(self, flow: Flow) -> None:
        self.flow = flow
        flow.asked_at = now = time.perf_counter()
        flow.more = self._more
        if flow.script.rate:
            self._timer.add(self, now + flow.script.delay_s)
        else:
            self._more()

    def step(self) -> bool:
        """Write what is written at once; False when the answer is over."""
        flow, transport = self.flow, self._transport
        if flow is None or transport is None:
            return False
        if flow.over:
            transport.write(_LAST)
            self._end()
            return False
        sent = flow.sent
        flow.sent = sent + min(flow.script.per_write, flow.most - sent)
        if tokens := flow.script.tokens:
            piece = b"".join(_delta(b'{"content":"%b"}' % token) for token in tokens[sent : flow.sent])
        else:
            piece = _CHUNKS[sent] if flow.sent == sent + 1 else b"".join(_CHUNKS[sent : flow.sent])
        if not sent:
            flow.first_at = time.perf_counter()
            piece = _FIRST + piece
        transport.write(piece)
        return True

    def may_send(self) -> bool:
        flow = self.flow
        if flow is None or self.paused:
            return False
        return flow.over or flow.sent + flow.script.per_write <= flow.delivered + flow.script.window

    def _more(self) -> None:
        if self.flow is not None and not self.flow.script.rate and self.may_send():
            self._pump.add(self)

    def _end(self) -> None:
        if self.flow is not None:
            self.flow.more = None
            self.flow = None


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


_STEPS: Final = 200  # then the readers in the same loop have their turn


class _Timer:
    """The one timer of all answers with a rate: each has its own phase, so they don't speak at the same instants."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._due: list[tuple[float, int, _Connection]] = []
        self._set = False

    def add(self, connection: _Connection, at: float) -> None:
        heapq.heappush(self._due, (at, id(connection), connection))
        if not self._set:
            self._set = True
            self._tick()

    def _tick(self) -> None:
        due, now = self._due, time.perf_counter()
        steps = _STEPS
        while due and due[0][0] <= now and steps:
            steps -= 1
            at, key, connection = due[0]
            flow = connection.flow
            # A reader that does not keep up (`paused`) is offered what it does not take.
            if flow is not None and (connection.paused or connection.step()):
                pause_s = flow.script.per_write / (flow.script.rate * self._upstream.tempo)
                heapq.heapreplace(due, (at + pause_s, key, connection))
            else:
                heapq.heappop(due)
        self._set = bool(due)
        if due:
            # uvloop counts in whole milliseconds.
            asyncio.get_running_loop().call_later(max(due[0][0] - time.perf_counter(), 0.001), self._tick)


class _Pump:
    """Answers as fast as they are read: one write each in every turn of the loop, so that none are joined."""

    def __init__(self) -> None:
        self._ready: dict[_Connection, None] = {}
        self._going = False

    def add(self, connection: _Connection) -> None:
        self._ready[connection] = None
        if not self._going:
            self._going = True
            asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        ready, self._ready = self._ready, {}
        for connection in ready:
            if connection.step() and connection.may_send():
                self._ready[connection] = None
        self._going = bool(self._ready)
        if self._going:
            asyncio.get_running_loop().call_soon(self._round)
