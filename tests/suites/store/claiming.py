"""Claiming: one live epoch a session (guarantee G6), and the workers that own turns."""

import asyncio

import pytest

from legato.core.errors import MessageNotFound, SessionNotFound
from legato.core.ids import new_id
from legato.store import messages, turns, workers
from legato.store.port import Store
from tests.support.conversation import Conversation


class Claiming:
    @pytest.mark.promise("R-01", "R-03", "S-17")
    async def test_a_claimed_turn_runs_under_a_new_epoch(self, conversation: Conversation) -> None:
        await conversation.answer()
        waiting = (await conversation.send("And?")).turn
        before = (await conversation.state()).messages
        claimed = await conversation.claimed("wrk_7")

        assert (claimed.turn.id, claimed.turn.status, claimed.turn.attempt) == (waiting.id, "in_progress", 1)
        assert claimed.turn.started_at is not None
        assert claimed.epoch > 2
        assert claimed.session == (await conversation.state()).session
        question, answer = (await conversation.state()).messages[-2:]
        assert question == claimed.message
        assert (question.status, question.parent_id) == ("completed", before[1].id)
        assert (answer.id, answer.role, answer.status) == (claimed.turn.answer_id, "assistant", "in_progress")
        assert (answer.parent_id, answer.agent_id, answer.parts) == (question.id, "demo", ())

    @pytest.mark.promise("R-03")
    async def test_there_is_nothing_to_claim_while_one_runs_or_none_waits(self, conversation: Conversation) -> None:
        assert await conversation.claim() is None
        await conversation.start()
        await conversation.send()

        assert await conversation.claim() is None
        assert await conversation.claim("wrk_2") is None

    async def test_a_process_claims_only_for_agents_that_it_has(self, conversation: Conversation) -> None:
        await conversation.send()

        assert await conversation.claim(agents=["other"]) is None
        assert await conversation.claim(agents=[]) is None
        assert await conversation.claim(agents=["other", "demo"]) is not None

    async def test_a_session_that_is_gone_cannot_be_claimed(self, store: Store) -> None:
        with pytest.raises(SessionNotFound):
            await store.write(turns.claim, new_id("ses"), "wrk_1", ["demo"])

    @pytest.mark.promise("R-03")
    async def test_of_many_who_claim_at_once_one_wins(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(3)]
        for one in told:
            await one.send("first")
            await one.send("second")

        async def claim(one: Conversation, worker: int) -> turns.Claimed | None:
            return await store.write(turns.claim, one.id, f"wrk_{worker}", ["demo"])

        tries = await asyncio.gather(*[claim(one, worker) for worker in range(6) for one in told])

        won = [claimed for claimed in tries if claimed is not None]
        assert sorted(claimed.session.id for claimed in won) == sorted(one.id for one in told)
        for claimed in won:
            assert await store.read(turns.live, "wrk_1") <= {(c.turn.id, c.epoch) for c in won}
            assert claimed.epoch == 1

    async def test_what_may_be_claimed(self, store: Store) -> None:
        waiting, running, idle, other = [
            await Conversation.begin(store, agent_id=agent) for agent in ("demo", "demo", "demo", "other")
        ]
        await waiting.send()
        await waiting.send()
        await running.start()
        await running.send()
        await idle.answer()
        await other.send()

        assert await store.read(turns.claimable, ["demo"], 10) == [waiting.id]
        assert sorted(await store.read(turns.claimable, ["demo", "other"], 10)) == sorted([waiting.id, other.id])
        assert len(await store.read(turns.claimable, ["demo", "other"], 1)) == 1
        assert await store.read(turns.claimable, [], 10) == []

    async def test_a_waiting_turn_whose_message_is_gone_says_so(self, store: Store, conversation: Conversation) -> None:
        turn = (await conversation.send()).turn
        await store.write(messages.remove, [turn.message_id])
        with pytest.raises(MessageNotFound):
            await store.write(turns.claim, conversation.id, "wrk_1", ["demo"])
        await conversation.cancel(turn.id)

    async def test_a_worker_lives_while_its_counter_moves(self, store: Store) -> None:
        await store.write(workers.register, "wrk_1")
        await store.write(workers.register, "wrk_2")
        assert await store.read(workers.counters) == {"wrk_1": 0, "wrk_2": 0}

        assert await store.write(workers.beat, "wrk_1")
        assert await store.read(workers.counters) == {"wrk_1": 1, "wrk_2": 0}

        await store.write(workers.remove, "wrk_2")
        assert not await store.write(workers.beat, "wrk_2")
        assert await store.read(workers.counters) == {"wrk_1": 1}

    @pytest.mark.promise("R-06")
    async def test_an_orphan_is_a_running_turn_without_a_registered_worker(self, store: Store) -> None:
        hers, his, waiting = [await Conversation.begin(store) for _ in range(3)]
        await store.write(workers.register, "wrk_1")
        mine = (await hers.start()).turn
        await waiting.send()
        await his.send()
        lost = (await his.claimed("wrk_2")).turn

        orphans = await store.read(workers.orphans)

        assert [(row.session_id, row.id, row.worker_id) for row in orphans] == [(his.id, lost.id, "wrk_2")]
        await store.write(workers.remove, "wrk_1")
        assert {row.id for row in await store.read(workers.orphans)} == {mine.id, lost.id}

    @pytest.mark.promise("R-04")
    async def test_a_worker_sees_which_turns_are_still_its_own(self, store: Store) -> None:
        one, two = [await Conversation.begin(store) for _ in range(2)]
        mine = [await told.start() for told in (one, two)]
        assert await store.read(turns.live, "wrk_1") == {(claimed.turn.id, claimed.epoch) for claimed in mine}

        await one.cancel(mine[0].turn.id)

        assert await store.read(turns.live, "wrk_1") == {(mine[1].turn.id, mine[1].epoch)}
        assert await store.read(turns.live, "wrk_2") == set()
