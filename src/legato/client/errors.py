"""What a client raises: the server's own errors by their ``code``, and three of its own.

LegatoError
├── … the tree of ``legato.core.errors``, as the server raised it; ``details["status"]`` is the HTTP status
├── Unreachable         no answer: refused, cut, silent, or overloaded for longer than we wait
├── NotLegato           an answer that is not of this protocol
└── RemoteError         an error whose code this version does not know
    └── Unauthenticated
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx2
import msgspec

from legato.core.errors import LegatoError


class Unreachable(LegatoError):
    """The server can't be reached."""

    code = "unreachable"


class NotLegato(LegatoError):
    """What answers there does not speak Legato's protocol."""

    code = "not_legato"


class RemoteError(LegatoError):
    """The server answered with an error. ``details`` has ``status`` and the server's own ``code``."""

    code = "remote_error"


class Unauthenticated(RemoteError):
    """The server wants a token, or another one."""

    code = "unauthenticated"


class _Problem(msgspec.Struct):
    """The fields of problem+json that every error has; the others are details."""

    code: str
    detail: str | None = None
    title: str | None = None


GATEWAY: Final = frozenset({502, 503, 504})  # what a proxy says while the server behind it restarts
_STANDARD: Final = frozenset({"type", "title", "detail", "code", "instance", "status"})


def _tree(root: type[LegatoError]) -> Iterator[type[LegatoError]]:
    yield root
    for branch in root.__subclasses__():
        yield from _tree(branch)


# Only the two modules that the wire knows: an application may have subclasses of its own, with other
# constructors.
_KNOWN: Final = frozenset({LegatoError.__module__, __name__})
_BY_CODE: Final = {kind.code: kind for kind in _tree(LegatoError) if kind.__module__ in _KNOWN}


def error_from(response: httpx2.Response) -> LegatoError:
    """The error that a response stands for; its body must have been read."""
    status = response.status_code
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
        fields = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return _without_problem(response)
    return error_of(fields | {"status": status, "code": problem.code})


def error_of(fields: Mapping[str, Any]) -> LegatoError:
    """The error that a problem document stands for."""
    code = str(fields.get("code"))
    error = _BY_CODE.get(code, RemoteError)(str(fields.get("detail") or fields.get("title") or code))
    error.details.update({name: value for name, value in fields.items() if name not in _STANDARD})
    error.details.update(status=fields.get("status"), code=code)
    return error


def _without_problem(response: httpx2.Response) -> LegatoError:
    """Not ours: from what stands between (a proxy, a gateway), or from something else altogether."""
    status = response.status_code
    message = f"HTTP {status} {response.reason_phrase}".rstrip()
    if status in GATEWAY:
        return Unreachable(message, status=status)
    if status == 401:
        return Unauthenticated(message, status=status)
    return RemoteError(message, status=status, code=None)
