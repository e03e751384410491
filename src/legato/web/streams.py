"""Server-sent events as we write them: frames joined, comments when silent, ended at a frame's boundary.

No database connection and no agent's code lives in a response; it reads the hub and writes the socket. The client's
going away cancels the writing, and nothing else.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from functools import partial
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from legato.core.errors import LegatoError
from legato.core.events import Snapshot, encode_data
from legato.core.model import State
from legato.core.sse import KEEP_ALIVE, encode_frame, encode_retry
from legato.engine.hub import Reader
from legato.engine.lists import Watcher
from legato.engine.private import Private
from legato.engine.tasks import report
from legato.web.settings import WebSettings

_HEADERS: Final = {
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


#: Where a route leaves its stream for ``Streaming``, in the request's scope.
_LEFT: Final = "legato.streams"


class EventStream(Response):
    """A response that writes what ``frames`` yields until it ends or the client goes.

    Called by its route it only leaves itself in the scope: ``Streaming`` runs it when the route and everything around it have
    returned, so that an open stream holds none of their frames, and each write goes straight to the server.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncIterator[bytes],
        headers: dict[str, str] | None = None,
        abandoned: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(headers=_HEADERS | (headers or {}))
        del self.headers["content-length"]
        self._frames = frames
        self._abandoned = abandoned
        self._ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_LEFT].append(self)

    async def run(self, receive: Receive, send: Send) -> None:
        """Answer the request."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self.raw_headers = []
        writing = asyncio.get_running_loop().create_task(self._write(send), name="stream")
        writing.add_done_callback(partial(_wake_on_failure, asyncio.current_task()))
        try:
            # Also what a server says when the response is complete.
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if not _failed(writing):
                raise
            _uncancel(asyncio.current_task())
        finally:
            writing.cancel()
            await asyncio.wait([writing])
        if not writing.cancelled():
            writing.result()
        if not self._ended and self._abandoned is not None:
            await self._abandoned()

    async def _write(self, send: Send) -> None:
        try:
            async with aclosing(self._frames) as frames:  # type: ignore[type-var]
                async for chunk in frames:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    del chunk  # not to be held while nothing happens
        except LegatoError as error:
            report(error, "a stream broke")  # an end without `done`: the reader comes back
        self._ended = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class FileStream(EventStream):
    """A file that is written as it is read. One that breaks off must not look complete: the connection breaks, too.

    ``let_go`` is called when it is over, whether or not any of it was written.
    """

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        media_type: str,
        headers: dict[str, str] | None = None,
        let_go: Callable[[], None] = lambda: None,
    ) -> None:
        self.media_type = media_type
        super().__init__(pieces, headers)
        self._let_go = let_go

    async def run(self, receive: Receive, send: Send) -> None:
        try:
            await super().run(receive, send)
        finally:
            self._let_go()

    async def _write(self, send: Send) -> None:
        async with aclosing(self._frames) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._ended = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _failed(writing: "asyncio.Task[None]") -> bool:
    return writing.done() and not writing.cancelled() and writing.exception() is not None


def _wake_on_failure(owner: "asyncio.Task[Any] | None", writing: "asyncio.Task[None]") -> None:
    """A writer that breaks ends the response; nothing else would wake who waits for the client to go."""
    if owner is not None and _failed(writing):
        owner.cancel()


def _uncancel(task: "asyncio.Task[Any] | None") -> None:
    if task is not None:
        task.uncancel()


class Streaming:
    """The outermost layer: runs the stream that a route has left, when the application is done with the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left: list[EventStream] = []
        brought = {*scope, _LEFT}
        scope[_LEFT] = left
        await self._app(scope, receive, send)
        if left:
            for added in scope.keys() - brought:  # a stream may last for days, and needs none of it
                del scope[added]
            try:
                await left.pop().run(receive, send)
            except Exception as error:
                report(error, "a stream broke")
                raise RuntimeError("a response broke off") from None  # the connection must not look complete


def _retry(settings: WebSettings) -> bytes:
    return encode_retry(random.randint(*settings.retry_ms))  # noqa: S311 - spreads reconnects


def snapshot_frame(state: State, cursor: str) -> bytes:
    """The whole state as an event of its own, for readers whose cursor leads nowhere."""
    return encode_frame(b"snapshot", encode_data(Snapshot(state=state)), cursor.encode())


async def journal_frames(
    following: AbstractContextManager[Reader],
    settings: WebSettings,
    first: bytes = b"",
    until: "Until | None" = None,
) -> AsyncIterator[bytes]:
    """A session's events from the reader's position on; for ever, or until a turn is over."""
    with following as reader:
        yield _retry(settings) + first
        del first  # what an open stream holds is held for days
        while not reader.stopped and not (until is not None and until.over(reader.position)):
            chunk = await reader.next(settings.heartbeat_s)
            frames = KEEP_ALIVE if chunk is None else chunk.frames
            if until is not None and (end := until.cut(frames)):
                yield frames[:end]
                return
            if frames and not reader.stopped:
                yield frames
            del chunk, frames
        if reader.stopped:
            yield _retry(settings)


async def private_frames(answer: Private, settings: WebSettings) -> AsyncIterator[bytes]:
    """An answer that nobody stores; it ends when its reader goes. No ``retry:``: there is nothing to come back to."""
    try:
        while (frames := await answer.next(settings.heartbeat_s)) is not None:
            yield frames or KEEP_ALIVE
            del frames
    finally:
        answer.stop("abandoned")


class Until:
    """Knows the ``done`` of one turn among frames, or the seq that it has already."""

    def __init__(self, turn_id: str, done_seq: int | None) -> None:
        self._done_seq = done_seq
        # What agents and users write stands inside JSON, where a line break is escaped: it can't look like these.
        # A snapshot of the whole state (the session was cleared) takes the place of everything before it, any `done` too.
        self._done = f'event: done\ndata: {{"turn_id":"{turn_id}"'.encode()
        self._anew = b'event: snapshot\ndata: {"state"'

    def over(self, position: int) -> bool:
        return self._done_seq is not None and position >= self._done_seq

    def cut(self, frames: bytes) -> int:
        """Where the turn's ``done`` ends; 0 when it isn't here."""
        done, anew = frames.find(self._done), frames.find(self._anew)
        if done < 0 and anew < 0:
            return 0
        first = anew if done < 0 else done if anew < 0 else min(done, anew)
        return frames.index(b"\n\n", first) + 2


async def list_frames(
    watching: AbstractContextManager[Watcher], stopped: Callable[[], bool], settings: WebSettings
) -> AsyncIterator[bytes]:
    """An owner's live list."""
    with watching as watcher:
        yield _retry(settings)
        while not stopped():
            hints = await watcher.next(settings.heartbeat_s)
            frames = [_hint(session_id, what) for session_id, what in hints.items()]
            yield b"".join(frames) or KEEP_ALIVE
        yield _retry(settings)


def _hint(session_id: str, what: str) -> bytes:
    data = {"session_id": session_id, "what": what} if session_id else {"what": what}
    return encode_frame(b"list", msgspec.json.encode(data))
