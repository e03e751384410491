"""Forks: a session that goes on from a message of another one (promise S-15), made as an import is, out of reach until it is
whole, in slices that no token waits for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection

from legato.core.errors import SessionExists, SessionQuarantined
from legato.core.ids import new_id
from legato.core.model import Fork, Session
from legato.engine.importing import Importing
from legato.engine.publish import Publisher
from legato.store import exporting, forking, summaries
from legato.store.forking import Source
from legato.store.legible import DAMAGED
from legato.store.lifecycle import Policy
from legato.store.port import Store
from legato.transfer.arriving import Arrival, arrive
from legato.transfer.forking import copied

_AT_ONCE: Final = 2
_PAGE: Final = 64  # messages, or turns

T = TypeVar("T")


class Forking:
    """The forks of this process. ``policy``: what an agent says about its sessions."""

    def __init__(
        self, *, store: Store, publisher: Publisher, importing: Importing, policy: Callable[[str], Policy]
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._importing = importing
        self._policy = policy
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def fork(
        self,
        owner: str,
        session_id: str,
        message_id: str | None = None,
        *,
        title: str | None = None,
        new_session_id: str | None = None,
    ) -> Session:
        """A session that begins with copies of a branch up to a message; without one, up to the last finished message of the
        active branch. It has the other one's agent, model, title and metadata; nothing counts as used in it.

        Raises:
            SessionNotFound, SessionQuarantined, MessageNotFound, TurnNotFinished, SessionExists.
        """
        async with self._room:
            source = await self._store.read(forking.source, session_id, owner, message_id)
            messages = await self._pages(exporting.read_messages, source.message_ids)
            if any(message.error is DAMAGED for message in messages):
                raise SessionQuarantined
            turns = await self._pages(exporting.read_turns, source.turn_ids)
            # Deleted meanwhile, it would be missing in the fork as well.
            await self._store.read(forking.there, session_id, owner)
            session = _begun(source, new_session_id or new_id("ses"), title)
            conversation = await asyncio.to_thread(copied, session, messages, turns)
            arrival = await asyncio.to_thread(arrive, conversation, session.agent_id, session.id)
            if await self._importing.enter(session, arrival, None) is None:
                raise SessionExists
        await self._summarise(source, session, arrival)
        policy = self._policy(session.agent_id)
        if policy.single_current:
            await self._publisher.write(forking.make_way, session, policy)
        return session

    async def _summarise(self, source: Source, session: Session, arrival: Arrival) -> None:
        """What the branch was summarised to stands for its copy, too."""
        leaf_id = source.message_ids[-1] if source.message_ids else None
        found = await self._store.read(summaries.copied, leaf_id, arrival.leaf_id, source.session.id)
        if found is not None:
            summary, message_id = found
            await self._store.write(summaries.keep, session.id, message_id, summary.messages, summary.text)

    async def _pages(self, read: Callable[[Connection, Sequence[str]], list[T]], ids: Sequence[str]) -> list[T]:
        found: list[T] = []
        for at in range(0, len(ids), _PAGE):
            found += await self._store.read(read, ids[at : at + _PAGE])
        return found


def _begun(source: Source, session_id: str, title: str | None) -> Session:
    """The new session: as the other one was made, not what became of it."""
    return msgspec.structs.replace(
        source.session,
        id=session_id,
        created_at=source.now,
        last_activity=source.now,
        title=title or source.session.title,
        title_source="person" if title else source.session.title_source,
        closed_at=None,
        archived_at=None,
        pinned=False,
        keep=False,
        context=None,
        read_only=False,
        forked_from=Fork(source.session.id, source.message_ids[-1] if source.message_ids else None),
    )
