"""A session's journal over HTTP: frames, heartbeats, polling, and the list of sessions."""

import re
from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from legato.core.events import EVENT_TYPES
from legato.web.settings import WebSettings
from tests.http.conftest import by_header, make_chat
from tests.http.puppets import Puppets
from tests.http.scenarios import everything, over, say
from tests.http.serving import serving
from tests.http.speaking import Api, user_of

pytestmark = pytest.mark.anyio


@pytest.mark.promise("E-04")
async def test_the_types_of_events_are_those_that_were_promised(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as stream:
        await everything(api, puppets, session, stream)
        assert {*stream.types, "snapshot"} == set(EVENT_TYPES)
        by_type = {event.type: event.data for event in stream.events}
    turn_id, message_id = by_type["tool_call"]["turn_id"], by_type["tool_call"]["message_id"]
    answer = {"turn_id": turn_id, "message_id": message_id}
    phases = [event.data for event in stream.events if event.type == "status_update"]
    assert {"turn_id": turn_id, "phase": "executing", "detail": "weather"} in phases
    call_id = by_type["tool_call"]["call_id"]
    called = {"call_id": call_id, "name": "weather", "arguments": '{"city": "京都"}'}
    assert by_type["tool_call"] == answer | {"part": 1} | called
    assert by_type["tool_result"] == answer | {"part": 2, "call_id": call_id, "output": "☀️", "is_error": False}
    asked = {"question": "Send?", "status": "denied", "tool": "mail", "session_id": session.rpartition("/")[2]}
    assert by_type["approval"]["approval"].items() >= asked.items()
    assert by_type["warning"] == {"turn_id": turn_id, "code": "slow", "message": "It takes long."}
    assert by_type["reset"] == answer | {"part": 0}
    assert by_type["error"].keys() == {"turn_id", "code", "message"}
    assert by_type["token"].keys() == {"turn_id", "message_id", "part", "kind", "text"}
    assert by_type["done"].keys() == {"turn_id", "status", "reason", "finished_at"}
    assert by_type["usage"].keys() == {
        "turn_id",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "total_tokens",
        "cost_usd",
        "estimated",
        "gauge",
    }
    kinds = [event.data["kind"] for event in stream.events if event.type == "token"]
    assert {"text", "reasoning"} <= set(kinds)


@pytest.mark.promise("E-01", "E-03")
async def test_the_stream_is_the_journal_byte_by_byte(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as live:
        last = await everything(api, puppets, session, live)
    response = await api.ask("GET", f"{session}/events", params={"after": "0"})
    page = msgspec.json.decode(response.content, type=dict[str, msgspec.Raw])
    events = msgspec.json.decode(page["data"], type=list[dict[str, msgspec.Raw]])
    frames = b"".join(
        b"id: %b\nevent: %b\ndata: %b\n\n" % (_string(event["cursor"]), _string(event["type"]), event["data"])
        for event in events
    )
    async with api.follow(session, "0", until=last) as again:
        await again.rest()
    assert again.raw == b"retry: %d\n\n" % again.retries[0] + frames[: len(again.frames)]
    assert frames.startswith(live.frames)
    assert [event.seq for event in again.events] == list(range(1, len(again.events) + 1))
    assert again.response.headers["cache-control"] == "no-store, no-transform"
    assert again.response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in again.response.headers


def _string(raw: msgspec.Raw) -> bytes:
    return msgspec.json.decode(raw, type=str).encode()


# Liveness


@pytest.mark.promise("E-05")
async def test_a_silent_stream_beats_and_says_when_to_come_back(sqlite: str) -> None:
    puppets = Puppets()
    async with serving(make_chat(sqlite, puppets, heartbeat_s=0.05), by_header) as url, user_of(url) as api:
        session = await api.session()
        turn_id = (await api.send(session))["id"]
        puppet = await puppets.of(turn_id)
        async with api.follow(session, "0", until=turn_id) as stream, api.stream("GET", "/v1/events") as live_list:
            await stream.until_beats(3)
            await live_list.until_beats(3)
            puppet.say("Hi")
            await stream.until("token")
            await stream.until_beats(stream.beats + 2)
            puppet.end()
            await stream.rest()
        assert re.match(rb"retry: [0-9]+\n\nid: ", stream.raw)
        assert b"\n\n:keep-alive\n\n:keep-alive\n\n" in stream.raw
        retries = set()
        for _ in range(10):
            async with api.follow(session, "0", until=turn_id) as stream:
                await stream.rest()
            retries.update(stream.retries)
    low, high = WebSettings().retry_ms
    assert all(low <= retry <= high for retry in retries)
    assert len(retries) > 5
    assert WebSettings().heartbeat_s == 15


# Without a stream


async def _polled(api: Api, session: str, wait: str, until: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    cursor = "0"
    while not any(event["type"] == "done" and event["data"]["turn_id"] == until for event in events):
        page = await api.call("GET", f"{session}/events", params={"after": cursor, "wait": wait})
        events += page["data"]
        cursor = page["cursor"]
    return events


@pytest.mark.promise("E-01")
async def test_polling_reads_what_streaming_reads(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    polls: list[Any] = []

    async def poll(turn_id: str) -> None:
        polls.append(await _polled(api, session, "20", turn_id))

    async with api.follow(session, "0") as live, anyio.create_task_group() as group:
        last = (await api.send(session, "Go"))["id"]
        group.start_soon(poll, last)
        group.start_soon(poll, last)
        puppet = await puppets.of(last)
        await say(puppet, live, *(f"{number} " for number in range(10)))
        puppet.end()
        await over(live, last)
    wanted = [{"cursor": event.cursor, "type": event.type, "data": event.data} for event in live.events]
    assert polls == [wanted, wanted]
    assert await api.journal(session) == wanted


async def test_a_poll_waits_for_something_and_not_for_ever(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    cursor = (await api.call("GET", session))["cursor"]
    nothing = {"data": [], "cursor": cursor, "has_more": False}
    for wait in ("0", "0.05"):
        assert await api.call("GET", f"{session}/events", params={"after": cursor, "wait": wait}) == nothing
    pages: list[Any] = []

    async def poll() -> None:
        pages.append(await api.call("GET", f"{session}/events", params={"after": cursor, "wait": "30"}))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(poll)
            await api.call("PATCH", session, {"title": "News"})
    assert [[event["type"] for event in page["data"]] for page in pages] == [["session"]] * 3
    for wait in ("31", "-1", "soon", "nan"):
        await api.refused(422, "invalid_request", "GET", f"{session}/events", params={"wait": wait})


async def test_a_long_journal_comes_in_pages(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = (await api.send(session))["id"]
    puppet = await puppets.of(turn_id)
    puppet.say(*(f"{number:06} " * 4_000 for number in range(60)))
    puppet.end()
    async with api.follow(session, "0", until=turn_id) as stream:
        await stream.rest()
    assert len(stream.text) == 60 * 28_000
    page = await api.call("GET", f"{session}/events", params={"after": "0"})
    assert page["has_more"]
    events = await api.journal(session)
    assert [event["cursor"] for event in events] == [event.cursor for event in stream.events]
    assert "".join(event["data"]["text"] for event in events if event["type"] == "token") == stream.text


# The list of sessions


@pytest.mark.promise("E-06")
async def test_the_live_list_says_what_to_refetch(api: Api, stranger: Api, puppets: Puppets) -> None:
    async with api.stream("GET", "/v1/events") as mine, stranger.stream("GET", "/v1/events") as theirs:
        for stream in (mine, theirs):
            first = await stream.event()
            assert first is not None
            assert (first.type, first.cursor, first.data) == ("list", None, {"what": "refetch"})
        session = await api.session()
        session_id = session.rpartition("/")[2]
        await mine.until(_hint(session_id, "changed"))
        turn_id = (await api.send(session))["id"]
        puppet = await puppets.of(turn_id)
        await mine.until(_hint(session_id, "running"))
        puppet.say("Hi")
        puppet.end()
        await mine.until(_hint(session_id, "finished"))
        await api.call("POST", f"{session}/close")
        await mine.until(_hint(session_id, "changed"))
        other = (await stranger.session()).rpartition("/")[2]
        await theirs.until(_hint(other, "changed"))
        await api.call("POST", f"{session}/clear", status=204)
        await mine.until(_hint(session_id, "changed"))
        assert other not in str(mine.events)
        assert session_id not in str(theirs.events)


def _hint(session_id: str, what: str) -> Callable[[Any], bool]:
    return lambda event: bool(event.data == {"session_id": session_id, "what": what})
