"""The reference for further readers: bare ASGI that writes the frames which Legato writes, to whoever asks."""

import asyncio
import os
from typing import Any, Final

from bench.upstream import WORDS

_PAUSE_S: Final = 1 / float(os.environ["BENCH_RATE"])
_FRAME: Final = (
    b'id: 7f3a9c51.%d\nevent: token\ndata: {"turn_id":"trn_5q0j2c8v9m1x7k3t6h4b0n8rzd","message_id":'
    b'"msg_1c7k9w3m5t0v2x8q4j6h0b9nrz","part":0,"kind":"text","text":"%b"}\n\n'
)
_FRAMES: Final = [_FRAME % (seq, word) for seq, word in enumerate(WORDS[:20_000], 5)]
_HEADERS: Final = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


class _Source:
    """One frame after the other, for everybody."""

    def __init__(self) -> None:
        self.head = 0
        self.news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._speak())

    async def _speak(self) -> None:
        while self.head < len(_FRAMES):
            await asyncio.sleep(_PAUSE_S)
            self.head += 1
            news, self.news = self.news, asyncio.Event()
            news.set()


_source: Final = _Source()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    if scope["path"] != "/frames":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    _source.start()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    position = 0
    while position < len(_FRAMES):
        while position == _source.head:
            await _source.news.wait()
        frames, position = b"".join(_FRAMES[position : _source.head]), _source.head
        await send({"type": "http.response.body", "body": frames, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
