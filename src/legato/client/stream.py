"""One logical stream over any number of connections.

A connection ends in one of three ways: *refused* (a 4xx: raised), *lost* (cut, silent, unreachable, 5xx) or
*ended* by the server. Lost and ended are the same to us, since a proxy's cut can look like an end: wait,
connect again from where we are. Only who reads the frames knows when it is over.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Final

import httpx2

from legato.client.errors import NotLegato, Unreachable, error_from
from legato.client.http import Failed, Http, Notice, lost, retry_after_s
from legato.client.patience import Backoff
from legato.core.errors import Busy, Unavailable
from legato.core.sse import Frame, Parser

_LATER: Final = frozenset({408, 425, 429})  # refusals of this moment, not of this request


async def _never() -> bool:
    return False


class Stream:
    """Frames of an event stream, over reconnections.

    ``params`` is asked anew for each connection. ``over`` is asked after a connection that brought nothing:
    whether there can be nothing more to come.
    """

    def __init__(
        self,
        http: Http,
        path: str,
        params: Callable[[], Mapping[str, str]] = dict,
        *,
        over: Callable[[], Awaitable[bool]] = _never,
        give_up_after_s: float | None = None,
    ) -> None:
        self._http = http
        self._path = path
        self._params = params
        self._over = over
        self._give_up_after_s = give_up_after_s
        self._backoff = Backoff(http.ambient.random)
        self._alive_at = http.ambient.clock()
        self._is_lost = False

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Every frame of every connection; what a cut broke off in the middle is not among them.

        Raises:
            LegatoError: the server refuses the stream.
            Unreachable: no connection for ``give_up_after_s``.
            NotLegato: an answer that is no event stream.
        """
        while True:
            fruitful = False
            try:
                async with aclosing(self._connection()) as frames:
                    async for frame in frames:
                        fruitful = True
                        yield frame
                if not fruitful and await self._over():
                    return
                failed = Failed(Unreachable("The server ended the stream."))
            except Failed as error:
                failed = error
            except (Unreachable, Busy, Unavailable) as error:  # from asking whether it is over
                failed = Failed(error)
            await self._wait(failed)

    async def _connection(self) -> AsyncGenerator[Frame, None]:
        parser = Parser()
        try:
            async with (
                self._http.stream(self._path, self._params()) as response,
                # Else what reads the connection is closed by the garbage collector, when the loop may be gone.
                aclosing(response.aiter_bytes()) as pieces,
            ):
                await _check(response)
                async for piece in pieces:
                    frames = parser.feed(piece)
                    self._heard(parser, bool(frames))
                    for frame in frames:
                        yield frame
        except httpx2.RequestError as error:
            raise lost(error) from error

    def _heard(self, parser: Parser, frames: bool) -> None:
        if self._is_lost:
            self._is_lost = False
            self._http.notify(Notice("back"))
        if parser.retry_ms is not None:
            self._backoff.begin_at(parser.retry_ms / 1000)
        if frames or parser.alive:  # a server that only greets and dies must not reset the delays
            self._alive_at = self._http.ambient.clock()
            self._backoff.succeeded()

    async def _wait(self, failed: Failed) -> None:
        delay_s = self._backoff.next_s(failed.after_s)
        if self._give_up_after_s is not None:
            left_s = self._alive_at + self._give_up_after_s - self._http.ambient.clock()
            if left_s <= 0:
                raise failed.error from failed.__cause__
            delay_s = min(delay_s, left_s)
        self._is_lost = True
        self._http.notify(Notice("lost", str(failed), delay_s))
        await self._http.ambient.sleep(delay_s)


async def _check(response: httpx2.Response) -> None:
    """Raises what a response that is no event stream stands for."""
    if response.status_code == 200:
        kind = response.headers.get("Content-Type", "")
        if kind.partition(";")[0].strip() == "text/event-stream":
            return
        raise NotLegato(f"{response.request.url} answered with {kind or 'no content type'}, not with an event stream")
    await response.aread()
    error = error_from(response)
    if response.status_code >= 500 or response.status_code in _LATER:
        raise Failed(error, after_s=retry_after_s(response))
    raise error
