"""Claiming: one live epoch a session (guarantee G6), and the workers that own turns."""

import asyncio
from typing import Any

import msgspec
import pytest

from legato.core.errors import MessageNotFound, SessionNotFound
from legato.core.ids import new_id
from legato.store import accepting, claiming, ending, messages, rescuing, turns, workers
from legato.store.claiming import Claimant
from legato.store.ending import Ending
from legato.store.port import Store
from tests.support.conversation import Conversation, batch, claimant, meter


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
            await store.write(claiming.claim, new_id("ses"), claimant())

    @pytest.mark.promise("R-03")
    async def test_of_many_who_claim_at_once_one_wins(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(3)]
        for one in told:
            await one.send("first")
            await one.send("second")

        async def claim(one: Conversation, worker: int) -> claiming.Claimed | None:
            return await store.write(claiming.claim, one.id, claimant(f"wrk_{worker}"))

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

        assert await store.read(claiming.claimable, claimant(), 10) == [waiting.id]
        both = claimant("wrk_1", "demo", "other")
        assert await store.read(claiming.claimable, both, 10) == [waiting.id, other.id], "the oldest first"
        assert len(await store.read(claiming.claimable, both, 1)) == 1
        assert await store.read(claiming.claimable, Claimant(worker_id="wrk_1", agents={}), 10) == []

    @pytest.mark.promise("R-01", "R-03")
    async def test_what_is_accepted_where_nothing_is_before_it_can_be_claimed_with_it(self, store: Store) -> None:
        told = await Conversation.begin(store)
        accepted = await store.write(accepting.accept, told.ask("Hello"), meter, claimant("wrk_7"))

        assert accepted.turn.status == "queued", "as it was accepted"
        assert accepted.claimed is not None
        assert accepted.claimed.session == (await told.state()).session
        (turn,) = (await told.state()).turns
        assert turn == accepted.claimed.turn
        assert (turn.status, turn.attempt) == ("in_progress", 1)
        waiting = await store.write(accepting.accept, told.ask("And?"), meter, claimant("wrk_7"))
        assert waiting.claimed is None
        first = await store.write(accepting.accept, told.ask("No!", mode="interrupt"), meter, claimant("wrk_7"))
        assert (first.ended_turn_id, first.claimed is None) == (turn.id, False)

    @pytest.mark.promise("R-15")
    @pytest.mark.parametrize("limits", [{"agents": {"demo": 2}}, {"agents": {"demo": None}, "per_owner": 2}])
    async def test_so_many_run_at_once_whoever_claims(self, store: Store, limits: dict[str, Any]) -> None:
        told = [await Conversation.begin(store) for _ in range(6)]
        for one in told:
            await one.send()
        workers = [Claimant(worker_id=f"wrk_{n}", **limits) for n in range(2)]

        tries = [store.write(claiming.claim, one.id, worker) for one in told for worker in workers]
        running = [claimed for claimed in await asyncio.gather(*tries) if claimed is not None]
        assert len(running) == 2
        assert await store.read(claiming.claimable, workers[0], 10) == []
        elsewhere = await Conversation.begin(store, owner="bob", agent_id="other")
        await elsewhere.send()
        free = msgspec.structs.replace(workers[0], agents={**workers[0].agents, "other": None})
        assert await store.read(claiming.claimable, free, 10) == [elsewhere.id]

        over = Ending(status="cancelled", reason="cancelled")
        first = running[0]
        assert await store.write(ending.finish, first.session.id, first.turn.id, first.epoch, over, meter) is not None
        next_ones = await store.read(claiming.claimable, workers[0], 10)
        assert len(next_ones) == 1, "no more than there is room for, though four wait"
        assert await store.write(claiming.claim, next_ones[0], workers[1]) is not None
        assert await store.read(claiming.claimable, workers[0], 10) == []
        waiting = [one for one in told if one.id not in {*next_ones, *(claimed.session.id for claimed in running)}]
        assert [await store.write(claiming.claim, one.id, workers[1]) for one in waiting] == [None] * 3

    @pytest.mark.promise("R-15")
    async def test_people_come_before_what_can_wait(self, store: Store) -> None:
        patient, person, late = [await Conversation.begin(store) for _ in range(3)]
        await patient.send(priority="background")
        await person.send()
        await late.send()

        assert await store.read(claiming.claimable, claimant(), 10) == [person.id, late.id, patient.id]
        busy = claimant(background=False)
        assert await store.read(claiming.claimable, busy, 10) == [person.id, late.id]
        assert await store.write(claiming.claim, patient.id, busy) is None
        assert (await patient.claimed()).turn.priority == "background"

    @pytest.mark.promise("R-15")
    async def test_a_session_waits_as_its_most_urgent_turn_does_and_runs_in_its_own_order(self, store: Store) -> None:
        mixed, person = [await Conversation.begin(store) for _ in range(2)]
        patient = (await mixed.send(priority="background")).turn
        await mixed.send(priority="background")
        await mixed.send()
        await person.send()

        assert await store.read(claiming.claimable, claimant(), 10) == [mixed.id, person.id]
        assert await store.read(claiming.claimable, claimant(), 1) == [mixed.id]
        # What can wait is first there, so nobody comes before it; elsewhere a person must not wait for that.
        assert await store.read(claiming.claimable, claimant(background=False), 1) == [person.id]
        assert (await mixed.claimed()).turn.id == patient.id
        await mixed.send("Now!", mode="interrupt")
        assert await store.read(claiming.claimable, claimant(background=False), 10) == [person.id, mixed.id]

    @pytest.mark.promise("R-15")
    async def test_limits_of_owners_hold_over_agents_and_hide_nobody(self, store: Store) -> None:
        hers = [await Conversation.begin(store, agent_id=agent) for agent in ("demo", "other") * 3]
        his = await Conversation.begin(store, owner="bob")
        for one in [*hers, his]:
            await one.send()
        limited = Claimant(worker_id="wrk_1", agents={"demo": None, "other": 1}, per_owner=2)

        assert await store.read(claiming.claimable, limited, 10) == [hers[0].id, hers[1].id, his.id]
        assert await store.write(claiming.claim, hers[0].id, limited) is not None
        assert await store.read(claiming.claimable, limited, 10) == [hers[1].id, his.id]
        assert await store.write(claiming.claim, hers[1].id, limited) is not None
        assert await store.read(claiming.claimable, limited, 10) == [his.id]
        assert await store.write(claiming.claim, hers[2].id, limited) is None
        assert await store.write(claiming.claim, his.id, limited) is not None

    @pytest.mark.promise("R-15")
    @pytest.mark.parametrize("limits", [{"agents": {"demo": 1}}, {"agents": {"demo": None}, "per_owner": 1}])
    async def test_a_parked_turn_takes_no_place_and_needs_one(self, store: Store, limits: dict[str, Any]) -> None:
        parked, other = [await Conversation.begin(store) for _ in range(2)]
        worker = Claimant(worker_id="wrk_1", **limits)
        first = await parked.start()
        await other.send()
        assert await store.read(claiming.claimable, worker, 10) == []
        assert await store.write(rescuing.park, parked.id, first.turn.id, first.epoch) is not None

        assert await store.read(claiming.claimable, worker, 10) == [parked.id]
        assert await store.write(claiming.claim, other.id, worker) is not None
        assert await store.read(claiming.claimable, worker, 10) == []
        assert await store.write(claiming.claim, parked.id, worker) is None
        free = claimant("wrk_2")
        assert await store.read(claiming.claimable, free, 10) == [parked.id]
        again = await store.write(claiming.claim, parked.id, free)
        assert again is not None
        assert (again.turn.id, again.turn.attempt) == (first.turn.id, 2)

    @pytest.mark.promise("X-08")
    async def test_a_turn_that_has_said_nothing_is_parked_and_taken_over(self, store: Store) -> None:
        told = await Conversation.begin(store)
        first = await told.start()
        parked = await store.write(rescuing.park, told.id, first.turn.id, first.epoch)
        assert parked is not None
        assert parked.turn.status == "in_progress"
        assert await store.append([batch(first, 1, told.token("late"))]) == [None], "it is not its owner's any more"
        assert await store.read(workers.orphans) == [], "nobody's, but not lost"
        assert await store.read(claiming.claimable, claimant(), 10) == [told.id]

        second = await told.claimed("wrk_2")
        assert (second.turn.id, second.turn.attempt) == (first.turn.id, 2)
        assert (second.turn.answer_id, second.message) == (first.turn.answer_id, first.message)
        assert second.epoch > first.epoch
        assert await told.claim("wrk_3") is None
        await told.say("Hello")
        assert await store.write(rescuing.park, told.id, second.turn.id, second.epoch) is None, "it has spoken"
        await told.finish()
        assert (await told.texts())[-1] == "Hello"

    async def test_only_its_owner_parks_a_turn(self, store: Store, conversation: Conversation) -> None:
        running = await conversation.start()
        assert await store.write(rescuing.park, conversation.id, running.turn.id, running.epoch - 1) is None
        await conversation.cancel(running.turn.id)
        assert await store.write(rescuing.park, conversation.id, running.turn.id, running.epoch) is None

    async def test_a_waiting_turn_whose_message_is_gone_says_so(self, store: Store, conversation: Conversation) -> None:
        turn = (await conversation.send()).turn
        await store.write(messages.remove, [turn.message_id])
        with pytest.raises(MessageNotFound):
            await store.write(claiming.claim, conversation.id, claimant())
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
