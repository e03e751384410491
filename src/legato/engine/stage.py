"""A running turn: what it has said, where the next word goes, and why it was told to stop."""

import asyncio
import time
from functools import partial
from typing import Final

import anyio
import msgspec

from legato.agents.turn import Turn as AgentTurn
from legato.core.errors import MAX_WORD_BYTES, Unavailable, cut
from legato.core.events import Event, Reset, StatusUpdate, TokenKind, ToolCall, ToolResult, TurnEvent
from legato.core.ids import new_id
from legato.core.model import ApprovalStatus, ContextInfo, Message, Part, ToolResultPart, Turn, Usage
from legato.core.prompt import NOTHING, Earlier
from legato.core.steps import Step, StepKind, Steps
from legato.core.text import normalise
from legato.engine import attachments
from legato.engine.diagnostics import Diagnostics
from legato.engine.journal import BACKGROUND_ROOM_BYTES, RETRY_FOR_S, Fenced, TurnWriter
from legato.engine.precedence import Precedence
from legato.engine.publish import Publisher
from legato.engine.replay import Replay
from legato.engine.tasks import Tasks, report
from legato.store import approvals, messages, steering, steps, summaries
from legato.store.claiming import Claimed
from legato.store.port import Store

#: Why a turn stops that is no longer this process's.
FENCED: Final = "fenced"
#: Why a turn stops that waits for a person's answer: it is nobody's until then.
WAITING: Final = "waiting"


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
        summaries: bool,
        goes_on: bool,
        precedence: Precedence,
        diagnostics: Diagnostics,
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
        self._summaries = summaries
        self._goes_on = goes_on
        self._parts = 0
        self._kind: TokenKind | None = None
        self._settled = anyio.Event()
        self._taken: tuple[Message, ...] = ()
        self._steered = False
        resumed = claimed.resumed
        self._steps = Steps(resumed.steps if resumed else ())
        self._saving = asyncio.Lock()
        self._called: set[str] = set()  # by models: the ids of their calls
        self._answered: set[str] = set()  # those of them that have their results
        self._replay = Replay(resumed.parts) if resumed and resumed.parts else None
        self._precedence = precedence
        self._diagnostics = diagnostics
        self._begun_s = time.monotonic()
        writer.on_fenced = partial(self.stop, FENCED)
        if self.background:
            writer.room_bytes = BACKGROUND_ROOM_BYTES
        self._awaited = not self.background
        if self._awaited:
            precedence.enter()
            writer.on_heard = self._first_words

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

    def _first_words(self) -> None:
        self._heard()
        turn = self.state
        if turn.attempt == 1 and turn.started_at is not None:  # until it was claimed by the store's clock, then by ours
            waited_s = (turn.started_at - turn.created_at).total_seconds()
            self._diagnostics.heard(waited_s + time.monotonic() - self._begun_s)

    def _heard(self) -> None:
        """Nobody waits for this turn's first words any more."""
        if self._awaited:
            self._awaited = False
            self._precedence.leave()

    @property
    def answered(self) -> int:
        """Tokens of what the model has said last."""
        return self.usages[-1][1].completion_tokens if self.usages else 0

    @property
    def silent(self) -> bool:
        """Whether nobody has heard anything of this turn."""
        return self._parts == 0 and not self._steered and self._replay is None

    def say(self, kind: TokenKind, text: str) -> None:
        if not text:
            return
        begins = kind != self._kind
        if begins:
            self._kind = kind
            self._parts += 1
        self.empty = self.empty and (kind == "reasoning" or text.isspace())
        if self._replay is not None:
            text = self._said_again(kind, text, begins=begins)
        if text:
            self._writer.token(self._answer_id, self._parts - 1, kind, text)

    def call(self, name: str, arguments: str, call_id: str | None = None) -> str:
        part = self._open_part()
        if call_id is not None:
            self._called.add(call_id)
        if self._replay is not None:
            again = self._replay.call(name, arguments, call_id)
            if again is not None:
                self._forget_what_was_said()
                return again
            self._part_ways()
        call_id = call_id or new_id("call")
        self._writer.event(ToolCall(self.state.id, self._answer_id, part, call_id, name, arguments))
        return call_id

    def open_call(self, name: str, call_id: str) -> int:
        self._called.add(call_id)
        part = self._open_part()
        self._part_ways()
        self._writer.event(ToolCall(self.state.id, self._answer_id, part, call_id, name, ""))
        return part

    def argue(self, part: int, arguments: str) -> None:
        self._writer.token(self._answer_id, part, "tool_arguments", arguments)

    def result(self, call_id: str, output: str, *, is_error: bool = False) -> None:
        if call_id in self._called:
            self._answered.add(call_id)
        part = self._open_part()
        if self._replay is not None:
            if self._replay.part(ToolResultPart(call_id, output, is_error)):
                return self._forget_what_was_said()
            self._part_ways()
        self._writer.event(ToolResult(self.state.id, self._answer_id, part, call_id, output, is_error))
        return None

    def emit(self, event: Event) -> None:
        if isinstance(event, Reset):
            self._replay = None
            self._begin_anew()
        elif isinstance(event, StatusUpdate):
            self.state = msgspec.structs.replace(self.state, phase=event.phase, detail=event.detail)
        if self._replay is None:  # else it was told before
            self._writer.event(event)

    def interrupted(self) -> tuple[Part, ...]:
        return () if self._replay is None else self._replay.rest()

    def caught_up(self) -> None:
        """The agent has nothing more to say: what it has not said again, though it was said, goes."""
        self._part_ways()

    async def begin_step(self, kind: StepKind, name: str, asked: str, call_id: str | None = None) -> tuple[Step, bool]:
        step, known = self._steps.begin(kind, name, asked, call_id)
        if kind == "step" and not known:
            self._steps.unsaved.append(step)
            await self._save_steps()
        return step, known

    async def keep_step(self, step: Step) -> None:
        self._steps.unsaved.append(step)
        if self._goes_on:  # what it says then must not be taken for this step's
            await self._save_steps()

    def report(self, error: BaseException, what: str) -> None:
        report(error, f"turn {self.state.id}: {what}")

    async def end_step(self, step: Step) -> None:
        self._steps.unsaved.append(step)
        await self._save_steps()

    async def ask(self, step: Step, question: str, tool: str | None, expires_s: float) -> ApprovalStatus:
        await self._save_steps()
        asked = await self._tasks.uncancelled(
            self._publisher.write(
                approvals.ask,
                self.state.session_id,
                self.state.id,
                self.epoch,
                step,
                question,
                tool,
                int(expires_s * 1_000_000),
            ),
            "ask",
        )
        if asked is None:
            self.stop(FENCED)
            raise Fenced
        if asked.waits:
            self.stop(WAITING)
            await asyncio.get_running_loop().create_future()  # whoever goes on, it is another attempt
        return asked.approval.status

    async def _save_steps(self) -> None:
        """Have on disk what was said and done up to now. Raises Fenced, Unavailable."""
        # To its end whatever becomes of who waits: else what was done could be lost, or enter after what is newer.
        if not await self._tasks.uncancelled(self._saved(), "save steps"):
            self.stop(FENCED)
            raise Fenced

    async def _saved(self) -> bool:
        """One save at a time: who finds nothing left to save has waited for the one that carried his step.

        Steps are tried for as long as words are (R-14), and stay unsaved until they are known to have entered: to enter once
        more does no harm. False: the turn is no longer ours.
        """
        clock = asyncio.get_running_loop().time
        deadline, wait_s = clock() + RETRY_FOR_S, 0.05
        key = self.state.session_id, self.state.id, self.epoch
        async with self._saving:
            try:
                await self._writer.flush()
            except Fenced:
                return False
            while unsaved := tuple(self._steps.unsaved):
                try:
                    if not await self._store.write(steps.save, *key, unsaved):
                        return False
                    del self._steps.unsaved[: len(unsaved)]
                except Unavailable:
                    if clock() >= deadline:
                        raise
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 2, 1.0)
        return True

    def _said_again(self, kind: TokenKind, text: str, *, begins: bool) -> str:
        """What of this is new to the readers."""
        assert self._replay is not None  # noqa: S101 - the caller has looked
        new = self._replay.text(kind, normalise(text), begins=begins)
        if new is None:
            self._part_ways()
            return text
        self._forget_what_was_said()
        return new

    def _forget_what_was_said(self) -> None:
        if self._replay is not None and self._replay.over:
            self._replay = None

    def _part_ways(self) -> None:
        """From here on the answer is another one: readers discard what they have beyond this point."""
        if self._replay is None:
            return
        at, kind, begun = self._replay.left()
        self._replay = None
        self._writer.event(Reset(self.state.id, self._answer_id, at))
        if begun:
            self._writer.token(self._answer_id, at, kind, begun)

    def _open_part(self) -> int:
        self._kind = None
        self._parts += 1
        self.empty = False
        return self._parts - 1

    @property
    def _answer_id(self) -> str:
        return self.state.answer_id or ""

    async def room(self) -> None:
        if self.background:
            await self._precedence.give_way()
        await self._writer.room()

    async def flush(self) -> None:
        """Wait until everything said is committed, and what is being recorded. Raises Fenced, Unavailable."""
        await self._writer.flush()
        async with self._saving:
            pass

    async def history(self) -> tuple[Message, ...]:
        # One more than the agent looks at: a turn that begins before it is seen to be cut, and left out whole.
        limit = self._tail + 1 if self._tail else 0
        return tuple(await self._store.read(messages.branch, self._leaf_id, limit))

    async def earlier(self, history: tuple[Message, ...]) -> Earlier:
        if not history or (not self._summaries and history[0].parent_id is None):
            return NOTHING
        return await self._store.read(
            summaries.earlier, self.state.session_id, self._leaf_id, summarised=self._summaries
        )

    async def load(self, file_id: str) -> bytes | None:
        return await attachments.load(self._store, self.state.session_id, file_id)

    async def steering(self) -> tuple[Message, ...]:
        if await self._store.read(steering.waits, self.state.session_id):
            self._part_ways()
            await self._writer.flush()
            # Once it is committed the next word belongs to the new answer, also when the agent stops waiting for this.
            await self._tasks.uncancelled(self._steer(), "steer")
        taken, self._taken = self._taken, ()
        return taken

    async def _steer(self) -> None:
        key = self.state.session_id, self.state.id, self.epoch
        async with self._saving:
            steered = await self._publisher.write(steering.steer, *key, self._answered)
            if steered is not None:
                self._steps.settle(self._answered)
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

    def answered_by(self, model_id: str) -> None:
        if self.state.model_id != model_id:
            self._change(model_id=model_id)

    def _begin_anew(self) -> None:
        self._kind, self._parts, self.empty = None, 0, True

    def _change(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self._writer.event(TurnEvent(self.state))
