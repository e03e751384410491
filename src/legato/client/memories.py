"""What is remembered of the one who asks: listed, edited, forgotten, switched off."""

from collections.abc import AsyncGenerator
from urllib.parse import quote

import msgspec

from legato.client.http import Http
from legato.client.model import Page
from legato.core.memory import Memory
from legato.core.text import normalise

_PATH = "/v1/memories"


class _Settings(msgspec.Struct):
    enabled: bool


class MemoryCalls:
    """The part of ``AsyncClient`` that is about memories."""

    _http: Http

    async def memories(
        self,
        *,
        agent_id: str | None = None,
        kind: str | None = None,
        session_id: str | None = None,
        limit: int = 50,
    ) -> AsyncGenerator[Memory, None]:
        """All that is remembered, the newest first, fetched ``limit`` at a time."""
        cursor: str | None = None
        while True:
            page = await self.memories_page(
                agent_id=agent_id, kind=kind, session_id=session_id, limit=limit, cursor=cursor
            )
            for memory in page.data:
                yield memory
            if not page.has_more or page.next is None:
                return
            cursor = page.next

    async def memories_page(
        self,
        *,
        agent_id: str | None = None,
        kind: str | None = None,
        session_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Memory]:
        filters = {"agent_id": agent_id, "kind": kind, "session_id": session_id, "cursor": cursor}
        params = {name: value for name, value in filters.items() if value is not None} | {"limit": str(limit)}
        return await self._http.call(Page[Memory], "GET", _PATH, params=params)

    async def edit_memory(self, memory_id: str, text: str) -> Memory:
        """Gives a memory another text (one line, at most 200 characters), which stays."""
        return await self._http.call(
            Memory, "PATCH", f"{_PATH}/{quote(memory_id, safe='')}", body={"text": normalise(text)}
        )

    async def forget_memory(self, memory_id: str) -> None:
        """Erases a memory. Raises MemoryNotFound, also when an earlier attempt got through."""
        await self._http.call(type(None), "DELETE", f"{_PATH}/{quote(memory_id, safe='')}")

    async def forget_memories(self, *, agent_id: str | None = None) -> None:
        """Erases all memories, or those of one agent."""
        await self._http.call(type(None), "DELETE", _PATH, params={} if agent_id is None else {"agent_id": agent_id})

    async def memory_enabled(self) -> bool:
        """Whether anything is remembered, and given to agents."""
        return (await self._http.call(_Settings, "GET", f"{_PATH}/settings")).enabled

    async def switch_memory(self, on: bool) -> None:
        """Switches memory on or off as a whole; what is remembered stays."""
        await self._http.call(_Settings, "PUT", f"{_PATH}/settings", body={"enabled": on})
