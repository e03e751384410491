"""Import and export while 20 answers stream at 50 words a second: how late the latest word comes, without and with them.

A word is late by what lies between it and the one before, less the 20 ms that the model takes. The file has so many sessions of
20 messages; the program that carries it runs on the load's core, below everything else there.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bench.bench import Bench
from bench.crowd import Crowd, closing
from bench.report import Line
from bench.upstream import Script
from legato.core.model import Message, TextPart, Turn
from legato.transfer.records import End, Header, MessageLine, SessionLine, SessionRecord, TurnLine, line

_TURNS: Final = 20
_RATE: Final = 50.0
_MESSAGES: Final = 20  # of a session
_LIMIT_MS: Final = 50.0
_NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


async def measure(bench: Bench) -> list[Line]:
    sessions = bench.scaled(2_500, 250)
    file = bench.directory / "transfer.jsonl"
    with file.open("wb") as out:
        out.writelines(_file(sessions))
    with bench.target("legato") as target, closing(Crowd(target, bench.upstream)) as crowd:
        target.prepare(_TURNS)
        await crowd.connect(_TURNS)
        await crowd.begin_all(Script(rate=_RATE), 1.0)
        await crowd.speaking()
        url = f"http://127.0.0.1:{target.port}"
        alone = await _late(crowd, asyncio.sleep(bench.scaled(10.0, 4.0)))
        began = time.perf_counter()
        coming = await _late(crowd, _carry("import", str(file), "--url", url))
        imported_s = time.perf_counter() - began
        began = time.perf_counter()
        going = await _late(crowd, _carry("export", "--force", "-o", str(bench.directory / "out.jsonl"), "--url", url))
        exported_s = time.perf_counter() - began
        began = time.perf_counter()
        shown = await _late(crowd, _carry("export", "--force", "-o", str(bench.directory / "out.html"), "--url", url))
        shown_s = time.perf_counter() - began
        await crowd.drain()
    for name in ("transfer.jsonl", "out.jsonl", "out.html"):
        (bench.directory / name).unlink(missing_ok=True)
    count = sessions * _MESSAGES
    return [
        Line(row="transfer", what="latest word, without", measured=alone, unit="ms"),
        _line("while a file is imported", coming, count, imported_s),
        _line("while all is exported as JSON lines", going, count, exported_s),
        _line("while all is exported as HTML", shown, count, shown_s),
    ]


def _line(what: str, late_ms: float, count: int, took_s: float) -> Line:
    note = f"{count:,} messages in {took_s:.1f} s, {count / took_s:,.0f} a second"
    return Line(row="transfer", what=f"latest word, {what}", measured=late_ms, unit="ms", limit=_LIMIT_MS, note=note)


async def _late(crowd: Crowd, meanwhile: Any) -> float:
    """By how many milliseconds the latest word of all was late, meanwhile."""
    for reading in crowd.readings:
        reading.worst_gap_s = 0.0
    await meanwhile
    crowd.check()
    return max(reading.worst_gap_s for reading in crowd.readings) * 1000 - 1000 / _RATE


async def _carry(*arguments: str) -> None:
    """The command line's own way with files, out of everybody's way."""
    command = ("nice", "-n", "30", sys.executable, "-m", "legato.cli", "sessions", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, cwd=Path(__file__).parents[2]
    )
    if await process.wait():
        raise RuntimeError(f"legato sessions {arguments[0]} ended with {process.returncode}")


def _file(sessions: int) -> Iterator[bytes]:
    yield line(Header(exported_at=_NOW))
    for number in range(sessions):
        yield from _session(f"ses_{number}", _NOW + timedelta(minutes=number))
    yield line(End(sessions, sessions * _MESSAGES))


def _session(session_id: str, at: datetime) -> Iterator[bytes]:
    leaf = f"m{_MESSAGES - 1}"
    yield line(
        SessionLine(
            SessionRecord(
                id=session_id,
                agent_id="assistant",
                agent_name="Assistant",
                title="A talk",
                created_at=at,
                last_activity=at,
                leaf_id=leaf,
            )
        )
    )
    for number in range(_MESSAGES):
        yield line(
            MessageLine(
                Message(
                    id=f"m{number}",
                    session_id=session_id,
                    turn_id=f"t{number // 2}",
                    role="assistant" if number % 2 else "user",
                    status="completed",
                    created_at=at,
                    parts=(TextPart(f"Message **number** {number} of a talk. " * 12),),
                    parent_id=f"m{number - 1}" if number else None,
                )
            )
        )
    for number in range(_MESSAGES // 2):
        yield line(
            TurnLine(
                Turn(
                    id=f"t{number}",
                    session_id=session_id,
                    message_id=f"m{2 * number}",
                    answer_id=f"m{2 * number + 1}",
                    agent_id="assistant",
                    status="completed",
                    reason="stop",
                    created_at=at,
                    finished_at=at,
                )
            )
        )
