"""What was used, summed by day as it happens: the sums outlive the sessions, and hold not a word of them (promise R-11).

Who adds in a session's transaction holds that session's row first. Rows of sums are then taken in the order of their keys, so
that two who add to the same ones never wait for each other crosswise.
"""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, text

from legato.core.model import Usage

DAY_US: Final = 86_400_000_000


def add(
    conn: Connection, owner: str, agent_id: str, model_id: str | None, kind: str, usage: Usage, now_us: int
) -> None:
    """Add one call of a model (``kind``: turn, title, memory) to its owner's day, in UTC."""
    add_all(conn, owner, agent_id, kind, [(model_id, usage)], now_us)


def add_all(
    conn: Connection, owner: str, agent_id: str, kind: str, calls: Iterable[tuple[str | None, Usage]], now_us: int
) -> None:
    """``add`` for several calls, each with its model's id (None: no model is known). What used nothing was no call."""
    sums: dict[str, dict[str, Any]] = {}
    for model_id, usage in calls:
        if used_anything(usage):
            so_far = sums.setdefault(model_id or "", dict.fromkeys(_SUMS, 0))
            for name, value in _values(usage).items():
                so_far[name] += value
    for model_id in sorted(sums):
        key = {"owner": owner, "day": now_us // DAY_US, "agent_id": agent_id, "model_id": model_id, "kind": kind}
        conn.execute(_ADD, key | sums[model_id])


def used_anything(usage: Usage) -> bool:
    return bool(usage.prompt_tokens or usage.completion_tokens or usage.cost_usd)


def _values(usage: Usage) -> dict[str, Any]:
    return {
        "calls": 1,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost_usd": usage.cost_usd or 0.0,
        "unpriced": int(usage.cost_usd is None),
        "estimated": int(usage.estimated),
    }


_SUMS: Final = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "unpriced", "estimated")
_ADD: Final = text(
    f"INSERT INTO usage_days (owner, day, agent_id, model_id, kind, {', '.join(_SUMS)})"  # noqa: S608 - our names
    f" VALUES (:owner, :day, :agent_id, :model_id, :kind, {', '.join(f':{name}' for name in _SUMS)})"
    " ON CONFLICT (owner, day, agent_id, model_id, kind) DO UPDATE SET "
    + ", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in _SUMS)
)
