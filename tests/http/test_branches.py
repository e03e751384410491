"""Branches and the queue over HTTP: edited, read, switched, forked; listed, rewritten, moved."""

from typing import Any

import anyio
import pytest

from legato.client import AsyncClient
from legato.core.errors import MessageNotFound, TurnInProgress, TurnNotQueued
from legato.core.ids import new_id
from tests.http.acting import finish, heard_by, running, waiting_in
from tests.http.conftest import Served
from tests.http.puppets import Puppets
from tests.http.speaking import Api, folded, state_of, text_of

pytestmark = pytest.mark.anyio


async def two(api: Api) -> tuple[str, Any, Any]:
    """A session of two questions, and their turns."""
    session = await api.session("echo")
    return session, await api.answered(session, "one"), await api.answered(session, "two")


@pytest.mark.promise("S-15", "E-01")
async def test_an_edited_message_is_answered_and_every_reader_sees_it(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await api.send(session, "one")
    await finish(api, puppets, session, first["id"], "1")
    second = await api.send(session, "two")
    await finish(api, puppets, session, second["id"], "2")
    opened = await api.call("GET", session)

    body = {"text": "one!", "edits": first["message_id"], "message_id": "mine"}
    sent = await api.call("POST", f"{session}/turns", body, status=202)
    await finish(api, puppets, session, sent["turn"]["id"], "1!")

    assert sent["turn"]["kind"] == "edit"
    assert heard_by(await puppets.of(sent["turn"]["id"])) == ["one!"]
    assert await api.texts(session) == ["one!", "1!"]
    async with api.follow(session, opened["cursor"], until=sent["turn"]["id"]) as stream:
        assert folded(state_of(opened["state"]), await stream.rest()) == state_of(await api.state(session))
    again = await api.call("POST", f"{session}/turns", body, status=200)
    assert again["turn"]["id"] == sent["turn"]["id"]
    await api.refused(409, "message_id_reused", "POST", f"{session}/turns", body | {"edits": second["message_id"]})


@pytest.mark.promise("S-15")
async def test_what_can_not_be_edited(api: Api, stranger: Api) -> None:
    session, first, _ = await two(api)
    _, foreign, _ = await two(stranger)
    turns = f"{session}/turns"
    for unknown in (foreign["message_id"], new_id("msg"), "x"):
        await api.refused(404, "message_not_found", "POST", turns, {"text": "no", "edits": unknown})
    await api.refused(422, "invalid_request", "POST", turns, {"text": "no", "edits": first["answer_id"]})
    assert await api.texts(session) == ["one", "You said: one", "two", "You said: two"]


@pytest.mark.promise("S-15")
async def test_branches_are_told_read_and_switched_to(api: Api) -> None:
    session, first, second = await two(api)
    edit = await api.answered(session, "one!", edits=first["message_id"])
    retry = (await api.call("POST", f"{session}/turns/{edit['id']}/retry", status=202))["turn"]
    retry = await api.over(session, retry["id"])

    page = await api.call("GET", f"{session}/messages")
    assert (page["leaf_id"], page["branches"]) == (
        retry["answer_id"],
        {
            edit["message_id"]: [first["message_id"], edit["message_id"]],
            retry["answer_id"]: [edit["answer_id"], retry["answer_id"]],
        },
    )
    other = await api.call("GET", f"{session}/messages", params={"leaf": first["message_id"]})
    assert [text_of(message) for message in other["data"]] == ["one", "You said: one", "two", "You said: two"]
    assert (other["leaf_id"], list(other["branches"])) == (second["answer_id"], [first["message_id"]])
    older = await api.call(
        "GET", f"{session}/messages", params={"leaf": first["message_id"], "limit": "2", "cursor": first["answer_id"]}
    )
    assert [text_of(message) for message in older["data"]] == ["one", "You said: one"]

    before = await api.call("GET", session)
    switched = await api.call("PUT", f"{session}/leaf", {"message_id": first["answer_id"]})
    assert [text_of(message) for message in switched["state"]["messages"]] == [
        "one",
        "You said: one",
        "two",
        "You said: two",
    ]
    assert switched["state"]["leaf_id"] == second["answer_id"]
    async with api.follow(session, before["cursor"]) as stream:
        await stream.until("message")
        while stream.events[-1].cursor != switched["cursor"]:
            await stream.event()
        assert folded(state_of(before["state"]), stream.events) == state_of(switched["state"])
    await api.answered(session, "three")
    assert await api.texts(session) == ["one", "You said: one", "two", "You said: two", "three", "You said: three"]
    for path in ("messages?leaf=msg_none", "messages?cursor=x"):
        status, code = (404, "message_not_found") if "leaf" in path else (400, "bad_cursor")
        await api.refused(status, code, "GET", f"{session}/{path}")
    await api.refused(404, "message_not_found", "PUT", f"{session}/leaf", {"message_id": new_id("msg")})


@pytest.mark.promise("S-15")
async def test_nothing_is_switched_under_a_running_turn(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await api.send(session, "one")
    await finish(api, puppets, session, first["id"])
    turn_id = await running(api, puppets, session)
    problem = await api.refused(409, "turn_in_progress", "PUT", f"{session}/leaf", {"message_id": first["message_id"]})
    assert problem["turn_id"] == turn_id
    await finish(api, puppets, session, turn_id)
    await api.call("PUT", f"{session}/leaf", {"message_id": first["message_id"]})
    await api.call("POST", f"{session}/close")
    await api.refused(409, "session_closed", "PUT", f"{session}/leaf", {"message_id": first["message_id"]})


@pytest.mark.promise("S-15", "S-14", "R-11")
async def test_a_fork_goes_on_from_a_message(api: Api) -> None:
    session, first, _ = await two(api)
    await api.call("PATCH", session, {"title": "Numbers", "metadata": {"a": 1}, "pinned": True})
    usage = (await api.call("GET", "/v1/usage"))["total"]

    made = await api.call("POST", f"{session}/fork", {"message_id": first["answer_id"]}, status=201)
    fork = f"/v1/sessions/{made['id']}"
    assert made["forked_from"] == {"session_id": session.rpartition("/")[2], "message_id": first["answer_id"]}
    assert (made["title"], made["metadata"], made["pinned"]) == ("Numbers", {"a": 1}, False)
    assert (await api.state(fork))["session"] == made
    assert await api.texts(fork) == ["one", "You said: one"]
    assert (await api.call("GET", "/v1/usage"))["total"] == usage
    stats = await api.call("GET", f"{fork}/stats")
    assert (stats["message_count"], stats["usage"]["total_tokens"]) == (2, 0)
    found = await api.call("GET", "/v1/search", params={"q": "one", "session_id": made["id"]})
    assert len(found["data"]) == 2
    await api.answered(fork, "three")
    copied = (await api.state(fork))["messages"][0]
    turn = await api.call("POST", f"{fork}/turns/{copied['turn_id']}/retry", status=202)
    await api.over(fork, turn["turn"]["id"])
    assert await api.texts(fork) == ["one", "You said: one"]
    assert await api.texts(session) == ["one", "You said: one", "two", "You said: two"]
    assert state_of(await api.state(fork)) == folded(None, await _told(api, fork))


async def _told(api: Api, session: str) -> Any:
    """All events of a session so far."""
    last = (await api.call("GET", session))["cursor"]
    async with api.follow(session, "0") as stream:
        while not stream.events or stream.events[-1].cursor != last:
            await stream.event()
        return stream.events


@pytest.mark.promise("S-15")
async def test_a_fork_is_made_while_the_other_one_streams(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = await running(api, puppets, session, "First", "So far")
    answer_id = (await api.turn(session, turn_id))["answer_id"]
    await api.refused(409, "turn_not_finished", "POST", f"{session}/fork", {"message_id": answer_id})
    made = await api.call("POST", f"{session}/fork", {"title": "Beside"}, status=201)
    fork = f"/v1/sessions/{made['id']}"

    assert (made["title"], await api.texts(fork)) == ("Beside", ["First"])
    (over,) = (await api.state(fork))["turns"]
    assert (over["status"], over["reason"]) == ("incomplete", "forked")
    again = (await api.call("POST", f"{fork}/turns/{over['id']}/retry", status=202))["turn"]
    await finish(api, puppets, fork, again["id"], "Other")
    await finish(api, puppets, session, turn_id, "…")
    assert await api.texts(fork) == ["First", "Other"]
    assert await api.texts(session) == ["First", "So far…"]
    forked = await api.call("POST", f"{session}/fork", {"message_id": answer_id}, status=201)
    assert await api.texts(f"/v1/sessions/{forked['id']}") == ["First", "So far…"]


@pytest.mark.promise("S-15")
async def test_a_fork_with_an_id_of_ones_own_is_made_once(api: Api, stranger: Api) -> None:
    session, _, _ = await two(api)
    body = {"id": new_id("ses")}
    await api.call("POST", f"{session}/fork", body, status=201)
    await api.refused(409, "session_exists", "POST", f"{session}/fork", body)
    theirs, _, _ = await two(stranger)
    await stranger.refused(409, "session_exists", "POST", f"{theirs}/fork", body)
    assert await api.texts(f"/v1/sessions/{body['id']}") == ["one", "You said: one", "two", "You said: two"]
    empty = await api.session()
    made = await api.call("POST", f"{empty}/fork", status=201)
    assert (made["forked_from"]["message_id"], await api.texts(f"/v1/sessions/{made['id']}")) == (None, [])
    await api.refused(404, "message_not_found", "POST", f"{session}/fork", {"message_id": new_id("msg")})


@pytest.mark.promise("R-03")
async def test_the_queue_is_listed_rewritten_and_moved(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first = await running(api, puppets, session)
    opened = await api.call("GET", session)
    two, three = [(await api.send(session, text))["id"] for text in ("two", "three")]

    queue = (await api.call("GET", f"{session}/queue"))["data"]
    assert [(each["turn"]["id"], text_of(each["message"])) for each in queue] == [(two, "two"), (three, "three")]
    turn = await api.call("PATCH", f"{session}/turns/{three}", {"text": "three!", "before": two})
    assert (turn["id"], await waiting_in(api, session)) == (three, [three, two])
    await api.call("PATCH", f"{session}/turns/{three}", {"before": None})
    assert await waiting_in(api, session) == [two, three]
    parts = [{"type": "text", "text": "two!"}]
    await api.call("PATCH", f"{session}/turns/{two}", {"parts": parts})

    await api.refused(409, "turn_not_queued", "PATCH", f"{session}/turns/{first}", {"text": "late"})
    await api.refused(409, "turn_not_queued", "PATCH", f"{session}/turns/{two}", {"before": first})
    await api.refused(404, "turn_not_found", "PATCH", f"{session}/turns/{two}", {"before": new_id("trn")})
    for bad in ({}, {"text": ""}, {"text": "x" * 60_000}, {"text": "x", "parts": parts}, {"before": 7}, {"rank": 1}):
        await api.refused(422, "invalid_request", "PATCH", f"{session}/turns/{two}", bad)
    for turn_id in (first, two, three):
        await finish(api, puppets, session, turn_id)
    assert heard_by(await puppets.of(two))[-1] == "two!"
    assert heard_by(await puppets.of(three))[-1] == "three!"
    assert (await api.call("GET", f"{session}/queue"))["data"] == []
    async with api.follow(session, opened["cursor"], until=three) as stream:
        assert folded(state_of(opened["state"]), await stream.rest()) == state_of(await api.state(session))


@pytest.mark.promise("H-05", "S-15", "R-03")
async def test_the_client_does_it_all(api: Api, served: Served, puppets: Puppets) -> None:
    headers = {"X-User": api.http.headers["x-user"]}
    async with AsyncClient(served.url, headers=headers) as client:
        session = await client.create_session("echo")
        first = await client.answer(session.id, "one")
        await first.result()
        edit = await client.answer(session.id, "one!", edits=first.turn.message_id)
        await edit.result()
        assert edit.text == "You said: one!"
        page = await client.branch_page(session.id)
        assert page.branches == {edit.turn.message_id: [first.turn.message_id, edit.turn.message_id]}
        assert page.leaf_id == edit.turn.answer_id
        other = await client.branch_page(session.id, first.turn.message_id, limit=1)
        assert ([message.id for message in other.data], other.has_more) == ([first.turn.answer_id], True)
        state, cursor = await client.switch(session.id, first.turn.message_id)
        assert state.leaf_id == first.turn.answer_id
        assert cursor == (await client.session(session.id)).cursor
        fork = await client.fork(session.id, first.turn.message_id, title="Fork")
        assert (fork.title, [m.id for m in await client.messages(fork.id)] != []) == ("Fork", True)
        with pytest.raises(MessageNotFound):
            await client.fork(session.id, "msg_none")

        held = await client.create_session("puppet")
        running_turn = (await client.send(held.id, "one")).turn
        two, three = [(await client.send(held.id, text)).turn.id for text in ("two", "three")]
        await puppets.of(running_turn.id)
        await client.amend(held.id, three, text="three!", before=two)
        queue = await client.queue(held.id)
        assert [each.turn.id for each in queue] == [three, two]
        await client.amend(held.id, three, last=True)
        assert [each.turn.id for each in await client.queue(held.id)] == [two, three]
        with pytest.raises(TurnNotQueued):
            await client.amend(held.id, running_turn.id, text="late")
        with pytest.raises(TurnInProgress):
            await client.switch(held.id, running_turn.message_id)
        for turn_id in (running_turn.id, two, three):
            with anyio.fail_after(30):
                puppet = await puppets.of(turn_id)
            puppet.say("x")
            puppet.end()
