"""Deleting from afar: done once, however often it has to be said."""

from collections.abc import AsyncIterator

import anyio
import pytest

from legato.client import AsyncClient
from legato.core.errors import SessionNotFound
from tests.support.story import SESSION
from tests.support.wire import Naps, Reply, Wire, cut, problem

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-07", "H-05")]

PATH = f"/v1/sessions/{SESSION}"
DONE = Reply(204, {}, b"")
UNKNOWN = problem(404, "session_not_found")


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        yield wire


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(wire.url, sleep=Naps(), random=lambda: 0.0) as client:
        with anyio.fail_after(20):
            yield client


async def test_a_session_is_deleted(wire: Wire, client: AsyncClient) -> None:
    wire.on("DELETE", PATH, DONE)
    await client.delete(SESSION)
    assert [request.method for request in wire.requests] == ["DELETE"]


async def test_what_was_gone_before_a_lost_answer_was_deleted_by_us(wire: Wire, client: AsyncClient) -> None:
    wire.on("DELETE", PATH, cut(), UNKNOWN)
    await client.delete(SESSION)
    assert len(wire.requests) == 2


async def test_what_was_never_there_is_said_so(wire: Wire, client: AsyncClient) -> None:
    wire.on("DELETE", PATH, UNKNOWN)
    with pytest.raises(SessionNotFound):
        await client.delete(SESSION)
    assert len(wire.requests) == 1
