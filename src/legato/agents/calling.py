"""Calling a model, again and again as long as it calls tools: model → calls → recorded steps → model (promises A-01, R-08)."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from io import StringIO
from typing import TYPE_CHECKING, Any, Final

import msgspec

from legato.agents.attachments import with_content
from legato.agents.tools import Tool
from legato.core.errors import ContextOverflow, Misuse, ToolFailed
from legato.core.ids import new_id
from legato.core.model import Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, Usage
from legato.core.prompt import BEGINNING, Budget, CountTokens, Prompt, build_prompt
from legato.core.steps import Step, call_digest, digest, encoded
from legato.core.text import normalise
from legato.providers.port import (
    Delta,
    ModelDelta,
    ModelRequest,
    ReasoningDelta,
    StopDelta,
    TextDelta,
    ToolCallDelta,
    UsageDelta,
)

if TYPE_CHECKING:
    from legato.agents.registry import AgentSpec
    from legato.agents.turn import Models, Stage, Turn

#: Why a turn ends whose model goes on calling tools.
MAX_STEPS: Final = "max_steps"
#: Where a model stops so, nobody knows what it would still have said, of the arguments of a call either: none is made.
_CUT_OFF: Final = ("length", "content_filter")
GO_ON: Final = "(You were interrupted. Go on exactly where you stopped, without a word of introduction.)"
_LEFT_OUT: Final = "[left out: there was no room for this result any more]"
_UNKNOWN: Final = "outcome_unknown: the process died while this call ran; whether it was done is not known."
_NOT_ALLOWED: Final = {
    "denied": "not_allowed: a person was asked and did not allow this call.",
    "expired": "not_allowed: a person was asked and has not answered in time.",
}
_MOST_NAME_CHARS: Final = 200  # of a call's id, and of a tool's name: a server may send any


class Reply(msgspec.Struct):
    """What a model answered to one call, and what that used; as it is recorded."""

    parts: list[Part] = []
    stop: str = "stop"
    used: list[tuple[str, Usage]] = []


_reply: Final = msgspec.json.Decoder(Reply)


class ModelCalls:
    """One ``turn.stream``: its model is called until it calls no tool any more."""

    def __init__(
        self,
        *,
        turn: "Turn",
        stage: "Stage",
        spec: "AgentSpec",
        models: "Models",
        model_id: str,
        system: str,
        tools: Sequence[Tool],
        max_steps: int,
    ) -> None:
        self._turn = turn
        self._stage = stage
        self._spec = spec
        self._model_id = model_id
        self._provider = models.provider(model_id)
        self._info = models.catalog.get(model_id)
        self._count = models.catalog.counter(model_id)
        self._system = system
        self._tools = {tool.name: tool for tool in tools}
        self._max_steps = max_steps
        self._said: list[Part] = []  # since the history ends
        self._upstream: AsyncGenerator[Delta, None] | None = None
        self._closed = False

    async def stream(self) -> AsyncGenerator[str, None]:
        """The model's text; its thoughts, calls and their results are shown by themselves."""
        for _ in range(self._max_steps):
            reply = Reply()
            async with aclosing(self._answer(reply)) as texts:
                async for text in texts:
                    yield text
            calls = [part for part in reply.parts if isinstance(part, ToolCallPart)]
            if not calls or reply.stop in _CUT_OFF:
                return
            self._said += reply.parts
            await self._perform(calls)
            if await self._turn.steering():
                self._said = []  # it has become a message of the history
        self._stage.stopped(MAX_STEPS)

    async def aclose(self) -> None:
        """End the model's answer that is under way."""
        self._closed = True
        if self._upstream is not None:
            await _close(self._upstream)

    def _go_on(self) -> None:
        """A task that the agent left behind may pump on: what was cut off is no reply, and must not be kept as one."""
        if self._closed:
            raise asyncio.CancelledError

    async def _answer(self, reply: Reply) -> AsyncGenerator[str, None]:
        """One call of the model, or what was recorded of it; ``reply`` is filled."""
        last = self._turn.history[-1].id if self._turn.history else ""
        asked = digest(self._system, list(self._tools), msgspec.to_builtins(self._said), last)
        step, known = await self._stage.begin_step("stream", self._model_id, asked)
        if known:
            async with aclosing(self._again(step, reply)) as texts:
                async for text in texts:
                    yield text
            return
        said = self._stage.interrupted()
        for part in said:
            if isinstance(part, TextPart):
                yield part.text
            elif isinstance(part, ReasoningPart):
                self._stage.say("reasoning", part.text)
        prompt, prefill = self._prompt(said)
        self._stage.planned(prompt.info)
        if said:  # who was interrupted has used something, too, and nobody has told how much
            lost = _Meter(prompt.info.tokens, self._count)
            for part in said:
                lost.said(part.text if isinstance(part, TextPart | ReasoningPart) else "")
            self._stage.used(self._model_id, lost.usage())
        async with aclosing(self._call(prompt, prefill, reply)) as texts:
            async for text in texts:
                yield text
        reply.parts = [*said, *reply.parts]
        await self._stage.keep_step(msgspec.structs.replace(step, result=encoded(msgspec.to_builtins(reply))))

    async def _again(self, step: Step, reply: Reply) -> AsyncGenerator[str, None]:
        recorded = _reply.decode(step.result or "{}")
        reply.parts, reply.stop, reply.used = recorded.parts, recorded.stop, recorded.used
        for part in reply.parts:
            match part:
                case TextPart():
                    yield part.text
                case ReasoningPart():
                    self._stage.say("reasoning", part.text)
                case ToolCallPart():
                    self._turn.call_ids.add(part.call_id)
                    self._stage.call(part.name, part.arguments, part.call_id)
                case _:
                    raise Misuse("a model does not answer with this")
        for model_id, usage in reply.used:
            self._stage.used(model_id, usage)
        self._stage.stopped(reply.stop)

    def _prompt(self, said: Sequence[Part]) -> tuple[Prompt, bool]:
        """What the model is sent, and whether it goes on with the last words of it."""
        turn, spec = self._turn, self._spec
        history: list[Message] = list(turn.history) or [
            msgspec.structs.replace(turn.message, role="user", parts=(TextPart(BEGINNING),))
        ]
        words = tuple(part for part in said if isinstance(part, TextPart))
        prefill = bool(words) and "prefill" in self._info.capabilities
        budget = Budget(self._info.context_window, spec.reserve, spec.tail, spec.memory_tokens)
        done, capabilities = list(self._said), self._info.capabilities
        while True:
            extended = history.copy()
            if parts := (*done, *words):
                extended.append(_of_this_turn(history[-1], "assistant", parts))
            if words and not prefill:
                extended.append(_of_this_turn(history[-1], "user", (TextPart(GO_ON),)))
            try:
                return build_prompt(
                    self._system, extended, budget, self._count, turn.memories, turn.earlier, capabilities
                ), prefill
            except ContextOverflow:
                if not _shorten(done):
                    raise

    async def _call(self, prompt: Prompt, prefill: bool, reply: Reply) -> AsyncGenerator[str, None]:
        request = ModelRequest(
            model=self._model_id.partition(":")[2],
            messages=await with_content(prompt.messages, self._stage.load),
            tools=tuple(tool.spec for tool in self._tools.values()),
            prefill=prefill,
            max_tokens=self._spec.max_tokens,
            room=self._info.context_window - prompt.info.tokens,
            options=self._spec.options,
            background=self._turn.in_background,
        )
        meter = _Meter(prompt.info.tokens, self._count)
        parts = _Parts(self._turn.call_ids)
        answers = self._model_id
        self._go_on()
        upstream = self._upstream = self._provider.stream(request)
        try:
            async for delta in upstream:
                self._go_on()
                match delta:
                    case TextDelta():
                        meter.said(delta.text)
                        parts.text(TextPart, delta.text)
                        yield delta.text
                    case ReasoningDelta():
                        meter.said(delta.text)
                        parts.text(ReasoningPart, delta.text)
                        self._stage.say("reasoning", delta.text)
                        await self._stage.room()
                    case UsageDelta():
                        meter.reported = delta
                    case StopDelta():
                        reply.stop = delta.reason
                    case ToolCallDelta():
                        meter.said(delta.arguments)
                        if self._tools:  # else it calls what nobody has offered
                            self._argue(parts, delta)
                            await self._stage.room()
                    case ModelDelta():
                        answers = delta.model_id
                        await self._turn.told_of(self._model_id, answers)
            self._go_on()
            self._stage.stopped(reply.stop)
            reply.parts = parts.build()
        finally:
            reply.used = [(answers, meter.usage())]
            self._stage.used(*reply.used[0])
            await _close(upstream)

    def _argue(self, parts: "_Parts", delta: ToolCallDelta) -> None:
        call = parts.call(delta)
        if call.part is None:
            call.part = self._stage.open_call(call.name, call.call_id)
        if delta.arguments:
            self._stage.argue(call.part, delta.arguments)

    async def _perform(self, calls: Sequence[ToolCallPart]) -> None:
        """Run what was called, in order; neighbours that may run beside each other do."""
        waiting = list(calls)
        while waiting:
            few = waiting[: _together(waiting, self._tools)]
            del waiting[: len(few)]
            outcomes = await _gather([self._outcome(call) for call in few])
            for call, (output, is_error) in zip(few, outcomes, strict=True):
                self._stage.result(call.call_id, output, is_error=is_error)
                self._said.append(ToolResultPart(call.call_id, output, is_error))
            await self._stage.room()

    async def _outcome(self, call: ToolCallPart) -> tuple[str, bool]:
        tool = self._tools.get(call.name)
        if tool is None:
            return f"There is no tool {call.name[:100]!r}.", True
        return await perform(self._turn, self._stage, tool, call.arguments, call.call_id)


async def _close(upstream: AsyncGenerator[Delta, None]) -> None:
    with contextlib.suppress(RuntimeError):  # somebody is in it, who closes it when he comes out
        await upstream.aclose()


async def perform(turn: "Turn", stage: "Stage", tool: Tool, arguments: str, call_id: str) -> tuple[str, bool]:
    """What a call of a tool comes to, and whether it is an error. It is a recorded step: what was done is not done again."""
    if tool.approve:
        answer = await turn.ask_of_call(f"Use {tool.name} with {arguments}?", tool.name, call_id)
        if answer != "allowed":
            return _NOT_ALLOWED[answer], True
    step, known = await stage.begin_step("step", tool.name, call_digest(tool.name, arguments), call_id)
    if known and step.result is not None:
        return str(step.value()), step.failed
    if known and not tool.repeatable:
        output, failed = _UNKNOWN, True
    else:
        output, failed = await _called(turn, stage, tool, arguments)
    await stage.end_step(msgspec.structs.replace(step, result=encoded(output), failed=failed))
    return output, failed


async def _called(turn: "Turn", stage: "Stage", tool: Tool, arguments: str) -> tuple[str, bool]:
    turn.performing += 1
    try:
        return await tool.call(turn, arguments), False
    except ToolFailed as error:
        return error.message, True
    except Exception as error:  # a model can go on without it, and what it said is the log's
        stage.report(error, f"the tool {tool.name} failed")
        return ToolFailed().message, True
    finally:
        turn.performing -= 1


def _together(calls: Sequence[ToolCallPart], tools: dict[str, Tool]) -> int:
    """How many of the first of them may run beside each other."""
    count = 0
    for call in calls:
        tool = tools.get(call.name)
        if tool is None or not tool.parallel or tool.approve:
            break
        count += 1
    return max(1, count)


async def _gather(works: Sequence[Coroutine[Any, Any, tuple[str, bool]]]) -> list[tuple[str, bool]]:
    """All of them; when one fails, the others are cancelled before that is told."""
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _shorten(said: list[Part]) -> bool:
    """Leave out the oldest result that is still there, for the sake of the newer ones; whether there was one."""
    for at, part in enumerate(said):
        if isinstance(part, ToolResultPart) and len(part.output) > len(_LEFT_OUT):
            said[at] = msgspec.structs.replace(part, output=_LEFT_OUT)
            return True
    return False


def _of_this_turn(last: Message, role: Any, parts: tuple[Part, ...]) -> Message:
    return msgspec.structs.replace(last, id="", role=role, status="in_progress", parts=parts)


class _OpenCall(msgspec.Struct):
    call_id: str
    name: str
    arguments: list[str]
    part: int | None = None


class _Parts:
    """What a model says, gathered in the order in which it begins. Its calls have ids that none of ``taken`` has."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._all: list[tuple[type[TextPart | ReasoningPart], list[str]] | _OpenCall] = []
        self._calls: dict[int, _OpenCall] = {}

    def text(self, kind: type[TextPart | ReasoningPart], text: str) -> None:
        last = self._all[-1] if self._all else None
        if isinstance(last, tuple) and last[0] is kind:
            last[1].append(text)
        else:
            self._all.append((kind, [text]))

    def call(self, delta: ToolCallDelta) -> _OpenCall:
        call = self._calls.get(delta.index)
        if call is None:
            call_id = normalise(delta.call_id)
            if not 0 < len(call_id) <= _MOST_NAME_CHARS or call_id in self._taken:
                call_id = new_id("call")
            self._taken.add(call_id)
            call = self._calls[delta.index] = _OpenCall(call_id, normalise(delta.name)[:_MOST_NAME_CHARS], [])
            self._all.append(call)
        call.arguments.append(delta.arguments)
        return call

    def build(self) -> list[Part]:
        return [
            ToolCallPart(part.call_id, part.name, normalise("".join(part.arguments)))
            if isinstance(part, _OpenCall)
            else part[0](normalise("".join(part[1])))
            for part in self._all
        ]


class _Meter:
    """Usage of one call: the provider's word, or an estimate."""

    def __init__(self, prompt_tokens: int, count: CountTokens) -> None:
        self.reported: UsageDelta | None = None
        self._prompt_tokens = prompt_tokens
        self._count = count
        self._said = StringIO()

    def said(self, text: str) -> None:
        self._said.write(text)

    def usage(self) -> Usage:
        if (told := self.reported) is not None:
            total = told.prompt_tokens + told.completion_tokens
            return Usage(told.prompt_tokens, told.completion_tokens, told.cached_tokens, total)
        completion = self._count(self._said.getvalue())
        return Usage(self._prompt_tokens, completion, total_tokens=self._prompt_tokens + completion, estimated=True)
