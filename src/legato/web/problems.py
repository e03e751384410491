"""Errors on the wire: application/problem+json (RFC 9457) with a stable ``code``. Here, and only here, errors get a status."""

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from legato.core import errors
from legato.engine.tasks import report

_STATUS: Final[tuple[tuple[type[errors.LegatoError], int], ...]] = (
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.BadCursor, 400),
    (errors.Invalid, 422),
    (errors.Busy, 429),
    (errors.StoreFull, 507),
    (errors.Unavailable, 503),
    (errors.NotStarted, 503),
    (errors.LegatoError, 500),
)
_RETRY_AFTER_S: Final = {429: "5", 503: "2", 507: "5"}


class Unauthenticated(errors.LegatoError):
    """Say who you are."""

    code = "unauthenticated"


class ForbiddenOrigin(errors.LegatoError):
    """This server answers only pages and programs of this machine."""

    code = "forbidden_origin"


class BodyTooLarge(errors.LegatoError):
    """The request's body is too large."""

    code = "body_too_large"


class Stopping(errors.LegatoError):
    """The server is stopping; ask again: another one answers, or this one when it is back."""

    code = "stopping"


def status_of(error: errors.LegatoError) -> int:
    """The HTTP status of an error."""
    match error:
        case Unauthenticated():
            return 401
        case ForbiddenOrigin():
            return 403
        case BodyTooLarge() | errors.FileTooLarge():
            return 413
        case errors.FileUnsupported():
            return 415
        case Stopping():
            return 503
        case _:
            return next(status for kind, status in _STATUS if isinstance(error, kind))


def problem(status: int, code: str, detail: str, **extra: Any) -> Response:
    """A problem document."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail}
    headers = {"Retry-After": _RETRY_AFTER_S[status]} if status in _RETRY_AFTER_S else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body | extra), status, headers, "application/problem+json")


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(errors.LegatoError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def of_error(error: errors.LegatoError) -> Response:
    return problem(status_of(error), error.code, error.message, **error.details)


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.LegatoError)  # noqa: S101 - that is what it is registered for
    if status_of(error) == HTTPStatus.INTERNAL_SERVER_ERROR:
        report(error, "a request failed")
    return of_error(error)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # Where and why; never the input, which is somebody's message. Names of unknown fields come from the request, too.
    found = [
        {"where": errors.cut(".".join(map(str, item["loc"])), 100), "why": errors.cut(item["msg"], 200)}
        for item in error.errors()[:20]
    ]
    return problem(422, errors.Invalid.code, found[0]["where"] + ": " + found[0]["why"], errors=found)


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.__cause__ is not None:  # FastAPI could not read the body; perhaps because we stopped it
        cause = error.__cause__
        return of_error(cause if isinstance(cause, errors.LegatoError) else errors.Invalid("The body is not JSON."))
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    response = problem(error.status_code, code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


class Contained:
    """Answers a bug with a problem and logs where it is. Whoever serves us would log what was said, too (X-05)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:  # the server stops and waits no longer for the store: nobody's bug
            if not started:
                await of_error(Stopping())(scope, receive, send)
            raise
        except Exception as error:
            report(error, "a request failed")
            if started:
                raise RuntimeError("a response broke off") from None  # the connection must not look complete
            await problem(500, "internal_error", "Something went wrong; the server's log has it.")(scope, receive, send)
