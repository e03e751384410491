"""Rebuilding: what the journal still tells is written anew; what it does not tell is not guessed (promise X-06)."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, delete, insert, select, update

from legato.core.events import SessionEvent
from legato.core.files import PIECE_BYTES
from legato.core.model import FilePart, Message
from legato.store import (
    approvals,
    claiming,
    clearing,
    damaged,
    messages,
    quarantine,
    schema,
    sessions,
    snapshots,
    steps,
    upgrade,
)
from legato.store.diagnosis import Diagnosis, diagnose
from legato.store.port import Store
from legato.store.rebuilding import Rebuilt, rebuild
from tests.suites.store.approving import DONE, asked
from tests.suites.store.damage import flip
from tests.support.attachments import keep, noise, part, rot
from tests.support.conversation import Conversation, claimant, text_of


async def mended(told: Conversation) -> Rebuilt:
    done = await told.store.write(rebuild, told.id)
    assert done is not None
    return done


async def diagnosed(told: Conversation) -> Diagnosis:
    found = await told.store.read(diagnose, told.id)
    assert found is not None
    return found


async def put_apart(told: Conversation, reason: str = "message") -> None:
    """Somebody has met the damage."""
    await told.store.write(quarantine.mark, told.id, reason)


class Rebuilding:
    @pytest.mark.promise("X-06", "S-18")
    async def test_a_damaged_file_is_told_and_keeps_no_session_in_quarantine(self, store: Store) -> None:
        """No round of quarantine and rebuilding over what nobody can restore."""
        told = await Conversation.begin(store)
        files = [await keep(store, content) for content in (None, noise(2 * PIECE_BYTES), b"words")]
        for file in files:
            await told.send("Look", parts=(part(file),))
            await told.claimed()
            await told.say("Nice")
            await told.finish()
        assert (await diagnosed(told)).findings == ()
        (message, *_) = (await told.state()).messages
        (rotten,) = [each.file_id for each in message.parts if isinstance(each, FilePart)]
        await store.write(rot, rotten)

        await put_apart(told, "file")  # who meets it marks nothing
        assert not (await diagnosed(told)).marked
        await put_apart(told, "session")
        await store.write(_change, schema.sessions, told.id, {"agent_name": "Deno"})
        done = await mended(told)

        assert [finding.place for finding in done.before.findings] == ["session", "file"]
        (left,) = done.after.findings
        assert (left.place, left.restorable, left.what) == ("file", False, f"{rotten}: its bytes are damaged")
        after = await diagnosed(told)
        assert (after.marked, after.reason) == (False, None)
        assert not (await mended(told)).changed

    @pytest.mark.promise("X-06")
    async def test_a_message_is_restored_and_the_session_goes_on(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("what was said", "Well?")
        before, _ = await told.moment()
        await store.write(flip, "messages", told.id)
        await put_apart(told)

        assert (await diagnosed(told)).restorable
        done = await mended(told)

        assert [finding.place for finding in done.before.findings] == ["message"]
        assert done.after.findings == ()
        assert await told.state() == before
        # Whoever followed is told that it takes turns again.
        quarantined = [event.session.quarantined for _, event in await told.events() if isinstance(event, SessionEvent)]
        assert quarantined[-2:] == [True, False]
        await told.took(await told.rows(told.moments[-1][1]))
        await told.answer("and that", "And?")
        assert await told.texts() == ["Well?", "what was said", "And?", "and that"]

    @pytest.mark.promise("X-06")
    async def test_a_compacted_answer_is_restored_from_its_snapshot(self, store: Store) -> None:
        told = await Conversation.begin(store)
        turn = await told.answer("what was said")
        await told.compact(turn.id)
        before = await told.state()
        await store.write(flip, "messages", told.id)

        assert (await mended(told)).after.findings == ()
        assert await told.state() == before

    @pytest.mark.promise("X-06")
    async def test_what_is_lost_altogether_is_restored(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("one", "two")
        await told.start("three")
        await told.say("four")
        await told.send("waits")
        before = await told.moment()
        await store.write(_lose_projections, told.id)

        done = await mended(told)

        assert done.after.findings == ()
        assert await told.moment() == before
        await told.agree()

    @pytest.mark.promise("X-06")
    async def test_a_dry_run_changes_nothing(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("what was said")
        await store.write(flip, "messages", told.id)
        before = await store.read(_everything, told.id)

        await diagnosed(told)

        assert await store.read(_everything, told.id) == before

    @pytest.mark.promise("X-06")
    async def test_a_journal_that_is_damaged_leaves_the_messages_alone(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("what was said", "Well?")
        await store.write(flip, "journal", told.id)

        done = await mended(told)

        assert [(each.place, each.restorable) for each in done.after.findings] == [("journal", False)]
        assert await store.read(quarantine.reason, told.id) == "journal"
        state, _ = await store.read(damaged.snapshot, told.id, "ann", 10)
        assert [text_of(message) for message in state.messages] == ["Well?", "what was said"]
        assert (await mended(told)).after.findings == done.after.findings
        assert not (await mended(told)).changed

    @pytest.mark.promise("X-06")
    async def test_words_that_fit_the_checksum_are_believed_though_the_journal_is_damaged(self, store: Store) -> None:
        told = await Conversation.begin(store)
        first = await told.answer("lost in the journal", "Well?")
        second = await told.answer("whole in the journal", "And?")
        await store.write(_damage_row_with, told.id, b"lost in the journal")
        for turn in (first, second):
            await store.write(_spoil_crc_of_text, turn.answer_id or "")

        done = await mended(told)

        assert {each.place for each in done.after.findings} == {"journal", "message"}
        state, _ = await store.read(damaged.snapshot, told.id, "ann", 10)
        assert [text_of(message) for message in state.messages] == ["Well?", "", "And?", "whole in the journal"]
        assert state.messages[1].error is not None
        assert state.messages[3].error is None

    @pytest.mark.promise("X-06")
    async def test_what_is_missing_is_restored_if_it_was_said_after_the_damage(self, store: Store) -> None:
        told = await Conversation.begin(store)
        first = await told.answer("before", "one")
        await store.write(_damage_row_with, told.id, b"before")
        second = await told.answer("after", "two")
        before = await store.read(messages.get, second.answer_id or "")
        for turn in (first, second):
            await store.write(_lose, schema.messages, turn.answer_id or "")

        done = await mended(told)

        assert await store.read(messages.get, second.answer_id or "") == before
        assert await store.read(messages.get, first.answer_id or "") is None
        lost = [each.what for each in done.after.findings if each.place == "message"]
        assert len(lost) == 1
        assert first.answer_id is not None
        assert lost[0].startswith(first.answer_id)

    @pytest.mark.promise("X-06")
    async def test_a_journal_that_is_gone_takes_nothing_with_it(self, store: Store) -> None:
        told, empty = await Conversation.begin(store), await Conversation.begin(store)
        await told.answer("what was said", "Well?")
        for each in (told, empty):
            await store.write(_lose_journal, each.id, 0)

            done = await mended(each)

            assert [(found.place, found.restorable) for found in done.after.findings] == [("journal", False)]
        assert await told.texts() == ["Well?", "what was said"]

    @pytest.mark.promise("X-06")
    async def test_a_message_that_is_whole_is_not_removed_though_the_journal_does_not_know_it(
        self, store: Store
    ) -> None:
        told = await Conversation.begin(store)
        await told.answer("what was said", "Well?")
        answer = (await told.state()).messages[-1]
        unknown = msgspec.structs.replace(answer, id="msg_of_nobody")
        await store.write(messages.put, unknown)

        done = await mended(told)

        assert [(each.place, each.restorable) for each in done.after.findings] == [("message", False)]
        assert await store.read(messages.get, "msg_of_nobody") == unknown

    @pytest.mark.promise("X-06")
    async def test_where_both_fit_their_checksums_neither_is_touched(self, store: Store) -> None:
        told = await Conversation.begin(store)
        turn = await told.answer("what was said")
        answer = await store.read(messages.get, turn.answer_id or "")
        assert answer is not None
        other = msgspec.convert({"type": "text", "text": "something else"}, type=Any)
        await store.write(
            messages.replace, msgspec.convert(msgspec.to_builtins(answer) | {"parts": [other]}, type=Message)
        )

        done = await mended(told)

        assert [each.restorable for each in done.after.findings if each.place == "message"] == [False]
        assert (await told.texts())[-1] == "something else"
        assert (await told.state()).session.quarantined

    @pytest.mark.promise("X-06")
    @pytest.mark.parametrize("wrong", [{"status": "cancelled"}, {"reason": "stap"}, {"context": "["}, {"done_seq": 1}])
    async def test_a_turn_of_which_only_the_end_is_left(self, store: Store, wrong: dict[str, Any]) -> None:
        told = await Conversation.begin(store)
        turn = await told.answer()
        for _ in range(3):
            await told.answer()
        await told.trim(2)
        before = await store.read(snapshots.turn, told.id, "ann", turn.id)
        await store.write(_change, schema.turns, turn.id, wrong)

        assert (await diagnosed(told)).findings
        assert (await mended(told)).after.findings == ()
        assert await store.read(snapshots.turn, told.id, "ann", turn.id) == before

    @pytest.mark.promise("X-06")
    async def test_a_head_that_is_too_high(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer()
        before = await told.moment()
        await store.write(_change, schema.sessions, told.id, {"head": before[1] + 4})

        assert [each.place for each in (await mended(told)).before.findings] == ["session"]
        assert await told.moment() == before

    @pytest.mark.promise("X-06")
    async def test_whether_a_running_turn_said_more_nobody_can_tell(self, store: Store) -> None:
        """Events may be missing at the journal's end: nothing but the head would know of them."""
        told = await Conversation.begin(store)
        await told.start()
        await told.say("so far")
        await store.write(_change, schema.sessions, told.id, {"head": (await told.moment())[1] + 4})

        done = await mended(told)

        assert [each.restorable for each in done.after.findings] == [False]
        assert done.after.findings[0].place == "journal"

    @pytest.mark.promise("X-06", "S-14")
    async def test_the_index_follows(self, store: Store) -> None:
        told = await Conversation.begin(store, title="About birds")
        turn = await told.answer("nightingale", "larks?")
        await store.write(_change_entry, turn.answer_id, {"words": "nightingole"})
        await store.write(_lose_entry, turn.message_id)
        await store.write(_change_entry, None, {"session_id": told.id, "words": "about bards"})

        assert {each.place for each in (await diagnosed(told)).findings} == {"search"}
        assert (await mended(told)).after.findings == ()
        await told.agree()
        for word in ("nightingale", "larks", "birds"):
            assert await _found(told, word), word

    @pytest.mark.promise("X-06")
    async def test_text_that_is_none(self, store: Store) -> None:
        """SQLite's driver would refuse the row; PostgreSQL takes no such text."""
        if store.shared:
            return
        told = await Conversation.begin(store, title="About birds")
        await told.answer("what was said", "Well?")
        before = await told.state()
        for statement in (
            "UPDATE messages SET parts = CAST(x'f4f4' AS TEXT) WHERE session_id = ? AND role = 'assistant'",
            "UPDATE messages SET error_message = CAST(x'f4f4' AS TEXT) WHERE session_id = ? AND role = 'user'",
            "UPDATE turns SET reason = CAST(x'f4f4' AS TEXT) WHERE session_id = ?",
            "UPDATE sessions SET title = CAST(x'f4f4' AS TEXT) WHERE id = ?",
            "UPDATE search_entries SET words = CAST(x'f4f4' AS TEXT) WHERE session_id = ? AND role = 'user'",
        ):
            await store.write(_execute, statement, told.id)

        assert (await mended(told)).after.findings == ()
        assert await told.state() == before
        await told.agree()

    @pytest.mark.promise("X-06")
    async def test_a_turn_that_was_lost_while_it_ran_belongs_to_nobody(self, store: Store) -> None:
        told = await Conversation.begin(store)
        turn = (await told.start()).turn
        await told.say("so far")
        before = await told.moment()
        await store.write(_lose, schema.turns, turn.id)

        assert (await mended(told)).after.findings == ()
        assert await told.moment() == before
        ended = await told.rescue(turn.id, "wrk_lost")
        assert ended is not None
        assert (await told.texts())[-1] == "so far"
        await told.agree()

    @pytest.mark.promise("X-06", "R-10")
    @pytest.mark.parametrize("asks", [None, "apr_of_nobody"])
    async def test_a_turn_that_waits_for_a_person_goes_on_waiting(self, store: Store, asks: str | None) -> None:
        told = await Conversation.begin(store)
        turn = (await told.start()).turn
        waiting = await asked(told)
        await store.write(_change, schema.turns, turn.id, {"asks": asks})

        done = await mended(told)

        assert [each.place for each in done.before.findings] == ["turn"]
        assert done.after.findings == ()
        assert await store.write(claiming.claim, told.id, claimant()) is None
        decided = await store.write(approvals.decide, waiting.approval.id, "ann", "allow")
        await told.took(decided.rows)
        again = await told.claimed("wrk_2")
        assert again.resumed is not None
        assert [(step.kind, step.value()) for step in again.resumed.steps] == [("ask", "allowed")]

    @pytest.mark.promise("X-06", "R-08", "R-10")
    async def test_a_lost_turn_finds_its_steps_and_its_question_again(self, store: Store) -> None:
        """PostgreSQL loses no row without what hangs on it."""
        if store.shared:
            return
        told = await Conversation.begin(store)
        running = await told.start()
        await store.write(steps.save, told.id, running.turn.id, running.epoch, [DONE])
        await told.say("May I? ")
        waiting = await asked(told)
        before, recorded = await told.moment(), await store.read(steps.of_turn, running.turn.id)

        done = await store.write(_lose_turn_alone, told.id, running.turn.id)

        assert done is not None
        assert [each.place for each in done.before.findings] == ["turn"]
        assert done.after.findings == ()
        assert await told.moment() == before
        assert await store.read(steps.of_turn, running.turn.id) == recorded
        assert await store.read(approvals.waiting, "ann", 10) == [waiting.approval]
        assert await told.rescue(running.turn.id, "wrk_lost") is None

    @pytest.mark.promise("X-06", "S-08")
    async def test_what_was_cleared_and_is_not_yet_taken_away_is_no_damage(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("goes", "Well?")
        await store.write(_damage_row_with, told.id, b"goes")
        await told.emptied()
        assert (await diagnosed(told)).findings == ()
        turn = await told.answer("stays", "And?")
        assert (await diagnosed(told)).findings == ()
        await store.write(_change, schema.messages, turn.answer_id or "", {"crc": 1})

        done = await mended(told)

        assert [each.what.split(":")[0] for each in done.before.findings] == [turn.answer_id]
        assert done.after.findings == ()
        assert await told.texts() == ["And?", "stays"]
        while not await store.write(clearing.remove, told.id):
            assert (await diagnosed(told)).findings == ()
        assert (await diagnosed(told)).findings == ()

    @pytest.mark.promise("X-06")
    async def test_a_session_that_is_deleted_is_nobodys_patient(self, store: Store) -> None:
        assert await store.read(diagnose, "ses_00000000000000000000000009") is None
        assert await store.write(rebuild, "ses_00000000000000000000000009") is None

    @pytest.mark.promise("X-06")
    async def test_cursors_of_before_lead_to_a_snapshot(self, store: Store) -> None:
        before = await store.write(upgrade.incarnation)
        await store.write(upgrade.renew_incarnation)
        after = await store.write(upgrade.incarnation)

        assert after != before
        assert len(after) == len(before)
        await store.write(_incarnation, before)


async def _found(told: Conversation, word: str) -> bool:
    page = await told.store.read(sessions.page, "ann", text=word)
    return [session.id for session in page.data] == [told.id]


def _lose_journal(conn: Connection, session_id: str, after: int) -> None:
    rows = schema.journal
    conn.execute(delete(rows).where(rows.c.session_id == session_id, rows.c.last_seq > after))


def _lose_projections(conn: Connection, session_id: str) -> None:
    for table in (schema.messages, schema.turns, schema.search_entries):
        conn.execute(delete(table).where(table.c.session_id == session_id))
    conn.execute(update(schema.sessions).where(schema.sessions.c.id == session_id).values(leaf_id=None))


def _everything(conn: Connection, session_id: str) -> list[Any]:
    tables = (schema.messages, schema.turns, schema.journal, schema.search_entries)
    found = [conn.execute(select(table).where(table.c.session_id == session_id)).all() for table in tables]
    return [*found, conn.execute(select(schema.sessions).where(schema.sessions.c.id == session_id)).all()]


def _damage_row_with(conn: Connection, session_id: str, words: bytes) -> None:
    """The row of the journal that says this says something else."""
    rows = schema.journal
    for row in conn.execute(select(rows).where(rows.c.session_id == session_id)).all():
        if words in bytes(row.payload) and b"token " in bytes(row.payload):
            here = (rows.c.session_id == session_id) & (rows.c.last_seq == row.last_seq)
            conn.execute(update(rows).where(here).values(payload=bytes(row.payload).replace(words, words[::-1])))


def _spoil_crc_of_text(conn: Connection, message_id: str) -> None:
    table = schema.messages
    parts = conn.execute(select(table.c.parts).where(table.c.id == message_id)).scalar_one()
    conn.execute(update(table).where(table.c.id == message_id).values(parts=parts.replace("journal", "jaurnal")))


def _change(conn: Connection, table: Any, id_: str, values: dict[str, Any]) -> None:
    conn.execute(update(table).where(table.c.id == id_).values(values))


def _lose(conn: Connection, table: Any, id_: str) -> None:
    conn.execute(delete(table).where(table.c.id == id_))


def _lose_turn_alone(conn: Connection, session_id: str, turn_id: str) -> Rebuilt | None:
    """A rotten page takes nothing with it that hangs on it, as a statement does; rebuilt before the database looks."""
    conn.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
    hanging = (schema.steps, schema.approvals)
    kept = [conn.execute(select(table).where(table.c.turn_id == turn_id)).all() for table in hanging]
    _lose(conn, schema.turns, turn_id)
    for table, rows in zip(hanging, kept, strict=True):
        conn.execute(insert(table), [dict(row._mapping) for row in rows])
    return rebuild(conn, session_id)


def _change_entry(conn: Connection, message_id: str | None, values: dict[str, Any]) -> None:
    entries = schema.search_entries
    mine = entries.c.message_id == message_id if message_id else entries.c.message_id.is_(None)
    conn.execute(update(entries).where(mine, ~entries.c.gone).values(values))


def _lose_entry(conn: Connection, message_id: str) -> None:
    conn.execute(delete(schema.search_entries).where(schema.search_entries.c.message_id == message_id))


def _execute(conn: Connection, statement: str, session_id: str) -> None:
    conn.exec_driver_sql(statement, (session_id,))


def _incarnation(conn: Connection, value: str) -> None:
    conn.execute(update(schema.meta).where(schema.meta.c.key == "incarnation").values(value=value))
