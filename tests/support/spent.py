"""Whether the sums by day are those of the turns (promise R-11)."""

from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, func, select, true

from legato.store.schema import NOBODY, sessions, turns, usage_days

_COLUMNS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")


class Spent(NamedTuple):
    """Tokens and dollars."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float = 0.0

    def less(self, other: "Spent") -> "Spent":
        """What is more here than there."""
        return Spent(
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.cached_tokens - other.cached_tokens,
            self.cost_usd - other.cost_usd,
        )


Days = dict[tuple[int, str], Spent]


def by_days(conn: Connection, owner: str) -> Days:
    """What the sums say, for each day and agent."""
    found = select(usage_days.c.day, usage_days.c.agent_id, *_summed(usage_days))
    found = found.where(usage_days.c.owner == owner, usage_days.c.kind == "turn")
    return _read(conn, found.group_by(usage_days.c.day, usage_days.c.agent_id))


def by_turns(conn: Connection, owner: str, session_id: str | None = None) -> Days:
    """The same from the turns themselves. Those that were imported never ran here."""
    day = (turns.c.finished_at // 86_400_000_000).label("day")
    found = select(day, turns.c.agent_id, *(turns.c[name] for name in _COLUMNS)).join(sessions)
    whose = func.coalesce(func.nullif(sessions.c.owner, NOBODY), sessions.c.former_owner)
    found = found.where(whose == owner, turns.c.prompt_tokens.is_not(None), turns.c.epoch.is_not(None))
    entries = found.where(turns.c.session_id == session_id if session_id else true()).subquery()
    keys = (entries.c.day, entries.c.agent_id)
    return _read(conn, select(*keys, *_summed(entries)).group_by(*keys))


def check_spent(conn: Connection, owner: str, erased: bool = False) -> None:
    """The sums are those of the owner's turns, to the token; more, where sessions were ``erased``."""
    days, told = by_days(conn, owner), {key: spent for key, spent in by_turns(conn, owner).items() if any(spent)}
    if erased:
        assert all(days[key] >= spent for key, spent in told.items())
        return
    assert days.keys() == told.keys()
    for key, spent in days.items():
        assert spent == pytest.approx(told[key]), key


def difference(after: Days, before: Days) -> Days:
    """What came since; without the days when nothing did."""
    came = {key: spent.less(before.get(key, Spent())) for key, spent in after.items()}
    return {key: spent for key, spent in came.items() if any(spent)}


def _summed(table: Any) -> list[Any]:
    return [func.coalesce(func.sum(table.c[name]), 0) for name in _COLUMNS]


def _read(conn: Connection, found: Any) -> Days:
    rows = conn.execute(found).all()
    return {(row[0], row[1]): Spent(int(row[2]), int(row[3]), int(row[4]), float(row[5])) for row in rows}
