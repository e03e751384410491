"""What time it is for everything that removes by age, or that nobody knows just now.

PostgreSQL's clock is one for all and counts. On SQLite it is the wall clock of this process's machine, which may jump. So
*ticks* are stored: how far the wall clock is *ahead* of the time since the machine was started, which no jump moves. While
the clock is ahead of the slowest it has been within a window, what was stamped meanwhile looks older than it is, and
nothing may be removed; until the clock is back, or has gone steadily for the whole window: by then everything from before
the jump is as old as the window is long. A clock that went back makes things look younger: they stay longer, no more.

Ticks outlive a restart of the process. After a restart of the machine nothing can tell a jump from the time it was off: the
clock is *unproven* until it has gone steadily for the window, and who removes much by it had better ask.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, select, text

from legato.store.dialect import is_postgresql, utc_us
from legato.store.schema import meta

TOLERANCE_US: Final = 60_000_000
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_CLOCK: Final = getattr(
    time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC
)  # goes on while a laptop sleeps, as wall clocks do


class Boot(NamedTuple):
    """A run of the machine, or of the process where nobody can name that, and the microseconds since some point in it."""

    id: str
    elapsed_us: Callable[[], int]


def this_boot() -> Boot:
    """The run of this machine."""
    name = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else secrets.token_hex(16)
    return Boot(name, lambda: time.clock_gettime_ns(_CLOCK) // 1_000)


class Ticks(msgspec.Struct, frozen=True):
    """The last tick, and the least that the clock was ahead within the window.

    ``level_us`` is where it stands but for less than the tolerance, ``risen_us`` when it was last put forward to there,
    ``fresh_us`` the first tick after a restart of the machine, as long as it leaves the clock unproven.
    """

    boot: str
    ahead_us: int
    least_us: int
    level_us: int
    risen_us: int | None = None
    fresh_us: int | None = None

    @property
    def sane(self) -> bool:
        return self.ahead_us <= self.least_us + TOLERANCE_US


def following(before: Ticks | None, boot: str, ahead_us: int, elapsed_us: int, window_us: int) -> Ticks:
    """The ticks after one more of them; a first one is taken as it is."""
    if before is None:
        return Ticks(boot, ahead_us, ahead_us, ahead_us)
    if before.boot != boot:
        return Ticks(boot, ahead_us, ahead_us, ahead_us, fresh_us=elapsed_us)
    fresh_us = before.fresh_us
    if fresh_us is not None and elapsed_us - fresh_us >= window_us:
        fresh_us = None
    least_us, level_us, risen_us = min(before.least_us, ahead_us), min(before.level_us, ahead_us), before.risen_us
    if ahead_us > level_us + TOLERANCE_US:
        level_us, risen_us = ahead_us, elapsed_us
    if risen_us is not None and elapsed_us - risen_us >= window_us:
        return Ticks(boot, ahead_us, ahead_us, ahead_us)
    return Ticks(boot, ahead_us, least_us, level_us, risen_us, fresh_us)


class Told(NamedTuple):
    """The time by the store's clock; ``jumped_s`` is by how much it is wrong at worst, 0 when it can be trusted.

    Not ``proven``: the machine was restarted, and nobody can tell.
    """

    now_us: int
    jumped_s: float = 0.0
    proven: bool = True

    @property
    def sane(self) -> bool:
        return self.jumped_s == 0


def tick(conn: Connection, name: str, boot: Boot, window_us: int) -> Told:
    """The time for whoever removes what is older than ``window_us``; ``name`` keeps the ticks of duties apart."""
    now_us: int = conn.execute(_NOW).scalar_one()
    if is_postgresql(conn):
        return Told(now_us)
    elapsed_us = boot.elapsed_us()
    ticks = following(_stored(conn, name), boot.id, now_us - elapsed_us, elapsed_us, window_us)
    conn.execute(_STORE, {"key": _key(name), "value": msgspec.json.encode(ticks).decode()})
    jumped_s = 0.0 if ticks.sane else (ticks.ahead_us - ticks.least_us) / 1_000_000
    return Told(now_us, jumped_s, proven=ticks.fresh_us is None)


def _stored(conn: Connection, name: str) -> Ticks | None:
    value: Any = conn.execute(_STORED, {"key": _key(name)}).scalar()
    return None if value is None else msgspec.json.decode(value, type=Ticks)


def _key(name: str) -> str:
    return f"ticks.{name}"


_NOW: Final = select(utc_us())
_STORED: Final = select(meta.c.value).where(meta.c.key == bindparam("key"))
_STORE: Final = text("INSERT INTO meta VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
