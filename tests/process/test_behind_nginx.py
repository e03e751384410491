"""Behind nginx as Debian ships it: clients of every kind send, follow and come back."""

import http.client
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx2
import msgspec
import pytest
from anyio import to_thread

from legato.client import AsyncClient
from legato.core.cursor import parse_cursor
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.reader import nap
from tests.process.recorder import Recorder, access, reading
from tests.support.nginx import Nginx

pytestmark = [pytest.mark.anyio, pytest.mark.promise("E-07")]
WITHIN_S = 60.0


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, tmp_path: Path) -> Iterator[ForkedServer]:
    url = f"sqlite:///{tmp_path / 'legato.db'}"
    with ForkedServer(nursery, url, model.environment, log=tmp_path / "server.log") as server:
        yield server


@pytest.fixture(params=["as documented", "bare", "compressing"])
def nginx(request: pytest.FixtureRequest, server: ForkedServer, tmp_path: Path) -> Iterator[Nginx]:
    bare, compress = (request.param == name for name in ("bare", "compressing"))
    with Nginx(tmp_path, server.port, bare=bare, compress=compress) as nginx:
        yield nginx


@pytest.fixture
def documented(server: ForkedServer, tmp_path: Path) -> Iterator[Nginx]:
    with Nginx(tmp_path, server.port) as nginx:
        yield nginx


def numbers(last: int) -> str:
    return "".join(f"{number} " for number in range(1, last + 1))


async def test_stream_json_and_history_tell_the_same(nginx: Nginx, server: ForkedServer) -> None:
    with anyio.fail_after(WITHIN_S):
        async with access(nginx.url) as through, access(server.url) as direct:
            session = Recorder(through, (await through.client.create_session()).id)
            async with reading(session.reader("live"), session.reader("direct", through=direct)):
                answer = await through.client.answer(session.id, "count 60 at 60/s")
                await answer.result()
                told = await session.history()
            assert answer.text == numbers(60)
            assert (await session.history(through=direct)).journal == told.journal
    live, beside = told.readers
    assert [entry.data for entry in live.entries] == [entry.data for entry in beside.entries]
    assert [entry.data for entry in live.entries] == [entry.data for entry in told.journal]
    assert len(live.connections) == 1, "it was cut on the way"


class Page(msgspec.Struct):
    data: list[msgspec.Raw]
    cursor: str


async def test_long_poll_is_answered_when_something_comes_and_before_nginx_loses_patience(documented: Nginx) -> None:
    with anyio.fail_after(WITHIN_S):
        async with (
            AsyncClient(documented.url) as client,
            httpx2.AsyncClient(base_url=documented.url, timeout=40) as http,
        ):
            session = await client.create_session()
            cursor = str((await client.session(session.id)).cursor)

            async def poll() -> Page:
                path = f"/v1/sessions/{session.id}/events"
                response = await http.get(path, params={"after": cursor, "wait": "30"})
                assert response.status_code == 200, response.text
                return msgspec.json.decode(response.content, type=Page)

            began = anyio.current_time()
            empty = await poll()
            assert empty.data == []
            assert anyio.current_time() - began > 5, "it was not held"
            async with anyio.create_task_group() as group:
                group.start_soon(client.send, session.id, "count 3")
                page = await poll()
            assert page.data
            assert parse_cursor(page.cursor).seq > parse_cursor(cursor).seq


async def test_a_restart_of_nginx_and_a_crash_of_its_workers(documented: Nginx) -> None:
    with anyio.fail_after(WITHIN_S):
        async with access(documented.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            live = session.reader("live")
            async with reading(live):
                answer = await to.client.answer(session.id, "count 300 at 50/s")
                await live.until_type("token", 20)
                await to_thread.run_sync(documented.stop)
                await to_thread.run_sync(documented.start)
                await live.until_type("token", 60)
                documented.kill_workers()
                await answer.result()
                told = await session.history()
    assert answer.text == numbers(300)
    assert [entry.data for entry in told.readers[0].entries] == [entry.data for entry in told.journal]
    assert len(told.readers[0].connections) >= 3


@pytest.mark.promise("R-06", "E-05")
async def test_a_server_that_is_killed_behind_it(documented: Nginx, server: ForkedServer) -> None:
    with anyio.fail_after(WITHIN_S):
        async with access(documented.url) as to:
            session = Recorder(to, (await to.client.create_session()).id)
            live = session.reader("live")
            async with reading(live):
                answer = await to.client.answer(session.id, "count 9999 at 50/s")
                await live.until_type("token", 20)
                await to_thread.run_sync(server.kill)
                assert httpx2.get(documented.url, trust_env=False).status_code == 502  # and not of this protocol
                await to_thread.run_sync(server.start)
                await answer.result()
                told = await session.history()
    assert (answer.turn.status, answer.turn.reason) == ("incomplete", "worker_lost")
    assert numbers(9999).startswith(answer.text)
    assert [entry.data for entry in told.readers[0].entries] == [entry.data for entry in told.journal]


@pytest.mark.promise("R-01")
async def test_a_client_that_goes_is_noticed_through_it(nginx: Nginx, model: ModelServer) -> None:
    with anyio.fail_after(WITHIN_S):
        async with AsyncClient(nginx.url, sleep=nap) as client, httpx2.AsyncClient(base_url=nginx.url) as http:
            session = await client.create_session()
            body = {"text": "count 9999 at 40/s", "on_disconnect": "cancel"}
            path, headers = f"/v1/sessions/{session.id}/turns", {"Accept": "text/event-stream"}
            async with http.stream("POST", path, json=body, headers=headers) as response:
                turn_id = response.headers["Legato-Turn"]
                async with aclosing(response.aiter_bytes()) as pieces:
                    async for piece in pieces:
                        if b"event: token" in piece:
                            break
            async for _ in client.follow(session.id, after="0", until=turn_id):
                pass
            turn = await client.turn(session.id, turn_id)
    assert (turn.status, turn.reason) == ("cancelled", "cancelled")


@pytest.mark.promise("X-01")
def test_who_comes_from_elsewhere_is_not_the_user_of_this_machine(documented: Nginx) -> None:
    """It is nginx that connects from 127.0.0.1, and whoever asked it need not be here."""

    def status(from_address: str, host: str = "127.0.0.1") -> int:
        place = urlsplit(documented.url)
        connection = http.client.HTTPConnection("127.0.0.1", place.port, 10, source_address=(from_address, 0))
        connection.request("GET", "/v1/sessions", headers={"Host": f"{host}:{place.port}"})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status

    assert status("127.0.0.1") == 200
    assert status("127.0.0.2") == 403
    assert status("127.0.0.1", host="chat.example.com") == 403
