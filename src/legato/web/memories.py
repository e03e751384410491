"""Routes of what is remembered of the asker: to see, to edit, to forget, to switch off."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from legato.core.memory import Memory
from legato.engine.memory import forget_all
from legato.store import memories
from legato.web.bodies import EditMemory, MemorySwitch, Text
from legato.web.context import Asking
from legato.web.replies import MemoryList, MemorySettings, documents, reply

router = APIRouter(prefix="/v1/memories", tags=["memories"])


@router.get("", responses=documents(MemoryList))
async def list_memories(
    asking: Asking,
    agent_id: Text | None = None,
    kind: Text | None = None,
    session_id: Text | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Text | None = None,
) -> Response:
    """What is remembered of you, the newest first."""
    filters = {"agent_id": agent_id, "kind": kind, "session_id": session_id}
    page = await asking.engine.store.read(memories.page, asking.owner, **filters, limit=limit, cursor=cursor)
    return reply(MemoryList(page.data, page.next is not None, page.next))


@router.delete("", status_code=204, responses=documents(None, 204))
async def forget_memories(asking: Asking, agent_id: Text | None = None) -> Response:
    """Forget everything, or all that one agent knows."""
    await forget_all(asking.engine.store, asking.owner, agent_id)
    return Response(status_code=204)


@router.get("/settings", responses=documents(MemorySettings))
async def get_memory_settings(asking: Asking) -> Response:
    """Whether anything is remembered of you."""
    return reply(MemorySettings(await asking.engine.store.read(memories.enabled, asking.owner)))


@router.put("/settings", responses=documents(MemorySettings))
async def put_memory_settings(asking: Asking, body: MemorySwitch) -> Response:
    """Switch memory off or on as a whole. What is remembered stays, and is given to nobody while it is off."""
    await asking.engine.store.write(memories.switch, asking.owner, on=body.enabled)
    return reply(MemorySettings(body.enabled))


@router.patch("/{memory_id}", responses=documents(Memory))
async def edit_memory(asking: Asking, memory_id: Text, body: EditMemory) -> Response:
    """Correct a memory; the new text stays as you wrote it."""
    return reply(await asking.engine.store.write(memories.edit, memory_id, asking.owner, body.text))


@router.delete("/{memory_id}", status_code=204, responses=documents(None, 204))
async def forget_memory(asking: Asking, memory_id: Text) -> Response:
    """Forget: the text is erased at once, and the same is not remembered again."""
    await asking.engine.store.write(memories.forget, memory_id, asking.owner)
    return Response(status_code=204)
