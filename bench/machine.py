"""This machine: which core does what, and what a process has used of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

_CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = _CORES[0]
LOAD_CORE: Final = _CORES[-1]
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_NICE: Final = -10


def pin(pid: int, core: int) -> None:
    """Keep every thread of a process on one core; those that it starts later inherit it."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


@contextmanager
def preferred() -> Iterator[None]:
    """Let this session go before others on the machine, where we may. Linux weighs sessions first, their processes then."""
    autogroup = Path("/proc/self/autogroup")
    if os.geteuid() != 0 or not autogroup.exists():
        yield
        return
    before = autogroup.read_text().split()[-1]
    autogroup.write_text(str(_NICE))
    try:
        yield
    finally:
        autogroup.write_text(before)


def cpu_s(pid: int) -> float:
    """User and system time of a process, all its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def written_bytes(pid: int | str) -> int:
    """What a process has sent to the disk."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


class Memory(NamedTuple):
    """In KiB. ``rss`` counts what is shared with other processes too, ``pss`` its part of it, ``own`` nothing of it."""

    rss: int
    pss: int
    own: int


def memory(pid: int) -> Memory:
    """What a process holds now."""
    found: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        found[name] = int(value.split()[0])
    return Memory(found["Rss"], found["Pss"], found["Private_Clean"] + found["Private_Dirty"])


def busy_s(core: int) -> float:
    """How long a core has worked since the machine started, for anybody."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values[:8])
            return (user + nice + system + irq + softirq + steal) / _TICKS_PER_S
    raise LookupError(f"no core {core}")
