"""Compaction: one snapshot for many tokens, and nobody who resumes can tell."""

import pytest
from sqlalchemy import Connection, select

from legato.core.errors import SessionNotFound
from legato.core.events import Event, Reset, Snapshot, Token, ToolCall, ToolResult
from legato.core.fold import Fold
from legato.core.ids import new_id
from legato.core.model import TextPart
from legato.store import compaction, journal, quarantine
from legato.store import schema as tables
from legato.store.dialect import utc_us
from legato.store.port import Store
from tests.suites.store.damage import flip
from tests.support.conversation import Conversation


async def resume_everywhere(conversation: Conversation, before: list[tuple[int, Event]]) -> None:
    """Readers that stopped after any seq before the compaction end with the state of those who never stopped."""
    state, head = await conversation.moment()
    for position in range(head + 1):
        fold = Fold().apply_all([event for seq, event in before if seq <= position])
        fold.apply_all([event for _, event in await conversation.events(position)])
        assert fold.state() == state, f"resumed from {position} of {head}"


def tokens(events: list[tuple[int, Event]]) -> list[Event]:
    return [event for _, event in events if isinstance(event, Token)]


class Compacting:
    @pytest.mark.promise("E-03")
    async def test_a_reader_who_resumes_anywhere_ends_with_the_same(self, conversation: Conversation) -> None:
        await conversation.answer("Hi", "Hello")
        turn = (await conversation.start("Weather?")).turn
        await conversation.tell(conversation.token("Hm.", 0, "reasoning"), conversation.token("Let me ", 1))
        await conversation.tell(conversation.token("see.", 1))
        await conversation.tell(ToolCall(turn.id, conversation.answer_id, 2, "call_1", "weather", ""))
        await conversation.tell(*[conversation.token(piece, 2, "tool_arguments") for piece in ('{"a"', ":1}")])
        await conversation.tell(ToolResult(turn.id, conversation.answer_id, 3, "call_1", "sun"))
        await conversation.say("It is ", 4)
        await conversation.send("waits")
        await conversation.say("sunny.", 4)
        await conversation.finish()
        before, state = await conversation.events(), await conversation.moment()

        assert await conversation.compact(turn.id)

        after = await conversation.events()
        assert await conversation.moment() == state
        assert tokens(after) == tokens(before)[:1]  # of the other turn
        assert sum(isinstance(event, Snapshot) for _, event in after) == 1
        await resume_everywhere(conversation, before)

    @pytest.mark.promise("E-03")
    async def test_the_journal_gets_smaller_and_its_seqs_stay(self, conversation: Conversation) -> None:
        await conversation.start()
        for n in range(10):
            await conversation.tell(*[conversation.token(f"{n}.{m} ") for m in range(10)])
        ended = await conversation.finish()
        assert ended is not None
        before, size = await conversation.rows(), await self._size(conversation)

        await conversation.compact(ended.turn.id)

        after = await conversation.rows()
        assert [row[:3] for row in after] == [row[:3] for row in before]
        assert await self._size(conversation) < size / 3
        assert await conversation.compact(ended.turn.id)  # a second time changes nothing
        assert await conversation.rows() == after

    @staticmethod
    async def _size(conversation: Conversation) -> int:
        return sum(len(row.payload) for row in await conversation.rows())

    @pytest.mark.promise("E-03")
    async def test_what_was_taken_back_stays_taken_back(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.tell(conversation.token("wrong "), conversation.token("way"))
        await conversation.tell(Reset(turn.id, conversation.answer_id))
        await conversation.tell(conversation.token("right "), conversation.token("way"))
        await conversation.finish()
        before = await conversation.events()

        assert await conversation.compact(turn.id)
        await resume_everywhere(conversation, before)
        assert await conversation.texts() == ["Hello", "right way"]

    @pytest.mark.promise("E-03")
    async def test_all_of_it_may_have_been_taken_back(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("wrong")
        await conversation.tell(Reset(turn.id, conversation.answer_id))
        await conversation.finish("incomplete", "shutdown")
        before = await conversation.events()

        assert await conversation.compact(turn.id)
        await resume_everywhere(conversation, before)

    @pytest.mark.promise("E-03")
    @pytest.mark.parametrize("said", [True, False], ids=["after some words", "before any"])
    async def test_a_steered_turn(self, conversation: Conversation, said: bool) -> None:
        turn = (await conversation.start()).turn
        if said:
            await conversation.tell(conversation.token("to the "), conversation.token("right"))
        await conversation.send("left", mode="steer")
        await conversation.steer()
        await conversation.tell(conversation.token("to the "), conversation.token("left"))
        await conversation.finish()
        before = await conversation.events()

        assert await conversation.compact(turn.id)
        await resume_everywhere(conversation, before)
        assert tokens(await conversation.events()) == []

    @pytest.mark.promise("E-03")
    async def test_a_steered_turn_that_had_taken_back_what_it_said(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("wrong")
        await conversation.tell(Reset(turn.id, conversation.answer_id))
        await conversation.send("left", mode="steer")
        await conversation.steer()
        await conversation.say("right")
        await conversation.finish()
        before = await conversation.events()

        assert await conversation.compact(turn.id)
        await resume_everywhere(conversation, before)
        assert tokens(await conversation.events()) == []

    async def test_a_retry(self, conversation: Conversation) -> None:
        source = await conversation.answer("first")
        await conversation.again("retry", source)
        retry = (await conversation.claimed()).turn
        await conversation.tell(conversation.token("sec"), conversation.token("ond"))
        await conversation.finish()
        before = await conversation.events()

        assert await conversation.compact(source.id)
        assert await conversation.compact(retry.id)
        await resume_everywhere(conversation, before)

    async def test_a_turn_that_never_ran_or_is_gone_has_nothing_to_compact(self, conversation: Conversation) -> None:
        withdrawn = (await conversation.send()).turn
        await conversation.withdraw(withdrawn.id)
        rolled_back = (await conversation.start()).turn
        await conversation.say("so far")
        await conversation.send("rather", mode="rollback")
        cleared = (await conversation.claimed()).turn
        await conversation.say("so far")
        await conversation.clear()
        rows = await conversation.rows()

        for turn in (withdrawn, rolled_back, cleared):
            assert await conversation.compact(turn.id)
        assert await conversation.rows() == rows

    @pytest.mark.promise("E-03")
    async def test_only_what_ended_long_enough_ago_is_due(self, store: Store, conversation: Conversation) -> None:
        ended = [await conversation.answer(), await conversation.answer()]
        await conversation.start()
        await conversation.send("waits")
        due = [(conversation.id, turn.id) for turn in ended]
        now_us = await store.read(now)

        assert await store.read(compaction.compactable, now_us + 1, 10) == due
        assert await store.read(compaction.compactable, now_us + 1, 1) == due[:1]
        assert await store.read(compaction.compactable, now_us - 3_600_000_000, 10) == []

        await conversation.compact(ended[0].id)
        assert await store.read(compaction.compactable, now_us + 1, 10) == due[1:]

    async def test_a_session_that_is_gone_meanwhile(self, store: Store) -> None:
        with pytest.raises(SessionNotFound):
            await store.write(compaction.compact, new_id("ses"), new_id("trn"))

    @pytest.mark.promise("E-03")
    @pytest.mark.parametrize("damaged", ["a row", "a message", "a row that is whole but says something else"])
    async def test_a_damaged_turn_is_left_alone(self, store: Store, damaged: str) -> None:
        told = await Conversation.begin(store)
        turn = await told.answer("what readers saw")
        row = next(row for row in await told.rows() if b"what readers saw" in row.payload)
        if damaged == "a row":
            await store.write(flip, "journal", told.id)
        elif damaged == "a message":
            await store.write(flip, "messages", told.id)
        else:
            await store.write(journal.replace_payload, row._replace(payload=row.payload.replace(b"saw", b"was")))
        rows = await store.read(_raw, told.id)

        assert not await store.write(compaction.compact, told.id, turn.id)

        assert (await store.read(_raw, told.id))[: len(rows)] == rows
        assert await store.read(compaction.compactable, await store.read(now) + 1, 10) == []  # it is reported once
        assert await store.read(quarantine.reason, told.id) == ("journal" if damaged == "a row" else "message")

    async def test_the_text_of_a_compacted_answer(self, conversation: Conversation) -> None:
        turn = await conversation.answer("Bonjour")
        await conversation.compact(turn.id)
        (snapshot,) = [event for _, event in await conversation.events() if isinstance(event, Snapshot)]

        assert snapshot.message is not None
        assert snapshot.message.parts == (TextPart("Bonjour"),)


def now(conn: Connection) -> int:
    """The store's time."""
    return int(conn.execute(select(utc_us())).scalar_one())


def _raw(conn: Connection, session_id: str) -> list[tuple[int, bytes, int]]:
    found = select(tables.journal.c.last_seq, tables.journal.c.payload, tables.journal.c.crc)
    rows = conn.execute(found.where(tables.journal.c.session_id == session_id).order_by(tables.journal.c.last_seq))
    return [(row.last_seq, bytes(row.payload), row.crc) for row in rows]
