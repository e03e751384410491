"""The client's part for search."""

from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import datetime
from urllib.parse import quote

from legato.client.http import Http
from legato.client.model import Page
from legato.core.errors import SearchNotFound
from legato.core.found import Hit, SavedSearch
from legato.core.text import normalise


class Searching:
    """Mixed into ``AsyncClient``."""

    _http: Http

    async def search(
        self,
        text: str,
        *,
        agent_id: str | None = None,
        status: str | None = None,
        role: str | None = None,
        session_id: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 20,
    ) -> AsyncGenerator[Hit, None]:
        """Messages and titles in which ``text`` is found, the best first, fetched ``limit`` at a time.

        All words have to be there, the last one may go on, ``"what is quoted"`` stands together. ``status`` of the session:
        ``active``, ``closed``, ``archived`` or ``pinned``; ``role``: ``user`` or ``assistant``.
        """
        cursor: str | None = None
        while True:
            page = await self.search_page(
                text,
                agent_id=agent_id,
                status=status,
                role=role,
                session_id=session_id,
                after=after,
                before=before,
                limit=limit,
                cursor=cursor,
            )
            for hit in page.data:
                yield hit
            if not page.has_more or page.next is None:
                return
            cursor = page.next

    async def search_page(
        self,
        text: str,
        *,
        agent_id: str | None = None,
        status: str | None = None,
        role: str | None = None,
        session_id: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page[Hit]:
        """One page of ``search``."""
        given = {
            "q": normalise(text),
            "agent_id": agent_id,
            "status": status,
            "role": role,
            "session_id": session_id,
            "after": None if after is None else after.isoformat(),
            "before": None if before is None else before.isoformat(),
            "limit": str(limit),
            "cursor": cursor,
        }
        params = {name: value for name, value in given.items() if value is not None}
        return await self._http.call(Page[Hit], "GET", "/v1/search", params=params)

    async def saved_searches(self) -> list[SavedSearch]:
        """Saved searches, by name."""
        return (await self._http.call(Page[SavedSearch], "GET", "/v1/searches")).data

    async def save_search(self, name: str, query: str) -> SavedSearch:
        """Saves a search. Raises SearchExists: the name stands for another one."""
        return await self._http.call(SavedSearch, "POST", "/v1/searches", body={"name": name, "query": query})

    async def delete_search(self, search_id: str) -> None:
        """Forgets a saved search, if it is there."""
        with suppress(SearchNotFound):  # an earlier attempt may have got through
            await self._http.call(type(None), "DELETE", f"/v1/searches/{quote(search_id, safe='')}")
