"""The built-in page and the index of the API, each under a policy that lets nothing in from elsewhere."""

import base64
import hashlib
import html
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from legato.web.context import Wiring
from legato.web.replies import Health, documents, openapi, reply

router = APIRouter(tags=["operation"])


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The chat. It holds no data: what it shows it asks for, and that is authorised."""
    content, policy = _page()
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"} | _GUARDS
    return HTMLResponse(content, headers=headers)


@router.get("/healthz", responses=documents(Health))
async def healthz() -> Response:
    """The process answers."""
    return reply(Health("ok"))


@router.get("/readyz", responses=documents(Health))
async def readyz(request: Request) -> Response:
    """The process takes requests: it is started, and not about to stop."""
    wiring: Wiring = request.app.state.wiring
    return reply(Health("ok")) if wiring.ready() else reply(Health("not ready"), 503)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The routes, readable without anything from elsewhere."""
    rows = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('description', ''))}</td></tr>"
        for path, operations in openapi(request.app)["paths"].items()
        for method, operation in operations.items()
    ]
    title = "<!doctype html><title>Legato API</title><h1>Legato API</h1><p><a href='openapi.json'>openapi.json</a></p>"
    body = f"{title}<table>{''.join(rows)}</table>"
    return HTMLResponse(body, headers={"Content-Security-Policy": "default-src 'none'"} | _GUARDS)


_GUARDS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


@cache
def _page() -> tuple[str, str]:
    content = files("legato.web").joinpath("page.html").read_text(encoding="utf-8")
    script, style = (_hashes(content, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; connect-src 'self'; script-src {script}; style-src {style}; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return content, policy


def _hashes(content: str, tag: str) -> str:
    """The sources that allow exactly the inline blocks of this file."""
    blocks = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", content, re.S)
    digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
