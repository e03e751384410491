"""Damage as a client sees it: the session says so, can be read and exported, and takes no turns (promise X-06)."""

import json
from typing import Any

import pytest
from sqlalchemy import Connection, update

from legato.store import quarantine, schema
from tests.http.conftest import Served
from tests.http.speaking import Api, text_of
from tests.suites.store.damage import flip

pytestmark = [pytest.mark.anyio, pytest.mark.promise("X-06")]


async def damaged(served: Served, api: Api, place: str = "messages", **fields: Any) -> str:
    """A session with an answer, and a bit of it that has fallen over; its path."""
    session = await api.session("echo", **fields)
    await api.answered(session, "Hello")
    await served.chat.engine.store.write(flip, place, session.rpartition("/")[2])
    return session


async def test_who_reads_it_first_is_told_already(served: Served, api: Api) -> None:
    session = await damaged(served, api)
    state = await api.state(session)
    assert state["session"]["quarantined"]
    assert [text_of(message) for message in state["messages"]] == ["Hello", ""]
    assert state["messages"][1]["error"]["code"] == "corrupted"
    page = await api.call("GET", f"{session}/messages")
    assert page["data"] == state["messages"]
    assert [each["quarantined"] for each in (await api.call("GET", "/v1/sessions"))["data"]] == [True]


async def test_pages_lead_past_a_damaged_message(served: Served, api: Api) -> None:
    session = await damaged(served, api)
    newest = await api.call("GET", f"{session}/messages", params={"limit": 1})
    assert [text_of(message) for message in newest["data"]] == [""]
    older = await api.call("GET", f"{session}/messages", params={"limit": 1, "cursor": newest["data"][0]["id"]})
    assert [message["id"] for message in older["data"]] == [newest["data"][0]["id"]]
    rest = await api.call("GET", f"{session}/messages", params={"limit": 1, "cursor": newest["next"]})
    assert [text_of(message) for message in rest["data"]] == ["Hello"]
    await api.refused(400, "bad_cursor", "GET", f"{session}/messages", params={"cursor": "msg_of_nobody"})


async def test_a_cursor_of_another_session_is_none_here_whatever_is_damaged_there(
    served: Served, api: Api, stranger: Api
) -> None:
    theirs = await api.session("echo")
    await api.answered(theirs, "Hello")
    damaged_id = (await api.state(theirs))["messages"][1]["id"]
    await served.chat.engine.store.write(flip, "messages", theirs.rpartition("/")[2])
    session = await stranger.session("echo")
    await stranger.answered(session, "Fine")

    await stranger.refused(400, "bad_cursor", "GET", f"{session}/messages", params={"cursor": damaged_id})

    assert not (await stranger.state(session))["session"]["quarantined"]
    await stranger.answered(session, "Again")


async def test_it_takes_no_turns_and_the_rest_is_its_owners(served: Served, api: Api, stranger: Api) -> None:
    session = await damaged(served, api)
    await api.state(session)
    await api.refused(409, "session_quarantined", "POST", f"{session}/turns", {"text": "And then?"})
    turn_id = (await api.state(session))["turns"][0]["id"]
    for verb in ("retry", "continue"):
        await api.refused(409, "session_quarantined", "POST", f"{session}/turns/{turn_id}/{verb}")
    assert (await api.turn(session, turn_id))["status"] == "completed"
    assert (await api.call("PATCH", session, {"title": "Broken"}))["quarantined"]
    await stranger.refused(404, "session_not_found", "GET", session)
    await api.call("POST", f"{session}/clear", status=204)
    assert not (await api.state(session))["session"]["quarantined"]
    await api.answered(session, "Goes on")


async def test_a_retry_that_meets_the_damage_first(served: Served, api: Api) -> None:
    """What it would bring back to the branch can't be read."""
    session = await api.session("echo")
    first = await api.answered(session, "Hello")
    await served.chat.engine.store.write(_spoil, first["message_id"])
    await api.refused(409, "session_quarantined", "POST", f"{session}/turns/{first['id']}/retry")
    assert await served.chat.engine.store.read(quarantine.reason, session.rpartition("/")[2]) == "message"


async def test_a_turn_whose_history_is_damaged_fails_and_nothing_wrong_is_shown_to_a_model(
    served: Served, api: Api
) -> None:
    session = await damaged(served, api)
    turn = await api.answered(session, "And then?")
    assert (turn["status"], turn["error"]["code"]) == ("failed", "corrupted")
    assert (await api.state(session))["session"]["quarantined"]
    await api.refused(409, "session_quarantined", "POST", f"{session}/turns", {"text": "Now?"})


async def test_who_follows_is_told_and_resumes(served: Served, api: Api) -> None:
    session = await damaged(served, api)
    before = await api.call("GET", f"{session}/events", params={"after": "0"})
    async with api.follow(session, before["cursor"]) as stream:
        shown = await api.call("GET", session)
        told = await stream.until("session")
    assert told.data["session"]["quarantined"]
    assert told.data["session"] == shown["state"]["session"]


async def test_who_meets_damage_in_the_journal(served: Served, api: Api) -> None:
    session = await damaged(served, api, "journal")
    whole = await api.call("GET", f"{session}/events", params={"after": "0"})
    await api.refused(500, "corrupted", "GET", f"{session}/events", params={"after": whole["cursor"]})
    state = await api.state(session)
    assert state["session"]["quarantined"]
    assert [text_of(message) for message in state["messages"]] == ["Hello", "You said: Hello"]


async def test_who_only_follows_marks_it_too(served: Served, api: Api) -> None:
    session = await damaged(served, api, "journal")
    head = (await api.call("GET", session))["cursor"]
    whole = await api.call("GET", f"{session}/events", params={"after": "0"})
    async with api.follow(session, head) as stream:
        await api.refused(
            500,
            "corrupted",
            "GET",
            f"{session}/events",
            params={"after": whole["cursor"]},
            headers={"Accept": "text/event-stream"},
        )
        assert (await stream.until("session")).data["session"]["quarantined"]


async def test_an_export_has_what_is_whole_and_says_the_rest(served: Served, api: Api) -> None:
    session = await damaged(served, api)
    first = await api.call("GET", f"{session}/export")
    assert [message.get("error", {}).get("code") for message in first["messages"]] == [None, "corrupted"]
    state = await api.state(session)  # whoever met it has marked it
    assert state["session"]["quarantined"]
    for kind in ("markdown", "html"):
        written = await api.ask("GET", f"{session}/export", params={"format": kind})
        assert "Something of this conversation is damaged" in written.text
    report = await api.call("POST", "/v1/import", params={"format": "legato"}, content=_file(first))
    assert report["sessions"] == 1
    brought = await api.state(f"/v1/sessions/{report['imported'][0]['id']}")
    assert not brought["session"]["quarantined"]


def _spoil(conn: Connection, message_id: str) -> None:
    conn.execute(
        update(schema.messages).where(schema.messages.c.id == message_id).values(crc=schema.messages.c.crc + 1)
    )


def _file(document: Any) -> bytes:
    return json.dumps(document).encode()
