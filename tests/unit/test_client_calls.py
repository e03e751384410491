"""Requests and answers: what is repeated, what is raised, what is decoded."""

import re
from collections.abc import AsyncIterator

import anyio
import pytest

from legato.client import AsyncClient, NotLegato, RemoteError, Unauthenticated, Unreachable
from legato.core.errors import (
    Busy,
    ContextOverflow,
    LegatoError,
    MessageIdReused,
    Misuse,
    QueueFull,
    SessionExists,
    SessionNotFound,
    TurnNotQueued,
    Unavailable,
)
from legato.core.model import Stats, Usage
from tests.support import story
from tests.support.story import SESSION, TURN, TURN_PATH, TURNS_PATH, cursor
from tests.support.wire import Naps, Reply, Request, Wire, cut, json_reply, problem, silence

pytestmark = pytest.mark.anyio

SESSION_PATH = f"/v1/sessions/{SESSION}"


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        yield wire


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(wire: Wire, naps: Naps) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(wire.url, sleep=naps, random=lambda: 0.0, token="secret") as client:
        with anyio.fail_after(20):
            yield client


# Sending


@pytest.mark.promise("H-05")
async def test_a_send_is_repeated_with_the_same_message_id(wire: Wire, client: AsyncClient) -> None:
    """Lost before and after it was taken, refused for the moment, then accepted."""
    wire.on(
        "POST",
        TURNS_PATH,
        cut(),
        problem(503, "store_unavailable", retry_after_s=1),
        problem(507, "store_full", retry_after_s=1),
        Reply(502, {}, b"Bad Gateway"),
        problem(429, "busy"),
        json_reply(story.sent(after=7), 200),
    )
    sent = await client.send(SESSION, "Hello")
    assert sent.turn.id == TURN
    assert sent.cursor == cursor(7)
    bodies = [request.body for request in wire.requests]
    assert len(bodies) == 6
    assert len(set(bodies)) == 1
    message_id = wire.requests[0].json()["message_id"]
    assert message_id.startswith("msg_")
    assert wire.requests[0].json() == {
        "message_id": message_id,
        "text": "Hello",
        "mode": "queue",
        "model_id": None,
    }


async def test_a_send_carries_what_it_is_given(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
    await client.send(SESSION, "a\ud800b", message_id="mine", mode="interrupt", priority="background", model_id="gpt")
    [request] = wire.requests
    assert request.json() == {
        "message_id": "mine",
        "text": "a\ufffdb",
        "mode": "interrupt",
        "priority": "background",
        "model_id": "gpt",
    }
    assert request.headers["authorization"] == "Bearer secret"


@pytest.mark.promise("R-15", "H-05")
async def test_an_answer_may_be_asked_for_that_nobody_waits_for(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
    await client.answer(SESSION, "Hello", priority="background")
    await client.answer(SESSION, "Hello", priority="interactive")
    assert [request.json().get("priority") for request in wire.requests] == ["background", None]


async def test_two_sends_are_two_messages(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
    await client.send(SESSION, "Hello")
    await client.send(SESSION, "Hello")
    assert len({request.json()["message_id"] for request in wire.requests}) == 2


@pytest.mark.promise("H-05")
async def test_a_silent_server_is_asked_again(wire: Wire) -> None:
    wire.on("POST", TURNS_PATH, silence(), json_reply(story.sent(), 200))
    async with AsyncClient(wire.url, sleep=Naps(), timeout_s=0.1) as client:
        await client.send(SESSION, "Hello")
    assert len(wire.requests) == 2


async def test_attempts_end_with_the_deadline(wire: Wire) -> None:
    now = 0.0

    async def nap(seconds: float) -> None:
        nonlocal now
        now += seconds

    wire.on("POST", TURNS_PATH, cut())
    async with AsyncClient(wire.url, sleep=nap, clock=lambda: now, random=lambda: 0.0, retry_for_s=10) as client:
        with pytest.raises(Unreachable, match="was lost"):
            await client.send(SESSION, "Hello")
    assert len(wire.requests) == 6  # after 0, 0.2, 0.4, 0.8, 1.6 and 3.2 seconds; the next 4 would be too long
    assert now < 10


async def test_a_retry_after_beyond_the_deadline_is_not_waited_for(wire: Wire, client: AsyncClient, naps: Naps) -> None:
    wire.on("POST", TURNS_PATH, problem(503, "store_unavailable", "Away.", retry_after_s=3600))
    with pytest.raises(Unavailable, match="Away"):
        await client.send(SESSION, "Hello")
    assert naps.taken == []


async def test_a_server_that_starts_late_is_found(wire: Wire) -> None:
    """Refused connections at first: the server is being restarted."""
    naps = 0

    async def nap(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 3:
            await wire.open()

    wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
    await wire.kill()
    async with AsyncClient(wire.url, sleep=nap) as client:
        await client.send(SESSION, "Hello")
    assert naps == 3


async def test_nobody_there(wire: Wire) -> None:
    await wire.kill()
    async with AsyncClient(wire.url, sleep=Naps(), retry_for_s=0.2) as client:
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:\d+/ can't be reached"):
            await client.agents()
    await wire.open()


# Errors


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "session_not_found", SessionNotFound),
        (409, "message_id_reused", MessageIdReused),
        (429, "queue_full", QueueFull),
        (422, "context_overflow", ContextOverflow),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden_origin", RemoteError),
        (500, "error", LegatoError),
    ],
)
async def test_a_problem_becomes_the_error_of_its_code(
    wire: Wire, client: AsyncClient, status: int, code: str, error: type[LegatoError]
) -> None:
    wire.on("POST", TURNS_PATH, problem(status, code, "In words.", needed=12, message="odd", self="odd"))
    with pytest.raises(LegatoError) as caught:
        await client.send(SESSION, "Hello")
    assert type(caught.value) is error
    assert str(caught.value) == "In words."
    assert caught.value.details["status"] == status
    assert caught.value.details["code"] == code
    assert caught.value.details["needed"] == 12
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("reply", "error", "message"),
    [
        (Reply(401, {}, b""), Unauthenticated, "HTTP 401 Unauthorized"),
        (Reply(404, {"Content-Type": "text/html"}, b"<h1>No</h1>"), RemoteError, "HTTP 404 Not Found"),
        (Reply(307, {"Location": "/elsewhere"}, b""), RemoteError, "HTTP 307"),
        (
            Reply(200, {"Content-Type": "text/html"}, b"<h1>Router</h1>"),
            NotLegato,
            "answered with something else",
        ),
        (json_reply({"data": [{"no": "id"}]}), NotLegato, "answered with something else"),
    ],
    ids=["401", "404", "redirect", "page", "shape"],
)
async def test_what_is_not_ours_is_said_clearly(
    wire: Wire, client: AsyncClient, reply: Reply, error: type[LegatoError], message: str
) -> None:
    wire.on("GET", "/v1/agents", reply)
    with pytest.raises(error, match=message):
        await client.agents()


@pytest.mark.parametrize("address", ["localhost:8321", "127.0.0.1", "ftp://x", "http://", "http://[::1", ""])
async def test_an_address_must_be_one(address: str) -> None:
    with pytest.raises(Misuse, match="http://host:port"):
        AsyncClient(address)


async def test_ids_of_others_stay_inside_their_segment(wire: Wire, client: AsyncClient) -> None:
    with pytest.raises(LegatoError, match=re.escape("/v1/sessions/a%2F..%2Fb%3Fc/stats")):
        await client.stats("a/../b?c")


# Repeats that must not do harm


@pytest.mark.promise("H-05")
async def test_creating_again_after_a_lost_answer_makes_one_session(wire: Wire, client: AsyncClient) -> None:
    view = {"state": story.state(), "cursor": "7f3a.4"}

    def found(request: Request) -> Reply:
        made = wire.requests[0].json()["id"]
        return json_reply(view) if request.path == f"/v1/sessions/{made}" else problem(404, "session_not_found")

    def taken(request: Request) -> Reply:
        wire.on("GET", f"/v1/sessions/{request.json()['id']}", found)
        return problem(409, "session_exists")

    wire.on("POST", "/v1/sessions", cut(), taken)
    assert await client.create_session("demo") == story.session()
    first, second, _ = wire.requests
    assert first.json() == second.json() == {"agent_id": "demo", "id": first.json()["id"]}


async def test_creating_with_a_taken_id_of_ones_own_is_refused(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", "/v1/sessions", problem(409, "session_exists"))
    with pytest.raises(SessionExists):
        await client.create_session(session_id="mine")


async def test_clearing_is_not_repeated_once_it_may_have_happened(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", f"{SESSION_PATH}/clear", cut(), Reply(204))
    with pytest.raises(Unreachable):
        await client.clear(SESSION)
    await client.clear(SESSION)
    assert len(wire.requests) == 2


async def test_withdrawing_twice_is_withdrawing_once(wire: Wire, client: AsyncClient) -> None:
    wire.on("DELETE", TURN_PATH, cut(), problem(409, "turn_not_queued"))
    wire.on("GET", TURN_PATH, json_reply(story.turn(status="cancelled", reason="withdrawn")))
    assert (await client.withdraw(SESSION, TURN)).status == "cancelled"
    wire.on("GET", TURN_PATH, json_reply(story.turn(status="in_progress")))
    with pytest.raises(TurnNotQueued):
        await client.withdraw(SESSION, TURN)


# The rest of the routes


async def test_lists(wire: Wire, client: AsyncClient) -> None:
    agent = {"id": "demo", "name": "Demo", "role": None, "demo": True, "available": True, "new": 1}
    model = {"id": "gpt", "name": "GPT", "context_window": 8000, "capabilities": ["tools"]}
    wire.on("GET", "/v1/agents", json_reply({"data": [agent]}))
    wire.on("GET", "/v1/models", json_reply({"data": [model]}))
    assert [(agent.id, agent.demo) for agent in await client.agents()] == [("demo", True)]
    assert [(model.id, model.context_window) for model in await client.models()] == [("gpt", 8000)]


async def test_sessions_are_paged_through(wire: Wire, client: AsyncClient) -> None:
    pages = {"": "one", "one": "two", "two": None}

    def page(request: Request) -> Reply:
        after = pages[request.query.get("cursor", "")]
        return json_reply({"data": [story.session()], "has_more": after is not None, "next": after})

    wire.on("GET", "/v1/sessions", page)
    listed = [session async for session in client.sessions(status="active", agent_id="demo", limit=1)]
    assert len(listed) == 3
    first = {"status": "active", "agent_id": "demo", "limit": "1"}
    assert [request.query for request in wire.requests] == [
        first,
        first | {"cursor": "one"},
        first | {"cursor": "two"},
    ]


async def test_messages_come_oldest_first_over_pages(wire: Wire, client: AsyncClient) -> None:
    def page(request: Request) -> Reply:
        older = request.query.get("cursor")
        data = [story.question()] if older else [story.answer()]
        return json_reply({"data": data, "has_more": not older, "next": None if older else "older"})

    wire.on("GET", f"{SESSION_PATH}/messages", page)
    assert [message.role for message in await client.messages(SESSION)] == ["user", "assistant"]
    assert [message.role for message in await client.messages(SESSION, limit=1)] == ["assistant"]
    assert [request.query["limit"] for request in wire.requests] == ["200", "200", "1"]


async def test_the_life_of_a_session(wire: Wire, client: AsyncClient) -> None:
    stats = Stats(session_id=SESSION, message_count=2, turn_count=1, usage=Usage(), age_s=1.5, last_activity=story.NOW)
    wire.on("GET", SESSION_PATH, json_reply({"state": story.state(), "cursor": "7f3a.4"}))
    wire.on("PATCH", SESSION_PATH, json_reply(story.session()))
    wire.on("POST", f"{SESSION_PATH}/close", json_reply(story.session()))
    wire.on("POST", f"{SESSION_PATH}/reopen", json_reply(story.session()))
    wire.on("GET", f"{SESSION_PATH}/stats", json_reply(stats))
    assert await client.session(SESSION, limit=3) == (story.state(), cursor(4))
    assert await client.update_session(SESSION, title="T", pinned=False) == story.session()
    assert await client.close(SESSION) == story.session()
    assert await client.reopen(SESSION) == story.session()
    assert await client.stats(SESSION) == stats
    assert wire.requests[0].query == {"limit": "3"}
    assert wire.requests[1].json() == {"title": "T", "pinned": False}


async def test_the_life_of_a_turn(wire: Wire, client: AsyncClient) -> None:
    wire.on("GET", TURN_PATH, json_reply(story.turn()))
    wire.on("POST", f"{TURN_PATH}/cancel", cut(), json_reply(story.turn(status="cancelled")))
    wire.on("POST", f"{TURN_PATH}/continue", cut(), json_reply(story.sent(), 202))
    wire.on("POST", f"{TURN_PATH}/retry", json_reply(story.sent(), 202))
    assert await client.turn(SESSION, TURN) == story.turn()
    assert (await client.cancel(SESSION, TURN)).status == "cancelled"
    await client.continue_(SESSION, TURN)
    await client.retry(SESSION, TURN, message_id="mine")
    first, second = wire.asked("POST", f"{TURN_PATH}/continue")
    assert first.json() == second.json()
    [retried] = wire.asked("POST", f"{TURN_PATH}/retry")
    assert retried.json() == {"message_id": "mine"}


async def test_a_mounted_server(wire: Wire) -> None:
    wire.on("GET", "/chat/v1/agents", json_reply({"data": []}))
    async with AsyncClient(f"{wire.url}/chat/", headers={"X-Team": "red"}) as client:
        assert await client.agents() == []
    assert wire.requests[0].headers["x-team"] == "red"
    assert "authorization" not in wire.requests[0].headers


async def test_busy_with_no_end(wire: Wire) -> None:
    wire.on("GET", "/v1/agents", problem(429, "busy"))
    async with AsyncClient(wire.url, retry_for_s=0.1) as client:
        with pytest.raises(Busy):
            await client.agents()
