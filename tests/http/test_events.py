"""A session's journal over HTTP: every way to read it, from every place, says the same."""

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import msgspec
import pytest

from legato.core.events import EVENT_TYPES
from legato.engine.compactor import Compactor
from legato.engine.settings import EngineSettings
from legato.store.port import Store
from legato.web.settings import WebSettings
from tests.http.conftest import Served, by_header, make_chat
from tests.http.puppets import Puppet, Puppets
from tests.http.serving import serving
from tests.http.speaking import Api, Stream, check_problem, folded, state_of, user_of

pytestmark = pytest.mark.anyio

NO_CURSORS: Final = (
    "x",
    "7f3a",
    "7f3a.",
    ".5",
    "7F3A.5",
    "7f3a.-1",
    "7f3a.5 ",
    "1" * 17 + ".5",
    "7f3a." + "9" * 19,
    "00",
)


async def say(puppet: Puppet, stream: Stream, *pieces: str) -> None:
    """Each piece an event of its own: the next is said when the one before has been read."""
    for piece in pieces:
        puppet.say(piece)
        await stream.until(lambda event: event.type == "token")


async def over(stream: Stream, turn_id: str) -> None:
    await stream.until(lambda event: event.type == "done" and event.data["turn_id"] == turn_id)


async def everything(api: Api, puppets: Puppets, session: str, stream: Stream) -> str:
    """What may happen in a session, with every type of event; the last turn's id. ``stream`` follows from the beginning."""
    first = (await api.send(session, "First"))["id"]
    puppet = await puppets.of(first)
    turn = puppet.turn
    puppet.phase("planning")
    puppet.do(lambda: turn.reasoning("Hm 🤔"))
    await say(puppet, stream, "Wrong", " start")
    puppet.do(turn.reset)
    await stream.until("reset")
    await say(puppet, stream, "data: x\n\nid: 7\r", "\u2028 right ")
    puppet.phase("executing", "weather")
    await _tool(puppet, stream)
    puppet.do(lambda: turn.approval("Send?"))
    puppet.do(lambda: turn.warn("slow", "It takes long."))
    await stream.until("warning")
    steering = (await api.send(session, "Also Rome", mode="steer"))["id"]
    puppet.steer()
    await over(stream, steering)
    await say(puppet, stream, "Rome ", "too")
    puppet.end()
    await over(stream, first)
    failing = (await api.send(session, "Fail"))["id"]
    puppet = await puppets.of(failing)
    await say(puppet, stream, "Alas")
    puppet.fail(RuntimeError("no"))
    await over(stream, failing)
    await api.call("PATCH", session, {"title": "Eventful"})
    retried = (await api.call("POST", f"{session}/turns/{failing}/retry", status=202))["turn"]["id"]
    puppet = await puppets.of(retried)
    await say(puppet, stream, "Better", ", much")
    puppet.end()
    await over(stream, retried)
    return retried


async def _tool(puppet: Puppet, stream: Stream) -> None:
    async def call() -> None:
        call_id = await puppet.turn.tool_call("weather", '{"city": "京都"}')
        await puppet.turn.tool_result(call_id, "☀️", is_error=False)

    puppet.do(call)
    await stream.until("tool_result")


async def taken_back(api: Api, puppets: Puppets, session: str, stream: Stream) -> str:
    """What leaves holes in a journal: rolled back, interrupted, withdrawn; the last turn's id."""
    gone = (await api.send(session, "Gone"))["id"]
    await say(await puppets.of(gone), stream, "for", "gotten")
    cut_short = (await api.send(session, "Cut short", mode="rollback"))["id"]
    await over(stream, gone)
    await say(await puppets.of(cut_short), stream, "so", " far")
    withdrawn = (await api.send(session, "Never mind"))["id"]
    await api.call("DELETE", f"{session}/turns/{withdrawn}")
    last = (await api.send(session, "Last", mode="interrupt"))["id"]
    puppet = await puppets.of(last)
    await over(stream, cut_short)
    await say(puppet, stream, "the", " end")
    puppet.end()
    await over(stream, last)
    return last


async def resumes_exactly(api: Api, session: str, live: Stream, last: str) -> None:
    """A client that stops at any event of ``live`` and comes back has the final state, and saw nothing twice."""
    final = state_of(await api.state(session))
    seqs = [_seq(event.cursor) for event in live.events]
    assert seqs == sorted(set(seqs))
    for place, event in enumerate(live.events):
        async with api.follow(session, event.cursor, until=last) as resumed:
            await resumed.rest()
        assert all(_seq(later.cursor) > _seq(event.cursor) for later in resumed.events)
        assert folded(None, live.events[: place + 1] + resumed.events) == final, f"after {event}"


def _seq(cursor: str | None) -> int:
    assert cursor is not None
    return int(cursor.partition(".")[2])


# Frames


@pytest.mark.promise("E-04")
async def test_the_types_of_events_are_those_that_were_promised(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as stream:
        await everything(api, puppets, session, stream)
        assert {*stream.types, "snapshot"} == set(EVENT_TYPES)
        by_type = {event.type: event.data for event in stream.events}
    turn_id, message_id = by_type["tool_call"]["turn_id"], by_type["tool_call"]["message_id"]
    answer = {"turn_id": turn_id, "message_id": message_id}
    assert by_type["status_update"] == {"turn_id": turn_id, "phase": "executing", "detail": "weather"}
    call_id = by_type["tool_call"]["call_id"]
    called = {"call_id": call_id, "name": "weather", "arguments": '{"city": "京都"}'}
    assert by_type["tool_call"] == answer | {"part": 1} | called
    assert by_type["tool_result"] == answer | {"part": 2, "call_id": call_id, "output": "☀️", "is_error": False}
    asked = {"turn_id": turn_id, "question": "Send?", "status": "pending"}
    assert by_type["approval"] == asked | {"approval_id": by_type["approval"]["approval_id"]}
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
    assert [_seq(event.cursor) for event in again.events] == list(range(1, len(again.events) + 1))
    assert again.response.headers["cache-control"] == "no-store, no-transform"
    assert again.response.headers["x-accel-buffering"] == "no"
    assert "content-length" not in again.response.headers


def _string(raw: msgspec.Raw) -> bytes:
    return msgspec.json.decode(raw, type=str).encode()


# Where to start


@pytest.mark.promise("E-03")
async def test_every_cursor_of_a_finished_turn_resumes_exactly(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as live:
        last = await everything(api, puppets, session, live)
    for place, event in enumerate(live.events):
        later = live.events[place + 1 :]
        rest = b"".join(event.raw for event in later)
        assert event.cursor is not None
        async with api.follow(session, event.cursor, until=last) as by_query:
            await by_query.rest()
        header = {"Last-Event-ID": event.cursor}
        async with api.follow(session, "0", headers=header, until=last) as as_browsers_do:
            await as_browsers_do.rest()
        assert by_query.frames == as_browsers_do.frames == rest
        page = await api.call("GET", f"{session}/events", params={"after": event.cursor})
        assert [entry["cursor"] for entry in page["data"]] == [event.cursor for event in later]
    await resumes_exactly(api, session, live, last)


@pytest.mark.promise("E-03", "E-06")
async def test_every_cursor_of_a_running_turn_resumes_exactly(api: Api, puppets: Puppets) -> None:
    """At each step of a turn a reader begins at each cursor there is; all end with the same bytes."""
    session = await api.session()
    turn_id = (await api.send(session, "Go"))["id"]
    puppet = await puppets.of(turn_id)
    readers: list[tuple[int, Stream]] = []
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:
        main = await stack.enter_async_context(api.follow(session, "0", until=turn_id))
        for step in range(5):
            await say(puppet, main, f"step {step} ")
            for place, event in enumerate(main.events):
                reader = await stack.enter_async_context(api.follow(session, event.cursor, until=turn_id))
                readers.append((place, reader))
                group.start_soon(reader.rest)
        puppet.say(*(f"{number} " for number in range(200)))
        puppet.end()
        await main.rest()
    assert main.text.endswith(" 198 199 ")
    for place, reader in readers:
        assert reader.frames == b"".join(event.raw for event in main.events[place + 1 :])


@pytest.mark.promise("E-01", "E-03")
async def test_every_cursor_resumes_exactly_over_what_was_taken_back(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as live:
        last = await taken_back(api, puppets, session, live)
    await resumes_exactly(api, session, live, last)
    async with api.follow(session, "0", until=last) as again:
        await again.rest()
    assert "forgotten" in live.text
    assert again.text == "so farthe end"


@pytest.mark.promise("E-03")
async def test_every_cursor_resumes_exactly_after_compaction(served: Served, api: Api, puppets: Puppets) -> None:
    session = await api.session()
    async with api.follow(session, "0") as live:
        last = await everything(api, puppets, session, live)
        last = await taken_back(api, puppets, session, live)
    compactor = Compactor(store=served.chat.engine.store, settings=EngineSettings(replay_window_s=0))
    while "token" in [event["type"] for event in await api.journal(session)]:
        await compactor.step()
    async with api.follow(session, "0", until=last) as again:
        await again.rest()
    assert all("message" in event.data for event in again.events if event.type == "snapshot")
    assert "snapshot" in again.types
    await resumes_exactly(api, session, live, last)


@pytest.mark.promise("E-01")
async def test_without_a_cursor_the_state_comes_first(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = (await api.send(session, "Go"))["id"]
    puppet = await puppets.of(turn_id)
    async with api.follow(session, "0") as live:
        await say(puppet, live, "One ")
        async with api.follow(session) as stream:
            first = await stream.until("snapshot")
            snapshot = await api.call("GET", session)
            assert stream.types == ["snapshot"]
            assert (first.data["state"], first.cursor) == (snapshot["state"], snapshot["cursor"])
            puppet.say("two")
            puppet.end()
            await over(stream, turn_id)
            assert stream.text == "two"
            assert folded(state_of(first.data["state"]), stream.events[1:]) == state_of(await api.state(session))
    as_json = await api.call("GET", f"{session}/events")
    assert [event["type"] for event in as_json["data"]] == ["snapshot"]
    assert as_json["data"][0]["data"]["state"] == await api.state(session)
    assert (as_json["cursor"], as_json["has_more"]) == (as_json["data"][0]["cursor"], False)


@pytest.mark.promise("E-01")
async def test_state_and_events_after_its_cursor_are_the_session_at_every_moment(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    snapshots: list[Any] = []
    stop = anyio.Event()

    async def look() -> None:
        while not stop.is_set():
            snapshots.append(await api.call("GET", session))

    async with api.follow(session, "0") as live, anyio.create_task_group() as group:
        group.start_soon(look)
        await everything(api, puppets, session, live)
        await taken_back(api, puppets, session, live)
        stop.set()
    final = state_of(await api.state(session))
    different = {snapshot["cursor"]: snapshot for snapshot in snapshots}
    assert len(different) > 5
    for cursor, snapshot in different.items():
        events = [event for event in live.events if _seq(event.cursor) > _seq(cursor)]
        assert folded(state_of(snapshot["state"]), events) == final, cursor


@pytest.mark.promise("E-03")
async def test_a_cursor_of_another_life_of_the_database_gets_a_snapshot(api: Api) -> None:
    session = await api.session("echo")
    turn = await api.answered(session)
    state, cursor = (await api.call("GET", session)).values()
    incarnation, seq = cursor.split(".")
    other = f"{int(incarnation, 16) ^ 1:x}"
    for foreign in (f"{other}.{seq}", f"{other}.1", f"{incarnation}.{int(seq) + 1}", f"{incarnation}.{'9' * 18}"):
        async with api.follow(session, foreign, until=turn["id"]) as stream:
            await stream.rest()
        assert [(event.type, event.cursor) for event in stream.events] == [("snapshot", cursor)]
        assert stream.events[0].data == {"state": state}
        page = await api.call("GET", f"{session}/events", params={"after": foreign})
        assert ([event["type"] for event in page["data"]], page["cursor"]) == (["snapshot"], cursor)


async def test_what_is_no_cursor_is_refused_before_anything_streams(api: Api) -> None:
    session = await api.session("echo")
    for bad in NO_CURSORS:
        await api.refused(400, "bad_cursor", "GET", f"{session}/events", params={"after": bad})
        async with api.http.stream(
            "GET", f"{session}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": bad.strip()}
        ) as response:
            if bad == bad.strip():
                await response.aread()
                assert response.status_code == 400
                check_problem(response)


async def test_a_stream_until_a_turn_ends_right_after_its_done(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    first, second = [(await api.send(session, text))["id"] for text in ("One", "Two")]
    async with api.follow(session, "0", until=first) as running, api.follow(session, "0", until=second) as longer:
        for turn_id in (first, second):
            puppet = await puppets.of(turn_id)
            puppet.say("Hi")
            puppet.end()
        await running.rest()
        await longer.rest()
    assert (running.events[-1].type, running.events[-1].data["turn_id"]) == ("done", first)
    assert (longer.events[-1].type, longer.events[-1].data["turn_id"]) == ("done", second)
    async with api.follow(session, "0", until=first) as ended:
        await ended.rest()
    assert ended.frames == running.frames == longer.frames[: len(running.frames)]
    async with api.follow(session, longer.events[-1].cursor, until=first) as nothing:
        await nothing.rest()
    assert nothing.events == []


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


class Late:
    """A store that answers late: what it found missing may be there by then."""

    def __init__(self, store: Store) -> None:
        self.incarnation = store.incarnation
        self.looked, self.go_on = anyio.Event(), anyio.Event()
        self._store = store

    async def read(self, query: Callable[..., Any], *args: Any) -> Any:
        found = await self._store.read(query, *args)
        if not found:
            self.looked.set()
            await self.go_on.wait()
        return found


@pytest.mark.promise("E-03")
async def test_what_is_committed_while_a_reader_looks_wakes_it(api: Api, served: Served, puppets: Puppets) -> None:
    """And it need not wait for the next commit, or the next heartbeat."""
    session = await api.session()
    puppet = await puppets.of((await api.send(session))["id"])
    hub, head = served.chat.engine.hub, _seq((await api.call("GET", session))["cursor"])
    store, late = hub._store, Late(hub._store)
    chunks: list[Any] = []

    async def read() -> None:
        with hub.reader(session.rpartition("/")[2], head) as reader:
            chunks.append(await reader.next(60))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            hub._store = late  # type: ignore[assignment]
            group.start_soon(read)
            await late.looked.wait()
            hub._store = store
            puppet.say("Hi")
            async with api.follow(session, "0") as witness:
                await witness.until("token")
            late.go_on.set()
    assert b"Hi" in chunks[0].frames
    puppet.end()


@pytest.mark.promise("E-06")
async def test_all_readers_of_a_session_read_the_same_bytes(served: Served, api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = (await api.send(session))["id"]
    puppet = await puppets.of(turn_id)
    async with AsyncExitStack() as stack, anyio.create_task_group() as group:
        readers: list[Stream] = []
        for device in range(6):
            user = await stack.enter_async_context(user_of(served.url, str(api.http.headers["x-user"])))
            reader = await stack.enter_async_context(user.follow(session, "0", until=turn_id))
            readers.append(reader)
            puppet.say(*(f"{device}.{number} " for number in range(50)))
            group.start_soon(reader.rest)
        puppet.end()
    assert readers[0].text.count(" ") == 300
    assert len({reader.frames for reader in readers}) == 1


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
            first = await stream.until("list")
            assert (first.cursor, first.data) == (None, {"what": "refetch"})
        session = await api.session()
        session_id = session.rpartition("/")[2]
        assert (await mine.until("list")).data == {"session_id": session_id, "what": "changed"}
        turn_id = (await api.send(session))["id"]
        puppet = await puppets.of(turn_id)
        await mine.until(_hint(session_id, "running"))
        puppet.say("Hi")
        puppet.end()
        await mine.until(_hint(session_id, "finished"))
        await api.call("POST", f"{session}/close")
        await mine.until(_hint(session_id, "changed"))
        other = (await stranger.session()).rpartition("/")[2]
        assert (await theirs.until("list")).data == {"session_id": other, "what": "changed"}
        await api.call("POST", f"{session}/clear", status=204)
        await mine.until(_hint(session_id, "changed"))
        assert other not in str(mine.events)
        assert len(theirs.events) == 2


def _hint(session_id: str, what: str) -> Callable[[Any], bool]:
    return lambda event: bool(event.data == {"session_id": session_id, "what": what})
