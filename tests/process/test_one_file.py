"""A SQLite file and its one server: it goes when it is told to, and lets no second one in."""

import http.client
from functools import partial
from pathlib import Path
from time import monotonic

import anyio
import pytest
from anyio import to_thread

from legato.core.sse import Parser
from tests.process.checker import violations
from tests.process.history import History, Numbers
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Recorder, access, reading

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

GRACE_S = 12.0  # G15: ten, and two


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, tmp_path: Path) -> ForkedServer:
    return ForkedServer(nursery, f"sqlite:///{tmp_path / 'legato.db'}", model.environment, log=tmp_path / "server.log")


def stream_until_the_end(port: int, session_id: str) -> bytes:
    """The bytes of an event stream that the server ends; a body that was cut in the middle raises."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", f"/v1/sessions/{session_id}/events?after=0", headers={"Accept": "text/event-stream"})
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.promise("E-05", "R-01", "R-05")
async def test_sigterm_ends_streams_between_two_events(server: ForkedServer) -> None:
    with server:
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            async with reading(session.reader("resumes")):
                body: list[bytes] = []
                async with anyio.create_task_group() as group:
                    sent = await session.send(Numbers(1, 9999), per_second=50)
                    group.start_soon(_collect, server.port, session.id, body)
                    await session.readers[0].until_type("token", 20)
                    began = monotonic()
                    await to_thread.run_sync(partial(server.terminate, within_s=40))
                    assert monotonic() - began <= GRACE_S
                await to_thread.run_sync(server.start)
                turn = await session.ended(sent.turn.id)
                told = await session.history()
    assert violations(History(sessions=(told,))) == []
    assert (turn.status, turn.reason) == ("incomplete", "shutdown")
    assert told.answers[0].text.startswith("1 2 3 4 5 ")
    *frames, last, rest = body[0].decode().split("\n\n")
    assert last.startswith("retry: ")
    assert rest == ""
    parser = Parser()
    given = parser.feed(body[0])
    assert [(frame.event, frame.data) for frame in given] == [
        (entry.type, entry.data) for entry in told.journal[: len(given)]
    ]
    assert len([frame for frame in frames if frame.startswith("id: ")]) == len(given) > 5
    assert "Traceback" not in server.log_tail(1000)


async def _collect(port: int, session_id: str, body: list[bytes]) -> None:
    body.append(await to_thread.run_sync(stream_until_the_end, port, session_id))


@pytest.mark.promise("X-09")
def test_a_second_server_is_refused(server: ForkedServer, nursery: Nursery, tmp_path: Path) -> None:
    with server:
        second = ForkedServer(nursery, server.database_url, log=tmp_path / "second.log")
        second.launch()
        assert second.wait(60) == 1
        assert "legato: Another process serves this SQLite file. Stop it first" in second.log_tail()
        assert server.running
        server.wait_ready()
        server.kill()
        second.start()
        second.kill()
