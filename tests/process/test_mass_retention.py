"""Ten thousand sessions under a policy of a week, and a clock that jumps: exactly the right ones go (S-06, G11)."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest
from sqlalchemy import Connection, insert, select

from legato.core.ids import new_id
from legato.store import retention
from legato.store.opening import open_store
from legato.store.schema import NOBODY, sessions
from legato.store.ticks import this_boot
from tests.process.faked_clock import FakedServer

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

DAY_US: Final = 86_400_000_000
COUNT: Final = 10_000
CONFIG: Final = """
[[agents]]
id = "demo"
run = "legato.agents.demo:demo"
retention_days = 7
"""


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[FakedServer]:
    config = tmp_path / "legato.toml"
    config.write_text(CONFIG)
    server = FakedServer(
        database, {"LEGATO_CONFIG": str(config)}, clock=tmp_path / "clock", log=tmp_path / "server.log"
    )
    yield server
    server.kill()


@pytest.mark.promise("S-06")
async def test_a_week_old_and_a_clock_that_jumps(server: FakedServer, database: str) -> None:
    store = open_store(database)
    await store.start()
    young = await store.write(_fill)
    await store.stop()
    server.set_clock("+30d")
    with anyio.fail_after(240):
        await anyio.to_thread.run_sync(server.start)
        if not store.shared:  # PostgreSQL goes by its own clock, whatever its processes believe
            await _said(server, "the clock was put forward; nothing is removed for its age")
            assert len(await anyio.to_thread.run_sync(_listed, server)) == 200
        server.set_clock("-1h")
        await _said(server, f"{COUNT // 2} sessions were removed for their age")
        server.set_clock("+0")
        await anyio.to_thread.run_sync(server.terminate)
    assert server.log_tail(1000).count("removed for their age") == 1
    await store.start()
    left = await store.read(_left)
    await store.stop()
    assert left == young


def _fill(conn: Connection) -> set[str]:
    """Half are idle for six days and half for eight; the ids of the former. Today's run is still to come."""
    now = time.time_ns() // 1_000
    fields = {"agent_id": "demo", "agent_name": "Demo", "created_at": 1, "metadata": "{}", "head": 0, "epoch": 0}
    rows = [
        fields | {"id": new_id("ses"), "owner": "local" if n < 1000 else f"owner{n % 97}"} | _aged(now, 6 + 2 * (n % 2))
        for n in range(COUNT)
    ]
    for start in range(0, COUNT, 1000):
        conn.execute(insert(sessions), rows[start : start + 1000])
    retention.due(conn, "wrk_test", 2, {}, this_boot(), 7 * DAY_US)
    retention.done(conn, now // DAY_US - 2)
    return {str(row["id"]) for n, row in enumerate(rows) if n % 2 == 0}


def _aged(now: int, days: int) -> dict[str, object]:
    return {"last_activity": now - days * DAY_US}


def _left(conn: Connection) -> set[str]:
    return set(conn.execute(select(sessions.c.id).where(sessions.c.owner != NOBODY)).scalars())


def _listed(server: FakedServer) -> list[object]:
    with urllib.request.urlopen(f"{server.url}/v1/sessions?limit=200") as answer:  # noqa: S310 - http
        data: list[object] = json.load(answer)["data"]
    return data


async def _said(server: FakedServer, words: str) -> None:
    while True:
        if words in server.log_tail(1000):
            return
        await anyio.sleep(0.1)
