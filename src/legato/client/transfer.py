"""Files: sessions out of a server, and into one."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, BinaryIO, Final, Literal
from urllib.parse import quote

import anyio.to_thread
import httpx2
import msgspec

from legato.client.errors import NotLegato, error_from, error_of
from legato.client.http import Http, lost

Format = Literal["markdown", "json", "jsonl", "html"]
Source = Literal["legato", "chatgpt", "claude", "open-webui", "librechat"]

_LINES: Final = "application/x-ndjson"
_CHUNK_BYTES: Final = 256 * 1024
_LONGEST_S: Final = 600.0  # between two lines of an import: a session of any length is one


class LeftOut(msgspec.Struct, frozen=True):
    """Something of a file that was left out or changed: where, what, and why."""

    place: str
    what: str
    why: str


class Imported(msgspec.Struct, frozen=True):
    """A session that came in; ``id`` is its new one, None in a dry run. ``origin`` is what it was: ``chatgpt:…``."""

    origin: str
    id: str | None
    title: str | None
    messages: int


class ImportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came in, what was there before, and what was left out and why; each list has the first 1,000."""

    dry_run: bool
    sessions: int
    messages: int
    known: int
    skipped_count: int
    imported: tuple[Imported, ...] = ()
    known_sessions: tuple[Imported, ...] = ()
    skipped: tuple[LeftOut, ...] = ()


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is."""

    sessions: int
    messages: int
    known: int
    read_bytes: int
    total_bytes: int


class _Line(msgspec.Struct):
    progress: ImportProgress | None = None
    report: ImportReport | None = None
    problem: dict[str, Any] | None = None


class Transfer:
    """What ``AsyncClient`` does with files."""

    _http: Http

    async def export_session(self, session_id: str, format: Format = "json") -> AsyncGenerator[bytes, None]:
        """The session as a file, in pieces. One that breaks off raises."""
        path = f"/v1/sessions/{quote(session_id, safe='')}/export"
        async for piece in self._pieces(path, format):
            yield piece

    async def export_all(self, format: Format = "jsonl") -> AsyncGenerator[bytes, None]:
        """All sessions as one file (``jsonl``, ``markdown`` or ``html``), in pieces, while the server reads them."""
        async for piece in self._pieces("/v1/export", format):
            yield piece

    async def import_file(
        self,
        file: BinaryIO,
        *,
        source: Source | None = None,
        agent_id: str | None = None,
        dry_run: bool = False,
    ) -> AsyncGenerator[ImportProgress | ImportReport, None]:
        """Sessions of a file: ours, or an export of ChatGPT, Claude, Open WebUI or LibreChat.

        How far it is comes now and then, the report last. A second time changes nothing, so it may be tried again.
        ``agent_id``: whose sessions they become that name no agent of this server.
        """
        params = {"dry_run": "true"} if dry_run else {}
        params |= {"format": source} if source else {}
        params |= {"agent_id": agent_id} if agent_id else {}
        try:
            async with self._http.transfer(
                "POST", "/v1/import", params, accept=_LINES, content=_read(file), read_s=_LONGEST_S
            ) as response:
                await _check(response)
                async with aclosing(response.aiter_bytes()) as pieces, aclosing(_lines(pieces)) as lines:
                    async for line in lines:
                        if (step := _step(line)) is not None:
                            yield step
        except httpx2.RequestError as error:
            raise lost(error).error from error

    async def _pieces(self, path: str, format_: Format) -> AsyncGenerator[bytes, None]:
        try:
            async with self._http.transfer("GET", path, {"format": format_}) as response:
                await _check(response)
                async with aclosing(response.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        yield piece
        except httpx2.RequestError as error:
            raise lost(error).error from error


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    while chunk := await anyio.to_thread.run_sync(file.read, _CHUNK_BYTES):
        yield chunk


async def _check(response: httpx2.Response) -> None:
    if not response.is_success:
        await response.aread()
        raise error_from(response)


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line
    yield rest


def _step(line: bytes) -> ImportProgress | ImportReport | None:
    if not line.strip():
        return None
    try:
        said = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError as error:
        raise NotLegato("the import was answered with something else") from error
    if said.problem is not None:
        raise error_of(said.problem)
    return said.progress or said.report
