"""No sequence of accepts, claims, appends, steps, questions, cancels, kills, clears and resumes breaks G4, G6, G7 or G17, has
anything done twice, or loses an answer."""

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from legato.store.opening import open_store
from legato.store.port import Store
from tests.suites.conftest import copied
from tests.suites.machine import StoreMachine

#: ``LEGATO_MACHINE_EXAMPLES=2000`` looks further, every time elsewhere, and tells the shortest sequence that fails.
EXAMPLES: Final = int(os.environ.get("LEGATO_MACHINE_EXAMPLES", "0"))
MEMORY: Final = Path("/dev/shm")


class Loop:
    """An event loop with a store in it, for code that is not asynchronous."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        self.run = runner.run
        self.store: Store = open_store(url)
        self.run(self.store.start())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def sqlite_loop(runner: asyncio.Runner, blank_sqlite: Path) -> Iterator[Loop]:
    """In memory where that is possible: what a power cut does is asked elsewhere, and a sync for each step is slow."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        loop = Loop(runner, f"sqlite:///{copied(blank_sqlite, Path(directory))}")
        yield loop
        loop.run(loop.store.stop())


@pytest.fixture
def postgres_loop(runner: asyncio.Runner, shared_postgres: str) -> Iterator[Loop]:
    loop = Loop(runner, shared_postgres)
    yield loop
    loop.run(loop.store.stop())


#: What must have happened for a sequence to prove anything of steps and approvals.
OF_STEPS: Final = {"given", "unknown", "restart", "continue", "allowed", "denied", "expired"}


def look(loop: Loop, examples: int, steps: int) -> Counter[str]:
    found = settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(StoreMachine):
        seen: ClassVar[Counter[str]] = Counter()

        def __init__(self) -> None:
            super().__init__(loop.run, loop.store)

    run_state_machine_as_test(Machine, settings=found)
    return Machine.seen


pytestmark = pytest.mark.timeout(7200 if EXAMPLES else 120)


@pytest.mark.promise("R-02", "R-03", "R-05", "R-07", "R-08", "R-10", "S-15", "E-01")
def test_any_sequence_on_sqlite(sqlite_loop: Loop) -> None:
    seen = look(sqlite_loop, examples=40, steps=40)
    assert seen.keys() >= OF_STEPS


@pytest.mark.promise("R-02", "R-03", "R-05", "R-07", "R-08", "R-10", "S-15", "E-01", "X-09")
def test_any_sequence_on_postgresql(postgres_loop: Loop) -> None:
    seen = look(postgres_loop, examples=12, steps=25)
    assert seen.keys() >= {"given", "unknown", "allowed"}
