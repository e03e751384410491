"""Turns that end from outside: cancelled, taken back, left by the client that asked."""

import anyio
import pytest

from tests.http.acting import finish, running, waiting_in
from tests.http.puppets import Puppets
from tests.http.speaking import Api, text_of

pytestmark = pytest.mark.anyio


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
