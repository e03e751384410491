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
from bench.rows import (
    appends,
    lists,
    memory,
    overload,
    page,
    products,
    readers,
    resume,
    saturated,
    search,
    side,
    tokens,
    transfer,
    ttft,
)
from bench.upstream import Upstream

_ARTIFACTS: Final = Path(__file__).parents[1] / ".artifacts" / "bench"
_LIMIT_S: Final = 15 * 60.0
_ROWS: Final = {
    "ttft": ttft.measure,
    "tokens": tokens.measure,
    "saturated": saturated.measure,
    "readers": readers.measure,
    "resume": resume.measure,
    "memory": memory.measure,
    "lists": lists.measure,
    "search": search.measure,
    "appends": appends.measure,
    "overload": overload.measure,
    "side": side.measure,
    "transfer": transfer.measure,
    "products": products.measure,
    "page": page.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 also where a target is missed: a benchmark informs. 1 when time was up before every row was measured."""
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
            lines, missing = runner.run(_measure(asked.rows or list(_ROWS), directory, quick=asked.quick))
    finally:
        for database in directory.glob("*.db*"):
            database.unlink()
    about = _about(time.monotonic() - begin, quick=asked.quick)
    write(lines, about, _ARTIFACTS)
    shutil.rmtree(directory)
    print(f"\n{table(lines)}\n\n{' · '.join(f'{name} {value}' for name, value in about.items())}")
    if missing:
        print(f"not measured within {_LIMIT_S:g} s: {', '.join(missing)}")
    return int(bool(missing))


async def _measure(rows: Sequence[str], directory: Path, *, quick: bool) -> tuple[list[Line], list[str]]:
    """The lines, and the rows for which there was no time."""
    upstream = Upstream()
    await upstream.start()
    bench = Bench(upstream=upstream, directory=directory, quick=quick)
    gc.freeze()
    gc.disable()  # a pause of the load would be counted as the server's
    lines: list[Line] = []
    until = asyncio.get_running_loop().time() + _LIMIT_S
    try:
        for place, row in enumerate(rows):
            begin = time.monotonic()
            limit = asyncio.timeout_at(until)
            try:
                async with limit:
                    found = await _ROWS[row](bench)
            except TimeoutError:
                if not limit.expired():
                    raise
                return lines, list(rows[place:])
            lines += found
            print(f"{table(found)}\n  ({row} took {time.monotonic() - begin:.0f} s)\n", flush=True)
            upstream.flows.clear()
            gc.collect()
    finally:
        await upstream.stop()
    return lines, []


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
