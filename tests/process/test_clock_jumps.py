"""The wall clock of a server jumps under load: nobody who lives is rescued, nothing is removed, everything goes on (G11)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from legato.core.model import Turn
from tests.process.checker import violations
from tests.process.faked_clock import FakedServer
from tests.process.history import History, Numbers
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Recorder, access, reading

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

JUMPS: Final = ("+1h", "+0", "-1h", "+0", "+30d", "-30d", "+0")
SPEAKERS: Final = 3
WORDS: Final = Numbers(1, 60)
PER_S: Final = 40


@pytest.fixture
def server(database: str, model: ModelServer, tmp_path: Path) -> Iterator[FakedServer]:
    clock, log = tmp_path / "clock", tmp_path / "server.log"
    with FakedServer(database, model.environment, clock=clock, log=log) as server:
        yield server


@pytest.fixture
def bystander(server: FakedServer, nursery: Nursery, tmp_path: Path) -> Iterator[ForkedServer | None]:
    """Another server of the same database, where there may be one, by the true time: each watches the other."""
    if server.database_url.startswith("sqlite"):
        yield None
    else:
        with ForkedServer(nursery, server.database_url, log=tmp_path / "bystander.log") as other:
            yield other


@pytest.mark.promise("R-05", "R-06", "E-01", "E-03", "X-09")
async def test_the_wall_clock_jumps_under_load(server: FakedServer, bystander: ForkedServer | None) -> None:
    async with access(server.url) as to:
        told = [Recorder(to, (await to.client.create_session()).id) for _ in range(SPEAKERS)]
        turns: list[Turn] = []
        before = Recorder(to, (await to.client.create_session()).id)
        await before.ended((await before.send(Numbers(1, 40), per_second=PER_S)).turn.id)
        async with reading(*[session.reader("stays") for session in told]):
            for jump in JUMPS:
                turns += await _jump(server, jump, told)
                if jump == "+30d" and bystander is None:
                    with anyio.fail_after(30):
                        await _noticed(server)
            histories = [await session.history() for session in (*told, before)]
    assert violations(History(sessions=tuple(histories), shared=bystander is not None)) == []
    assert [(turn.status, turn.reason) for turn in turns] == [("completed", "stop")] * SPEAKERS * len(JUMPS)
    said = [answer.text for session in histories[:-1] for answer in session.answers]
    assert said == [WORDS.text] * SPEAKERS * len(JUMPS)
    types = {entry.type for session in histories for entry in session.journal}
    assert "token" in types
    assert "snapshot" not in types, "something was compacted, a minute after it was said"
    ids = [message.id for session in histories for message in session.messages]
    assert len(set(ids)) == len(ids)
    logs = server.log_tail(10_000) + (bystander.log_tail(10_000) if bystander else "")
    for trouble in ("dead", "rescued", "Traceback", "damaged"):
        assert trouble not in logs


async def _jump(server: FakedServer, jump: str, told: list[Recorder]) -> list[Turn]:
    """Sets the clock while all of them speak; how they ended."""
    seen = [session.readers[0].count("token") for session in told]
    running = [await session.send(WORDS, per_second=PER_S) for session in told]
    for session, tokens in zip(told, seen, strict=True):
        await session.readers[0].until_type("token", tokens + 1)
    server.set_clock(jump)
    for session in told:
        await session.snapshot()
    return [await session.ended(sent.turn.id) for session, sent in zip(told, running, strict=True)]


async def _noticed(server: FakedServer) -> None:
    while True:
        if re.search(r"the clock was put forward by 259\d{4} s", server.log_tail(10_000)):
            return
        await anyio.sleep(0.1)
