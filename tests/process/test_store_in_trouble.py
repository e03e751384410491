"""Storage misery: the database is locked by somebody else, or its disk is full; then it is free again, and nobody restarts."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final

import anyio
import pytest

from tests.process.asking import Asking, Reply
from tests.process.checker import violations
from tests.process.history import History, Numbers
from tests.process.lock_holder import write_lock
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Recorder, access, reading

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180), pytest.mark.promise("R-14")]

LOCKED_S: Final = 8.0
READ_S: Final = 4.0  # generous; who waits for the lock waits five
SENDERS: Final = 40


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, database: str, tmp_path: Path) -> Iterator[ForkedServer]:
    with ForkedServer(nursery, database, model.environment, log=tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def bystander(server: ForkedServer, nursery: Nursery, tmp_path: Path) -> Iterator[ForkedServer | None]:
    """Another server of the same database, where there may be one: it watches whether the first is alive."""
    if server.database_url.startswith("sqlite"):
        yield None
    else:
        with ForkedServer(nursery, server.database_url, log=tmp_path / "bystander.log") as other:
            yield other


@pytest.mark.promise("R-02", "E-02", "X-09")
async def test_a_write_lock_that_somebody_else_holds(server: ForkedServer, bystander: ForkedServer | None) -> None:
    sends: list[Reply] = []
    reads: list[float] = []
    async with access(server.url) as to, Asking(server.url) as raw:
        speaks = Recorder(to, (await to.client.create_session()).id)
        others = [(await to.client.create_session()).id for _ in range(SENDERS)]
        async with reading(speaks.reader("stays")):
            sent = await speaks.send(Numbers(1, 700), per_second=50)
            await speaks.readers[0].until_type("token", 5)
            async with anyio.create_task_group() as group:

                async def send(session_id: str) -> None:
                    sends.append(await raw.send(session_id, "count 3"))

                async with write_lock(server.database_url, LOCKED_S):
                    free_at = monotonic() + LOCKED_S
                    for session_id in others:
                        group.start_soon(send, session_id)
                    while monotonic() < free_at - READ_S:
                        began = monotonic()
                        assert (await raw.get(f"/v1/sessions/{speaks.id}")).status == 200
                        assert (await raw.get(f"/v1/sessions/{others[0]}/messages")).status == 200
                        events = await raw.get(f"/v1/sessions/{speaks.id}/events?after=0", Accept="application/json")
                        assert events.status == 200
                        assert (await raw.get("/v1/sessions")).status == 200
                        reads.append(monotonic() - began)
                        await anyio.sleep(0.1)
            assert max(reads) < READ_S
            for reply in sends:
                refused = (reply.status, reply.code) == (503, "store_unavailable") and "retry-after" in reply.headers
                assert reply.status == 202 or refused, reply
            turn = await speaks.ended(sent.turn.id)
            assert (turn.status, turn.reason) == ("completed", "stop")
            assert [(await raw.send(session_id, "count 3")).status for session_id in others] == [202] * SENDERS
            told = await speaks.history()
    assert violations(History(sessions=(told,))) == []
    assert told.answers[0].text == Numbers(1, 700).text
    assert "Traceback" not in server.log_tail(10_000)
