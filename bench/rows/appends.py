"""Durable appends: 100 turns through the engine's journal into the store, in a process that does nothing else.

On PostgreSQL (another process, on the load's core) a second, shorter pass logs every statement, to count what one group
commit takes. The store is on disk and synced (``synchronous=FULL``, ``fsync=on``).
"""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from bench.appending import Result
from bench.bench import Bench
from bench.report import Line, median
from tests.support.postgres import new_database, postgres_server

_LEAST: Final = 50_000
_LOGGED: Final = {"log_statement": "all", "log_line_prefix": "%a|"}


async def measure(bench: Bench) -> list[Line]:
    seconds, times = bench.scaled(4.0, 2.0), bench.scaled(3, 1)

    def file() -> str:
        return f"sqlite:///{bench.directory / f'appends-{time.time_ns()}.db'}"

    on_sqlite = [await _run(file(), seconds) for _ in range(times)]
    single_on_sqlite = [await _run(file(), seconds, 1) for _ in range(times)]
    with postgres_server(bench.directory / "pg") as base:
        on_postgres = [await _run(new_database(base), seconds) for _ in range(times)]
        single_on_postgres = [await _run(new_database(base), seconds, 1) for _ in range(times)]
    with postgres_server(bench.directory / "pg-logged", _LOGGED) as base:
        logged = await _run(new_database(base), 2.0, 1)
    statements, notifies = _statements(bench.directory / "pg-logged" / "postgres" / "log")
    return [
        _line("SQLite", on_sqlite, _LEAST),
        _bytes("SQLite", on_sqlite, "written to disk"),
        _line("SQLite, one token a row", single_on_sqlite, None),
        _bytes("SQLite, one token a row", single_on_sqlite, "written to disk"),
        _line("PostgreSQL", on_postgres, _LEAST),
        _bytes("PostgreSQL", on_postgres, "of WAL"),
        _line("PostgreSQL, one token a row", single_on_postgres, None),
        _bytes("PostgreSQL, one token a row", single_on_postgres, "of WAL"),
        Line(
            row="appends",
            what="PostgreSQL: statements a group commit",
            measured=statements / logged.commits,
            unit="",
            limit=1.0,
            note=f"{statements} for {logged.commits} commits",
        ),
        Line(
            row="appends",
            what="PostgreSQL: NOTIFYs a group commit",
            measured=notifies / logged.commits,
            unit="",
            limit=1.0,
            note=f"{notifies} for {logged.commits} commits",
        ),
    ]


async def _run(url: str, seconds: float, tokens_a_row: int = 0) -> Result:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.appending", url, str(seconds), str(tokens_a_row), stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"bench.appending ended with {process.returncode}")
    return msgspec.json.decode(said, type=Result)


def _line(database: str, runs: list[Result], limit: float | None) -> Line:
    rate = median(run.tokens / run.seconds for run in runs)
    commits = median(run.commits / run.seconds for run in runs)
    rows = median(run.rows / run.commits for run in runs)
    cpu = median(run.cpu_s / run.tokens * 1e6 for run in runs)
    merged = median(run.tokens / run.rows for run in runs)
    note = f"{commits:,.0f} commits/s of {rows:.0f} rows of {merged:.0f} tokens; {cpu:.1f} CPU-s/M"
    return Line(row="appends", what=database, measured=rate, unit="tokens/s", limit=limit, at_least=True, note=note)


def _bytes(database: str, runs: list[Result], where: str) -> Line:
    a_token = median(run.written / run.tokens for run in runs)
    a_row = median(run.written / run.rows for run in runs)
    return Line(
        row="appends", what=f"{database}: {where}", measured=a_token, unit="B/token", note=f"{a_row:,.0f} a row"
    )


def _statements(log: Path) -> tuple[int, int]:
    """How many statements and how many NOTIFYs ran between the marks, of Legato's own connections."""
    text = log.read_text("utf-8", "replace")
    between = text.partition("bench begins")[2].partition("bench ends")[0]
    lines = [line for line in between.splitlines() if line.startswith("legato") and "|LOG:" in line]
    ran = [line for line in lines if "statement: " in line or "execute " in line]
    notifies = sum("pg_notify" in line for line in ran)
    return len(ran) - notifies, notifies
