"""``python -m tests.process.crashtest --cycles N``: the long proofs, each with a table of what it found.

The kill loops (of what is said, and of what is done) for as long as you like on both databases, a crowd of 500 readers who
never read, a rolling deploy of 100 streams.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal

import anyio
import msgspec

from tests.process.checker import violations
from tests.process.crowd import crowd
from tests.process.history import History, dangling, delivered, doubled, lost, rescues
from tests.process.killloop import KillLoop
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.rolling import roll
from tests.process.steploop import StepLoop, environment
from tests.support.nginx import Nginx
from tests.support.postgres import drop_database, new_database, postgres_server

Kind = Literal["sqlite", "postgresql"]
_ROUND: Final = 20  # kills, after which everything may finish and is checked
_FEWER: Final = 4  # kills of what is done than of what is said, with each crash policy: there a turn takes longer
_READERS: Final = 500
_STREAMS: Final = 100
_ARTIFACTS: Final = Path(__file__).parents[2] / ".artifacts" / "crashtest"


class Result(msgspec.Struct, kw_only=True):
    """Sums over rounds."""

    database: str
    cycles: int = 0
    kills: int = 0
    sessions: int = 0
    turns: int = 0
    delivered: int = 0
    lost: int = 0
    doubled: int = 0
    dangling: int = 0
    rescued: int = 0
    slowest_rescue_s: float = 0.0
    slowest_heard_s: float = 0.0
    violations: list[str] = []

    def add(self, history: History) -> None:
        """One round, judged."""
        found = rescues(history)
        self.cycles += history.kills
        self.kills += history.kills
        self.sessions += len(history.sessions)
        self.turns += sum(len(session.turns) for session in history.sessions)
        self.delivered += sum(map(delivered, history.sessions))
        self.lost += sum(map(lost, history.sessions))
        self.doubled += sum(map(doubled, history.sessions))
        self.dangling += sum(len(dangling(session)) for session in history.sessions)
        self.rescued += len(found)
        self.slowest_rescue_s = max([self.slowest_rescue_s, *(rescue.ended_s for rescue in found)])
        self.slowest_heard_s = max([self.slowest_heard_s, *(rescue.heard_s for rescue in found)])
        self.violations += violations(history)

    def table(self) -> str:
        rows = [
            ("database", self.database),
            ("cycles", self.cycles),
            ("kills", self.kills),
            ("sessions", self.sessions),
            ("turns", self.turns),
            ("events delivered", self.delivered),
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("dangling turns", self.dangling),
            ("turns rescued", self.rescued),
            ("slowest rescue", f"{self.slowest_rescue_s:.2f} s after the restart"),
            ("… heard by a reader", f"{self.slowest_heard_s:.2f} s after the restart"),
            ("violations", len(self.violations)),
        ]
        return "\n".join(f"{name:<20} {value}" for name, value in rows)


@contextmanager
def database(kind: Kind, directory: Path) -> Iterator[str]:
    """The URL of an empty database of this kind."""
    if kind == "sqlite":
        yield f"sqlite:///{directory / 'legato.db'}"
        return
    with postgres_server(directory) as base_url:
        url = new_database(base_url)
        yield url
        drop_database(base_url, url)


async def crash(kind: Kind, url: str, cycles: int, seed: int) -> Result:
    """Kills servers on the database ``url`` in rounds; a round that breaks a promise is kept as an artifact."""
    result = Result(database=kind)
    with Nursery() as nursery, ModelServer() as model:
        server = ForkedServer(nursery, url, model.environment)
        try:
            while result.kills < cycles:
                kills = min(_ROUND, cycles - result.kills)
                loop = KillLoop(
                    server=server, model=model, shared=kind == "postgresql", kills=kills, seed=seed + result.kills
                )
                history = await loop.run()
                result.add(history)
                await anyio.to_thread.run_sync(server.kill)
                if result.violations:
                    _keep(history, f"{kind}-{seed + result.kills - kills}")
        finally:
            server.kill()
    return result


def _keep(history: History, name: str) -> None:
    _ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (_ARTIFACTS / f"{name}.json").write_bytes(msgspec.json.encode(history))


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=100, help="kills, on each database")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--also", action=argparse.BooleanOptionalAction, default=True, help="the crowd and the deploy")
    asked = parser.parse_args(arguments)
    print(f"seed {asked.seed}", flush=True)
    kinds: tuple[Kind, ...] = ("sqlite", "postgresql") if asked.database == "both" else (asked.database,)
    broken = [violation for kind in kinds for violation in _crash(kind, asked.cycles, asked.seed).violations]
    for kind in kinds:
        for policy in ("continue", "restart"):
            broken += _steps(kind, policy, max(1, asked.cycles // _FEWER), asked.seed)
    if asked.also:
        broken += [*_crowd(), *_deploy()]
    return int(bool(broken))


def _crash(kind: Kind, cycles: int, seed: int) -> Result:
    with tempfile.TemporaryDirectory() as directory, database(kind, Path(directory)) as url:
        result = anyio.run(crash, kind, url, cycles, seed)
    _print(result.table(), result.violations)
    return result


def _steps(kind: Kind, policy: str, kills: int, seed: int) -> list[str]:
    """Tools, approvals and forks."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database(kind, directory))
        nursery, model = stack.enter_context(Nursery()), stack.enter_context(ModelServer())
        env = model.environment | environment(directory, policy)
        server = stack.enter_context(ForkedServer(nursery, url, env, log=directory / "server.log"))
        loop = StepLoop(server=server, model=model, shared=kind == "postgresql", kills=kills, seed=seed)
        anyio.run(loop.run)
    _print(f"{'database':<20} {kind}, {policy}\n{loop.table()}", loop.violations)
    return loop.violations


def _crowd() -> list[str]:
    with tempfile.TemporaryDirectory() as directory, Nursery() as nursery, ModelServer() as model:
        url = f"sqlite:///{Path(directory) / 'legato.db'}"
        with ForkedServer(nursery, url, model.environment, log=Path(directory) / "server.log") as server:
            report = anyio.run(crowd, server, _READERS)
    _print(report.table(), report.violations)
    return report.violations


def _deploy() -> list[str]:
    """A grace as it ships: 10 s."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database("postgresql", directory))
        nursery, model = stack.enter_context(Nursery()), stack.enter_context(ModelServer())
        servers = [
            stack.enter_context(ForkedServer(nursery, url, model.environment, log=directory / f"{number}.log"))
            for number in range(3)
        ]
        nginx = stack.enter_context(Nginx(directory, servers[0].port, others=[server.port for server in servers[1:]]))
        report = anyio.run(roll, servers, nginx.url, model, _STREAMS)
    broken = [*report.violations, *report.wrong]
    _print(report.table(), broken)
    return broken


def _print(table: str, violations: Sequence[str]) -> None:
    print(f"\n{table}", flush=True)
    for violation in violations:
        print(f"  {violation}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
