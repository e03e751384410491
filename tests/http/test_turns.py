"""Turns over HTTP: accepted once, run in order, ended by whoever may, and continued."""

from typing import Any, Final

import anyio
import pytest

from legato.core.ids import is_id
from legato.core.model import TextPart
from tests.http.conftest import Served
from tests.http.puppets import Puppet, Puppets
from tests.http.speaking import Api, Stream, folded, state_of, text_of

pytestmark = pytest.mark.anyio


async def running(api: Api, puppets: Puppets, session: str, text: str = "First", said: str = "So far") -> str:
    """A turn that runs and has said something which is durable; its id."""
    turn = await api.send(session, text)
    puppet = await puppets.of(turn["id"])
    puppet.say(said)
    async with api.follow(session, "0") as stream:
        await stream.until(lambda event: event.type == "token" and event.data["turn_id"] == turn["id"])
    return str(turn["id"])


async def finish(api: Api, puppets: Puppets, session: str, turn_id: str, said: str = "Done") -> Any:
    """Lets a turn say this and end, as soon as it runs; the turn then."""
    puppet = await puppets.of(turn_id)
    puppet.say(said)
    puppet.end()
    return await api.over(session, turn_id)


def heard_by(puppet: Puppet) -> list[str]:
    """The texts of the history that an agent was given."""
    parts = [part for message in puppet.turn.history for part in message.parts]
    return [part.text for part in parts if isinstance(part, TextPart)]


async def order_of(api: Api, session: str) -> list[tuple[str, str]]:
    """Which turn did what, in the journal's order: ``runs`` and its reasons to end."""
    happened = []
    for event in await api.journal(session):
        if event["type"] == "done":
            happened.append((event["data"]["turn_id"], event["data"]["reason"]))
        elif event["type"] == "turn" and event["data"]["turn"]["status"] == "in_progress":
            happened.append((event["data"]["turn"]["id"], "runs"))
    return happened


async def waiting_in(api: Api, session: str) -> list[str]:
    """The turns that are queued, in the order in which they will run."""
    return [turn["id"] for turn in (await api.state(session))["turns"] if turn["status"] == "queued"]


# Sending


async def test_a_send_is_accepted_and_answered(api: Api) -> None:
    session = await api.session("echo")
    response = await api.ask("POST", f"{session}/turns", {"text": "Hé 世界\r\n\u2028"})
    assert response.status_code == 202
    turn, cursor = response.json()["turn"], response.json()["cursor"]
    assert is_id(turn["id"], "trn")
    assert turn["status"] == "queued"
    async with api.follow(session, cursor, until=turn["id"]) as stream:
        events = await stream.rest()
    assert [event.type for event in events][:2] == ["message", "turn"]
    assert events[0].data["message"]["id"] == turn["message_id"]
    assert (events[-1].type, events[-1].data["reason"]) == ("done", "stop")
    assert stream.text == "You said: Hé 世界\r\n\u2028"
    ended = await api.turn(session, turn["id"])
    assert (ended["status"], ended["reason"], ended["attempt"]) == ("completed", "stop", 1)
    assert ended["started_at"] <= ended["finished_at"]
    assert await api.texts(session) == ["Hé 世界\r\n\u2028", "You said: Hé 世界\r\n\u2028"]


async def test_parts_may_stand_instead_of_text(api: Api) -> None:
    session = await api.session("echo")
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    turn = (await api.call("POST", f"{session}/turns", {"parts": parts}, status=202))["turn"]
    await api.over(session, turn["id"])
    assert (await api.call("GET", f"{session}/messages"))["data"][0]["parts"] == parts
    assert await api.texts(session) == ["ab", "You said: ab"]


UNCLEAR: Final[list[Any]] = [
    {},
    {"text": ""},
    {"text": " \n"},
    {"text": None},
    {"text": "a", "parts": [{"type": "text", "text": "a"}]},
    {"parts": []},
    {"parts": [{"type": "image", "text": "a"}]},
    {"parts": "a"},
    {"text": "a", "mode": "now"},
    {"text": "a", "message_id": ""},
    {"text": "a", "message_id": "x" * 129},
    {"text": "a", "on_disconnect": "stop"},
    {"text": "x" * 50_001},
    {"text": "a", "unknown": 1},
    {"text": 7},
    [],
    "a",
]


async def test_a_body_that_says_nothing_clear_is_refused(api: Api) -> None:
    session = await api.session("echo")
    for body in UNCLEAR:
        await api.refused(422, "invalid_request", "POST", f"{session}/turns", body)
    assert [event["type"] for event in await api.journal(session)] == ["session"]


@pytest.mark.promise("R-02")
async def test_a_repeat_is_the_same_turn(api: Api, puppets: Puppets) -> None:
    """Before it runs, while it runs and afterwards; and wherever the session's journal is by then."""
    session = await api.session()
    body = {"text": "Hello", "message_id": "mine"}
    first = await api.call("POST", f"{session}/turns", body, status=202)
    puppet = await puppets.of(first["turn"]["id"])
    again = []
    for act in (lambda: puppet.say("Hi"), puppet.end):
        again.append(await api.call("POST", f"{session}/turns", body, status=200))
        act()
    await api.over(session, first["turn"]["id"])
    again.append(await api.call("POST", f"{session}/turns", body, status=200))
    assert {(sent["turn"]["id"], sent["cursor"]) for sent in again} == {(first["turn"]["id"], first["cursor"])}
    assert [sent["turn"]["status"] for sent in again] == ["in_progress", "in_progress", "completed"]
    assert await api.send(session, "Hello", message_id="mine", status=200) == await api.turn(
        session, first["turn"]["id"]
    )
    parts = {"parts": [{"type": "text", "text": "Hello"}], "message_id": "mine"}
    assert (await api.call("POST", f"{session}/turns", parts))["turn"]["id"] == first["turn"]["id"]
    assert await api.texts(session) == ["Hello", "Hi"]


@pytest.mark.promise("R-02")
async def test_a_repeat_with_another_body_is_refused(api: Api) -> None:
    session = await api.session("echo")
    await api.answered(session, "Hello", message_id="mine")
    for other in ({"text": "Hello!"}, {"text": "Hello", "mode": "reject"}, {"parts": [{"type": "text", "text": "H"}]}):
        await api.refused(409, "message_id_reused", "POST", f"{session}/turns", {"message_id": "mine", **other})
    assert len(await api.texts(session)) == 2


@pytest.mark.promise("R-02")
async def test_many_at_once_with_one_id_are_one_turn(api: Api) -> None:
    session = await api.session("echo")
    answers: list[Any] = []

    async def send() -> None:
        answers.append(await api.ask("POST", f"{session}/turns", {"text": "Hello", "message_id": "mine"}))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(send)
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.json()["turn"]["id"] for answer in answers}) == 1
    await api.over(session, answers[0].json()["turn"]["id"])
    assert await api.texts(session) == ["Hello", "You said: Hello"]


@pytest.mark.promise("R-02")
async def test_the_idempotency_key_is_the_message_id_where_the_body_has_none(api: Api) -> None:
    session = await api.session("echo")
    key = {"Idempotency-Key": "k-1"}
    first = await api.call("POST", f"{session}/turns", {"text": "Hello"}, headers=key, status=202)
    again = await api.call("POST", f"{session}/turns", {"text": "Hello"}, headers=key, status=200)
    assert again["turn"]["id"] == first["turn"]["id"]
    assert (await api.send(session, "Hello", message_id="k-1", status=200))["id"] == first["turn"]["id"]
    await api.refused(409, "message_id_reused", "POST", f"{session}/turns", {"text": "Other"}, headers=key)
    other = await api.call("POST", f"{session}/turns", {"text": "Hello", "message_id": "b"}, headers=key, status=202)
    assert other["turn"]["id"] != first["turn"]["id"]


async def test_without_an_id_a_repeat_is_a_new_message(api: Api) -> None:
    session = await api.session("echo")
    assert (await api.answered(session))["id"] != (await api.answered(session))["id"]
    assert len(await api.texts(session)) == 4


async def test_the_same_id_in_another_session_is_another_message(api: Api) -> None:
    turns = [await api.send(await api.session("echo"), message_id="mine") for _ in range(2)]
    assert turns[0]["id"] != turns[1]["id"]


@pytest.mark.promise("R-01")
async def test_a_send_may_be_answered_by_its_stream(api: Api) -> None:
    session = await api.session("echo")
    await api.answered(session, "Before")
    body = {"text": "Hello", "message_id": "mine"}
    async with api.stream("POST", f"{session}/turns", json=body) as stream:
        await stream.rest()
    turn_id = stream.response.headers["legato-turn"]
    assert stream.text == "You said: Hello"
    assert stream.types[0] == "message"
    assert (stream.types[-2:], stream.events[-1].data["turn_id"]) == (["usage", "done"], turn_id)
    async with api.stream("POST", f"{session}/turns", json=body) as again:
        await again.rest()
    assert again.response.headers["legato-turn"] == turn_id
    assert again.frames == stream.frames
    assert len(await api.texts(session)) == 4


# When a turn runs


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


# Cancelling


@pytest.mark.promise("R-04")
async def test_cancel_is_final_keeps_the_text_and_may_be_asked_twice(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = await running(api, puppets, session)
    puppet = await puppets.of(turn_id)
    async with api.follow(session) as stream:
        await stream.until("snapshot")
        cancelled = await api.call("POST", f"{session}/turns/{turn_id}/cancel")
        assert (cancelled["status"], cancelled["reason"]) == ("cancelled", "cancelled")
        with anyio.fail_after(2):
            await puppet.gone.wait()
        puppet.say("too late")
        done = await stream.until("done")
        assert (done.data["status"], done.data["reason"]) == ("cancelled", "cancelled")
        assert (
            await api.call("POST", f"{session}/turns/{turn_id}/cancel") == cancelled == await api.turn(session, turn_id)
        )
        await api.call("PATCH", session, {"title": "Afterwards"})
        await stream.until("session")
        assert stream.types == ["snapshot", "usage", "done", "session"]
    answer = (await api.call("GET", f"{session}/messages"))["data"][1]
    assert (text_of(answer), answer["status"]) == ("So far", "cancelled")
    assert [event["type"] for event in await api.journal(session)].count("done") == 1


@pytest.mark.promise("R-04")
async def test_cancel_before_the_first_word_says_why_there_is_none(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn = await api.send(session)
    await puppets.of(turn["id"])
    cancelled = await api.call("POST", f"{session}/turns/{turn['id']}/cancel")
    assert cancelled["error"]["code"] == "cancelled"
    answer = (await api.call("GET", f"{session}/messages"))["data"][1]
    assert (answer["status"], answer["error"]) == ("cancelled", cancelled["error"])


async def test_a_waiting_turn_may_be_cancelled_too(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    waiting = await api.send(session, "Waiting")
    assert (await api.call("POST", f"{session}/turns/{waiting['id']}/cancel"))["status"] == "cancelled"
    await finish(api, puppets, session, first)
    assert await api.texts(session) == ["First", "So farDone"]
    assert not puppets.plays(waiting["id"])


@pytest.mark.promise("R-04")
async def test_cancelling_what_has_ended_changes_nothing(api: Api) -> None:
    session = await api.session("echo")
    turn = await api.answered(session)
    journal = await api.journal(session)
    assert await api.call("POST", f"{session}/turns/{turn['id']}/cancel") == turn
    assert await api.journal(session) == journal


@pytest.mark.promise("R-03")
async def test_a_waiting_turn_can_be_taken_back_a_running_one_can_not(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    second, third = await api.send(session, "Second"), await api.send(session, "Third")
    withdrawn = await api.call("DELETE", f"{session}/turns/{second['id']}")
    assert (withdrawn["status"], withdrawn["reason"]) == ("cancelled", "withdrawn")
    assert await waiting_in(api, session) == [third["id"]]
    await api.refused(409, "turn_not_queued", "DELETE", f"{session}/turns/{second['id']}")
    await api.refused(409, "turn_not_queued", "DELETE", f"{session}/turns/{first}")
    await finish(api, puppets, session, first)
    await finish(api, puppets, session, third["id"])
    assert await api.texts(session) == ["First", "So farDone", "Third", "Done"]


@pytest.mark.promise("R-01")
async def test_a_client_that_goes_stops_nothing(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.stream("POST", f"{session}/turns", json={"text": "Hello"}) as stream:
        turn_id = stream.response.headers["legato-turn"]
        puppet = await puppets.of(turn_id)
        puppet.say("One ")
        last = await stream.until("token")
    puppet.say("two ", "three")
    puppet.end()
    async with api.follow(session, last.cursor, until=turn_id) as resumed:
        await resumed.rest()
    assert resumed.text == "two three"
    assert (await api.turn(session, turn_id))["status"] == "completed"


@pytest.mark.promise("R-01")
async def test_a_client_that_asked_for_it_cancels_by_going(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    body = {"text": "Hello", "on_disconnect": "cancel"}
    async with api.stream("POST", f"{session}/turns", json=body) as stream:
        turn_id = stream.response.headers["legato-turn"]
        puppet = await puppets.of(turn_id)
        puppet.say("One ")
        await stream.until("token")
    with anyio.fail_after(10):
        await puppet.gone.wait()
    ended = await api.over(session, turn_id)
    assert (ended["status"], ended["reason"]) == ("cancelled", "cancelled")
    assert await api.texts(session) == ["Hello", "One "]


@pytest.mark.promise("R-01")
async def test_a_client_that_stays_to_the_end_cancels_nothing(api: Api) -> None:
    session = await api.session("echo")
    async with api.stream("POST", f"{session}/turns", json={"text": "Hi", "on_disconnect": "cancel"}) as stream:
        await stream.rest()
    assert (await api.turn(session, stream.response.headers["legato-turn"]))["status"] == "completed"


async def test_cancelling_by_going_needs_a_stream(api: Api) -> None:
    """And what is refused is not accepted all the same."""
    session = await api.session("echo")
    body = {"text": "Hello", "on_disconnect": "cancel"}
    await api.refused(422, "invalid_request", "POST", f"{session}/turns", body)
    assert [event["type"] for event in await api.journal(session)] == ["session"]


# What is seen of a turn


@pytest.mark.promise("R-09")
async def test_phases_are_seen_in_the_stream_and_in_the_turn(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn = await api.send(session)
    puppet = await puppets.of(turn["id"])
    async with api.follow(session, "0") as stream:
        for phase, detail in (("planning", None), ("executing", "Sökning 1 av 2"), ("awaiting_approval", "Send?")):
            puppet.phase(phase, detail)  # type: ignore[arg-type]
            update = await stream.until("status_update")
            assert update.data == {"turn_id": turn["id"], "phase": phase} | ({"detail": detail} if detail else {})
            for told in (await api.turn(session, turn["id"]), (await api.state(session))["turns"][-1]):
                assert (told["phase"], told.get("detail")) == (phase, detail)
        puppet.say("x")
        puppet.end()
        await stream.until("done")
        assert state_of(await api.state(session)) == folded(None, stream.events)
    assert "phase" not in await api.turn(session, turn["id"])


@pytest.mark.promise("R-05")
async def test_the_status_comes_from_the_cause_and_not_from_the_length(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    long = await api.send(session, "Long")
    puppet = await puppets.of(long["id"])
    puppet.say("x" * 10_000)
    puppet.fail(RuntimeError("the canary of an agent's error"))
    failed = await api.over(session, long["id"])
    assert (failed["status"], failed["reason"], failed["error"]["code"]) == ("failed", "error", "agent_error")
    assert "canary" not in str(failed)
    assert (await finish(api, puppets, session, (await api.send(session, "Short"))["id"], "y"))["status"] == "completed"
    empty = await api.send(session, "Nothing")
    (await puppets.of(empty["id"])).end()
    ended = await api.over(session, empty["id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "empty_answer")


@pytest.mark.promise("R-13")
@pytest.mark.parametrize(
    ("language", "word"),
    [
        ("sv", "avstängd"),
        ("sv-SE,en;q=0.5", "avstängd"),
        ("ru;q=0.9", "отключён"),
        ("fr", "switched off"),
        (None, "off"),
    ],
)
async def test_a_switched_off_agent_explains_itself_in_one_event(api: Api, language: str | None, word: str) -> None:
    session = await api.session("off")
    headers = {"Accept-Language": language} if language else {}
    async with api.stream("POST", f"{session}/turns", json={"text": "Hello"}, headers=headers) as stream:
        await stream.rest()
    said = [event for event in stream.events if event.type not in ("turn", "message")]
    assert [event.type for event in said] == ["done"]
    assert (said[0].data["status"], said[0].data["reason"]) == ("failed", "agent_unavailable")
    assert word in said[0].data["text"]
    turn = await api.turn(session, stream.response.headers["legato-turn"])
    assert (turn["text"], turn["error"]["code"]) == (said[0].data["text"], "agent_unavailable")


@pytest.mark.promise("R-11")
async def test_usage_comes_once_right_before_done(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    second, third = await api.send(session, "Second"), await api.send(session, "Third")
    await api.call("POST", f"{session}/turns/{first}/cancel")
    await finish(api, puppets, session, second["id"])
    (await puppets.of(third["id"])).fail(RuntimeError())
    await api.over(session, third["id"])
    events = await api.journal(session)
    for turn_id in (first, second["id"], third["id"]):
        mine = [event["type"] for event in events if event["data"].get("turn_id") == turn_id]
        assert mine[-2:] == ["usage", "done"]
        assert mine.count("usage") == 1
        usage = next(e["data"] for e in events if e["type"] == "usage" and e["data"]["turn_id"] == turn_id)
        assert usage["estimated"] is True
        told = (await api.turn(session, turn_id))["usage"]
        assert {key: usage[key] for key in told} == told
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


# Going on


async def test_continue_is_a_new_turn_after_an_answer_that_ended_early(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    await api.refused(409, "turn_not_finished", "POST", f"{session}/turns/{first}/continue")
    await api.call("POST", f"{session}/turns/{first}/cancel")
    sent = await api.call("POST", f"{session}/turns/{first}/continue", {"message_id": "on"}, status=202)
    turn = sent["turn"]
    assert (turn["kind"], turn["source_turn_id"]) == ("continue", first)
    again = await api.call("POST", f"{session}/turns/{first}/continue", {"message_id": "on"}, status=200)
    assert (again["turn"]["id"], again["cursor"]) == (turn["id"], sent["cursor"])
    await api.refused(409, "message_id_reused", "POST", f"{session}/turns/{first}/retry", {"message_id": "on"})
    await finish(api, puppets, session, turn["id"], " and on")
    history = (await api.call("GET", f"{session}/messages"))["data"]
    assert [message.get("message_type", "message") for message in history] == [
        "message",
        "message",
        "continue",
        "message",
    ]
    assert [text_of(message) for message in history][1::2] == ["So far", " and on"]


async def test_retry_answers_the_same_message_on_a_branch_of_its_own(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as stream:
        first = await running(api, puppets, session)
        await finish(api, puppets, session, first, ", badly")
        turn = (await api.call("POST", f"{session}/turns/{first}/retry", status=202))["turn"]
        assert (turn["kind"], turn["source_turn_id"], turn["message_id"]) == (
            "retry",
            first,
            (await api.turn(session, first))["message_id"],
        )
        puppet = await puppets.of(turn["id"])
        assert [message.role for message in puppet.turn.history] == ["user"]
        await finish(api, puppets, session, turn["id"], "Better")
        assert await api.texts(session) == ["First", "Better"]
        next_turn = await api.send(session, "Next")
        await finish(api, puppets, session, next_turn["id"])
        await _read_to(stream, next_turn["id"])
        assert folded(None, stream.events) == state_of(await api.state(session))
    assert await api.texts(session) == ["First", "Better", "Next", "Done"]


async def _read_to(stream: Stream, turn_id: str) -> None:
    await stream.until(lambda event: event.type == "done" and event.data["turn_id"] == turn_id)


async def test_retry_of_a_message_that_is_gone_is_refused(api: Api) -> None:
    session = await api.session("echo")
    turn = await api.answered(session)
    await api.call("POST", f"{session}/clear", status=204)
    await api.refused(404, "message_not_found", "POST", f"{session}/turns/{turn['id']}/retry")


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
