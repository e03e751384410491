"""``follow``: whatever happens to connections, every event once and in order."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial

import anyio
import pytest

from legato.client import AsyncClient, Notice, NotLegato, Unreachable
from legato.core.cursor import Cursor
from legato.core.errors import BadCursor, SessionNotFound, TurnNotFound
from legato.core.events import Event, Snapshot
from legato.core.fold import Fold
from legato.core.model import TextPart
from legato.core.sse import KEEP_ALIVE
from tests.support import story
from tests.support.story import EVENTS_PATH, SESSION, TURN, TURN_PATH, cursor, frames
from tests.support.wire import Naps, Replier, Reply, Request, Wire, cut, json_reply, problem, silence, stream

pytestmark = pytest.mark.anyio

WHOLE = story.whole()
JOURNAL = [(cursor(seq), event) for seq, event in enumerate(WHOLE, 1)]
BEGUN = len(story.opening())  # the seq before the first token


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        yield wire


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(wire: Wire, naps: Naps) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(wire.url, sleep=naps, random=lambda: 0.0, retry_for_s=5) as client:
        yield client


async def follow(
    client: AsyncClient, after: Cursor | str | None = "0", until: str | None = TURN
) -> list[tuple[Cursor, Event]]:
    with anyio.fail_after(10):
        async with aclosing(client.follow(SESSION, after=after, until=until)) as events:
            return [entry async for entry in events]


def rest(request: Request, events: Sequence[Event] = WHOLE) -> bytes:
    """What an honest server sends to a request."""
    return frames(list(events), story.seq_after(request.query["after"]))


def text_of(events: Sequence[Event]) -> str:
    message = Fold().apply_all(events).message(story.ANSWER)
    assert message is not None
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


async def test_a_stream_without_trouble(wire: Wire, client: AsyncClient, naps: Naps) -> None:
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request)))
    assert await follow(client) == JOURNAL
    [request] = wire.requests
    assert request.query == {"after": "0", "until": TURN}
    assert request.headers["accept"] == "text/event-stream"
    assert naps.taken == []


@pytest.mark.promise("H-05")
async def test_leaving_in_the_middle_closes_the_response_and_leaves_it_to_nobody(
    wire: Wire, client: AsyncClient
) -> None:
    """What the garbage collector closes is closed in a task that nobody waits for, maybe when the loop is gone."""
    left: list[str] = []
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request), "silent"))
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=lambda generator: left.append(repr(generator)))
    try:
        with anyio.fail_after(10):
            async with aclosing(client.follow(SESSION, after="0")) as events:
                await anext(events)
    finally:
        sys.set_asyncgen_hooks(*hooks)
    assert not [each for each in left if " Response." in each]


@pytest.mark.promise("H-05", "E-05")
async def test_a_cut_at_every_byte_loses_and_doubles_nothing(wire: Wire, client: AsyncClient) -> None:
    """Every other cut is a torn response, the ones between look like the orderly end of a stream."""
    events = story.short()
    body = frames(events, BEGUN)
    assert len(body) > 1000
    wire.on("GET", story.TURN_PATH, json_reply(story.turn(status="in_progress")))
    for at in range(len(body)):
        torn = stream(body[:at], "cut", framed=at % 2 == 0)
        wire.on("GET", EVENTS_PATH, torn, lambda request: stream(rest(request, events)))
        entries = [event for _, event in await follow(client, after=cursor(BEGUN))]
        assert entries == events[BEGUN:], f"cut after {at} bytes"
        assert text_of(events[:BEGUN] + entries) == "".join(story.PIECES[:5])


@pytest.mark.promise("H-05")
async def test_any_number_of_cuts(wire: Wire, client: AsyncClient) -> None:
    def some(size: int, request: Request) -> Reply:
        return stream(rest(request)[:size], "cut")

    longest = max(len(story.frame(cursor.seq, event)) for cursor, event in JOURNAL) + len(frames([]))
    for size in range(longest, longest + 200, 13):
        wire.on("GET", EVENTS_PATH, partial(some, size))
        assert await follow(client) == JOURNAL


async def test_duplicates_are_skipped(wire: Wire, client: AsyncClient) -> None:
    """A server that goes back further than it was asked to, and one that says everything twice."""
    everything = frames(WHOLE)
    wire.on("GET", EVENTS_PATH, stream(everything[: len(everything) // 2], "cut"), stream(everything + everything))
    assert await follow(client) == JOURNAL


async def test_what_is_not_durable_is_not_passed_on(wire: Wire, client: AsyncClient) -> None:
    loose = b'event: warning\ndata: {"turn_id":"t","code":"c","message":"m"}\n\n'
    wire.on("GET", EVENTS_PATH, lambda request: stream(loose + rest(request)))
    assert await follow(client) == JOURNAL


async def test_events_of_a_newer_server_move_the_cursor_only(wire: Wire, client: AsyncClient) -> None:
    unknown = b"id: 7f3a.1\nevent: telepathy\ndata: {}\n\n"
    wire.on("GET", EVENTS_PATH, stream(unknown, "cut"), lambda request: stream(rest(request)))
    assert await follow(client) == JOURNAL[1:]


async def test_after_none_begins_with_a_snapshot_and_goes_on_from_it(wire: Wire, client: AsyncClient) -> None:
    told = story.state()
    wire.on("GET", EVENTS_PATH, stream(story.snapshot(BEGUN, told), "cut"), lambda request: stream(rest(request)))
    entries = await follow(client, after=None)
    assert entries == [(cursor(BEGUN), Snapshot(state=told)), *JOURNAL[BEGUN:]]
    assert [request.query.get("after") for request in wire.requests] == [None, str(cursor(BEGUN))]


@pytest.mark.promise("H-05")
async def test_another_incarnation_begins_with_a_snapshot(wire: Wire, client: AsyncClient) -> None:
    """The database was restored: seqs went back, and what the snapshot says replaces what was read."""
    told = story.state(text="from the back-up")
    restored = story.snapshot(2, told, "beef") + story.frame(3, story.token("!"), "beef")
    end = story.frame(4, story.done(), "beef")
    first = frames(WHOLE[:12])
    wire.on("GET", EVENTS_PATH, stream(first, "cut"), stream(restored, "cut"), stream(end))
    entries = await follow(client)
    assert [request.query["after"] for request in wire.requests] == ["0", "7f3a.12", "beef.3"]
    fold = Fold().apply_all(event for _, event in entries)
    assert [str(at) for at, _ in entries[12:]] == ["beef.2", "beef.3", "beef.4"]
    message = fold.message(story.ANSWER)
    assert message is not None
    assert message.parts == (TextPart("from the back-up!"),)


async def test_a_server_that_lost_events_goes_back_with_a_snapshot(wire: Wire, client: AsyncClient) -> None:
    """A cursor beyond the journal's head: what was read is replaced, and what comes is not taken for a duplicate."""
    told = story.state(text="half")
    back = story.snapshot(6, told) + story.frame(7, story.token(" whole")) + story.frame(8, story.done())
    wire.on("GET", EVENTS_PATH, stream(frames(WHOLE[:12]), "cut"), stream(back))
    entries = await follow(client)
    assert [at.seq for at, _ in entries] == [*range(1, 13), 6, 7, 8]
    assert text_of([event for _, event in entries]) == "half whole"


async def test_another_incarnation_without_a_snapshot_is_refused(wire: Wire, client: AsyncClient) -> None:
    body = frames(WHOLE[:3]) + story.frame(9, story.token("?"), "beef")
    wire.on("GET", EVENTS_PATH, stream(body))
    with pytest.raises(NotLegato, match="without a snapshot"):
        await follow(client)


@pytest.mark.promise("E-05")
async def test_a_silent_connection_is_left(wire: Wire) -> None:
    half = frames(WHOLE)[:900]
    wire.on("GET", EVENTS_PATH, stream(half, "silent"), silence(), lambda request: stream(rest(request)))
    notices: list[Notice] = []
    async with AsyncClient(wire.url, sleep=Naps(), silence_s=0.1, notify=notices.append) as client:
        assert await follow(client) == JOURNAL
    assert [notice.what for notice in notices] == ["lost", "lost", "back"]
    assert "silent" in notices[0].reason


async def test_heartbeats_keep_a_connection(wire: Wire) -> None:
    async def slow() -> AsyncGenerator[bytes, None]:
        for _ in range(8):
            yield KEEP_ALIVE
            await anyio.sleep(0.05)  # the silence is what is tested; all heartbeats together last longer than silence_s
        yield frames(WHOLE)

    wire.on("GET", EVENTS_PATH, lambda _: stream(slow()))
    async with AsyncClient(wire.url, sleep=Naps(), silence_s=0.2) as client:
        assert await follow(client) == JOURNAL
    assert len(wire.requests) == 1


@pytest.mark.promise("H-05")
@pytest.mark.parametrize(
    "trouble",
    [
        cut(),
        problem(503, "store_unavailable", retry_after_s=1),
        problem(429, "busy", retry_after_s=1),
        problem(500, "error"),
        Reply(502, {"Content-Type": "text/html"}, b"<h1>Bad Gateway</h1>"),
    ],
    ids=["cut", "503", "429", "500", "502 of a proxy"],
)
async def test_trouble_is_outlived(wire: Wire, client: AsyncClient, naps: Naps, trouble: Reply) -> None:
    wire.on("GET", EVENTS_PATH, *[trouble] * 5, lambda request: stream(rest(request)))
    assert await follow(client) == JOURNAL
    assert len(naps.taken) == 5
    if "Retry-After" in trouble.headers:
        assert min(naps.taken) >= 1


async def test_a_server_that_is_down_and_comes_back(wire: Wire) -> None:
    """Down means refused connections: the port is closed until the third attempt."""
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 1:
            await wire.kill()
        elif len(naps) == 3:
            await wire.open()

    wire.on("GET", EVENTS_PATH, stream(frames(WHOLE[:7]), "cut"), lambda request: stream(rest(request)))
    async with AsyncClient(wire.url, sleep=nap, random=lambda: 0.0) as client:
        assert await follow(client) == JOURNAL
    assert len(naps) == 3


async def test_delays_begin_where_the_server_says_and_double(wire: Wire, client: AsyncClient, naps: Naps) -> None:
    greeting = b"retry: 2000\n\n" + KEEP_ALIVE
    bad = problem(503, "store_unavailable")
    wire.on("GET", EVENTS_PATH, stream(greeting, "cut"), *[bad] * 4, lambda request: stream(rest(request)))
    await follow(client)
    assert naps.taken == [2, 4, 8, 15, 15]


async def test_delays_are_stretched_at_random(wire: Wire) -> None:
    naps = Naps()
    wire.on("GET", EVENTS_PATH, stream(b"retry: 2000\n\n", "cut"), lambda request: stream(rest(request)))
    async with AsyncClient(wire.url, sleep=naps, random=lambda: 0.5) as client:
        await follow(client)
    assert naps.taken == [2.5]


async def test_gives_up_when_told_to(wire: Wire) -> None:
    now = 0.0

    async def nap(seconds: float) -> None:
        nonlocal now
        now += seconds

    wire.on("GET", EVENTS_PATH, cut())
    async with AsyncClient(wire.url, sleep=nap, clock=lambda: now, give_up_after_s=60) as client:
        with pytest.raises(Unreachable):
            await follow(client)
    assert now == 60


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(404, "session_not_found"), SessionNotFound),
        (problem(404, "turn_not_found"), TurnNotFound),
        (problem(400, "bad_cursor"), BadCursor),
        (json_reply({"data": []}), NotLegato),
    ],
    ids=["session", "turn", "cursor", "no stream"],
)
async def test_a_refusal_is_raised(wire: Wire, client: AsyncClient, reply: Reply, error: type[Exception]) -> None:
    wire.on("GET", EVENTS_PATH, reply)
    with pytest.raises(error):
        await follow(client)
    assert len(wire.requests) == 1


@pytest.mark.promise("E-05")
async def test_a_turn_that_ended_before_the_cursor_is_over(wire: Wire, client: AsyncClient) -> None:
    """A server with nothing more of the turn ends the stream at once; so does a dying one. Asking tells which."""
    wire.on("GET", EVENTS_PATH, _stream_or(json_reply({"data": [], "cursor": "7f3a.99", "has_more": False})))
    wire.on(
        "GET",
        TURN_PATH,
        json_reply(story.turn(status="in_progress")),
        json_reply(story.turn(status="completed")),
    )
    assert await follow(client, after=cursor(99)) == []
    assert len(wire.asked("GET", TURN_PATH)) == 2


async def test_a_turn_that_ended_before_the_cursor_is_over_though_others_came_since(
    wire: Wire, client: AsyncClient
) -> None:
    another = {"type": "done", "data": {"turn_id": "trn_other"}}
    token = {"type": "token", "data": {}}
    pages = {
        "7f3a.99": {"data": [token, another], "cursor": "7f3a.120", "has_more": True},
        "7f3a.120": {"data": [token], "cursor": "7f3a.121", "has_more": False},
    }
    wire.on("GET", EVENTS_PATH, lambda request: _stream_or(json_reply(pages[request.query["after"]]))(request))
    wire.on("GET", TURN_PATH, json_reply(story.turn(status="completed")))
    assert await follow(client, after=cursor(99)) == []


async def test_a_turn_that_ended_meanwhile_is_read_to_its_end(wire: Wire, client: AsyncClient) -> None:
    some = {"data": [{"type": "token", "data": {}}], "cursor": "7f3a.5", "has_more": True}
    done = {"data": [{"type": "done", "data": {"turn_id": TURN}}], "cursor": "7f3a.6", "has_more": False}
    wire.on(
        "GET",
        EVENTS_PATH,
        stream(b""),
        json_reply(some),
        json_reply(done),
        lambda request: stream(rest(request)),
    )
    wire.on("GET", TURN_PATH, json_reply(story.turn(status="completed")))
    assert await follow(client, after=cursor(BEGUN)) == JOURNAL[BEGUN:]


def _stream_or(page: Reply) -> Replier:
    return lambda request: stream(b"retry: 1\n\n") if "event-stream" in request.headers["accept"] else page


async def test_leaving_closes_the_connection(wire: Wire, client: AsyncClient) -> None:
    closed = anyio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield frames(WHOLE)
            while True:
                yield KEEP_ALIVE
                await anyio.sleep(0.01)  # until the socket refuses a write
        finally:
            closed.set()

    wire.on("GET", EVENTS_PATH, lambda _: stream(endless()))
    async with aclosing(client.follow(SESSION, after="0")) as events:
        async for at, _ in events:
            if at == cursor(3):
                break
    with anyio.fail_after(5):
        await closed.wait()


@pytest.mark.promise("E-06")
async def test_the_live_list_reconnects(wire: Wire, client: AsyncClient) -> None:
    def hint(what: str, session_id: str = "") -> bytes:
        data = f'{{"what":"{what}","session_id":"{session_id}"}}' if session_id else f'{{"what":"{what}"}}'
        return f"event: list\ndata: {data}\n\n".encode()

    wire.on(
        "GET",
        "/v1/events",
        stream(hint("refetch") + hint("created", "ses_1"), "cut"),
        stream(hint("refetch") + hint("finished", "ses_1")),
    )
    seen: list[str] = []
    async with aclosing(client.live()) as hints:
        async for one in hints:
            seen.append(f"{one.what} {one.session_id or 'all'}")
            if one.what == "finished":
                break
    assert seen == ["refetch all", "created ses_1", "refetch all", "finished ses_1"]


@pytest.mark.promise("S-07")
async def test_whose_session_was_deleted_learns_it_when_he_comes_back(wire: Wire, client: AsyncClient) -> None:
    """A server ends the streams of a deleted session; then it is not there, and nobody asks for ever."""
    wire.on("GET", EVENTS_PATH, stream(frames(WHOLE[:BEGUN])), problem(404, "session_not_found"))
    wire.on("GET", TURN_PATH, problem(404, "session_not_found"))
    with pytest.raises(SessionNotFound):
        await follow(client)
    assert len(wire.requests) == 2
