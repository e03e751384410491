"""The disk of the database is full, and is freed again: nobody restarts, and nothing that was acknowledged is lost."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from legato.core.states import is_terminal
from tests.process.asking import Asking, Reply
from tests.process.checker import violations
from tests.process.history import History, Numbers
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Recorder, access, reading
from tests.process.small_disk import SmallDisk, small_disk
from tests.support.postgres import drop_database, drop_tablespace, new_database, new_tablespace
from tests.support.require import unavailable

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180), pytest.mark.promise("R-14")]

SPEAKERS: Final = 4
FULL_S: Final = 13.0  # longer than a turn insists
LENGTH: Final = 4_000  # of what can't be compressed


@pytest.fixture(params=["sqlite", "postgresql"])
def disk(request: pytest.FixtureRequest) -> Iterator[SmallDisk]:
    with small_disk({"sqlite": 6, "postgresql": 24}[request.param]) as disk:
        yield disk


@pytest.fixture
def url(disk: SmallDisk, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database on that disk; PostgreSQL keeps its write-ahead log elsewhere, as it stops when that is full."""
    if "sqlite" in request.node.callspec.id:
        yield f"sqlite:///{disk.path / 'legato.db'}"
        return
    if "DATABASE_URL" in os.environ:
        unavailable("a server that was given can't be made to use our disk")
    postgres: str = request.getfixturevalue("postgres")
    (disk.path / "tables").mkdir()
    tablespace = new_tablespace(postgres, disk.path / "tables")
    database = new_database(postgres, tablespace=tablespace)
    yield database
    drop_database(postgres, database)
    drop_tablespace(postgres, tablespace)


@pytest.mark.promise("R-02", "R-05", "E-02", "X-09")
async def test_a_full_disk_and_a_freed_one(
    disk: SmallDisk, url: str, nursery: Nursery, model: ModelServer, tmp_path: Path
) -> None:
    with ForkedServer(nursery, url, model.environment, log=tmp_path / "server.log") as server:
        async with access(server.url) as to, Asking(server.url) as raw:
            told = [Recorder(to, (await to.client.create_session()).id) for _ in range(SPEAKERS)]
            writes_much = (await to.client.create_session()).id
            async with reading(*[session.reader("stays") for session in told]):
                running = [await session.send(Numbers(1, 1200), per_second=50) for session in told]
                for session in told:
                    await session.readers[0].until_type("token", 5)
                taken = [(await raw.send(writes_much, f"count {number}")).json["turn"] for number in range(1, 6)]
                disk.fill()
                with anyio.fail_after(60):
                    taken += await _send_until_it_is_full(raw, writes_much)
                for session in told:
                    for path in ("", "/messages", "/events?after=0", "/stats"):
                        assert (await raw.get(f"/v1/sessions/{session.id}{path}")).status == 200
                refused = await raw.post("/v1/sessions", {})
                assert refused.status in (201, 507)
                await anyio.sleep(FULL_S)
                disk.free()
                turns = [await session.ended(sent.turn.id) for session, sent in zip(told, running, strict=True)]
                after = [await session.send(Numbers(5, 25), per_second=60) for session in told]
                ended = [await session.ended(sent.turn.id) for session, sent in zip(told, after, strict=True)]
                histories = [await session.history() for session in told]
            with anyio.fail_after(60):
                assert {await _status_at_the_end(raw, one) for one in taken} <= {"completed", "incomplete"}
        assert server.running
    assert violations(History(sessions=tuple(histories))) == []
    assert {(turn.status, turn.reason) for turn in turns} <= {
        ("completed", "stop"),
        ("incomplete", "store_unavailable"),
    }
    assert [turn.status for turn in ended] == ["completed"] * SPEAKERS
    assert "Traceback" not in server.log_tail(10_000)


async def _status_at_the_end(raw: Asking, turn: dict[str, str]) -> str:
    while True:
        reply = await raw.get(f"/v1/sessions/{turn['session_id']}/turns/{turn['id']}")
        assert reply.status == 200
        if is_terminal(reply.json["status"]):
            return str(reply.json["status"])
        await anyio.sleep(0.1)


async def _send_until_it_is_full(raw: Asking, session_id: str) -> list[dict[str, str]]:
    """The turns that were taken before one was refused for lack of room."""
    taken: list[dict[str, str]] = []
    while True:
        reply: Reply = await raw.send(session_id, secrets.token_hex(LENGTH // 2))
        if reply.status != 202:
            assert (reply.status, reply.code) == (507, "store_full"), reply
            assert int(reply.headers["retry-after"]) > 0
            return taken
        taken.append(reply.json["turn"])
