"""The page and the index of the API, each under a policy that lets nothing in from elsewhere.

The page is built from ``web/`` into ``dist``: the wheel brings it, ``make serve`` makes it.
"""

import base64
import hashlib
import html
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from legato.core.errors import NotFound
from legato.web.context import Wiring
from legato.web.replies import Health, documents, openapi, reply

router = APIRouter(tags=["operation"])

#: What ``web/build.py`` has built.
DIST: Final = Path(str(files("legato.web"))) / "dist"
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".html": "text/html; charset=utf-8",
}
# No inline script, no foreign address, and no text that becomes HTML or a script: this alone stops an injection. A page of the
# same origin may frame it: a host application has its drawer (`?surface`).
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# For the document in which diagrams are drawn: its one script, which is known by its hash, and no network at all. It has no
# origin, whoever opens it. Mermaid needs styles.
_FRAMED: Final = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-scripts"
)
_GUARDS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "SAMEORIGIN",
}


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The chat. It holds no data: what it shows it asks for, and that is authorised."""
    index = DIST / "index.html"
    if not index.is_file():
        return PlainTextResponse("The page is not built here: run `make page`. The API is at /v1.\n", 404)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"} | _GUARDS
    return FileResponse(index, headers=headers, media_type="text/html; charset=utf-8")


@router.get("/assets/{name}", include_in_schema=False)
async def asset(name: str, request: Request) -> Response:
    """A file of the page; its name tells its content, so whoever has it need not ask again."""
    file = DIST / "assets" / name
    if "/" in name or "\\" in name or file.suffix not in _TYPES or not file.is_file():
        raise NotFound
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"} | _GUARDS
    if file.suffix == ".html":
        headers |= {"Content-Security-Policy": _framed_policy(file)}
    packed = file.with_name(f"{name}.gz")
    if packed.is_file() and "gzip" in request.headers.get("Accept-Encoding", ""):
        return FileResponse(packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=_TYPES[file.suffix])
    return FileResponse(file, headers=headers, media_type=_TYPES[file.suffix])


@cache
def _framed_policy(file: Path) -> str:
    script = file.read_bytes().partition(b"<script>")[2].rpartition(b"</script>")[0]
    return _FRAMED.format(script=base64.b64encode(hashlib.sha256(script).digest()).decode())


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
