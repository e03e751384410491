"""For a host's own routes: its events as a stream, and our errors in its application."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from starlette.responses import StreamingResponse

from legato.core.errors import Unavailable
from legato.core.sse import KEEP_ALIVE, encode_frame
from legato.web.problems import install as install
from legato.web.replies import reply as reply

#: An event's type, and its data (anything that is JSON).
Told = tuple[str, object]

_HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}


def event_stream(
    events: AsyncIterator[Told], *, keep_alive_s: float = 15.0, headers: dict[str, str] | None = None
) -> StreamingResponse:
    """A response that writes events as they come, and ``:keep-alive`` where none comes. Whoever goes away ends no turn."""
    frames = _frames(events, keep_alive_s)
    return StreamingResponse(frames, media_type="text/event-stream", headers=_HEADERS | (headers or {}))


async def _frames(events: AsyncIterator[Told], keep_alive_s: float) -> AsyncIterator[bytes]:
    coming: asyncio.Task[Told] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([coming], timeout=keep_alive_s)
            if not done:
                yield KEEP_ALIVE
                continue
            finished, coming = coming, None
            try:
                kind, data = finished.result()
            except (StopAsyncIteration, Unavailable):
                return  # without a `done` it is not the end: whoever reads comes back
            yield encode_frame(kind.encode(), msgspec.json.encode(data))
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])
        if (close := getattr(events, "aclose", None)) is not None:
            await close()
