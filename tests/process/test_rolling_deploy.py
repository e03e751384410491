"""SIGTERM: what can finish finishes, what was silent is handed over, readers go on elsewhere; nothing is lost or doubled."""

import http.client
import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
import pytest
from anyio import to_thread

from tests.process.checker import violations
from tests.process.history import History, Numbers
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Recorder, access, reading
from tests.process.rolling import most_at_once, roll, spread
from tests.support.nginx import Nginx
from tests.support.proc import connection_to

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

STREAMS: Final = 40  # ``make crashtest`` has 100
GRACE_S: Final = 3.0
LONG_GRACE_S: Final = 100.0  # nobody waits for so long
EXITS_WITHIN_S: Final = (
    GRACE_S + 8
)  # promised are two (docs/evidence.md); the rest is for a machine that does other things too
STOPPED: Final = -signal.SIGTERM  # when all is done, uvicorn lets the signal have its way
AT_ONCE_S: Final = 30.0  # far from the grace, and generous
WITHIN_S: Final = 100.0
FEW: Final = 5  # readers, from which their spread can be told

Start = Callable[[str, float], ForkedServer]


@pytest.fixture
def start(nursery: Nursery, model: ModelServer, tmp_path: Path) -> Iterator[Start]:
    """A server on this database, with this grace."""
    with ExitStack() as stack:

        def start(url: str, grace_s: float) -> ForkedServer:
            env = model.environment | {"LEGATO_GRACE": str(grace_s)}
            log = tmp_path / f"server{len(list(tmp_path.glob('server*')))}.log"
            return stack.enter_context(ForkedServer(nursery, url, env, log=log))

        yield start


@pytest.mark.promise("E-03", "R-01", "R-05", "X-08", "X-09")
async def test_a_rolling_deploy(
    start: Start, model: ModelServer, new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    url = new_postgresql()
    servers = [start(url, GRACE_S) for _ in range(3)]
    with Nginx(tmp_path, servers[0].port, others=[server.port for server in servers[1:]]) as nginx:
        report = await roll(servers, nginx.url, model, STREAMS)
    print(f"\n{report.table()}")
    assert report.violations == []
    assert report.wrong == []
    assert (report.lost, report.doubled) == (0, 0)
    assert report.outlived == STREAMS // 3
    assert report.handed_over == STREAMS // 3
    for each in report.exits:
        assert each.code == STOPPED
        assert not each.ready_again
        assert each.exited_s <= EXITS_WITHIN_S
    assert len(set(report.retries_s)) > len(report.retries_s) / 2, "they were all asked to come back at the same time"
    crowds = [times for times in report.reconnects if len(times) >= FEW]
    assert crowds
    assert all(spread(times) > 0.1 and most_at_once(times) < len(times) for times in crowds)


async def stopped(server: ForkedServer) -> float:
    """How long a server that has been told to stop still runs."""
    began = monotonic()
    assert await to_thread.run_sync(partial(server.wait, within_s=LONG_GRACE_S)) == STOPPED
    return monotonic() - began


@pytest.mark.promise("E-03", "R-01", "X-08")
async def test_what_finishes_in_the_grace_is_whole_and_read_on_after_the_restart(start: Start, database: str) -> None:
    server = start(database, LONG_GRACE_S)
    with anyio.fail_after(WITHIN_S):
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            async with reading(reader := session.reader("reader")):
                sent = await session.send(Numbers(1, 60), per_second=20)
                await reader.until_type("token", 5)
                server.ask_to_stop()
                assert await stopped(server) < LONG_GRACE_S
                await to_thread.run_sync(server.start)
                turn = await session.ended(sent.turn.id)
                told = await session.history()
    assert (turn.status, turn.reason, turn.attempt) == ("completed", "stop", 1)
    assert len(told.readers[0].connections) > 1
    assert violations(History(sessions=(told,))) == []


@pytest.mark.promise("R-01", "X-08")
async def test_what_has_said_nothing_is_begun_anew_after_the_restart(
    start: Start, model: ModelServer, database: str
) -> None:
    server = start(database, 0.5)
    first = 100 * len(model.exchanges()) + 1  # what nobody else asks
    with anyio.fail_after(WITHIN_S):
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            async with reading(session.reader("reader")):
                sent = await session.send(Numbers(first, first + 20), mute_once=True)
                behind = await session.send(Numbers(1, 20))
                asked = f"mute once, count {first + 20} from {first}"
                while asked not in await to_thread.run_sync(model.with_outcome, "running"):  # noqa: ASYNC110
                    await anyio.sleep(0.05)
                server.ask_to_stop()
                await stopped(server)
                await to_thread.run_sync(server.start)
                turns = [await session.ended(each.turn.id) for each in (sent, behind)]
                told = await session.history()
    assert [(turn.status, turn.reason, turn.attempt) for turn in turns] == [
        ("completed", "stop", 2),
        ("completed", "stop", 1),
    ]
    assert violations(History(sessions=(told,))) == []


@pytest.mark.parametrize("after_s", [0.0, 3.0], ids=["at once", "while the turns have their grace"])
@pytest.mark.promise("R-05", "X-08")
async def test_a_second_signal_ends_the_wait(start: Start, database: str, after_s: float) -> None:
    server = start(database, LONG_GRACE_S)
    with anyio.fail_after(WITHIN_S):
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            async with reading(reader := session.reader("reader")):
                sent = await session.send(Numbers(1, 9999), per_second=20)
                await reader.until_type("token", 5)
                server.ask_to_stop()
                while await to_thread.run_sync(lambda: server.ready):  # noqa: ASYNC110 - two signals at the same time would be one
                    await anyio.sleep(0.01)
                await anyio.sleep(after_s)
                server.ask_to_stop()
                assert await stopped(server) < AT_ONCE_S
                await to_thread.run_sync(server.start)
                turn = await session.ended(sent.turn.id)
                told = await session.history()
    assert (turn.status, turn.reason) == ("incomplete", "shutdown")
    assert violations(History(sessions=(told,))) == []


@pytest.mark.promise("X-08")
async def test_with_nothing_to_finish_it_goes_at_once_whoever_listens(start: Start, database: str) -> None:
    server = start(database, LONG_GRACE_S)
    with anyio.fail_after(WITHIN_S):
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            async with reading(reader := session.reader("reader")):
                await session.ended((await session.send(Numbers(1, 3))).turn.id)
                server.ask_to_stop()
                assert await stopped(server) < AT_ONCE_S
    assert reader.seq > 0


@pytest.mark.promise("R-02", "X-08")
async def test_a_send_that_the_store_holds_up_is_told_to_come_again(start: Start, tmp_path: Path) -> None:
    """And not that there is a bug: a client does not ask again after that."""
    path = tmp_path / "legato.db"
    server = start(f"sqlite:///{path}", LONG_GRACE_S)
    with anyio.fail_after(WITHIN_S):
        async with access(server.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            with closing(sqlite3.connect(path, isolation_level=None)) as somebody, _asking(server, session.id) as asked:
                somebody.execute("BEGIN IMMEDIATE")
                body = json.dumps({"text": "count 3 from 1", "message_id": "m"})
                asked.request("POST", f"/v1/sessions/{session.id}/turns", body, {"Content-Type": "application/json"})
                while (held := connection_to(asked.sock.getsockname())) is None or held.unread:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
                server.ask_to_stop()
                response = await to_thread.run_sync(asked.getresponse)
                said = json.loads(response.read())
            await stopped(server)
            await to_thread.run_sync(server.start)
            turn = await session.ended((await session.send(Numbers(1, 3), message_id="m")).turn.id)
            told = await session.history()
    assert (response.status, said["code"], response.headers["Retry-After"]) == (503, "stopping", "2")
    assert turn.status == "completed"
    assert len(told.turns) == 1
    assert violations(History(sessions=(told,))) == []


@contextmanager
def _asking(server: ForkedServer, session_id: str) -> Iterator[http.client.HTTPConnection]:
    """A connection that the server has taken up already."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=WITHIN_S)) as connection:
        connection.request("GET", f"/v1/sessions/{session_id}")
        connection.getresponse().read()
        yield connection
