"""kill -9 in the middle of a fork: nobody sees half a session, and the one that was forked has lost nothing."""

import asyncio
import http.client
import io
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from legato.client import Client, ImportReport
from legato.core.errors import SessionNotFound
from legato.core.ids import new_id
from tests.engine.test_transfer import long_session
from tests.support.server import ServerProcess

pytestmark = pytest.mark.timeout(120)

_NOBODYS = "SELECT count(*) FROM sessions WHERE owner = ''"
TURNS = {"sqlite": 1_500, "postgresql": 500}  # seconds of slices and rests


@contextmanager
def counting(url: str) -> Iterator[Callable[[], int]]:
    """Tells how many sessions are nobody's yet."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            yield lambda: int(connection.execute(_NOBODYS).fetchone()[0])
        return
    with asyncio.Runner() as runner:
        console: Any = runner.run(asyncpg.connect(url))
        yield lambda: int(runner.run(console.fetchval(_NOBODYS)))
        runner.run(console.close())


@pytest.mark.promise("S-15", "X-09")
def test_half_a_fork_is_never_seen(database: str, tmp_path: Path) -> None:
    turns = TURNS[database.partition(":")[0]]
    with (
        ServerProcess(database, log=tmp_path / "server.log") as server,
        Client(server.url) as client,
        counting(database) as laid_out,
    ):
        *_, report = client.import_file(io.BytesIO(long_session(turns)), agent_id="demo")
        assert isinstance(report, ImportReport)
        session_id = report.imported[0].id
        assert session_id is not None
        new = new_id("ses")

        def fork() -> None:
            with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
                headers = {"Content-Type": "application/json"}
                connection.request("POST", f"/v1/sessions/{session_id}/fork", json.dumps({"id": new}), headers)
                with suppress(OSError, http.client.HTTPException):
                    connection.getresponse()

        forking = threading.Thread(target=fork)
        forking.start()
        while laid_out() == 0:
            assert forking.is_alive()
        server.kill()
        forking.join()
        server.start()

        assert laid_out() == 1
        with pytest.raises(SessionNotFound):
            client.session(new)
        assert [session.id for session in client.sessions()] == [session_id]
        assert client.stats(session_id).message_count == 2 * turns
        made = client.fork(session_id, new_session_id=new)
        assert client.stats(made.id).message_count == 2 * turns
        client.answer(made.id, "Go on").result()
        client.answer(session_id, "Go on").result()
