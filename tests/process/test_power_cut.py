"""A power cut, as far as it can be shown without cutting power: what is told is on disk (G1, G2)."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import asyncpg
import pytest
from anyio import to_thread

from tests.process.asking import Asking
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.traced import TracedServer, parsed, too_early
from tests.support.postgres import new_database, postgres_server
from tests.support.require import unavailable
from tests.support.server import clean_environment

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

MESSAGE_ID: Final = "a message id to look for"
FIRST_WORD: Final = r"\"text\":\"70001 "  # as strace writes it


@pytest.mark.promise("R-02", "E-02")
async def test_what_is_told_has_been_synced(model: ModelServer, tmp_path: Path) -> None:
    """strace of a real server: the sync of the log returned before the first byte of it went to a client."""
    url = f"sqlite:///{tmp_path / 'legato.db'}"
    server = TracedServer(url, model.environment, trace=tmp_path / "trace", log=tmp_path / "server.log")
    await to_thread.run_sync(server.launch)
    try:
        await to_thread.run_sync(server.wait_ready, 90.0)
        async with Asking(server.url) as raw:
            session_id = (await raw.post("/v1/sessions", {})).json["id"]
            body = {"message_id": MESSAGE_ID, "text": "count 70200 from 70001 at 50/s"}
            sent = await raw.post(f"/v1/sessions/{session_id}/turns", body)
            assert sent.status == 202
            after, until = sent.json["cursor"], sent.json["turn"]["id"]
            _, frames = await raw.stream(f"/v1/sessions/{session_id}/events", {"after": after, "until": until})
            assert [frame.event for frame in frames][-1] == "done"
        await to_thread.run_sync(server.terminate)
    finally:
        await to_thread.run_sync(server.kill)
    calls = await to_thread.run_sync(server.calls)
    assert too_early(calls, "HTTP/1.1 202", MESSAGE_ID) is None
    assert too_early(calls, FIRST_WORD, FIRST_WORD) is None
    assert too_early(calls, "event: done", "done {") is None


TRACE: Final = """\
7 pwrite64(9</d/legato.db-wal>, "token 70001 ", 4096, 56) = 4096
7 fdatasync(9</d/legato.db-wal> <unfinished ...>
5 write(4<TCP:[127.0.0.1:1->127.0.0.1:2]>, "hello", 5) = 5
7 <... fdatasync resumed>) = 0
5 writev(4<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="event: token 70001 ", iov_len=19}], 1) = 19
7 +++ exited with 0 +++
"""


def test_the_judge_of_a_trace() -> None:
    lines = TRACE.splitlines()
    reordered = "\n".join([*lines[:2], lines[4], lines[3]])
    unsynced = "\n".join([lines[0], lines[4]])
    of_another = TRACE.replace("fdatasync(9</d/legato.db-wal>", "fdatasync(9</d/legato.db>")
    before = "\n".join([lines[1], lines[3], lines[0], lines[4]])
    failed = TRACE.replace("resumed>) = 0", "resumed>) = -1 EIO")
    assert too_early(list(parsed(TRACE)), "70001", "70001") is None
    for wrong in (reordered, unsynced, of_another, before, failed):
        assert "before '70001' was synced" in str(too_early(list(parsed(wrong)), "70001", "70001")), wrong
    assert "was written" in str(too_early(list(parsed("\n".join([lines[4], *lines[:4]]))), "70001", "70001"))
    assert "never told" in str(too_early(list(parsed(lines[0])), "70001", "70001"))


WATCH: Final = """
    CREATE TABLE seen (setting text);
    CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME || ' ' || current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE TRIGGER look AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION look();
    CREATE TRIGGER look AFTER INSERT ON sends FOR EACH STATEMENT EXECUTE FUNCTION look();
    CREATE TRIGGER look AFTER UPDATE ON workers FOR EACH STATEMENT EXECUTE FUNCTION look();
"""


async def heartbeat(raw: Any) -> None:
    """Waits for one; it has connections of its own."""
    while True:
        if await raw.fetchval("SELECT count(*) FROM seen WHERE setting LIKE 'workers %'"):
            return
        await anyio.sleep(0.1)


@pytest.mark.promise("R-02", "E-02", "X-09")
async def test_postgresql_syncs_each_commit_whatever_its_defaults_say(
    nursery: Nursery, model: ModelServer, new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    """Triggers tell what the server's own transactions run with."""
    url = new_postgresql()
    raw: Any = await asyncpg.connect(url)
    try:
        name = url.rpartition("/")[2]
        await raw.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        await raw.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {name} SET synchronous_commit = off")
        with ForkedServer(nursery, url, model.environment, log=tmp_path / "server.log") as server:
            await raw.execute(WATCH)
            async with Asking(server.url) as asking:
                session_id = (await asking.post("/v1/sessions", {})).json["id"]
                sent = (await asking.send(session_id, "count 5")).json
                path, until = f"/v1/sessions/{session_id}/events", sent["turn"]["id"]
                await asking.stream(path, {"after": sent["cursor"], "until": until})
                await heartbeat(raw)
            seen = {row["setting"] for row in await raw.fetch("SELECT DISTINCT setting FROM seen")}
        fresh: Any = await asyncpg.connect(url)
        assert await fresh.fetchval("SHOW synchronous_commit") == "off", "the default that was overruled"
        await fresh.close()
    finally:
        await raw.close()
    assert seen == {"journal on", "sends on", "workers on"}


def serve(url: str, log: Path) -> subprocess.CompletedProcess[str]:
    """A server that does not come up by itself is stopped."""
    command = ["timeout", "60", sys.executable, "-m", "legato.cli", "serve", "--port", "0", "--database", url]
    return subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)


def test_a_postgresql_that_loses_what_it_acknowledged_is_refused(tmp_path: Path) -> None:
    if "DATABASE_URL" in os.environ:
        unavailable("a server that was given keeps its settings")
    with postgres_server(tmp_path, {"fsync": "off"}) as base_url:
        done = serve(new_database(base_url), tmp_path / "server.log")
    assert done.returncode == 1
    assert "legato: PostgreSQL runs with fsync off: it would lose what it has acknowledged" in done.stderr
    assert "Traceback" not in done.stderr


def test_torn_pages_are_warned_of(nursery: Nursery, tmp_path: Path) -> None:
    if "DATABASE_URL" in os.environ:
        unavailable("a server that was given keeps its settings")
    with (
        postgres_server(tmp_path, {"full_page_writes": "off"}) as base_url,
        ForkedServer(nursery, new_database(base_url), log=tmp_path / "server.log") as server,
    ):
        assert "full_page_writes off: a power cut may damage what it has stored" in server.log_tail()
