"""What was used, by day, agent, model, session and kind."""

import datetime
import re
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.responses import Response

from legato.core.errors import Invalid
from legato.core.spending import Group, UsageReport
from legato.store import spending
from legato.web.bodies import Text
from legato.web.context import Asking
from legato.web.replies import documents, reply

router = APIRouter(prefix="/v1", tags=["usage"])

_ISO: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _written_out(value: Any) -> Any:
    """Nothing but a date as ISO 8601 writes it: not the seconds that a framework would take for one."""
    if isinstance(value, str) and _ISO.fullmatch(value) is None:
        raise ValueError("a day is written YYYY-MM-DD")
    return value


Day = Annotated[datetime.date, BeforeValidator(_written_out)]


@router.get("/usage", responses=documents(UsageReport))
async def usage(
    asking: Asking,
    first: Annotated[Day | None, Query(alias="from", description="A day in UTC, included.")] = None,
    last: Annotated[Day | None, Query(alias="to", description="A day in UTC, included; today.")] = None,
    group_by: Annotated[Text, Query(description="Of day, agent, model, session, kind, parted by commas.")] = "day",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Response:
    """What you have used, in tokens and US dollars; the last 30 days, if you don't say from when."""
    by = _groups(group_by)
    return reply(await asking.engine.store.read(spending.report, asking.owner, by, first, last, limit))


def _groups(text: str) -> tuple[Group, ...]:
    given = dict.fromkeys(text.split(","))
    known: dict[str, Group] = {name: name for name in get_args(Group)}
    if not given.keys() <= known.keys():
        raise Invalid(f"`group_by` is some of {', '.join(known)}, parted by commas.")
    return tuple(known[name] for name in given)
