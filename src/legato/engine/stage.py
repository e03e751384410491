"""A running turn: what it has said, where the next word goes, and why it was told to stop."""

from functools import partial
from typing import Final

import anyio
import msgspec

from legato.agents.turn import Turn as AgentTurn
from legato.core.errors import MAX_WORD_BYTES, cut
from legato.core.events import Event, Reset, StatusUpdate, TokenKind, TurnEvent
from legato.core.model import ContextInfo, Message, Turn, Usage
from legato.engine import attachments
from legato.engine.journal import BACKGROUND_ROOM_BYTES, TurnWriter
from legato.engine.precedence import Precedence
from legato.engine.publish import Publisher
from legato.engine.tasks import Tasks
from legato.store import messages, steering
from legato.store.claiming import Claimed
from legato.store.port import Store

#: Why a turn stops that is no longer this process's.
FENCED: Final = "fenced"


class LiveTurn:
    """The engine's side of a turn that this process owns (``agents.turn.Stage``)."""

    def __init__(
        self,
        *,
        claimed: Claimed,
        writer: TurnWriter,
        store: Store,
        publisher: Publisher,
        tasks: Tasks,
        tail: int,
        precedence: Precedence,
    ) -> None:
        self.state: Turn = claimed.turn
        self.background = claimed.turn.priority == "background"
        self.epoch = claimed.epoch
        self.given: AgentTurn | None = None  # what the agent holds; its upstreams are closed without it, if need be
        self.stop_reason: str | None = None
        self.model_stop: str | None = None
        self.usages: list[tuple[str, Usage]] = []
        self.empty = True
        self._leaf_id = claimed.message.id
        self._writer = writer
        self._store = store
        self._publisher = publisher
        self._tasks = tasks
        self._tail = tail
        self._parts = 0
        self._kind: TokenKind | None = None
        self._settled = anyio.Event()
        self._taken: tuple[Message, ...] = ()
        self._steered = False
        self._precedence = precedence
        writer.on_fenced = partial(self.stop, FENCED)
        if self.background:
            writer.room_bytes = BACKGROUND_ROOM_BYTES
        self._awaited = not self.background
        if self._awaited:
            precedence.enter()
            writer.on_heard = self._heard

    def stop(self, reason: str) -> None:
        """Make the agent stop; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.settle()

    def settle(self) -> None:
        """The agent is done, or must be."""
        self._settled.set()

    async def settled(self, timeout_s: float) -> bool:
        """Wait for that; False when it took too long."""
        with anyio.move_on_after(timeout_s):
            await self._settled.wait()
        return self._settled.is_set()

    def close(self) -> None:
        """Nothing more is said in this turn."""
        self._writer.close()
        self._heard()

    def _heard(self) -> None:
        """Nobody waits for this turn's first words any more."""
        if self._awaited:
            self._awaited = False
            self._precedence.leave()

    @property
    def silent(self) -> bool:
        """Whether nobody has heard anything of this attempt."""
        return self._parts == 0 and not self._steered

    def say(self, kind: TokenKind, text: str) -> None:
        if not text:
            return
        if kind != self._kind:
            self._kind = kind
            self._parts += 1
        self.empty = self.empty and (kind == "reasoning" or text.isspace())
        self._writer.token(self.state.answer_id or "", self._parts - 1, kind, text)

    def open_part(self) -> int:
        self._kind = None
        self._parts += 1
        self.empty = False
        return self._parts - 1

    def emit(self, event: Event) -> None:
        if isinstance(event, Reset):
            self._begin_anew()
        elif isinstance(event, StatusUpdate):
            self.state = msgspec.structs.replace(self.state, phase=event.phase, detail=event.detail)
        self._writer.event(event)

    async def room(self) -> None:
        if self.background:
            await self._precedence.give_way()
        await self._writer.room()

    async def flush(self) -> None:
        """Wait until everything said is committed. Raises Fenced, Unavailable."""
        await self._writer.flush()

    async def history(self) -> tuple[Message, ...]:
        # One more than the agent looks at: a turn that begins before it is seen to be cut, and left out whole.
        limit = self._tail + 1 if self._tail else 0
        return tuple(await self._store.read(messages.branch, self._leaf_id, limit))

    async def load(self, file_id: str) -> bytes | None:
        return await attachments.load(self._store, self.state.session_id, file_id)

    async def steering(self) -> tuple[Message, ...]:
        if await self._store.read(steering.waits, self.state.session_id):
            await self._writer.flush()
            # Once it is committed the next word belongs to the new answer, also when the agent stops waiting for this.
            await self._tasks.uncancelled(self._steer(), "steer")
        taken, self._taken = self._taken, ()
        return taken

    async def _steer(self) -> None:
        steered = await self._publisher.write(steering.steer, self.state.session_id, self.state.id, self.epoch)
        if steered is not None:
            self.state = steered.turn
            self._leaf_id = steered.messages[-1].id
            self._taken += steered.messages
            self._steered = True
            self._begin_anew()

    def planned(self, context: ContextInfo) -> None:
        self._change(context=context)

    def used(self, model_id: str, usage: Usage) -> None:
        self.usages.append((model_id, usage))

    def stopped(self, reason: str) -> None:
        self.model_stop = cut(reason, MAX_WORD_BYTES)  # a provider's word, of any length

    def _begin_anew(self) -> None:
        self._kind, self._parts, self.empty = None, 0, True

    def _change(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self._writer.event(TurnEvent(self.state))
