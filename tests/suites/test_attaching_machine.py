"""Whatever happens to a session, its messages have their files, whole, and nothing is left of any other (promise S-18)."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import ColumnElement, Connection, select

from legato.core.errors import FileNotFound
from legato.core.model import FilePart, Part
from legato.engine.attachments import load
from legato.store import accepting, schema
from legato.store.messages import NOT_CLEARED
from legato.store.port import Store
from legato.store.rows import to_message
from tests.suites.machine import StoreMachine
from tests.suites.test_machine import EXAMPLES, Loop, postgres_loop, runner, sqlite_loop
from tests.support.attachments import attachments, keep, noise, part

__all__ = ["postgres_loop", "runner", "sqlite_loop"]  # fixtures

pytestmark = [pytest.mark.promise("S-18"), pytest.mark.timeout(7200 if EXAMPLES else 120)]

CONTENTS = [noise(1_000 + number) for number in range(3)]


class AttachingStore:
    """A store in which most messages that are sent have files: fresh ones, and ones that were sent before."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._parts: dict[str, tuple[Part, ...]] = {}
        self.content: dict[str, bytes] = {}
        self.sent: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, change: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if change is accepting.accept and args[0].kind == "send":
            send, *rest = args
            parts = await self._files(send.client_message_id)
            args = (msgspec.structs.replace(send, parts=send.parts + parts), *rest)
        return await self._store.write(change, *args, **kwargs)

    async def _files(self, key: str) -> tuple[Part, ...]:
        known = self._parts.get(key)
        # One that was refused may be sent again when its files have gone.
        if known is None or not all(
            [await self._is_there(each.file_id) for each in known if isinstance(each, FilePart)]
        ):
            number = len(self._parts)
            found: list[Part] = []
            if number % 4:
                kept = await keep(self._store, CONTENTS[number % 3])
                self.sent.append(kept.id)
                found.append(part(kept))
            if number % 2 and await self._is_there(again := self.sent[number // 2]):
                found.append(part(again))
            self._parts[key] = tuple(found)
        return self._parts[key]

    async def _is_there(self, file_id: str) -> bool:
        try:
            await attachments(self._store).get("ann", file_id)
        except FileNotFound:
            return False
        return True


class AttachingMachine(StoreMachine):
    """A session whose messages have files."""

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "id"):
            self.run(self._check_files())

    async def _check_files(self) -> None:
        store = self.store
        await attachments(store, unused_files_s=-1.0).sweep()  # what was refused
        await attachments(store).clean()
        told, there = await store.read(_told, self.id), await store.read(_there, self.id)
        assert {(each.file_id, message_id) for message_id, each in told} == set(there.items())  # each is one message's
        seen = {each.file_id for _, each in await store.read(_told, self.id, NOT_CLEARED)}
        for _, each in told:  # what was cleared is there for a while, and nobody reaches it
            content = CONTENTS[each.size - 1_000] if each.file_id in seen else None
            assert await load(store, self.id, each.file_id) == content
        assert await store.read(_useless) == []


def _told(conn: Connection, session_id: str, *which: ColumnElement[bool]) -> list[tuple[str, FilePart]]:
    rows = conn.execute(select(schema.messages).where(schema.messages.c.session_id == session_id, *which))
    messages = [to_message(row) for row in rows]
    return [(message.id, each) for message in messages for each in message.parts if isinstance(each, FilePart)]


def _there(conn: Connection, session_id: str) -> dict[str, str]:
    files = schema.files.c
    rows = conn.execute(select(files.id, files.message_id).where(files.session_id == session_id))
    return {row.id: row.message_id for row in rows}


def _useless(conn: Connection) -> list[str]:
    used = select(schema.files.c.content_id)
    return list(conn.execute(select(schema.file_contents.c.id).where(schema.file_contents.c.id.not_in(used))).scalars())


def look(loop: Loop, examples: int, steps: int) -> None:
    found = settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(AttachingMachine):
        def __init__(self) -> None:
            super().__init__(loop.run, AttachingStore(loop.store))

    run_state_machine_as_test(Machine, settings=found)


def test_any_sequence_with_files_on_sqlite(sqlite_loop: Loop) -> None:
    look(sqlite_loop, examples=20, steps=40)


def test_any_sequence_with_files_on_postgresql(postgres_loop: Loop) -> None:
    look(postgres_loop, examples=6, steps=25)
