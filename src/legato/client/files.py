"""Files to be attached to messages: uploaded first, then named where a message is sent."""

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import anyio
import httpx2

from legato.client.errors import error_from
from legato.client.http import Http, lost
from legato.core.errors import FileNotFound
from legato.core.files import File
from legato.core.text import normalise

_PATH: Final = "/v1/files"


class Files:
    """What ``AsyncClient`` does with attachments."""

    _http: Http

    async def upload(self, content: Path | str | bytes, name: str | None = None) -> File:
        """Uploads a file (a path, or its bytes), to be sent with a message within a day.

        What it is, is told by its bytes. ``name`` is what people see; of a path it is its own if None. Repeated through lost
        connections: at worst the file is there twice, and the one that nobody sends goes.

        Raises:
            FileUnsupported: neither image, PDF nor text. FileTooLarge, FilesFull.
        """
        if not isinstance(content, bytes):
            path = anyio.Path(content)
            name = path.name if name is None else name
            content = await path.read_bytes()
        params = {} if name is None else {"name": normalise(name)}
        return await self._http.call(File, "POST", _PATH, params=params, body=content)

    async def file(self, file_id: str) -> File:
        return await self._http.call(File, "GET", _path(file_id))

    async def file_content(self, file_id: str) -> AsyncGenerator[bytes, None]:
        """A file's bytes, in pieces. One that breaks off raises."""
        try:
            async with self._http.transfer("GET", f"{_path(file_id)}/content", {}) as response:
                if not response.is_success:
                    await response.aread()
                    raise error_from(response)
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx2.RequestError as error:
            raise lost(error).error from error

    async def delete_file(self, file_id: str) -> None:
        """Deletes a file that no message has.

        Raises:
            FileNotFound: there is none (any more). FileInUse: a message has it; it goes with that.
        """
        await self._http.call(type(None), "DELETE", _path(file_id), achieved=FileNotFound)


def message_of(text: str, files: Sequence[File | str]) -> dict[str, Any]:
    """The content of a send. Half a surrogate pair can't travel; the server would replace it by the same rule."""
    if not files:
        return {"text": normalise(text)}
    attached = [{"type": "file", "file_id": file if isinstance(file, str) else file.id} for file in files]
    return {"parts": [*attached, *([{"type": "text", "text": normalise(text)}] if text.strip() else [])]}


def _path(file_id: str) -> str:
    return f"{_PATH}/{quote(file_id, safe='')}"
