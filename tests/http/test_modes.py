"""What a send says about a turn that runs: wait, reject, interrupt, roll back, steer."""

import anyio
import pytest

from tests.http.acting import finish, heard_by, running, waiting_in
from tests.http.conftest import Served
from tests.http.puppets import Puppets
from tests.http.speaking import Api, folded, state_of, text_of

pytestmark = pytest.mark.anyio


async def order_of(api: Api, session: str) -> list[tuple[str, str]]:
    """Which turn did what, in the journal's order: ``runs`` and its reasons to end."""
    happened = []
    for event in await api.journal(session):
        if event["type"] == "done":
            happened.append((event["data"]["turn_id"], event["data"]["reason"]))
        elif event["type"] == "turn" and event["data"]["turn"]["status"] == "in_progress":
            happened.append((event["data"]["turn"]["id"], "runs"))
    return happened


@pytest.mark.promise("R-03")
async def test_queued_turns_run_in_their_order(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    ids = [(await api.send(session, str(number)))["id"] for number in range(3)]
    await puppets.of(ids[0])
    state = await api.state(session)
    assert [(turn["id"], turn["status"]) for turn in state["turns"]] == [
        (ids[0], "in_progress"),
        (ids[1], "queued"),
        (ids[2], "queued"),
    ]
    assert [text_of(message) for message in state["messages"]] == ["0", "", "1", "2"]
    for number, turn_id in enumerate(ids):
        assert not any(puppets.plays(later) for later in ids[number + 1 :])
        await finish(api, puppets, session, turn_id, f"answer {number}")
    assert await order_of(api, session) == [(turn_id, what) for turn_id in ids for what in ("runs", "stop")]
    assert await api.texts(session) == ["0", "answer 0", "1", "answer 1", "2", "answer 2"]


@pytest.mark.promise("R-03")
async def test_reject_refuses_while_a_turn_runs_or_waits(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    problem = await api.refused(409, "turn_in_progress", "POST", f"{session}/turns", {"text": "No", "mode": "reject"})
    assert problem["turn_id"] == first
    await finish(api, puppets, session, first)
    turn = await api.send(session, "Yes", mode="reject")
    await finish(api, puppets, session, turn["id"])
    assert await api.texts(session) == ["First", "So farDone", "Yes", "Done"]


@pytest.mark.promise("R-03")
async def test_interrupt_ends_the_running_turn_keeps_its_text_and_comes_next(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    waiting = await api.send(session, "Waiting")
    urgent = await api.send(session, "Urgent", mode="interrupt")
    await (await puppets.of(first)).gone.wait()
    ended = await api.turn(session, first)
    assert (ended["status"], ended["reason"]) == ("cancelled", "interrupted")
    puppet = await puppets.of(urgent["id"])
    assert heard_by(puppet) == ["First", "So far", "Urgent"]
    await finish(api, puppets, session, urgent["id"], "Quick")
    await finish(api, puppets, session, waiting["id"], "Late")
    assert await api.texts(session) == ["First", "So far", "Urgent", "Quick", "Waiting", "Late"]
    assert await order_of(api, session) == [
        (first, "runs"),
        (first, "interrupted"),
        (urgent["id"], "runs"),
        (urgent["id"], "stop"),
        (waiting["id"], "runs"),
        (waiting["id"], "stop"),
    ]


@pytest.mark.promise("R-03")
async def test_rollback_takes_the_running_turn_out_of_the_history(api: Api, puppets: Puppets) -> None:
    session = await api.session("puppet")
    kept = await api.send(session, "Kept")
    await finish(api, puppets, session, kept["id"], "Kept too")
    gone = await running(api, puppets, session, "Forget this", "I am tell")
    async with api.follow(session) as stream:
        await stream.until("snapshot")
        before = state_of(stream.events[0].data["state"])
        instead = await api.send(session, "Instead", mode="rollback")
        await (await puppets.of(gone)).gone.wait()
        done = await stream.until("done")
        assert (done.data["turn_id"], done.data["status"], done.data["reason"]) == (gone, "cancelled", "rolled_back")
        removed = [event.data["message_id"] for event in stream.events if event.data.get("op") == "removed"]
        rolled = await api.turn(session, gone)
        assert removed == [rolled["answer_id"], rolled["message_id"]]
        puppet = await puppets.of(instead["id"])
        assert heard_by(puppet) == ["Kept", "Kept too", "Instead"]
        await finish(api, puppets, session, instead["id"], "Better")
        await stream.until("done")
        assert folded(before, stream.events[1:]) == state_of(await api.state(session))
    assert await api.texts(session) == ["Kept", "Kept too", "Instead", "Better"]
    assert "Forget this" not in str(await api.journal(session))
    assert "I am tell" not in str(await api.journal(session))


@pytest.mark.promise("R-03")
@pytest.mark.parametrize("mode", ["interrupt", "rollback", "steer", "reject"])
async def test_every_mode_just_runs_where_nothing_runs(api: Api, mode: str) -> None:
    session = await api.session("echo")
    turn = await api.answered(session, mode=mode)
    assert (turn["status"], turn["mode"]) == ("completed", mode)


@pytest.mark.promise("R-03")
async def test_steer_hands_the_message_to_the_running_agent(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    puppet = await puppets.of(first)
    async with api.follow(session) as stream:
        snapshot = await stream.until("snapshot")
        steering = await api.send(session, "Faster!", mode="steer")
        puppet.steer()
        done = await stream.until("done")
        assert (done.data["turn_id"], done.data["status"], done.data["reason"]) == (
            steering["id"],
            "completed",
            "steered",
        )
        await finish(api, puppets, session, first, "Yes")
        assert puppet.steered == ["Faster!"]
        await stream.until("done")
        assert folded(state_of(snapshot.data["state"]), stream.events[1:]) == state_of(await api.state(session))
    assert not puppets.plays(steering["id"])
    assert await api.texts(session) == ["First", "So far", "Faster!", "Yes"]


@pytest.mark.promise("R-03")
async def test_steering_that_no_agent_asked_for_is_a_turn_of_its_own(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    steering = await api.send(session, "Faster!", mode="steer")
    await finish(api, puppets, session, first)
    assert (await finish(api, puppets, session, steering["id"], "Here"))["reason"] == "stop"
    assert await api.texts(session) == ["First", "So farDone", "Faster!", "Here"]


async def test_a_full_queue_says_so(served: Served, api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    limit = served.chat.settings.queue_limit
    async with anyio.create_task_group() as group:
        for number in range(limit):
            group.start_soon(api.send, session, str(number))
    problem = await api.refused(429, "queue_full", "POST", f"{session}/turns", {"text": "One more"})
    assert problem["limit"] == limit
    assert len(await waiting_in(api, session)) == limit
    await api.call("POST", f"{session}/clear", status=204)
    assert (await api.turn(session, first))["reason"] == "cleared"
