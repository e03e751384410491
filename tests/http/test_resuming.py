"""Readers that come late, leave and come back: from every cursor, at every moment, nothing lost and nothing doubled."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import pytest

from legato.engine.compactor import Compactor
from legato.engine.settings import EngineSettings
from legato.store.port import Store
from tests.http.conftest import Served
from tests.http.puppets import Puppets
from tests.http.scenarios import everything, over, say, taken_back
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


async def resumes_exactly(api: Api, session: str, live: Stream, last: str) -> None:
    """A client that stops at any event of ``live`` and comes back has the final state, and saw nothing twice."""
    final = state_of(await api.state(session))
    seqs = [event.seq for event in live.events]
    assert seqs == sorted(set(seqs))
    for place, event in enumerate(live.events):
        async with api.follow(session, event.cursor, until=last) as resumed:
            await resumed.rest()
        assert all(later.seq > event.seq for later in resumed.events)
        assert folded(None, live.events[: place + 1] + resumed.events) == final, f"after {event}"


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
    assert folded(None, live.events) == state_of(await api.state(session))


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
        events = [event for event in live.events if event.seq > int(cursor.partition(".")[2])]
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
    hub, head = served.chat.engine.hub, int((await api.call("GET", session))["cursor"].partition(".")[2])
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
