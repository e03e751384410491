"""A reader whose network is gone says no good-bye; the server notices, on a session that is silent and on one that streams."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
import pytest

from legato.client import AsyncClient
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.reader import events_path
from tests.support.netns import Elsewhere
from tests.support.proc import connection_to, open_sockets
from tests.support.raw_reader import RawReader

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

TOKEN: Final = "only-for-this-test"
GONE_S: Final = 60.0  # promised are 30
_POLL_S: Final = 0.2


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as elsewhere:
        yield elsewhere


@pytest.fixture
def server(elsewhere: Elsewhere, nursery: Nursery, model: ModelServer, tmp_path: Path) -> Iterator[ForkedServer]:
    env = model.environment | {"LEGATO_TOKEN": TOKEN}
    url = f"sqlite:///{tmp_path / 'legato.db'}"
    with ForkedServer(nursery, url, env, host=elsewhere.here, log=tmp_path / "server.log") as server:
        yield server


@pytest.mark.promise("E-08")
async def test_readers_whose_network_is_gone(server: ForkedServer, elsewhere: Elsewhere) -> None:
    async with AsyncClient(server.url, token=TOKEN) as client:
        idle, streaming = await client.create_session(), await client.create_session()
        await client.send(streaming.id, "count 9999 at 20/s")
        seen: dict[str, float] = {}
        with (
            _reader(server, elsewhere, idle.id) as of_idle,
            _reader(server, elsewhere, streaming.id) as of_streaming,
        ):
            held = {"idle": await _settled(of_idle), "streaming": await _inode(of_streaming)}
            assert set(held.values()) <= open_sockets(server.pid)
            elsewhere.vanish()
            vanished = monotonic()
            while held and monotonic() - vanished < GONE_S:
                there = open_sockets(server.pid)
                for name in [name for name, inode in held.items() if inode not in there]:
                    del held[name]
                    seen[name] = monotonic() - vanished
                await anyio.sleep(_POLL_S)
    print(f"\ngone after {', '.join(f'{s:.1f} s ({name})' for name, s in seen.items())}")
    assert not held, f"after {GONE_S} s the server still holds: {', '.join(held)}"


def _reader(server: ForkedServer, elsewhere: Elsewhere, session_id: str) -> RawReader:
    path = f"{events_path(session_id)}?after=0"
    return RawReader(server.host, server.port, path, token=TOKEN, made=elsewhere.new_socket())


async def _inode(reader: RawReader) -> int:
    """The server's socket, once its answer has begun."""
    await reader.take(4096)
    connection = connection_to(reader.address)
    assert connection is not None
    return connection.inode


async def _settled(reader: RawReader) -> int:
    """… and has been acknowledged: the last that the server hears of it."""
    inode = await _inode(reader)
    while (connection := connection_to(reader.address)) is not None and connection.unacknowledged:  # noqa: ASYNC110 - the kernel's doing
        await anyio.sleep(_POLL_S)
    return inode
