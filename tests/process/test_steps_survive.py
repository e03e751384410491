"""Agents that do things, in a server that is killed again and again: nothing twice, no answer lost, no fork half."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest

from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.steploop import StepLoop, environment
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

KILLS: Final = {"sqlite": 8, "postgresql": 3}


@pytest.fixture(params=["continue", "restart"])
def server(
    request: pytest.FixtureRequest, nursery: Nursery, model: ModelServer, database: str, tmp_path: Path
) -> Iterator[ServerProcess]:
    env = model.environment | environment(tmp_path, request.param)
    server = ForkedServer(nursery, database, env, log=tmp_path / "server.log")
    yield server
    server.kill()


@pytest.mark.promise("A-01", "C-05", "R-07", "R-08", "R-10", "S-15", "X-09")
async def test_nothing_is_done_twice_no_answer_is_lost_and_no_fork_is_half(
    server: ServerProcess, model: ModelServer, database: str
) -> None:
    kind = "sqlite" if database.startswith("sqlite") else "postgresql"
    seed = random.randrange(1_000_000)
    loop = StepLoop(server=server, model=model, shared=kind == "postgresql", kills=KILLS[kind], seed=seed)
    with anyio.fail_after(200):
        await loop.run()
    print(f"seed {seed}\n{loop.table()}")
    assert loop.violations == []
    assert {told.agent_id for told in loop.told if told.ended == ("completed", "stop")} == {"payer", "clerk"}
    assert max(told.attempts for told in loop.told) > 1, "nobody was killed in mid-turn: that proves nothing"
    assert loop.forks["whole"] > 0
