"""What an owner has used, summed as somebody asks for it: by day, agent, model and kind from the sums that outlive sessions,
by session from the turns that are there.
"""

import datetime
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    String,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
)

from legato.core.errors import Invalid
from legato.core.spending import Group, Sums, UsageReport, UsageRow
from legato.store.dialect import utc_us
from legato.store.schema import NOBODY, sessions, turns, usage_days
from legato.store.usage import DAY_US

#: Days that are looked at where nobody says from when.
USUAL_DAYS: Final = 30
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_COUNTS: Final = ("calls", "prompt_tokens", "completion_tokens", "cached_tokens", "unpriced", "estimated")


def report(
    conn: Connection,
    owner: str,
    by: Sequence[Group],
    first: datetime.date | None = None,
    last: datetime.date | None = None,
    limit: int = 1000,
) -> UsageReport:
    """What an owner has used from one day to another (both included, in UTC; by default until today, and 30 days).

    Raises:
        Invalid: it ends before it begins.
    """
    last_day = _today(conn) if last is None else _number(last)
    first_day = max(last_day - USUAL_DAYS + 1, _number(datetime.date.min)) if first is None else _number(first)
    if first_day > last_day:
        raise Invalid("`from` is a later day than `to`.")
    entries = (_FROM_TURNS if "session" in by else _FROM_DAYS).subquery()
    names = [column for group in by for column in _KEYS[group]]
    keys = [entries.c[name] for name in names]
    sums = [func.coalesce(func.sum(entries.c[name]), 0).label(name) for name in (*_COUNTS, "cost_usd")]
    values = {"owner": owner, "first": first_day, "last": last_day}
    values |= {"since": first_day * DAY_US, "before": (last_day + 1) * DAY_US}
    newest = [entries.c.day.desc()] if "day" in by else []
    order = (*newest, func.sum(entries.c.cost_usd).desc(), func.sum(entries.c.prompt_tokens).desc(), *keys)
    rows = conn.execute(select(*keys, *sums).group_by(*keys).order_by(*order).limit(limit + 1), values).all()
    total = conn.execute(select(*sums), values).one()
    return UsageReport(
        first=_date(first_day),
        last=_date(last_day),
        by=tuple(by),
        data=tuple(UsageRow(**_key(row, names), **_sums(row)) for row in rows[:limit]),
        has_more=len(rows) > limit,
        total=Sums(**_sums(total)),
    )


def _today(conn: Connection) -> int:
    return int(conn.execute(select(utc_us())).scalar_one()) // DAY_US


def _number(day: datetime.date) -> int:
    return day.toordinal() - _EPOCH


def _date(number: int) -> datetime.date:
    return datetime.date.fromordinal(number + _EPOCH)


def _key(row: Any, names: Sequence[str]) -> dict[str, Any]:
    found = {name: row._mapping[name] for name in names}
    if "day" in found:
        found["day"] = _date(found["day"])
    if "model_id" in found:
        found["model_id"] = found["model_id"] or None
    return found


def _sums(row: Any) -> dict[str, Any]:
    counts = {name: int(row._mapping[name]) for name in _COUNTS}
    total = counts["prompt_tokens"] + counts["completion_tokens"]
    return counts | {"total_tokens": total, "cost_usd": float(row.cost_usd)}


_KEYS: Final[dict[Group, tuple[str, ...]]] = {
    "day": ("day",),
    "agent": ("agent_id",),
    "model": ("model_id",),
    "session": ("session_id", "title"),
    "kind": ("kind",),
}

_FROM_DAYS: Final[Select[Any]] = select(usage_days).where(
    usage_days.c.owner == bindparam("owner"), usage_days.c.day.between(bindparam("first"), bindparam("last"))
)

# A turn has one model, though it may have called others too. Its session was active when it ended, so that the owner's list
# leads to those of the days that are asked for, and not through years.
_CALLED: Final = or_(turns.c.context.is_not(None), turns.c.estimated.is_(False))
_FROM_TURNS: Final[Select[Any]] = (
    select(
        (turns.c.finished_at // literal_column(str(DAY_US), BigInteger)).label("day"),
        turns.c.agent_id,
        case((_CALLED, func.coalesce(turns.c.model_id, "")), else_="").label("model_id"),
        turns.c.session_id,
        sessions.c.title,
        literal("turn", String).label("kind"),
        literal_column("1").label("calls"),
        turns.c.prompt_tokens,
        turns.c.completion_tokens,
        turns.c.cached_tokens,
        func.coalesce(turns.c.cost_usd, 0.0).label("cost_usd"),
        case((turns.c.cost_usd.is_(None), 1), else_=0).label("unpriced"),
        case((turns.c.estimated, 1), else_=0).label("estimated"),
    )
    .join(sessions, sessions.c.id == turns.c.session_id)
    .where(
        sessions.c.owner == bindparam("owner"),
        sessions.c.owner != NOBODY,
        sessions.c.last_activity >= bindparam("since"),
        turns.c.finished_at >= bindparam("since"),
        turns.c.finished_at < bindparam("before"),
        # Those that were imported never ran here.
        turns.c.epoch.is_not(None),
        or_(turns.c.prompt_tokens > 0, turns.c.completion_tokens > 0, turns.c.cost_usd > 0),
    )
)
