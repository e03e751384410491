"""Readers who don't read cost nobody anything, and lose nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.process.crowd import crowd
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(200)]

READERS: Final = 500
LAG_S: Final = 3.0  # promised are 0.5 s (docs/evidence.md), on a machine that does nothing else
GREW_MIB: Final = 100.0
GONE_S: Final = 60.0


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, tmp_path: Path) -> Iterator[ForkedServer]:
    url = f"sqlite:///{tmp_path / 'legato.db'}"
    with ForkedServer(nursery, url, model.environment, log=tmp_path / "server.log") as server:
        yield server


@pytest.mark.promise("E-03", "E-08")
async def test_a_crowd_that_never_reads(server: ForkedServer) -> None:
    report = await crowd(server, READERS)
    print(f"\n{report.table()}")
    assert report.violations == []
    assert report.lag_p99_s <= LAG_S
    assert report.grew_mib <= GREW_MIB
    assert report.gone_s <= GONE_S
