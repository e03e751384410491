"""PostgreSQL's LISTEN and NOTIFY as the doorbell: one connection a process, however many readers it has.

NOTIFY takes a global lock at commit and carries at most 8,000 bytes: what is rung while one is on its way goes together in
the next, as "look at these", or "look at all" where they are too many. The connection runs with synchronous_commit off:
a ring needs no disk. When it breaks, a new one is opened and everybody looks at everything, as rings may be lost.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterable
from typing import Any, Final

import asyncpg

from legato.doorbell.port import Heard

CHANNEL: Final = "legato"
_MAX_BYTES: Final = 7_500
_ALL: Final = "*"
_RETRY_S: Final = 1.0

log = logging.getLogger("legato.doorbell")


class PostgresDoorbell:
    def __init__(self, *, url: str) -> None:
        self._url = url
        self._name = secrets.token_hex(8)  # ours, so that we don't wake ourselves
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._heard: Heard | None = None

    async def start(self, heard: Heard) -> None:
        self._heard = heard
        self._task = asyncio.create_task(self._run(), name="doorbell")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def ring(self, session_ids: Iterable[str]) -> None:
        self._waiting.update(session_ids)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._serve()
            except Exception as error:  # whatever it was: without a doorbell everything is only slower
                log.warning("the doorbell's connection broke: %s", type(error).__name__)
            await asyncio.sleep(_RETRY_S)

    async def _serve(self) -> None:
        settings = {"application_name": "legato-doorbell", "synchronous_commit": "off"}
        connection: Any = await asyncpg.connect(self._url, server_settings=settings, timeout=5)
        try:
            connection.add_termination_listener(lambda _connection: self._wake.set())
            await connection.add_listener(CHANNEL, self._on_notify)
            self._tell(None)  # what was rung while nobody listened
            while not connection.is_closed():
                await self._wake.wait()
                self._wake.clear()
                await self._notify(connection)
        finally:
            connection.terminate()

    async def _notify(self, connection: Any) -> None:
        if not self._waiting:
            return
        ids, self._waiting = self._waiting, set()
        payload = f"{self._name} {','.join(sorted(ids))}"
        if len(payload) > _MAX_BYTES:
            payload = f"{self._name} {_ALL}"
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload, timeout=5)

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        name, _, ids = payload.partition(" ")
        if name != self._name:
            self._tell(None if ids == _ALL else ids.split(","))

    def _tell(self, ids: Iterable[str] | None) -> None:
        if self._heard is not None:
            self._heard(ids)
