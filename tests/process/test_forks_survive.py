"""kill -9 in the middle of a fork: nobody sees half a session, and the one that was forked has lost nothing."""

import http.client
import io
import json
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from legato.client import Client, ImportReport
from legato.core.errors import SessionExists, SessionNotFound
from legato.core.ids import new_id
from tests.engine.test_transfer import long_session
from tests.support.server import ServerProcess

pytestmark = pytest.mark.timeout(120)

TURNS = 1_500  # seconds of slices and rests


def laid_out(database: Path) -> int:
    """How many sessions are nobody's yet."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM sessions WHERE owner = ''").fetchone()
    return int(count)


@pytest.mark.promise("S-15")
def test_half_a_fork_is_never_seen(tmp_path: Path) -> None:
    database = tmp_path / "legato.db"
    with ServerProcess(f"sqlite:///{database}", log=tmp_path / "server.log") as server, Client(server.url) as client:
        *_, report = client.import_file(io.BytesIO(long_session(TURNS)), agent_id="demo")
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
        while laid_out(database) == 0:
            assert forking.is_alive()
        server.kill()
        forking.join()
        server.start()

        assert laid_out(database) == 1
        with pytest.raises(SessionNotFound):
            client.session(new)
        assert [session.id for session in client.sessions()] == [session_id]
        assert client.stats(session_id).message_count == 2 * TURNS
        while True:  # what there was of it is taken away, and the same id can be had
            try:
                made = client.fork(session_id, new_session_id=new)
                break
            except SessionExists:
                time.sleep(0.05)
        assert client.stats(made.id).message_count == 2 * TURNS
        client.answer(made.id, "Go on").result()
        client.answer(session_id, "Go on").result()
