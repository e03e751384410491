"""The way to a model's server over HTTP: what is the same whatever words the server speaks.

A request is tried again, with growing and jittered pauses, until its first token; after that nothing is,
because what was streamed can't be taken back.
"""

import asyncio
import contextlib
import io
import logging
import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import aiohttp

from legato.core.errors import (
    Misuse,
    ProviderBusy,
    ProviderError,
    ProviderNonsense,
    ProviderTimeout,
    ProviderUnreachable,
)
from legato.providers.answer import Answer
from legato.providers.interpreter import Interpreter
from legato.providers.options import Options
from legato.providers.pace import Pace
from legato.providers.port import Delta, ModelRequest
from legato.providers.refusal import is_transient, may_pass, refusal, retry_after_s
from legato.providers.slots import Slots

_log: Final = logging.getLogger(__name__)
_MAX_PAUSE_S: Final = 8.0
_FAREWELL_S: Final = 1.0
_LARGE_BYTES: Final = 1 << 19
_MAX_REFUSAL_BYTES: Final = 65_536
_STREAM_TYPES: Final = ("text/event-stream", "application/octet-stream")  # the latter: no type was named


class _Transient(Exception):
    """Another try may help; ``wait_s`` is what the server asks for."""

    def __init__(self, error: ProviderError, wait_s: float | None = None) -> None:
        self.error = error
        self.wait_s = wait_s


class HttpProvider(ABC):
    """The provider ``name`` at ``options.base_url``. ``sleep``, ``jitter`` (0 to 1) and ``pace`` are for tests."""

    def __init__(
        self,
        *,
        name: str,
        options: Options,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        pace: Pace | None = None,
    ) -> None:
        self.name = name
        self._options = options
        self._sleep = sleep
        self._jitter = jitter
        self._http: aiohttp.ClientSession | None = None
        self._url = options.base_url.rstrip("/") + self._path()
        self._slots = Slots(options.max_concurrent)
        self._pace = pace or Pace(options.requests_per_minute)

    @abstractmethod
    def _path(self) -> str:
        """What comes after the base URL."""

    @abstractmethod
    def _credentials(self) -> dict[str, str]:
        """The headers that say who we are; those of the options come after them."""

    @abstractmethod
    def _encode(self, request: ModelRequest) -> bytes:
        """The body of a request."""

    @abstractmethod
    def _interpreter(self, request: ModelRequest) -> Interpreter:
        """What understands its answer."""

    async def start(self) -> None:
        options = self._options
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        self._http = aiohttp.ClientSession(
            headers=headers | self._credentials() | options.headers,
            connector=_connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=options.connect_timeout_s),
        )

    async def stop(self) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See ``Provider.stream``."""
        body = await self._encoded(request)
        async with self._slots.taken(background=request.background):
            answer, deltas = await self._begin(request, body)
            try:
                while deltas:
                    for delta in deltas:
                        yield delta
                    deltas = await answer.read(self._options.between_tokens_timeout_s)
            except ProviderError as error:
                raise self._redacted(error) from error.__cause__
            finally:
                answer.close()

    async def _encoded(self, request: ModelRequest) -> bytes:
        """Megabytes of images are encoded beside the event loop."""
        if any(message.files for message in request.messages):
            return await asyncio.to_thread(self._encode, request)
        return self._encode(request)

    async def _begin(self, request: ModelRequest, body: bytes) -> tuple[Answer, list[Delta]]:
        """An answer and its first deltas, after as many tries as it may take."""
        tried = 0
        while True:
            await self._permitted(background=request.background)
            try:
                return await self._in_time(request, body)
            except _Transient as transient:
                if tried == self._options.retries:
                    raise self._redacted(transient.error) from transient.__cause__
                pause = self._pause_s(tried) if transient.wait_s is None else transient.wait_s
                tried += 1
                code = transient.error.code
                _log.warning("provider %s: %s, retry %d in %.1f s", self.name, code, tried, pause)
                await self._sleep(pause)
            except ProviderError as error:
                raise self._redacted(error) from error.__cause__

    def _pause_s(self, tried: int) -> float:
        return min(self._options.backoff_s * 2.0**tried, _MAX_PAUSE_S) * (0.5 + self._jitter() / 2)

    async def _permitted(self, *, background: bool) -> None:
        """Wait until our own rate allows a request; it counts against no time-out but this one."""
        limit = self._options.first_token_timeout_s
        try:
            async with asyncio.timeout(limit):
                await self._pace.permit(background=background)
        except TimeoutError as error:
            said = f"Our own limit of requests a minute left no room for this one within {limit:g} s."
            raise ProviderBusy(said) from error

    async def _in_time(self, request: ModelRequest, body: bytes) -> tuple[Answer, list[Delta]]:
        limit = self._options.first_token_timeout_s
        try:
            async with asyncio.timeout(limit):
                return await self._try(request, body)
        except TimeoutError as error:
            said = f"The model's provider did not begin to answer within {limit:g} s."
            raise ProviderTimeout(said) from error

    async def _try(self, request: ModelRequest, body: bytes) -> tuple[Answer, list[Delta]]:
        response = await self._post(body)
        answer = Answer(response, self._interpreter(request))
        try:
            await self._check(response)
            return answer, await answer.read(self._options.first_token_timeout_s)
        except BaseException as error:
            answer.close()
            if isinstance(error, ProviderError) and may_pass(error):
                raise _Transient(error) from error.__cause__
            raise

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        if self._http is None:
            raise Misuse(f"The provider {self.name!r} was not started.")
        try:
            # Of megabytes aiohttp would write all at once, and warns.
            data = io.BytesIO(body) if len(body) > _LARGE_BYTES else body
            return await self._http.post(self._url, data=data, allow_redirects=False)
        except aiohttp.ClientResponseError as error:
            raise ProviderNonsense("What answers at the model's provider does not speak HTTP.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Transient(ProviderUnreachable()) from error

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200 and response.content_type in _STREAM_TYPES:
            return
        said = bytearray()
        with contextlib.suppress(aiohttp.ClientError):
            while len(said) < _MAX_REFUSAL_BYTES and (piece := await response.content.readany()):
                said += piece
        error = refusal(response.status, response.content_type, bytes(said))
        if is_transient(response.status):
            raise _Transient(error, retry_after_s(response.headers))
        raise error

    def _redacted(self, error: ProviderError) -> ProviderError:
        return type(error)(self._options.redacted(error.message))


def _connector() -> aiohttp.TCPConnector:
    """One that lets go of a connection under TLS within a second, whether the server says farewell or not (promise R-04).

    The event loop would wait half a minute for it, and aiohttp leaves that to the loop: what it offers instead of the
    option that it calls deprecated takes effect only when the whole connector is closed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return aiohttp.TCPConnector(limit=0, ssl_shutdown_timeout=_FAREWELL_S)
