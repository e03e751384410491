"""Appending: fenced by the epoch, once for each number, and nobody's error is a neighbour's."""

import asyncio

import msgspec
import pytest

from legato.core.events import StatusUpdate, encode_lines
from legato.core.model import TextPart
from legato.store import sessions
from legato.store.port import Row, Store
from tests.support.conversation import Conversation, batch


class Appending:
    @pytest.mark.promise("E-01", "E-02")
    async def test_what_is_appended_follows_what_was(self, conversation: Conversation) -> None:
        await conversation.start()
        head = (await conversation.moment())[1]
        told = [conversation.token("Bon"), conversation.token("jour")]

        row = await conversation.tell(*told)

        assert row == Row(conversation.id, head + 1, head + 2, encode_lines(told))
        assert await conversation.events(head) == [(head + 1, told[0]), (head + 2, told[1])]
        assert await conversation.texts() == ["Hello", "Bonjour"]

    @pytest.mark.promise("R-02", "E-03")
    async def test_the_same_number_twice_enters_once(self, conversation: Conversation) -> None:
        """A commit of unknown outcome is tried again: it had entered, or it enters now."""
        await conversation.start()
        first = await conversation.say("once")
        second = await conversation.say(" more")

        assert await conversation.tell(conversation.token("once"), number=1) == first
        assert await conversation.tell(conversation.token(" more"), number=2) == second
        assert await conversation.texts() == ["Hello", "once more"]

    async def test_a_repeat_finds_what_entered_also_when_the_turn_is_over(self, conversation: Conversation) -> None:
        await conversation.start()
        row = await conversation.say("once")
        await conversation.finish()

        assert await conversation.tell(conversation.token("once"), number=1) == row
        assert await conversation.tell(conversation.token("late"), number=2) is None

    @pytest.mark.promise("R-05")
    async def test_who_is_no_longer_the_owner_is_refused(self, conversation: Conversation) -> None:
        claimed = await conversation.start()
        await conversation.say("mine")
        for epoch in (claimed.epoch - 1, claimed.epoch + 1, 0):
            assert await conversation.tell(conversation.token("not mine"), epoch=epoch, number=9) is None

        await conversation.rescue(claimed.turn.id)
        assert await conversation.say("late") is None
        await conversation.start("next")
        assert await conversation.tell(conversation.token("later"), epoch=claimed.epoch, number=3) is None
        assert await conversation.texts() == ["Hello", "mine", "next", ""]

    @pytest.mark.promise("R-05")
    async def test_one_stale_epoch_refuses_nobody_else(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(4)]
        claims = [await one.start() for one in told]
        await told[1].cancel(claims[1].turn.id)
        batches = [batch(c, 1, one.token("word")) for c, one in zip(claims, told, strict=True)]

        rows = await store.append(batches)

        assert [row is None for row in rows] == [False, True, False, False]
        assert [row.session_id for row in rows if row] == [told[place].id for place in (0, 2, 3)]
        for one in (told[0], told[2], told[3]):
            assert await one.texts() == ["Hello", "word"]
        assert await told[1].texts() == ["Hello", ""]

    async def test_a_repeat_among_new_ones(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(3)]
        claims = [await one.start() for one in told]
        batches = [batch(c, 1, one.token("word")) for c, one in zip(claims, told, strict=True)]
        (entered,) = await store.append(batches[1:2])

        rows = await store.append([msgspec.structs.replace(one, again=True) for one in batches])

        assert rows[1] == entered
        assert [row is None for row in rows] == [False, False, False]
        for one in told:
            assert await one.texts() == ["Hello", "word"]

    async def test_nothing_to_append_is_nothing(self, store: Store) -> None:
        assert await store.append([]) == []

    @pytest.mark.promise("E-01")
    async def test_a_rename_in_between_hurts_nobody(self, conversation: Conversation) -> None:
        await conversation.start()
        await conversation.say("be")
        await conversation.change(title="Renamed")
        await conversation.send("next")

        assert await conversation.say("tween") is not None
        assert await conversation.texts() == ["Hello", "between", "next"]

    @pytest.mark.promise("E-01")
    async def test_many_writers_at_once_leave_no_gap(self, store: Store, conversation: Conversation) -> None:
        """A turn speaks while its session is renamed and written to."""
        claimed = await conversation.start()
        speaker = [batch(claimed, n, conversation.token(f"{n} ")) for n in range(1, 9)]

        async def speak() -> None:
            for told in speaker:
                assert (await store.append([told]))[0] is not None

        renames = [store.write(sessions.change, conversation.id, "ann", {"title": f"{n}"}) for n in range(8)]
        await asyncio.gather(speak(), *renames)

        seqs = [seq for seq, _ in await conversation.events()]
        assert seqs == list(range(1, len(seqs) + 1))
        assert (await conversation.state()).messages[-1].parts == (TextPart("1 2 3 4 5 6 7 8 "),)

    @pytest.mark.promise("R-09")
    async def test_a_phase_is_seen_while_the_turn_runs_and_not_after(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.tell(StatusUpdate(turn.id, "executing", "searching"))
        assert (await conversation.state()).turns[-1].phase == "executing"

        await conversation.finish()
        assert (await conversation.state()).turns[-1].phase is None
