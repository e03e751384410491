"""What an agent is given: the turn to answer, and the means to say what it does meanwhile."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from io import StringIO
from typing import TYPE_CHECKING, Any, Protocol, get_args

import msgspec

from legato.agents.attachments import with_content
from legato.core.errors import Misuse, cut
from legato.core.events import (
    Approval,
    ApprovalStatus,
    Event,
    Reset,
    StatusUpdate,
    TokenKind,
    ToolCall,
    ToolResult,
    Warning,
)
from legato.core.ids import new_id
from legato.core.memory import Remembered
from legato.core.model import ContextInfo, FilePart, Message, Session, TextPart, Usage
from legato.core.model import Turn as TurnState
from legato.core.prompt import BEGINNING, Budget, CountTokens, build_prompt
from legato.core.states import Phase
from legato.core.text import normalise
from legato.providers.catalog import Catalog
from legato.providers.port import (
    ModelRequest,
    Provider,
    ReasoningDelta,
    StopDelta,
    TextDelta,
    ToolCallDelta,
    UsageDelta,
)

if TYPE_CHECKING:
    from legato.agents.registry import AgentSpec


class Models(Protocol):
    """The models that agents may call."""

    catalog: Catalog

    def provider(self, model_id: str) -> Provider:
        """Raises ModelNotFound."""
        ...


class Stage(Protocol):
    """What the engine does for a running turn. Everything said is durable before a reader sees it."""

    state: TurnState

    def say(self, kind: TokenKind, text: str) -> None:
        """Add to the answer, in a new part where the kind changes."""

    def open_part(self) -> int:
        """The number of a new part."""

    def emit(self, event: Event) -> None: ...

    async def room(self) -> None:
        """Wait while too much is uncommitted."""

    async def history(self) -> tuple[Message, ...]:
        """The active branch up to the message being answered, as far back as the agent looks."""
        ...

    async def load(self, file_id: str) -> bytes | None:
        """The content of a file of the session; None where it has been removed."""
        ...

    async def steering(self) -> tuple[Message, ...]:
        """Take over the steering messages that wait."""
        ...

    def planned(self, context: ContextInfo) -> None:
        """A model is about to be called with this much context."""

    def used(self, model_id: str, usage: Usage) -> None: ...

    def stopped(self, reason: str) -> None:
        """Why the model stopped."""


class Turn:
    """The turn that an agent answers. The agent yields the answer's text, from ``stream`` or its own."""

    def __init__(
        self,
        *,
        stage: Stage,
        spec: "AgentSpec",
        models: Models,
        session: Session,
        message: Message,
        history: tuple[Message, ...],
        locale: str,
        memories: tuple[Remembered, ...] = (),
    ) -> None:
        self.session = session
        self.message = message
        self.history = history
        self.locale = locale
        #: What is remembered of the session's owner, the newest first. Data about them: it may say anything.
        self.memories = memories
        self._stage = stage
        self._spec = spec
        self._models = models
        self._streams: set[AsyncGenerator[object, None]] = set()
        self._closed = False

    @property
    def id(self) -> str:
        return self._stage.state.id

    @property
    def text(self) -> str:
        """What the user wrote; nothing in a welcome."""
        return "".join(part.text for part in self.message.parts if isinstance(part, TextPart))

    async def stream(self, *, system: str | None = None, model_id: str | None = None) -> AsyncIterator[str]:
        """Call the model with the budgeted history and yield its text as it comes; reasoning is shown by itself.

        In a welcome, where nobody has written yet, the model is asked to open the conversation.

        Raises:
            ContextOverflow: system prompt and message don't fit. ProviderError: the provider failed.
            Misuse: neither the caller, the session nor the agent names a model.
        """
        model = model_id or self._stage.state.model_id or self._spec.model_id
        if model is None:
            raise Misuse(f"agent {self._spec.id!r} names no model")
        provider = self._models.provider(model)
        count = self._models.catalog.counter(model)
        info = self._models.catalog.get(model)
        history = self.history or (msgspec.structs.replace(self.message, role="user", parts=(TextPart(BEGINNING),)),)
        budget = Budget(info.context_window, self._spec.reserve, self._spec.tail, self._spec.memory_tokens)
        said = self._spec.system if system is None else system
        prompt = build_prompt(said, history, budget, count, self.memories, info.capabilities)
        self._stage.planned(prompt.info)
        request = ModelRequest(
            model=model.partition(":")[2],
            messages=await with_content(prompt.messages, self._stage.load),
            max_tokens=self._spec.max_tokens,
            options=self._spec.options,
            background=self._stage.state.priority == "background",
        )
        meter = _Meter(prompt.info.tokens, count)
        upstream = provider.stream(request)
        self._streams.add(upstream)
        try:
            async for delta in upstream:
                if self._closed:  # a task that the agent left behind pumps on
                    return
                match delta:
                    case TextDelta():
                        meter.said(delta.text)
                        yield delta.text
                    case ReasoningDelta():
                        meter.said(delta.text)
                        self._stage.say("reasoning", delta.text)
                        await self._stage.room()
                    case UsageDelta():
                        meter.reported = delta
                    case StopDelta():
                        self._stage.stopped(delta.reason)
                    case ToolCallDelta():
                        meter.said(delta.arguments)
        finally:
            self._stage.used(model, meter.usage())
            await self._close(upstream)

    @property
    def files(self) -> tuple[FilePart, ...]:
        """The files of the user's message; ``read`` gives their content."""
        return tuple(part for part in self.message.parts if isinstance(part, FilePart))

    async def read(self, file: FilePart) -> bytes | None:
        """The content of a file of this message or of the history; None where it has been removed."""
        return await self._stage.load(file.file_id)

    async def status(self, phase: Phase, detail: str | None = None) -> None:
        """Tell the readers what is being done. Raises Misuse: there is no such phase."""
        _check(phase, Phase)  # what can't be read back must not enter the journal
        self._stage.emit(StatusUpdate(self.id, phase, None if detail is None else normalise(detail)))
        await self._stage.room()

    async def reasoning(self, text: str) -> None:
        """Show a thought beside the answer."""
        self._stage.say("reasoning", text)
        await self._stage.room()

    async def tool_call(self, name: str, arguments: str) -> str:
        """Record that a tool is called with ``arguments`` (JSON text); returns the call's id."""
        call_id = new_id("call")
        part, message_id = self._stage.open_part(), self._answer_id
        self._stage.emit(ToolCall(self.id, message_id, part, call_id, normalise(name), normalise(arguments)))
        await self._stage.room()
        return call_id

    async def tool_result(self, call_id: str, output: str, *, is_error: bool = False) -> None:
        """Record what the tool answered."""
        part, message_id = self._stage.open_part(), self._answer_id
        self._stage.emit(ToolResult(self.id, message_id, part, normalise(call_id), normalise(output), is_error))
        await self._stage.room()

    async def approval(
        self,
        question: str,
        status: ApprovalStatus = "pending",
        approval_id: str | None = None,
    ) -> str:
        """Show a question for a person, or its answer; returns the approval's id. Raises Misuse: no such status."""
        _check(status, ApprovalStatus)
        approval_id = normalise(approval_id) if approval_id else new_id("apr")
        self._stage.emit(Approval(self.id, approval_id, normalise(question), status))
        await self._stage.room()
        return approval_id

    async def warn(self, code: str, message: str) -> None:
        """Show a warning that ends nothing."""
        self._stage.emit(Warning(self.id, normalise(code), cut(message)))
        await self._stage.room()

    async def steering(self) -> tuple[str, ...]:
        """At a step's boundary: the texts of the messages that were sent to steer this turn; they join the history."""
        taken = await self._stage.steering()
        if taken:
            self.history = await self._stage.history()
        return tuple("".join(p.text for p in m.parts if isinstance(p, TextPart)) for m in taken)

    async def reset(self) -> None:
        """Take back what was said in this answer so far; readers discard it."""
        self._stage.emit(Reset(self.id, self._answer_id))
        await self._stage.room()

    async def aclose(self) -> None:
        """Close every upstream that is still open."""
        self._closed = True
        for upstream in list(self._streams):
            await self._close(upstream)

    @property
    def _answer_id(self) -> str:
        return self._stage.state.answer_id or ""

    async def _close(self, upstream: AsyncGenerator[object, None]) -> None:
        self._streams.discard(upstream)
        with contextlib.suppress(RuntimeError):  # it is already being closed further up the stack
            await upstream.aclose()


def _check(word: str, kind: Any) -> None:
    if word not in get_args(kind):
        raise Misuse(f"{word!r} is none of {', '.join(get_args(kind))}.")


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
