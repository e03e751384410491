"""One request and its answer: repeated while that is safe and the deadline allows, else one clear error."""

import ssl
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from legato.client.errors import GATEWAY, NotLegato, Unreachable, error_from
from legato.client.patience import Ambient, Backoff, Patience
from legato.core.errors import Busy, LegatoError, Misuse, QueueFull, Unavailable

T = TypeVar("T")

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_UNSENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_MOST_BETWEEN_CALLS_S: Final = 4.0


@dataclass(frozen=True)
class Notice:
    """Something a person may want to see: the connection was lost (and when we try again), or it is back."""

    what: Literal["lost", "back"]
    reason: str = ""
    retry_in_s: float = 0.0


class Failed(Exception):
    """An attempt that may be worth another one; ``error`` is what to raise if there is none."""

    def __init__(self, error: LegatoError, *, sent: bool = True, after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.sent = sent
        self.after_s = after_s


class Http:
    """The connections to one server."""

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None,
        headers: Mapping[str, str] | None,
        patience: Patience,
        ambient: Ambient,
        notify: Callable[[Notice], None],
        verify: ssl.SSLContext | bool,
    ) -> None:
        host = _host(base_url)
        self.patience = patience
        self.ambient = ambient
        self.notify = notify
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers=dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {}),
            # Loading the machine's certificates takes a fifth of a second, for nothing where there is no TLS.
            verify=verify if base_url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            # Streams hold a connection each: a limit would let them starve the calls.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            # A proxy from the environment can't reach our own machine.
            trust_env=host not in _LOOPBACK,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        into: type[T],
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        repeatable: bool = True,
        achieved: type[LegatoError] | None = None,
    ) -> T:
        """The answer, decoded as ``into``. A ``body`` of bytes goes as it is, any other as JSON.

        Not ``repeatable`` means that a second execution would do harm: such a call is sent again only while
        no connection was made. ``achieved`` is what the server raises where an earlier attempt, whose answer
        was lost, got through: then that is no error.

        Raises:
            LegatoError: as the server raised it.
            Unreachable: no answer within the patience.
            NotLegato: an answer of another shape.
        """
        content = await self._persist(method, path, params, body, repeatable, achieved or ())
        return into() if into is type(None) else decode(into, content, f"{method} {path}")

    async def _persist(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: object,
        repeatable: bool,
        achieved: type[LegatoError] | tuple[()],
    ) -> bytes:
        clock, backoff = (
            self.ambient.clock,
            Backoff(self.ambient.random, first_s=0.2, most_s=_MOST_BETWEEN_CALLS_S),
        )
        deadline = clock() + self.patience.retry_for_s
        sent_before = False
        while True:
            timeout_s = min(self.patience.timeout_s, deadline - clock())
            try:
                content = await self._attempt(method, path, params, body, timeout_s)
                if backoff.failures:
                    self.notify(Notice("back"))
                return content
            except achieved:
                if not sent_before:
                    raise
                return b""
            except Failed as failed:
                sent_before |= failed.sent
                delay_s = backoff.next_s(failed.after_s)
                if (failed.sent and not repeatable) or clock() + delay_s >= deadline:
                    raise failed.error from failed.__cause__
                self.notify(Notice("lost", str(failed), delay_s))
            await self.ambient.sleep(delay_s)

    async def _attempt(
        self, method: str, path: str, params: Mapping[str, str] | None, body: object, timeout_s: float
    ) -> bytes:
        raw = isinstance(body, bytes)  # a file
        content = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        kind = "application/octet-stream" if raw else "application/json"
        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if content else {})
        try:
            response = await self._http.request(
                method, path, params=params, content=content, headers=headers, timeout=timeout_s
            )
        except httpx2.RequestError as error:
            raise lost(error) from error
        if response.is_success:
            return response.content
        raise self._refusal(response)

    def _refusal(self, response: httpx2.Response) -> Exception:
        """What an unsuccessful response raises: ``Failed`` where waiting may help."""
        error = error_from(response)
        busy = isinstance(error, Busy | Unavailable) and not isinstance(error, QueueFull)
        if response.status_code in GATEWAY or busy:
            return Failed(error, after_s=retry_after_s(response))
        return error

    def transfer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        *,
        accept: str = "*/*",
        content: AsyncIterable[bytes] | None = None,
        read_s: float | None = None,
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        """A context with the response of a file's way, unread; once, as nobody can tell how far it got."""
        timeout = httpx2.Timeout(self.patience.timeout_s, read=read_s or self.patience.silence_s, write=read_s)
        headers = {"Accept": accept} | ({"Content-Type": "application/octet-stream"} if content else {})
        return self._http.stream(method, path, params=params, content=content, headers=headers, timeout=timeout)

    def stream(self, path: str, params: Mapping[str, str]) -> AbstractAsyncContextManager[httpx2.Response]:
        """A context with the response of an event stream, unread."""
        timeout = httpx2.Timeout(self.patience.timeout_s, read=self.patience.silence_s)
        # Uncompressed: what a cut leaves is readable to its last byte, and no one in between waits for a full
        # block.
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        return self._http.stream("GET", path, params=params, headers=headers, timeout=timeout)


def decode(into: type[T], content: bytes | str, asked: str) -> T:
    """The answer to what was ``asked``.

    Raises:
        NotLegato: it has another shape.
    """
    try:
        return msgspec.json.decode(content, type=into)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotLegato(f"{asked} was answered with something else: {error}") from error


def _host(base_url: str) -> str:
    try:
        url = urlsplit(base_url)
        if url.scheme in ("http", "https") and url.hostname:
            return url.hostname
    except ValueError:
        pass
    raise Misuse(f"{base_url!r} is not the address of a server; write it as http://host:port")


def retry_after_s(response: httpx2.Response) -> float:
    """The ``Retry-After`` of a response in seconds; 0 without one. (Nobody here writes the form with a date.)"""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0.0


def lost(error: httpx2.RequestError) -> Failed:
    """Trouble with the connection, in words."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        message = f"The server at {error.request.url.copy_with(raw_path=b'/')} can't be reached."
    elif isinstance(error, httpx2.TimeoutException):
        message = "The server was silent for too long."
    else:
        message = "The connection to the server was lost."
    return Failed(Unreachable(message, reason=str(error)), sent=not isinstance(error, _UNSENT))
