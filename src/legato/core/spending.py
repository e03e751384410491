"""What was used, summed up as somebody asks for it (promise R-11). Days are in UTC, money is in US dollars."""

import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

#: What sums are told by: ``session`` names each session (those that are still there), the others look at all that ever was.
Group = Literal["day", "agent", "model", "session", "kind"]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """``cached_tokens`` are part of ``prompt_tokens``. ``cost_usd`` is what has a price; ``unpriced`` calls have none.

    ``estimated`` counts the calls whose tokens the provider did not report.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    estimated: int = 0


class UsageRow(Sums, frozen=True, kw_only=True):
    """Sums of one day, agent …: only what was asked for is there. ``model_id`` None: no model was called.

    ``kind`` is ``turn``, or the side work that called a model: ``title``, ``memory``.
    """

    day: datetime.date | UnsetType = UNSET
    agent_id: str | UnsetType = UNSET
    model_id: str | UnsetType | None = UNSET
    session_id: str | UnsetType = UNSET
    title: str | UnsetType | None = UNSET
    kind: str | UnsetType = UNSET


class UsageReport(msgspec.Struct, frozen=True, kw_only=True, rename={"first": "from", "last": "to", "by": "group_by"}):
    """What was used from the day ``from`` to the day ``to``, both included: the newest days first, then what cost most.

    ``has_more``: there are more rows than these. ``total`` is the sum of all.
    """

    first: datetime.date
    last: datetime.date
    by: tuple[Group, ...]
    data: tuple[UsageRow, ...]
    has_more: bool
    total: Sums
