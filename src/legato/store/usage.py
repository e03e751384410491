"""What was used, summed by day as it happens: the sums outlive the sessions, and hold not a word of them (promise R-11)."""

from typing import Final

from sqlalchemy import Connection, text

from legato.core.model import Usage

_DAY_US: Final = 86_400_000_000


def add(
    conn: Connection, owner: str, agent_id: str, model_id: str | None, kind: str, usage: Usage, now_us: int
) -> None:
    """Add one call of a model (``kind``: turn, title, memory) to its owner's day, in UTC."""
    values = {
        "owner": owner,
        "day": now_us // _DAY_US,
        "agent_id": agent_id,
        "model_id": model_id or "",
        "kind": kind,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
        "cost_usd": usage.cost_usd or 0.0,
        "unpriced": int(usage.cost_usd is None),
        "estimated": int(usage.estimated),
    }
    conn.execute(_ADD, values)


_SUMS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "unpriced", "estimated")
_ADD: Final = text(
    f"INSERT INTO usage_days (owner, day, agent_id, model_id, kind, calls, {', '.join(_SUMS)})"  # noqa: S608 - our names
    f" VALUES (:owner, :day, :agent_id, :model_id, :kind, 1, {', '.join(f':{name}' for name in _SUMS)})"
    " ON CONFLICT (owner, day, agent_id, model_id, kind) DO UPDATE SET calls = usage_days.calls + 1, "
    + ", ".join(f"{name} = usage_days.{name} + excluded.{name}" for name in _SUMS)
)
