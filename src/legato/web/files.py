"""Routes of attachments: uploaded first, then named in a message (promise S-18)."""

import re
import tempfile
from typing import Annotated, Final
from urllib.parse import quote, unquote

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from legato.core.files import IMAGES, NAMELESS, PDF, TEXT, File
from legato.web.bodies import Text
from legato.web.context import Asking
from legato.web.replies import documents, reply
from legato.web.streams import FileStream
from legato.web.transfer import receive

UPLOAD: Final = "/v1/files"

router = APIRouter(prefix=UPLOAD, tags=["files"])

_ANY: Final = "application/octet-stream"
_BINARY: Final = {_ANY: {"schema": {"type": "string", "format": "binary"}}}
_BODY: Final = {"requestBody": {"required": True, "content": _BINARY}}
_CONTENT: Final = {
    200: {"description": "The file.", "content": dict.fromkeys((*IMAGES, PDF, TEXT), _BINARY[_ANY])},
    **{status: said for status, said in documents(None).items() if status != 200},
}
_EXTENDED: Final = re.compile(r"filename\*\s*=\s*utf-8''([^;\s]+)", re.IGNORECASE)
_PLAIN: Final = re.compile(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))', re.IGNORECASE)
_UNPRINTED: Final = re.compile(r'[^\x20-\x7e]|["\\]')


@router.post("", status_code=201, responses=documents(File, 201), openapi_extra=_BODY)
async def upload(
    asking: Asking,
    request: Request,
    name: Annotated[Text | None, Query(max_length=4096)] = None,
    content_disposition: Annotated[str | None, Header(max_length=8192)] = None,
) -> Response:
    """Upload a file; the body is its bytes, which alone say what it is. A message may have it then, for a day."""
    attachments = asking.engine.attachments
    with attachments.uploading(asking.owner), tempfile.TemporaryFile() as file:  # it has no name, and mode 0600
        await receive(request, file)
        file.seek(0)
        said = name if name is not None else _name(content_disposition or "")
        return reply(await attachments.keep(asking.owner, file, said), 201)


@router.get("/{file_id}", responses=documents(File))
async def get_file(asking: Asking, file_id: Text) -> Response:
    """What is known of a file."""
    return reply(await asking.engine.attachments.get(asking.owner, file_id))


@router.get("/{file_id}/content", responses=_CONTENT)
async def get_content(asking: Asking, file_id: Text) -> Response:
    """Its bytes. A browser shows images, and saves everything else."""
    attachments = asking.engine.attachments
    file = await attachments.get(asking.owner, file_id)
    response = FileStream(await attachments.content(asking.owner, file), file.media_type, _headers(file))
    response.headers["Content-Length"] = str(file.size)
    return response


@router.delete("/{file_id}", status_code=204, responses=documents(None, 204))
async def delete_file(asking: Asking, file_id: Text) -> Response:
    """Delete a file that no message has. What a message has goes with it."""
    await asking.engine.attachments.remove(asking.owner, file_id)
    return Response(status_code=204)


def _headers(file: File) -> dict[str, str]:
    """Somebody's bytes on our origin: never to be taken for a page or a script of ours, whatever they look like."""
    how = "inline" if file.media_type in IMAGES else "attachment"
    plain = _UNPRINTED.sub("_", file.name)
    return {
        "Content-Disposition": f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def _name(disposition: str) -> str:
    """The name in a ``Content-Disposition`` (RFC 6266)."""
    if (extended := _EXTENDED.search(disposition)) is not None:
        return unquote(extended[1])
    if (plain := _PLAIN.search(disposition)) is not None:
        return re.sub(r"\\(.)", r"\1", plain[1]) if plain[1] is not None else plain[2]
    return NAMELESS
