"""Routes of files: sessions out, sessions in."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Annotated, Any, BinaryIO, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from legato.core.errors import Invalid, LegatoError
from legato.engine.tasks import report
from legato.transfer.reading import Source
from legato.transfer.report import ImportProgress, ImportReport
from legato.transfer.writing import MEDIA_TYPES, SUFFIXES, Format
from legato.web.bodies import Text
from legato.web.context import Asking
from legato.web.problems import of_error, status_of
from legato.web.replies import documents, reply
from legato.web.streams import FileStream

IMPORT: Final = "/v1/import"
_LINES: Final = "application/x-ndjson"
_WRITE_BYTES: Final = 1 << 20
# How long an upload may take: so long, and longer with each byte that comes.
_PATIENCE_S: Final = 60.0
_SLOWEST: Final = 32 * 1024  # bytes a second

router = APIRouter(tags=["transfer"])


def _files(*formats: Format) -> dict[int | str, dict[str, Any]]:
    content = {
        MEDIA_TYPES[each].partition(";")[0]: {"schema": {"type": "object" if each == "json" else "string"}}
        for each in formats
    }
    return {
        200: {"description": "The file.", "content": content},
        **{k: v for k, v in documents(None).items() if k != 200},
    }


@router.get("/v1/sessions/{session_id}/export", responses=_files("markdown", "json", "jsonl", "html"))
async def export_session(
    asking: Asking, session_id: Text, format_: Annotated[Format, Query(alias="format")] = "json"
) -> Response:
    """The session as a file. JSON and JSON lines have all of it, and can be imported; Markdown and HTML the active branch."""
    pieces = await asking.engine.exporting.one(asking.owner, session_id, format_)
    return _file(pieces, format_, session_id)


@router.get("/v1/export", responses=_files("jsonl", "markdown", "html"))
async def export_all(
    asking: Asking, format_: Annotated[Literal["jsonl", "markdown", "html"], Query(alias="format")] = "jsonl"
) -> Response:
    """All your sessions as one file, the oldest first, written while it is read."""
    return _file(asking.engine.exporting.all(asking.owner, format_), format_, "legato")


def _file(pieces: AsyncIterator[bytes], format_: Format, name: str) -> Response:
    # The name has only what an id has. An HTML file is not to be opened by the browser as a page of this server's.
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{SUFFIXES[format_]}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    }
    return FileStream(pieces, MEDIA_TYPES[format_], headers)


_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(IMPORT, responses=documents(ImportReport), openapi_extra=_BODY)
async def import_file(
    asking: Asking,
    request: Request,
    source: Annotated[Source | None, Query(alias="format")] = None,
    agent_id: Text | None = None,
    dry_run: bool = False,
) -> Response:
    """Import a file: ours, or an export of ChatGPT, Claude, Open WebUI or LibreChat. A second time changes nothing.

    With ``Accept: application/x-ndjson`` lines come as it goes on: ``progress``, and ``report`` or ``problem`` at the end.
    """
    importing = asking.engine.importing
    importing.agent(agent_id)  # before anybody uploads for nothing
    with ExitStack() as held:
        with importing.uploading(asking.owner):
            file = held.enter_context(tempfile.TemporaryFile())  # it has no name, and mode 0600
            await receive(request, file)
        held.enter_context(importing.place())
        steps = importing.run(asking.owner, file, source=source, agent_id=agent_id, dry_run=dry_run)
        if _LINES in request.headers.get("accept", ""):
            return FileStream(_told(steps), _LINES, let_go=held.pop_all().close)
        async for step in steps:
            if isinstance(step, ImportReport):
                return reply(step)
        raise AssertionError("an import ends with its report")


async def receive(request: Request, file: BinaryIO) -> None:
    """The body into a file, with a megabyte of it in memory. Who sends it too slowly is not waited for.

    Raises Invalid: it broke off, came too slowly, or is empty.
    """
    waiting = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE_S) as patience:
            async for chunk in request.stream():
                patience.reschedule((patience.when() or 0.0) + len(chunk) / _SLOWEST)
                waiting += chunk
                if len(waiting) >= _WRITE_BYTES:
                    await asyncio.to_thread(file.write, bytes(waiting))
                    waiting.clear()
    except ClientDisconnect as error:
        raise Invalid("The connection was lost before the file was whole.") from error
    except TimeoutError as error:
        raise Invalid("The file came too slowly.") from error
    await asyncio.to_thread(file.write, bytes(waiting))
    if not await asyncio.to_thread(file.tell):
        raise Invalid("The file is empty.")


async def _told(steps: AsyncIterator[ImportProgress | ImportReport]) -> AsyncIterator[bytes]:
    """Each step as a line; what goes wrong is the last one, as the answer has begun already."""
    try:
        async for step in steps:
            kind = "progress" if isinstance(step, ImportProgress) else "report"
            yield msgspec.json.encode({"type": kind, kind: step}) + b"\n"
    except LegatoError as error:
        if status_of(error) >= 500:
            report(error, "an import failed")
        yield b'{"type":"problem","problem":' + bytes(of_error(error).body) + b"}\n"
