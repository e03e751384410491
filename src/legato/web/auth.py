"""Who asks. An authenticator looks at a request and names the owner; a host application brings its own.

async def my_user(request: Request) -> str | None: ...
"""

import hmac
import inspect
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request

from legato.web.problems import ForbiddenOrigin, Unauthenticated

#: The owner's stable id (at most 255 characters), or None for somebody unknown. May be a coroutine function.
Authenticate = Callable[[Request], str | Awaitable[str | None] | None]

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


async def owner_of(request: Request, authenticate: Authenticate) -> str:
    """The owner who asks.

    Raises:
        Unauthenticated, ForbiddenOrigin.
    """
    found = authenticate(request)
    owner = await found if inspect.isawaitable(found) else found
    if not owner or len(owner) > 255:
        raise Unauthenticated
    return owner


def refuse_foreign_pages(request: Request) -> None:
    """Other sites' pages can make a browser send requests here, but can't hide where they come from.

    Whatever the method: who comes to a session by GET may begin one, or close one that was silent for too long. Links from
    other sites lead to the built-in page, which asks nobody who he is, and whose own requests are let through.

    Raises:
        ForbiddenOrigin.
    """
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise ForbiddenOrigin
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise ForbiddenOrigin


class LoopbackUser:
    """The single user of this machine: no login, and nobody else gets in.

    A name that a foreign site points at 127.0.0.1 (DNS rebinding) is recognised by the Host header.
    """

    def __init__(self, owner: str = "local") -> None:
        self._owner = owner

    def __call__(self, request: Request) -> str | None:
        client = request.client.host if request.client else ""
        if client not in _LOCAL or request.url.hostname not in _LOCAL:
            raise ForbiddenOrigin
        refuse_foreign_pages(request)
        return self._owner


class BearerToken:
    """One owner behind one secret: ``Authorization: Bearer …``.

    A proxy may add it to whatever a browser sends, and other sites' pages could use that: they are refused, unless the host
    application says with ``foreign_pages`` that it looks after that itself (CORS). Programs don't say from what page they ask.
    """

    def __init__(self, token: str, owner: str = "local", *, foreign_pages: bool = False) -> None:
        self._token = token.encode()
        self._owner = owner
        self._foreign_pages = foreign_pages

    def __call__(self, request: Request) -> str | None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
            return None
        if not self._foreign_pages:
            refuse_foreign_pages(request)
        return self._owner


def is_loopback(host: str) -> bool:
    """Whether a listening address is reachable from this machine only."""
    return host in _LOCAL or host.startswith("127.")
