"""Imports that break off, race and crowd; exports of any length in a bounded space. On both databases."""

import asyncio
import io
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from legato.core.errors import Busy, Conflict, Corrupted, Invalid, SessionNotFound, Unavailable
from legato.core.ids import new_id
from legato.core.model import Message, Session, TextPart, Turn, Usage
from legato.store import chores, importing, schema, sessions, snapshots
from legato.store.importing import Entry, Last
from legato.transfer.arriving import arrive
from legato.transfer.ours import from_document
from legato.transfer.records import Conversation, Document, SessionRecord, encode
from tests.engine.wiring import FaultyStore, opened, sql
from tests.support import strategies
from tests.support.conversation import Conversation as Talk
from tests.support.conversation import text_of
from tests.support.transferring import Ferry, document, without_ids

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-13")]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


@pytest.fixture
async def ferry(store: FaultyStore) -> AsyncIterator[Ferry]:
    ferry = Ferry(store)
    yield ferry
    await ferry.tasks.settle(5)


def long_session(count: int, size: int = 20, session_id: str = "ses_long") -> bytes:
    """A document of a session with so many turns."""
    messages: list[Message] = []
    turns: list[Turn] = []
    for number in range(count):
        at = NOW + timedelta(seconds=number)
        common: dict[str, Any] = {"session_id": session_id, "turn_id": f"t{number}", "created_at": at}
        parts = (TextPart(f"{number} " + "x" * size),)
        usage = Usage(1, 2, 0, 3)
        before = messages[-1].id if messages else None
        messages.append(
            Message(id=f"u{number}", role="user", status="completed", parts=parts, parent_id=before, **common)
        )
        answer = Message(
            id=f"a{number}",
            role="assistant",
            status="completed",
            parts=parts,
            parent_id=f"u{number}",
            agent_id="demo",
            usage=usage,
            **common,
        )
        messages.append(answer)
        turn = Turn(
            id=f"t{number}",
            session_id=session_id,
            message_id=f"u{number}",
            answer_id=f"a{number}",
            agent_id="demo",
            status="completed",
            reason="stop",
            created_at=at,
            finished_at=at,
            usage=usage,
        )
        turns.append(turn)
    leaf = messages[-1].id if messages else None
    record = SessionRecord(
        id=session_id,
        agent_id="demo",
        agent_name="Demo",
        created_at=NOW,
        last_activity=NOW + timedelta(seconds=count),
        leaf_id=leaf,
    )
    return encode(Document(exported_at=NOW, session=record, messages=tuple(messages), turns=tuple(turns)))


def rows_of(conn: Connection, session_id: str) -> dict[str, int]:
    tables = (schema.messages, schema.turns, schema.journal, schema.chores)
    return {
        table.name: conn.execute(
            select(func.count()).select_from(table).where(table.c.session_id == session_id)
        ).scalar_one()
        for table in tables
    }


@pytest.mark.promise("S-15")
async def test_what_waits_stands_in_its_place(store: FaultyStore, ferry: Ferry) -> None:
    """At the end of the active branch, or beside the message that it edits, which is not the end."""
    talk = await Talk.begin(store)
    first = await talk.answer("a", "A")
    await talk.edit(first.message_id, "A!")
    plain = (await talk.send("B")).turn
    told = document(await ferry.out(talk.id))

    parents = {
        message.parts[0].text: message.parent_id for message in told.messages if isinstance(message.parts[0], TextPart)
    }
    assert parents == {"A": None, "a": first.message_id, "A!": None, "B": first.answer_id}
    assert told.session.leaf_id == plain.message_id
    back = await ferry.into(encode(told))
    assert back.imported[0].id is not None
    await ferry.agrees(back.imported[0].id, "bob")
    state, _ = await store.read(snapshots.snapshot, back.imported[0].id, "bob", 10)
    assert [text_of(message) for message in state.messages] == ["A", "a", "B"]


def nobodys(conn: Connection) -> list[str]:
    return list(conn.execute(select(schema.sessions.c.id).where(schema.sessions.c.owner == "")).scalars())


async def test_a_long_session_enters_in_slices_and_is_nobodys_until_then(store: FaultyStore, ferry: Ferry) -> None:
    store.held = {"give"}
    task = asyncio.create_task(ferry.into(long_session(300)))
    await store.waiting.wait()
    (hidden,) = await store.read(nobodys)
    assert (await store.read(rows_of, hidden)) == {"messages": 600, "turns": 300, "journal": 301, "chores": 1}
    assert (await store.read(sessions.page, "bob")).data == ()
    for owner in ("bob", "ann"):
        with pytest.raises(SessionNotFound):
            await store.read(sessions.get, hidden, owner)
    assert await store.read(chores.due, "erase", "wrk", 10) == []  # not for a long time
    store.held = set()
    store.released.set()
    report = await task
    assert (report.sessions, report.messages, report.imported[0].id) == (1, 600, hidden)
    assert (await store.read(rows_of, hidden))["chores"] == 0
    await ferry.agrees(hidden, "bob")
    assert without_ids(document(await ferry.out(hidden, owner="bob"))) == without_ids(document(long_session(300)))


async def test_an_import_that_breaks_off_leaves_a_chore(store: FaultyStore, ferry: Ferry) -> None:
    store.broken = {"give"}
    with pytest.raises(Unavailable):
        await ferry.into(long_session(3))
    (left,) = await store.read(nobodys)
    assert await store.read(chores.due, "erase", "wrk", 10) == [left]
    assert (await store.read(sessions.page, "bob")).data == ()
    store.broken = set()
    assert (await ferry.into(long_session(3))).sessions == 1  # it may be tried again at once


async def test_who_stops_waiting_leaves_a_chore_as_well(store: FaultyStore, ferry: Ferry) -> None:
    store.held = {"add"}
    task = asyncio.create_task(ferry.into(long_session(3)))
    await store.waiting.wait()
    task.cancel()
    store.held = set()
    store.released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.read(chores.due, "erase", "wrk", 10) == await store.read(nobodys) != []


async def test_of_two_imports_at_once_one_comes_in(store: FaultyStore, ferry: Ferry) -> None:
    reports = await asyncio.gather(*(ferry.into(long_session(20)) for _ in range(2)))
    assert sorted(report.sessions for report in reports) == [0, 1]
    assert len((await store.read(sessions.page, "bob")).data) == 1
    assert await store.read(chores.due, "erase", "wrk", 10) == await store.read(nobodys)


async def test_the_context_goes_to_who_comes_first(store: FaultyStore, ferry: Ferry) -> None:
    """Though it was free when the import looked."""
    talk = await Talk.begin(store, context="thing")
    conversation = next(from_document(await ferry.out(talk.id)))
    assert isinstance(conversation, Conversation)
    arrival = arrive(conversation, "demo")
    fields = msgspec.structs.asdict(conversation.session) | {"id": arrival.session_id, "owner": "ann"}
    del fields["leaf_id"]
    session = Session(**fields)
    head = await store.write(importing.begin, session, "wrk_1")
    given = await store.write(importing.give, session, head, Last(), "legato:x")
    assert given.context_dropped
    assert (await store.read(sessions.get, session.id, "ann")).context is None
    await ferry.agrees(session.id, "ann")
    # The same origin a second time.
    other = msgspec.structs.replace(session, id="ses_" + "0" * 26, context=None)
    head = await store.write(importing.begin, other, "wrk_1")
    assert await store.write(importing.give, other, head, Last(), "legato:x") is None


async def test_what_is_being_erased_is_nobodys_any_more(store: FaultyStore, ferry: Ferry) -> None:
    """An import that took longer than a day: its chore was taken, and something of it may be missing."""
    talk = await Talk.begin(store)
    conversation = next(from_document(await ferry.out(talk.id)))
    assert isinstance(conversation, Conversation)
    fields = msgspec.structs.asdict(conversation.session) | {"id": new_id("ses"), "owner": "ann"}
    del fields["leaf_id"]
    session = Session(**fields)
    head = await store.write(importing.begin, session, "wrk_1")
    await store.write(chores.ask, session.id, "erase")
    assert await store.write(chores.take, session.id, "erase", "wrk_1") is not None
    with pytest.raises(Conflict):
        await store.write(importing.give, session, head, Last(), "legato:x")
    assert await store.read(chores.due, "erase", "wrk_1", 10) == [session.id]


async def test_slices_are_as_large_as_they_are_quick(ferry: Ferry) -> None:
    """Counted in messages."""
    ferry.importing._messages = 8
    ferry.importing._learn(8, 0.001)
    assert ferry.importing._messages == 16
    ferry.importing._learn(16, 0.064)
    assert ferry.importing._messages == 1
    ferry.importing._learn(1, 5.0)
    assert ferry.importing._messages == 1


@pytest.mark.parametrize("turn_id", ["t0", "nowhere"])
async def test_a_turn_of_any_length_enters_in_slices(store: FaultyStore, ferry: Ferry, turn_id: str) -> None:
    """Thousands of messages of one turn, or of a turn that the file lacks: no transaction has more than a few of them."""
    whole = document(long_session(500))
    messages = tuple(msgspec.structs.replace(each, turn_id=turn_id) for each in whole.messages)
    file = encode(msgspec.structs.replace(whole, messages=messages, turns=whole.turns[:1]))
    slices: list[list[Entry]] = []
    write = store._store.write

    async def watched(change: Any, *args: Any, **kwargs: Any) -> Any:
        if change is importing.add:
            slices.append(args[2])
        return await write(change, *args, **kwargs)

    store._store.write = watched  # type: ignore[method-assign,assignment]
    ferry.importing._learn = lambda count, took_s: None  # type: ignore[method-assign]
    session_id = (await ferry.into(file)).imported[0].id
    assert session_id is not None
    assert sum(len(entry.messages) for each in slices for entry in each) == 1_000
    assert max(sum(len(entry.messages) for entry in each) for each in slices) <= 16
    await ferry.agrees(session_id, "bob")
    assert without_ids(document(await ferry.out(session_id, owner="bob"))) == without_ids(document(file))


async def test_what_has_not_come_yet_stands_first_for_a_day_at_most(store: FaultyStore, ferry: Ferry) -> None:
    whole = document(long_session(1))
    never = datetime(9999, 12, 31, 23, 59, tzinfo=UTC)
    session = msgspec.structs.replace(whole.session, created_at=never, last_activity=never)
    messages = tuple(msgspec.structs.replace(each, created_at=never) for each in whole.messages)
    turns = tuple(msgspec.structs.replace(each, finished_at=never) for each in whole.turns)
    file = encode(msgspec.structs.replace(whole, session=session, messages=messages, turns=turns))
    report = await ferry.into(file)
    assert [each.what for each in report.skipped] == ["time"]
    session_id = report.imported[0].id
    assert session_id is not None
    latest = (await store.read(importing.now)) + timedelta(days=1)
    told = document(await ferry.out(session_id, owner="bob"))
    times = [told.session.last_activity, *(each.created_at for each in told.messages)]
    times += [each.finished_at for each in told.turns if each.finished_at]
    assert all(at <= latest for at in times)
    await ferry.agrees(session_id, "bob")


async def test_sums_over_what_was_imported_do_not_break(store: FaultyStore, ferry: Ferry) -> None:
    whole = document(long_session(50))
    turns = tuple(msgspec.structs.replace(each, usage=Usage(2**62, 2**62, 2**62, 2**63, 1e308)) for each in whole.turns)
    report = await ferry.into(encode(msgspec.structs.replace(whole, turns=turns)))
    assert report.skipped_count == 50
    session_id = report.imported[0].id
    assert session_id is not None
    stats = await store.read(sessions.stats, session_id, "bob")
    assert (stats.usage.prompt_tokens, stats.usage.cost_usd) == (50 * 10**12, None)


async def test_one_file_of_an_owner_is_on_its_way_at_once(ferry: Ferry) -> None:
    with ferry.importing.uploading("bob"):
        with pytest.raises(Busy), ferry.importing.uploading("bob"):
            pass
        with ferry.importing.uploading("ann"):
            pass
    with (
        ferry.importing.place(),
        ferry.importing.place(),
        pytest.raises(Busy),
        ferry.importing.uploading("bob"),  # it would come in vain
    ):
        pass
    with ferry.importing.uploading("bob"):
        pass


async def test_only_so_many_at_once(ferry: Ferry) -> None:
    with ferry.importing.place(), ferry.importing.place(), pytest.raises(Busy), ferry.importing.place():
        pass
    with ferry.importing.place():
        pass


async def test_a_damaged_message_stands_there_empty_and_says_so(store: FaultyStore, ferry: Ferry) -> None:
    talk = await Talk.begin(store)
    await talk.answer("canary", "Hello")
    await talk.answer("whole", "Again")
    await store.write(sql, "UPDATE messages SET parts = replace(parts, 'canary', 'Canary')")
    found = document(await ferry.out(talk.id))
    damaged = [message for message in found.messages if message.error is not None]
    assert [(message.parts, message.error.code) for message in damaged if message.error] == [((), Corrupted.code)]
    assert b"anary" not in await ferry.all_out("html")
    assert b"whole" in await ferry.all_out("markdown")
    assert (await ferry.into(await ferry.out(talk.id))).sessions == 1


async def test_a_session_that_is_deleted_meanwhile_is_left_out(store: FaultyStore, ferry: Ferry) -> None:
    first, second = await Talk.begin(store), await Talk.begin(store)
    await first.answer("one")
    await second.answer("two")
    pieces = ferry.exporting._all(_lines(), "ann")
    await anext(pieces)
    await store.write(sql, f"DELETE FROM sessions WHERE id = '{second.id}'")  # noqa: S608
    rest = b"".join([piece async for piece in pieces])
    assert b'"one"' in rest
    assert b'"two"' not in rest
    assert b'"sessions":1' in rest


def _lines() -> Any:
    from legato.transfer.writing import Lines

    return Lines()


async def test_a_server_that_stops_breaks_the_file_off(store: FaultyStore, ferry: Ferry) -> None:
    session_id = (await ferry.into(long_session(200))).imported[0].id
    assert session_id is not None
    ferry.exporting._stopped = lambda: True
    with pytest.raises(Unavailable):
        await ferry.out(session_id, owner="bob")


@pytest.mark.parametrize("format_", ["jsonl", "html"])
async def test_an_export_takes_no_more_room_for_more_messages(store: FaultyStore, ferry: Ferry, format_: Any) -> None:
    """Twenty times the messages, the same room: pages are read, written and forgotten."""
    await ferry.into(long_session(50, 4_000, "ses_few"), "few")
    await ferry.into(long_session(1_000, 4_000, "ses_many"), "many")
    async for _ in ferry.exporting.all("few", format_):
        pass  # what is made once and kept
    sizes: list[int] = []
    peaks: list[int] = []
    for owner in ("few", "many"):
        tracemalloc.start()
        size = 0
        async for piece in ferry.exporting.all(owner, format_):
            size += len(piece)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(size)
    assert sizes[1] > 15 * sizes[0]
    assert peaks[1] < sizes[1] / 2
    assert peaks[1] < 4 * 1024 * 1024, peaks


async def test_nothing_is_read_ahead_of_a_slow_client(store: FaultyStore, ferry: Ferry) -> None:
    """Between two pieces no transaction is open and nothing waits: a client may take as long as it likes."""
    await ferry.into(long_session(500, 500))
    reads = 0
    read = store._store.read

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*args, **kwargs)

    store._store.read = counted  # type: ignore[method-assign]
    pieces = ferry.exporting.all("bob", "jsonl")
    await anext(pieces)
    at_first = reads
    for _ in range(20):
        await asyncio.sleep(0)
    assert reads == at_first
    rest = [piece async for piece in pieces]
    assert reads > at_first
    assert len(rest) > 2


records = st.builds(
    Message,
    id=st.sampled_from("abcdef"),
    session_id=st.just("s"),
    turn_id=st.sampled_from("tuv"),
    role=strategies.roles,
    status=strategies.statuses,
    created_at=strategies.times,
    parts=st.lists(strategies.parts, max_size=2).map(tuple),
    parent_id=st.none() | st.sampled_from("abcdefg"),
    usage=st.none() | strategies.usages,
    error=st.none() | strategies.errors,
    client_message_id=st.none() | strategies.texts,
)
turn_records = st.builds(
    Turn,
    id=st.sampled_from("tuvw"),
    session_id=st.just("s"),
    message_id=st.sampled_from("abcdefg"),
    agent_id=st.sampled_from(["demo", "gone", ""]),
    status=strategies.statuses,
    created_at=strategies.times,
    answer_id=st.none() | st.sampled_from("abcdefg"),
    source_turn_id=st.none() | st.sampled_from("tuvwx"),
    finished_at=st.none() | strategies.times,
    reason=st.none() | strategies.texts,
    text=st.none() | strategies.texts,
    detail=st.none() | strategies.texts,
    usage=st.none() | strategies.usages,
    error=st.none() | strategies.errors,
    rank=st.integers(-(2**70), 2**70),
    attempt=st.integers(-5, 2**40),
)
documents = st.builds(
    Document,
    exported_at=st.just(NOW),
    session=st.builds(
        SessionRecord,
        id=st.text("abcdef0123456789", min_size=12, max_size=400),
        agent_id=st.sampled_from(["demo", "gone", ""]),
        agent_name=strategies.texts,
        created_at=strategies.times,
        last_activity=strategies.times,
        title=st.none() | strategies.texts,
        closed_at=st.none() | strategies.times,
        metadata=strategies.metadata,
        leaf_id=st.none() | st.sampled_from("abcdefg"),
        context=st.none() | strategies.texts,
    ),
    messages=st.lists(records, max_size=6).map(tuple),
    turns=st.lists(turn_records, max_size=4).map(tuple),
)


class Loop:
    """A store in an event loop of its own, for Hypothesis."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.run = runner.run
        self._opened = opened(url)
        self.ferry = Ferry(self.run(self._opened.__aenter__()))

    def close(self) -> None:
        self.run(self._opened.__aexit__(None, None, None))


@pytest.fixture
def loop(url: str) -> Iterator[Loop]:
    with asyncio.Runner() as runner:
        loop = Loop(url, runner)
        yield loop
        loop.close()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_whatever_a_file_says_it_comes_in_and_goes_out_the_same(loop: Loop, anyio_backend: str) -> None:
    """Trees with holes and circles, turns that contradict their messages, hostile text: readers agree with the store, and
    what comes out goes in and out again as it is."""

    async def there_and_back(file: bytes) -> None:
        report = await loop.ferry.into(file)
        if not report.sessions:
            return  # the same id came before
        session_id = report.imported[0].id
        assert session_id is not None
        await loop.ferry.agrees(session_id, "bob")
        once = await loop.ferry.out(session_id, owner="bob")
        again = await loop.ferry.into(once, "carl")
        assert again.imported[0].id is not None
        assert {each.what for each in again.skipped} <= {"context"}
        twice = await loop.ferry.out(again.imported[0].id, owner="carl")
        assert _without_context(twice) == _without_context(once)

    @given(file=documents)
    @settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(file: Document) -> None:
        loop.run(there_and_back(encode(file)))

    check()


def _without_context(file: bytes) -> Any:
    told = without_ids(document(file))
    return told | {"session": msgspec.structs.replace(told["session"], context=None)}


async def test_a_file_of_nothing_is_refused(ferry: Ferry) -> None:
    for file in (b"{", b"[", b"[{}]", b'{"type":"header"}'):
        with pytest.raises(Invalid):
            await ferry.into(file)
    with anyio.fail_after(5):
        assert [step async for step in ferry.importing.run("bob", io.BytesIO(b"[]"))][-1].sessions == 0
