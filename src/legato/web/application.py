"""The HTTP application: routes, errors, limits. It may be mounted under any path, several times."""

from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from legato.engine.engine import Engine
from legato.web import (
    approvals,
    branches,
    catalog,
    diagnostics,
    events,
    files,
    memories,
    page,
    problems,
    search,
    sessions,
    transfer,
    turns,
    usage,
)
from legato.web.auth import Authenticate
from legato.web.context import Wiring
from legato.web.limits import BodyLimit
from legato.web.replies import openapi
from legato.web.settings import WebSettings
from legato.web.streams import Streaming

_DESCRIPTION = (
    "LLM conversations that stay unbroken: sessions, turns that run in the background, and a journal to follow."
)


class _Application(FastAPI):
    """FastAPI, with the streams outside of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await Streaming(super().__call__)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    *,
    engine: Callable[[], Engine],
    ready: Callable[[], bool],
    auth: Authenticate,
    settings: WebSettings,
) -> ASGIApp:
    """``engine`` is asked for at each request and raises NotStarted before there is one."""
    app = _Application(
        title="Legato",
        version=version("legato"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.wiring = Wiring(engine, ready, auth, settings)
    problems.install(app)
    for module in (
        sessions,
        turns,
        branches,
        events,
        approvals,
        search,
        memories,
        usage,
        diagnostics,
        files,
        transfer,
        catalog,
        page,
    ):
        app.include_router(module.router)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    larger = {transfer.IMPORT: settings.max_import_bytes, files.UPLOAD: settings.max_file_bytes}
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, other=larger)
    app.add_middleware(problems.Contained)
    return app
