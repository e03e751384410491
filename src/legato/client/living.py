"""The client's calls about how sessions live: the current one, the one of a context, what is too old."""

from typing import Any

import msgspec

from legato.client.http import Http
from legato.core.model import Session


class Prunable(msgspec.Struct, frozen=True):
    """Sessions that are too old, the oldest first (some of them), and how many they are."""

    data: list[Session]
    count: int
    dry_run: bool


class Living:
    """Mixed into ``AsyncClient``."""

    _http: Http

    async def current_session(self, agent_id: str | None = None) -> Session:
        """Your active session with an agent; a new one where there is none."""
        params = {} if agent_id is None else {"agent_id": agent_id}
        return await self._http.call(Session, "GET", "/v1/sessions/current", params=params)

    async def prune(self, *, dry_run: bool = False, limit: int = 100) -> Prunable:
        """Removes your sessions that are older than their agents allow; ``dry_run`` only tells which.

        Raises:
            ClockJumped: how old anything is can't be told at the moment.
        """
        body: dict[str, Any] = {"dry_run": dry_run, "limit": limit}
        return await self._http.call(Prunable, "POST", "/v1/sessions/prune", body=body)
