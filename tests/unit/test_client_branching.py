"""Forking from afar: done once, however often it has to be said."""

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest

from legato.client import AsyncClient
from legato.core.errors import SessionExists
from legato.core.model import Fork
from tests.support import story
from tests.support.story import SESSION
from tests.support.wire import Naps, Reply, Wire, cut, json_reply, problem

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-15", "H-05")]

PATH = f"/v1/sessions/{SESSION}/fork"
NEW = "ses_00000000000000000000000009"
NEW_PATH = f"/v1/sessions/{NEW}"


def there(forked_from: Fork | None) -> Reply:
    """The session of that id, forked from there."""
    session = msgspec.structs.replace(story.session(), id=NEW, forked_from=forked_from)
    return json_reply({"state": msgspec.structs.replace(story.state(), session=session), "cursor": "7f3a.1"})


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        yield wire


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(wire.url, sleep=Naps(), random=lambda: 0.0) as client:
        with anyio.fail_after(20):
            yield client


async def test_a_fork_whose_answer_was_lost_is_found_as_soon_as_it_is_there(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", PATH, cut(), problem(409, "session_exists"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("legato.client.branching.new_id", lambda prefix: NEW)
        wire.on("GET", NEW_PATH, problem(404, "session_not_found"), there(Fork(SESSION, "msg_1")))
        session = await client.fork(SESSION, "msg_1", title="Fork")
    assert session.id == NEW
    bodies = [request.json() for request in wire.asked("POST", PATH)]
    assert bodies == [{"id": NEW, "message_id": "msg_1", "title": "Fork"}] * 3


async def test_a_fork_that_died_on_the_way_is_made_when_its_remains_are_gone(wire: Wire, client: AsyncClient) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("legato.client.branching.new_id", lambda prefix: NEW)
        made = msgspec.structs.replace(story.session(), id=NEW)
        wire.on(
            "POST", PATH, cut(), problem(409, "session_exists"), problem(409, "session_exists"), json_reply(made, 201)
        )
        wire.on("GET", NEW_PATH, problem(404, "session_not_found"))
        session = await client.fork(SESSION)
    assert session.id == NEW
    assert len(wire.asked("POST", PATH)) == 4


async def test_a_fork_under_an_id_of_ones_own_can_be_asked_for_again(wire: Wire, client: AsyncClient) -> None:
    wire.on("POST", PATH, problem(409, "session_exists"))
    wire.on("GET", NEW_PATH, problem(404, "session_not_found"), there(Fork(SESSION, "msg_1")))
    assert (await client.fork(SESSION, new_session_id=NEW)).id == NEW


@pytest.mark.parametrize("other", [None, Fork("ses_00000000000000000000000008", None)])
async def test_an_id_of_ones_own_that_is_taken_is_said_so(wire: Wire, client: AsyncClient, other: Fork | None) -> None:
    wire.on("POST", PATH, problem(409, "session_exists"))
    wire.on("GET", NEW_PATH, there(other))
    with pytest.raises(SessionExists):
        await client.fork(SESSION, new_session_id=NEW)


async def test_an_id_that_is_somebody_elses_is_said_to_be_taken_in_the_end(wire: Wire) -> None:
    wire.on("POST", PATH, problem(409, "session_exists"))
    wire.on("GET", NEW_PATH, problem(404, "session_not_found"))
    async with AsyncClient(wire.url, sleep=Naps(), random=lambda: 0.0, retry_for_s=1) as client:
        with pytest.raises(SessionExists):
            await client.fork(SESSION, new_session_id=NEW)
