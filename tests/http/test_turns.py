"""What is seen of a turn while it runs and at its end, and how it is continued."""

import pytest

from tests.http.acting import finish, running
from tests.http.puppets import Puppets
from tests.http.speaking import Api, Stream, folded, state_of, text_of

pytestmark = pytest.mark.anyio


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


async def test_who_has_not_seen_what_came_since_continues_nothing(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    await api.call("POST", f"{session}/turns/{first}/cancel")
    second = await running(api, puppets, session)
    await finish(api, puppets, session, second, ", whole")
    before = await api.state(session)

    await api.refused(409, "conflict", "POST", f"{session}/turns/{first}/continue")

    assert await api.state(session) == before


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
