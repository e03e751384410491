"""Damage: what rotted on disk is detected, never served (guarantee G16)."""

import pytest
from sqlalchemy import Connection, delete, select, update

from legato.core.errors import Corrupted, SessionQuarantined
from legato.core.model import Mode
from legato.store import accepting, claiming, ending, messages, rescuing, schema, sessions, snapshots
from legato.store.claiming import Claimed
from legato.store.diagnosis import diagnose
from legato.store.ending import Ending
from legato.store.port import Row, Store
from tests.support.conversation import Conversation, claimant, meter


def flip(conn: Connection, table: str, session_id: str) -> None:
    """Flip one bit in the middle of the newest row's content."""
    if table == "journal":
        rows = schema.journal
        newest = select(rows.c.last_seq, rows.c.payload).where(rows.c.session_id == session_id)
        found = conn.execute(newest.where(rows.c.batch.is_not(None)).order_by(rows.c.last_seq.desc()).limit(1)).one()
        payload = bytearray(found.payload)
        payload[len(payload) // 2] ^= 1
        here = (rows.c.session_id == session_id) & (rows.c.last_seq == found.last_seq)
        conn.execute(update(rows).where(here).values(payload=bytes(payload)))
    else:
        told = schema.messages
        mine = select(told.c.id, told.c.parts).where(told.c.session_id == session_id, told.c.role == "assistant")
        row = conn.execute(mine).one()
        parts = bytearray(row.parts.encode())
        parts[-5] ^= 1
        conn.execute(update(told).where(told.c.id == row.id).values(parts=parts.decode()))


class Damage:
    async def test_a_bit_that_fell_over_in_the_journal(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.start()
        await told.say("what was said")
        good = await told.rows()
        await store.write(flip, "journal", told.id)

        with pytest.raises(Corrupted):
            await told.state()
        with pytest.raises(Corrupted):
            await told.rows(good[-2].last_seq)
        assert await told.rows() == good[:-1]  # what is whole is still there

    async def test_a_bit_that_fell_over_in_a_message(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("what was said")
        await store.write(flip, "messages", told.id)

        with pytest.raises(Corrupted):
            await told.state()
        with pytest.raises(Corrupted):
            await store.read(snapshots.history, told.id, "ann", 10, None)

    async def test_a_row_that_is_missing(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer()
        rows = await told.rows()
        await store.write(_lose, told.id, rows[2].last_seq)

        assert await told.rows() == rows[:2]
        with pytest.raises(Corrupted) as caught:
            await told.rows(rows[1].last_seq)
        assert caught.value.details["after"] == rows[1].last_seq

    async def test_a_row_of_another_session(self, store: Store) -> None:
        """A checksum is bound to the session: a row that strayed is not taken for one's own."""
        one, other = await Conversation.begin(store), await Conversation.begin(store)
        await one.start()
        await one.say("said here")
        await other.send()
        good = await one.rows()
        await store.write(_stray, one.id, other.id)

        assert await one.rows() == good[:-1]
        with pytest.raises(Corrupted):
            await one.rows(good[-2].last_seq)

    async def test_parts_of_another_message(self, store: Store) -> None:
        told = await Conversation.begin(store)
        await told.answer("one")
        first, second = (message.id for message in (await told.state()).messages)
        await store.write(_swap, first, second)

        with pytest.raises(Corrupted):
            await store.read(messages.get, first)

    @pytest.mark.promise("R-05")
    @pytest.mark.parametrize("how", ["completed", "cancelled", "rescued", "interrupted", "rolled back", "cleared"])
    async def test_a_turn_whose_words_are_damaged_ends_and_none_of_them_is_served(self, store: Store, how: str) -> None:
        told = await Conversation.begin(store)
        claimed = await told.start("Damaged?")
        await told.say("what was said")
        await store.write(flip, "journal", told.id)

        ended = await store.write(_end, how, told, claimed)

        turn = await store.read(snapshots.turn, told.id, "ann", claimed.turn.id)
        assert turn.status in ("failed", "cancelled", "incomplete")
        assert turn.error is not None
        assert turn.error.code == "corrupted"
        assert b"what was said" not in b"".join(row.payload for row in ended)
        assert "what was said" not in await told.texts()
        assert (await told.state()).session.quarantined is (how != "cleared")
        again = Conversation(store, await store.write(sessions.change, told.id, "ann", {"title": "And now?"}))
        send = again.ask("And now?", client_message_id="next")
        if how != "cleared":
            with pytest.raises(SessionQuarantined):
                await store.write(accepting.accept, send, meter)
            return
        await store.write(accepting.accept, send, meter)
        assert await store.write(claiming.claim, told.id, claimant()) is not None
        assert (await told.texts())[-2:] == ["And now?", ""]

    async def test_the_doctor_names_what_is_damaged(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(5)]
        for one in told:
            await one.answer()
        await store.write(flip, "journal", told[0].id)
        await store.write(flip, "messages", told[1].id)
        await store.write(_lose, told[2].id, (await told[2].rows())[-1].last_seq)
        await store.write(_lose, told[3].id, (await told[3].rows())[1].last_seq)

        found = [await store.read(diagnose, one.id) for one in told]

        places = [[finding.place for finding in each.findings] for each in found if each is not None]
        assert places == [["journal"], ["message"], ["journal"], ["journal"], []]
        assert [each.restorable for each in found if each is not None] == [False, True, False, False, True]


def _end(conn: Connection, how: str, told: Conversation, claimed: Claimed) -> tuple[Row, ...]:
    """End a running turn in one of the ways in which turns end; what that appended."""
    turn_id, stopped = claimed.turn.id, Ending(status="cancelled", reason="cancelled")
    ended: ending.Ended | ending.Cleared | None
    match how:
        case "completed":
            done = Ending(status="completed", reason="stop")
            ended = ending.finish(conn, told.id, turn_id, claimed.epoch, done, meter)
        case "cancelled":
            ended = ending.cancel(conn, told.id, "ann", turn_id, stopped, meter)
        case "rescued":
            lost = Ending(status="incomplete", reason="worker_lost")
            ended = rescuing.rescue(conn, told.id, turn_id, "wrk_1", lost, meter)
        case "cleared":
            ended = ending.clear(conn, told.id, "ann", meter)
        case _:
            mode: Mode = "rollback" if how == "rolled back" else "interrupt"
            send = told.ask("rather", mode=mode)
            accepted = accepting.accept(conn, send, meter)
            return accepted.rows + ending.withdraw(conn, told.id, "ann", accepted.turn.id, meter).rows
    assert ended is not None
    return ended.rows


def _lose(conn: Connection, session_id: str, last_seq: int) -> None:
    rows = schema.journal
    conn.execute(delete(rows).where(rows.c.session_id == session_id, rows.c.last_seq == last_seq))


def _stray(conn: Connection, to: str, source: str) -> None:
    """The newest row of ``to`` gets payload and checksum of another session's newest row."""
    rows = schema.journal
    found = conn.execute(select(rows).where(rows.c.session_id == source).order_by(rows.c.last_seq.desc())).first()
    place = conn.execute(select(rows).where(rows.c.session_id == to).order_by(rows.c.last_seq.desc())).first()
    assert found is not None
    assert place is not None
    here = (rows.c.session_id == to) & (rows.c.last_seq == place.last_seq)
    conn.execute(update(rows).where(here).values(payload=found.payload, crc=found.crc))


def _swap(conn: Connection, first: str, second: str) -> None:
    told = schema.messages
    row = conn.execute(select(told).where(told.c.id == second)).one()
    conn.execute(update(told).where(told.c.id == first).values(parts=row.parts, crc=row.crc))
