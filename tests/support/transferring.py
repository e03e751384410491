"""Exports and imports without a server, and what two files have in common apart from their ids."""

import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from legato.agents.registry import AgentSpec, Registry
from legato.agents.turn import Turn as Running
from legato.app import Models
from legato.core.fold import Fold
from legato.core.model import FilePart, Message, Turn
from legato.doorbell.local import LocalDoorbell
from legato.engine.attachments import Attachments
from legato.engine.diagnostics import Diagnostics
from legato.engine.exporting import Exporting
from legato.engine.forking import Forking
from legato.engine.hub import Hub
from legato.engine.importing import Importing
from legato.engine.lists import Lists
from legato.engine.publish import Publisher
from legato.engine.settings import EngineSettings
from legato.engine.tasks import Tasks
from legato.providers.catalog import Catalog
from legato.store import journal, snapshots
from legato.store.lifecycle import Policy
from legato.store.port import Store
from legato.transfer.records import Document
from legato.transfer.report import ImportReport
from legato.transfer.writing import Format

EVERYTHING = 100_000  # messages


async def silent(turn: Running) -> AsyncIterator[str]:
    """An agent that is never asked."""
    yield ""


class Ferry:
    """Carries sessions out of a store and in again; ``demo`` is the agent there."""

    def __init__(self, store: Store, *agents: str) -> None:
        self.store = store
        tasks, models = Tasks(), Models(catalog=Catalog(providers={}), providers={})
        registry = Registry(*(AgentSpec(id=each, name=each.title(), run=silent) for each in agents or ("demo",)))
        hub, lists = Hub(store=store, tasks=tasks), Lists(store=store, tasks=tasks)
        publisher = Publisher(
            store=store, hub=hub, lists=lists, doorbell=LocalDoorbell(), tasks=tasks, diagnostics=Diagnostics()
        )
        self.tasks = tasks
        self.exporting = Exporting(store=store, stopped=lambda: False, on_damage=lambda session_id, error: None)
        self.importing = Importing(
            store=store,
            publisher=publisher,
            registry=registry,
            models=models,
            tasks=tasks,
            attachments=Attachments(store=store, tasks=tasks, settings=EngineSettings()),
            worker=lambda: "wrk_1",
        )
        self.forking = Forking(
            store=store, publisher=publisher, importing=self.importing, policy=lambda agent_id: Policy()
        )

    async def out(self, session_id: str, format_: Format = "json", owner: str = "ann") -> bytes:
        return b"".join([piece async for piece in await self.exporting.one(owner, session_id, format_)])

    async def all_out(self, format_: Format = "jsonl", owner: str = "ann") -> bytes:
        return b"".join([piece async for piece in self.exporting.all(owner, format_)])

    async def into(self, file: bytes, owner: str = "bob", **options: Any) -> ImportReport:
        steps = [step async for step in self.importing.run(owner, io.BytesIO(file), **options)]
        report = steps[-1]
        assert isinstance(report, ImportReport)
        return report

    async def agrees(self, session_id: str, owner: str) -> None:
        """Who reads the journal from its beginning, or resumes after any of its rows, has the session (G17)."""
        state, head = await self.store.read(snapshots.snapshot, session_id, owner, EVERYTHING)
        rows = await self.store.read(journal.read_rows, session_id, 0, 1 << 30)
        assert [row.first_seq for row in rows] == [1, *(row.last_seq + 1 for row in rows[:-1])]
        assert rows[-1].last_seq == head
        fold = Fold()
        for row in rows:
            assert row.payload.count(b"\n") == row.last_seq - row.first_seq
            fold.apply_all(journal.turn_events([row]))
        assert fold.state() == state


def document(file: bytes) -> Document:
    return msgspec.json.decode(file, type=Document)


def without_ids(found: Document) -> dict[str, Any]:
    """All that a file says, told without its ids: a message by its words and what leads to it."""
    by_id = {message.id: message for message in found.messages}
    place = {turn.id: number for number, turn in enumerate(found.turns)}
    known: dict[str | None, Any] = {None: ""}

    def key(message_id: str | None) -> Any:
        chain: list[Message] = []
        at = message_id
        while at not in known:
            if at not in by_id:
                return "gone"
            chain.append(by_id[at])
            at = by_id[at].parent_id
        for message in reversed(chain):
            said = (known[message.parent_id], _said(message), place.get(message.turn_id))
            known[message.id] = hashlib.sha256(repr(said).encode()).hexdigest()
        return known[message_id]

    return {
        "session": msgspec.structs.replace(found.session, id="", leaf_id=key(found.session.leaf_id)),
        "messages": sorted(key(message.id) for message in found.messages),
        "turns": [
            (_told(turn), key(turn.message_id), key(turn.answer_id), place.get(turn.source_turn_id or ""))
            for turn in found.turns
        ],
    }


def _said(message: Message) -> Message:
    parts = tuple(
        msgspec.structs.replace(part, file_id="") if isinstance(part, FilePart) else part for part in message.parts
    )
    return msgspec.structs.replace(message, id="", session_id="", turn_id="", parent_id=None, parts=parts)


def _told(turn: Turn) -> Turn:
    return msgspec.structs.replace(turn, id="", session_id="", message_id="", answer_id=None, source_turn_id=None)
