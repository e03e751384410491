"""Routes of the search and of saved searches."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BeforeValidator
from starlette.responses import Response

from legato.core.found import SavedSearch
from legato.core.model import Role
from legato.engine import searching
from legato.store import searches
from legato.store.finding import Filters
from legato.store.listing import SessionStatus
from legato.store.rows import to_us
from legato.web.bodies import SaveSearch, Text
from legato.web.context import Asking
from legato.web.replies import HitList, SearchList, documents, reply

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


def _dated(value: object) -> object:
    """Numbers are no times, though pydantic takes them for some."""
    if isinstance(value, str) and _DATE.match(value) is None:
        raise ValueError("a time is written as 2026-11-25T09:30:00Z")
    return value


Time = Annotated[datetime, BeforeValidator(_dated)]

router = APIRouter(prefix="/v1", tags=["search"])


@router.get("/search", responses=documents(HitList))
async def search(
    asking: Asking,
    q: Text,
    agent_id: Text | None = None,
    status: SessionStatus | None = None,
    role: Role | None = None,
    session_id: Text | None = None,
    after: Time | None = None,
    before: Time | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Text | None = None,
) -> Response:
    """What was said to you and by you, and your titles: the best first, among the like the newest. Any text is a question."""
    filters = Filters(
        agent_id=agent_id,
        status=status,
        role=role,
        session_id=session_id,
        after=_us(after),
        before=_us(before),
    )
    found = await searching.find(asking.engine.store, asking.owner, q, filters, limit=limit, cursor=cursor)
    return reply(HitList(found.data, found.next is not None, found.next))


@router.get("/searches", responses=documents(SearchList))
async def list_searches(asking: Asking) -> Response:
    """Your saved searches, by name."""
    return reply(SearchList(tuple(await asking.engine.store.read(searches.saved, asking.owner))))


@router.post("/searches", status_code=201, responses=documents(SavedSearch, 201))
async def save_search(asking: Asking, body: SaveSearch) -> Response:
    """Save a search under a name; to save the same again changes nothing."""
    return reply(await asking.engine.store.write(searches.save, asking.owner, body.name, body.query), 201)


@router.delete("/searches/{search_id}", status_code=204, responses=documents(None, 204))
async def delete_search(asking: Asking, search_id: Text) -> Response:
    """Forget a saved search."""
    await asking.engine.store.write(searches.remove, asking.owner, search_id)
    return Response(status_code=204)


def _us(time: datetime | None) -> int | None:
    """Microseconds; a time without a zone is meant in UTC."""
    if time is None:
        return None
    return to_us(time if time.tzinfo is not None else time.replace(tzinfo=UTC))
