"""``python -m bench [--quick] [row …]``: measure, print the table, write it below ``.artifacts/bench``."""

import argparse
import asyncio
import gc
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.bench import Bench
from bench.machine import LOAD_CORE, pin, preferred
from bench.report import Line, table, write
from bench.rows import appends, lists, memory, overload, readers, resume, saturated, tokens, ttft
from bench.upstream import Upstream

_ARTIFACTS: Final = Path(__file__).parents[1] / ".artifacts" / "bench"
_ROWS: Final = {
    "ttft": ttft.measure,
    "tokens": tokens.measure,
    "saturated": saturated.measure,
    "readers": readers.measure,
    "resume": resume.measure,
    "memory": memory.measure,
    "lists": lists.measure,
    "appends": appends.measure,
    "overload": overload.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 also where a target is missed: a benchmark informs."""
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="row", help=f"some of: {' '.join(_ROWS)}")
    parser.add_argument("--quick", action="store_true", help="shorter and less certain")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.rows) - set(_ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    pin(os.getpid(), LOAD_CORE)
    _ARTIFACTS.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=_ARTIFACTS))
    begin = time.monotonic()
    try:
        with preferred(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            lines = runner.run(_measure(asked.rows or list(_ROWS), directory, quick=asked.quick))
    finally:
        for left in directory.glob("*.db*"):
            left.unlink()
    about = _about(time.monotonic() - begin, quick=asked.quick)
    write(lines, about, _ARTIFACTS)
    shutil.rmtree(directory)
    print(f"\n{table(lines)}\n\n{' · '.join(f'{name} {value}' for name, value in about.items())}")
    return 0


async def _measure(rows: Sequence[str], directory: Path, *, quick: bool) -> list[Line]:
    upstream = Upstream()
    await upstream.start()
    bench = Bench(upstream=upstream, directory=directory, quick=quick)
    gc.freeze()
    gc.disable()  # a pause of the load would be counted as the server's
    lines: list[Line] = []
    try:
        for row in rows:
            begin = time.monotonic()
            found = await _ROWS[row](bench)
            lines += found
            print(f"{table(found)}\n  ({row} took {time.monotonic() - begin:.0f} s)\n", flush=True)
            upstream.flows.clear()
            gc.collect()
    finally:
        await upstream.stop()
    return lines


def _about(took_s: float, *, quick: bool) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "load": f"{os.getloadavg()[1]:.1f}",
        "took": f"{took_s:.0f} s" + (", quick" if quick else ""),
    }


if __name__ == "__main__":
    sys.exit(main())
