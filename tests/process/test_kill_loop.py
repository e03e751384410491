"""The kill loop, short; ``make crashtest N=…`` runs it for as long as you like."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.crashtest import Kind, Result, crash

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def run(kind: Kind, url: str, kills: int) -> Result:
    seed = random.randrange(1_000_000)
    print(f"python -m tests.process.crashtest --cycles {kills} --database {kind} --seed {seed}")
    result = await crash(kind, url, kills, seed)
    print(result.table())
    return result


@pytest.mark.promise("R-02", "R-04", "R-05", "R-06", "E-01", "E-02", "E-03", "E-06", "H-05", "X-09")
async def test_twenty_kills_on_sqlite(tmp_path: Path) -> None:
    result = await run("sqlite", f"sqlite:///{tmp_path / 'legato.db'}", 20)
    assert result.violations == []
    assert (result.kills, result.lost, result.doubled, result.dangling) == (20, 0, 0, 0)
    assert result.rescued > 0
    assert result.delivered > 100


@pytest.mark.promise("R-02", "R-04", "R-05", "R-06", "E-01", "E-02", "E-03", "E-06", "H-05", "X-09")
async def test_twelve_kills_on_postgresql(new_postgresql: Callable[[], str]) -> None:
    result = await run("postgresql", new_postgresql(), 12)
    assert result.violations == []
    assert (result.kills, result.lost, result.doubled, result.dangling) == (12, 0, 0, 0)
    assert result.rescued > 0
    assert result.delivered > 50
