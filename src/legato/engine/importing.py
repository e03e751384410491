"""Sessions on their way in: read some at a time in a thread, written in slices that no token waits for.

A session is out of reach until its last slice. Whoever stops in the middle leaves the sessions that are whole, and a chore
that takes away the one that is not; the next run takes up the rest, as what is there already is known by where it came from.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import BinaryIO, Final, NamedTuple

import msgspec

from legato.agents.registry import AgentSpec, Registry
from legato.agents.turn import Models
from legato.core.errors import Busy, Invalid, ModelNotFound, SessionExists, Unavailable
from legato.core.model import Session
from legato.engine.attachments import Attachments
from legato.engine.publish import Publisher
from legato.engine.tasks import Tasks
from legato.engine.unpacking import Unpacked
from legato.store import importing
from legato.store.attaching import Carried
from legato.store.importing import Entry, Given, Last
from legato.store.port import Store
from legato.transfer.arriving import Arrival, Piece, arrive
from legato.transfer.elements import Refused
from legato.transfer.reading import Source, conversations
from legato.transfer.records import Conversation, Skipped
from legato.transfer.report import Imported, ImportProgress, ImportReport, Tally
from legato.transfer.times import not_after

_AT_ONCE: Final = 2
_SLICE_S: Final = 0.005  # of the writer; the house allows 20 ms, and a disk may be slower next time
_MOST_BYTES: Final = 256 * 1024
_MOST_MESSAGES: Final = 400
_AHEAD: Final = timedelta(days=1)  # so far may somebody else's clock be
_TELL_EVERY: Final = 500  # messages


class Importing:
    """The imports of this process."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        registry: Registry,
        models: Models,
        tasks: Tasks,
        attachments: Attachments,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._registry = registry
        self._models = models
        self._tasks = tasks
        self._attachments = attachments
        self._running = 0
        self._uploading: set[str] = set()
        self._messages = 16  # in a slice; as many as the last ones were quick enough for

    @contextmanager
    def uploading(self, owner: str) -> Iterator[None]:
        """While the owner's file arrives, which may take long: it takes no place, but one at a time. Raises Busy."""
        if owner in self._uploading:
            raise Busy("Another file of yours is on its way.")
        self._check()
        self._uploading.add(owner)
        try:
            yield
        finally:
            self._uploading.discard(owner)

    def _check(self) -> None:
        if self._running >= _AT_ONCE:
            raise Busy("Other imports are going on; try again later.")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room for one import. Raises Busy."""
        self._check()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def run(
        self,
        owner: str,
        file: BinaryIO,
        *,
        source: Source | None = None,
        agent_id: str | None = None,
        dry_run: bool = False,
    ) -> AsyncIterator[ImportProgress | ImportReport]:
        """Import a file: how far it is, now and then, and at last the report.

        ``agent_id``: whose sessions they become that name no agent known here; the default one's if None.

        Raises:
            AgentNotFound; Invalid: the file is nothing that can be imported.
        """
        arriving = _Arriving(owner, self.agent(agent_id), Tally(dry_run=dry_run), dry_run)
        tally, total = arriving.tally, await asyncio.to_thread(_size, file)
        latest = await self._store.read(importing.now) + _AHEAD
        found, weight = conversations(file, source), 0
        while (each := await asyncio.to_thread(_next, found, tally, latest)) is not None:
            try:
                await self._take(arriving, each)
            finally:
                if each.luggage is not None:
                    each.luggage.close()
            weight += 1 + len(each.messages)
            if weight >= _TELL_EVERY:
                weight = 0
                yield ImportProgress(
                    sessions=tally.sessions,
                    messages=tally.messages,
                    known=tally.known,
                    read_bytes=min(file.tell(), total),
                    total_bytes=total,
                )
        yield tally.report()

    def agent(self, agent_id: str | None) -> AgentSpec:
        """Whose sessions they become that name no agent known here. Raises AgentNotFound."""
        return self._registry.default() if agent_id is None else self._registry.get(agent_id)

    async def _take(self, arriving: "_Arriving", conversation: Conversation) -> None:
        tally = arriving.tally
        entry = Imported(
            origin=conversation.origin,
            id=await self._store.read(importing.known, arriving.owner, conversation.origin),
            title=conversation.session.title,
            messages=len(conversation.messages),
        )
        if entry.id is not None:
            tally.was_there(entry)
            return
        tally.skip(conversation.skipped)
        session = self._session(arriving, conversation)
        if not arriving.dry_run:
            conversation = await self._with_files(arriving, conversation)
        arrival = await asyncio.to_thread(arrive, conversation, session.agent_id)
        tally.skip(arrival.skipped)
        dropped: bool = False
        if arriving.dry_run:
            dropped = session.context is not None and await self._store.read(
                importing.taken, arriving.owner, session.agent_id, session.context
            )
        else:
            session = msgspec.structs.replace(session, id=arrival.session_id)
            given = await self.enter(session, arrival, conversation.origin)
            if given is None:  # another import, at the same time
                tally.was_there(entry)
                return
            entry, dropped = msgspec.structs.replace(entry, id=session.id), given.context_dropped
        if dropped:
            why = "another session of yours with this agent has the same one"
            tally.skip([Skipped(place=conversation.place, what="context", why=why)])
        tally.came_in(entry)

    async def _with_files(self, arriving: "_Arriving", conversation: Conversation) -> Conversation:
        unpacked = Unpacked(self._attachments, arriving.owner, conversation)
        conversation = await unpacked.conversation()
        arriving.tally.skip(unpacked.skipped)
        return conversation

    def _session(self, arriving: "_Arriving", conversation: Conversation) -> Session:
        """The session as it will be. An agent or a model that is not here would never answer: others take their place."""
        record, spec = conversation.session, arriving.spec
        fields = msgspec.structs.asdict(record) | {"id": "", "owner": arriving.owner}
        del fields["leaf_id"], fields["quarantined"]
        if record.agent_id in {each.id for each in self._registry.list()}:
            spec = self._registry.get(record.agent_id)
            fields["agent_name"] = record.agent_name or spec.name
        else:
            if record.agent_id:
                why = f"there is no such agent here: {spec.id} takes its place"
                arriving.tally.skip([Skipped(place=conversation.place, what=f"agent {record.agent_id}", why=why)])
            fields |= {"agent_id": spec.id, "agent_name": spec.name, "parent_role": spec.parent_role}
            fields["model_id"] = spec.model_id
        if fields["model_id"] not in (None, spec.model_id) and not self._has_model(fields["model_id"]):
            why = f"there is no such model here: {spec.model_id or 'none'} takes its place"
            arriving.tally.skip([Skipped(place=conversation.place, what=f"model {fields['model_id']}", why=why)])
            fields["model_id"] = spec.model_id
        return Session(**fields, read_only=record.closed_at is not None)

    def _has_model(self, model_id: str) -> bool:
        try:
            self._models.provider(model_id)
        except ModelNotFound:
            return False
        return True

    async def enter(self, session: Session, arrival: Arrival, origin: str | None) -> Given | None:
        """Write a session down and let its owner have it; None when the owner has it from this ``origin`` already.

        Raises:
            SessionExists: its id is taken.
        """
        given: Given | None = None
        ours = True
        try:
            given = await self._entered(session, arrival, origin)
            return given
        except SessionExists:
            ours = False
            raise
        finally:
            if given is None and ours:
                await self._abandon(session.id)

    async def _entered(self, session: Session, arrival: Arrival, origin: str | None) -> Given | None:
        head = await self._store.write(importing.begin, session)
        waiting = [_entry(each) for each in arrival.pieces]
        at = 0
        while at < len(waiting):
            entries = self._slice(islice(waiting, at, None))
            taken = await self._store.write(importing.add, session.id, head, entries)
            head, at = taken.head, at + len(entries)
            self._learn(sum(map(_weight, entries)), taken.took_s)
            await asyncio.sleep(taken.took_s)  # as long for everybody else
        last = Last(arrival.leaf_id, arrival.leaf, arrival.gauge)
        return await self._publisher.write(importing.give, session, head, last, origin)

    async def _abandon(self, session_id: str) -> None:
        with contextlib.suppress(Unavailable):  # it goes all the same, when its chore is due
            await self._tasks.uncancelled(self._store.write(importing.abandon, session_id), "abandon an import")

    def _slice(self, waiting: Iterator[Entry]) -> list[Entry]:
        """What the next transaction takes, one entry at least: each is small, but for a single long message in it."""
        entries: list[Entry] = []
        size = messages = 0
        for entry in waiting:
            size += len(entry.payload)
            messages += _weight(entry)
            if entries and (size > _MOST_BYTES or messages > self._messages):
                break
            entries.append(entry)
        return entries

    def _learn(self, count: int, took_s: float) -> None:
        """As many messages in the next slice as would have taken ``_SLICE_S``; never twice as many at once."""
        fitting = int(count * _SLICE_S / max(took_s, 1e-6))
        self._messages = max(1, min(fitting, count * 2, _MOST_MESSAGES))


class _Arriving(NamedTuple):
    """One import: for whom, which agent takes the place of unknown ones, and what is told of it."""

    owner: str
    spec: AgentSpec
    tally: Tally
    dry_run: bool


def _entry(piece: Piece) -> Entry:
    return Entry(piece.turn, piece.messages, piece.count, piece.payload, tuple(Carried(*each) for each in piece.files))


def _weight(entry: Entry) -> int:
    return max(1, len(entry.messages))


def _next(found: Iterator[Conversation | Skipped], tally: Tally, latest: datetime) -> Conversation | None:
    """The next conversation; what is skipped before it is told. Raises Invalid."""
    try:
        for each in found:
            if isinstance(each, Conversation):
                return not_after(each, latest)
            tally.skip([each])
        return None
    except Refused as error:
        raise Invalid(f"This file can't be imported: {error}.") from error


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)
