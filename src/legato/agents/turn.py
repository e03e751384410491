"""What an agent is given: the turn to answer, and the means to say what it does meanwhile."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, Protocol, get_args

import msgspec

from legato.agents.calling import ModelCalls, perform
from legato.agents.threads import THREADS, Threads
from legato.agents.tools import ToolLike, as_tool
from legato.core.errors import LegatoError, Misuse, OutcomeUnknown, StepFailed, ToolFailed, cut
from legato.core.events import Event, Reset, StatusUpdate, TokenKind, Warning
from legato.core.memory import Remembered
from legato.core.model import ApprovalStatus, ContextInfo, FilePart, Message, Part, Session, TextPart, Usage
from legato.core.model import Turn as TurnState
from legato.core.prompt import NOTHING, Earlier
from legato.core.states import Phase
from legato.core.steps import MAX_RESULT_BYTES, Step, StepKind, call_digest, digest, encoded
from legato.core.text import abridged, normalise
from legato.providers.catalog import Catalog
from legato.providers.port import Provider

if TYPE_CHECKING:
    from legato.agents.registry import AgentSpec

P = ParamSpec("P")

Answer = Literal["allowed", "denied", "expired"]

DEFAULT_EXPIRES_S: Final = 24 * 3600.0
_MOST_QUESTION_CHARS: Final = 4_000


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

    def call(self, name: str, arguments: str, call_id: str | None = None) -> str:
        """Tell of a tool's call, whole; its id."""
        ...

    def open_call(self, name: str, call_id: str) -> int:
        """Tell of a tool's call whose arguments follow; its part's number."""
        ...

    def argue(self, part: int, arguments: str) -> None:
        """More of the arguments of the call in this part."""

    def result(self, call_id: str, output: str, *, is_error: bool = False) -> None:
        """Tell what a call came to."""

    def emit(self, event: Event) -> None: ...

    def interrupted(self) -> tuple[Part, ...]:
        """The words and thoughts that an earlier attempt has said from here on, until it was interrupted."""
        ...

    async def begin_step(self, kind: StepKind, name: str, asked: str, call_id: str | None = None) -> tuple[Step, bool]:
        """The next step, and whether it was recorded before; else it is on disk, before anything is done, that it begins."""
        ...

    async def keep_step(self, step: Step) -> None:
        """Record what a model has said, no later than what is done next."""

    async def end_step(self, step: Step) -> None:
        """Record what was done."""

    async def ask(self, step: Step, question: str, tool: str | None, expires_s: float) -> ApprovalStatus:
        """Ask a person. Where nobody has answered beforehand this does not return: another attempt is given the answer."""
        ...

    def report(self, error: BaseException, what: str) -> None:
        """Have it in the log that something failed without which the turn goes on."""

    async def room(self) -> None:
        """Wait while too much is uncommitted."""

    async def history(self) -> tuple[Message, ...]:
        """The active branch up to the message being answered, as far back as the agent looks."""
        ...

    async def earlier(self, history: tuple[Message, ...]) -> Earlier:
        """What a prompt holds besides these newest messages."""
        ...

    async def load(self, file_id: str) -> bytes | None:
        """The content of a file of the session; None where it has been removed. Raises Corrupted."""
        ...

    async def steering(self) -> tuple[Message, ...]:
        """Take over the steering messages that wait."""
        ...

    def planned(self, context: ContextInfo) -> None:
        """A model is about to be called with this much context."""

    def used(self, model_id: str, usage: Usage) -> None: ...

    def stopped(self, reason: str) -> None:
        """Why the model stopped."""

    def answered_by(self, model_id: str) -> None:
        """Another model than the one that was asked for answers."""


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
        earlier: Earlier = NOTHING,
        threads: Threads = THREADS,
    ) -> None:
        self.session = session
        self.message = message
        self.history = history
        self.locale = locale
        #: What is remembered of the session's owner, the newest first. Data about them: it may say anything.
        self.memories = memories
        #: What the prompt holds besides the newest messages: a summary, and what is pinned.
        self.earlier = earlier
        self._stage = stage
        self._spec = spec
        self._models = models
        self._calls: set[ModelCalls] = set()
        self._own_calls: dict[str, Step] = {}
        self.threads = threads  # where tools and steps run that are not ``async``
        self.performing = 0  # tools and steps that are being done
        self.call_ids: set[str] = set()  # of what its models called: some servers number the calls of each answer anew
        self._model_id = stage.state.model_id or spec.model_id  # the turn's own will be that of who really answers
        self._fallbacks: set[tuple[str, str]] = set()

    @property
    def id(self) -> str:
        return self._stage.state.id

    @property
    def in_background(self) -> bool:
        """Whether nobody waits for it."""
        return self._stage.state.priority == "background"

    @property
    def text(self) -> str:
        """What the user wrote; nothing in a welcome."""
        return "".join(part.text for part in self.message.parts if isinstance(part, TextPart))

    async def stream(
        self,
        *,
        system: str | None = None,
        model_id: str | None = None,
        tools: Sequence[ToolLike] | None = None,
        max_steps: int | None = None,
    ) -> AsyncIterator[str]:
        """Call the model with the budgeted history and yield its text as it comes; thoughts and calls are shown by themselves.

        As long as it calls ``tools`` (functions, or what ``legato.tool`` makes of them; by default the agent's), these are run,
        and it is called again with their results, at most ``max_steps`` times: then the turn is ``incomplete``. Steering
        messages are taken over in between. In a welcome, where nobody has written yet, the model is asked to open the
        conversation.

        Raises:
            ContextOverflow: system prompt and message don't fit. ProviderError: the provider failed.
            Misuse: neither the caller, the session nor the agent names a model; a function is no good tool.
        """
        model = model_id or self._model_id
        if model is None:
            raise Misuse(f"agent {self._spec.id!r} names no model")
        calls = ModelCalls(
            turn=self,
            stage=self._stage,
            spec=self._spec,
            models=self._models,
            model_id=model,
            system=self._spec.system if system is None else system,
            tools=[as_tool(tool) for tool in (self._spec.tools if tools is None else tools)],
            max_steps=max_steps or self._spec.max_steps,
        )
        self._calls.add(calls)
        try:
            async with aclosing(calls.stream()) as texts:
                async for text in texts:
                    yield text
        finally:
            self._calls.discard(calls)
            await calls.aclose()

    async def step(self, name: str, function: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Do something once: what ``function`` returns is recorded, and an attempt that comes after is given it.

        Arguments and result must be JSON; the result comes as JSON has it (a tuple as a list). A function that is not
        ``async`` runs in a thread of its own.

        Raises:
            StepFailed: the function raised; that is recorded, too. OutcomeUnknown: an earlier attempt began it, and its process
            died. Misuse: arguments or result are not JSON, or more than 256 KiB.
        """
        step, known = await self._stage.begin_step("step", name, digest(name, args, kwargs))
        if not known:
            step = await self._done(step, function, *args, **kwargs)
        if step.result is None:
            raise OutcomeUnknown(step=name)
        if step.failed:
            raise StepFailed(str(step.value()))
        return step.value()

    async def _done(self, step: Step, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> Step:
        self.performing += 1
        try:
            value = await self.threads.call(partial(function, *args, **kwargs))
        except Exception as error:
            self._stage.report(error, f"the step {step.name} failed")
            said = error.message if isinstance(error, LegatoError) else type(error).__name__
            done = msgspec.structs.replace(step, result=encoded(said), failed=True)
            await self._stage.end_step(done)
            raise StepFailed(said) from error
        finally:
            self.performing -= 1
        result = encoded(value)
        if len(result) > MAX_RESULT_BYTES:
            raise Misuse(f"the result of the step {step.name!r} has more than {MAX_RESULT_BYTES} bytes")
        done = msgspec.structs.replace(step, result=result)
        await self._stage.end_step(done)
        return done

    async def use(self, tool: ToolLike, /, **arguments: Any) -> str:
        """Call a tool as a model would: shown, recorded, and asked about first where it wants that. Raises ToolFailed."""
        made, said = as_tool(tool), encoded(arguments)
        call_id = self._stage.call(made.name, said)
        await self._stage.room()
        output, is_error = await perform(self, self._stage, made, said, call_id)
        self._stage.result(call_id, output, is_error=is_error)
        await self._stage.room()
        if is_error:
            raise ToolFailed(output)
        return output

    async def ask(self, question: str, *, tool: str | None = None, expires_s: float = DEFAULT_EXPIRES_S) -> Answer:
        """Ask the session's owner whether to go on. The turn is parked until he answers, on any device: no process holds it.

        The agent is begun anew then, as after a crash, and comes back here with the answer. ``tool`` is what he may allow for
        always. ``expired``: nobody has answered in ``expires_s``. Of a question of more than 4,000 characters he is shown the
        beginning, the end, and how much is left out; he answers the whole of it.

        Raises:
            Misuse: a tool asks that has begun. It would not know whether it was done; ``tool(approve=True)`` asks before.
        """
        return await self.ask_of_call(question, tool, None, expires_s)

    async def ask_of_call(
        self, question: str, tool: str | None, call_id: str | None, expires_s: float = DEFAULT_EXPIRES_S
    ) -> Answer:
        """``ask`` whether to make a model's call."""
        if self.performing:
            raise Misuse("a tool that has begun can't ask; let it be asked before: tool(approve=True)")
        question = normalise(question)
        # The whole of it counts, however much of it is shown: an answer to one question must not pass for that to another.
        step, known = await self._stage.begin_step("ask", tool or "", digest("ask", tool, question), call_id)
        if known and step.result is not None:
            answer: Answer = step.value()
            return answer
        status = await self._stage.ask(step, abridged(question, _MOST_QUESTION_CHARS), tool, expires_s)
        return "allowed" if status == "allowed" else "denied"

    @property
    def files(self) -> tuple[FilePart, ...]:
        """The files of the user's message; ``read`` gives their content."""
        return tuple(part for part in self.message.parts if isinstance(part, FilePart))

    async def read(self, file: FilePart) -> bytes | None:
        """The content of a file of this message or of the history; None where it has been removed. Raises Corrupted."""
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
        """Show that a tool is called with ``arguments`` (JSON text), by the agent's own means; returns the call's id."""
        name, arguments = normalise(name), normalise(arguments)
        call_id = self._stage.call(name, arguments)
        asked = call_digest(name, arguments)
        self._own_calls[call_id], _ = await self._stage.begin_step("step", name, asked, call_id)
        await self._stage.room()
        return call_id

    async def tool_result(self, call_id: str, output: str, *, is_error: bool = False) -> None:
        """Show what the tool answered."""
        output = normalise(output)
        if (step := self._own_calls.pop(call_id, None)) is not None:
            await self._stage.keep_step(msgspec.structs.replace(step, result=encoded(output), failed=is_error))
        self._stage.result(normalise(call_id), output, is_error=is_error)
        await self._stage.room()

    async def warn(self, code: str, message: str) -> None:
        """Show a warning that ends nothing."""
        self._stage.emit(Warning(self.id, normalise(code), cut(message)))
        await self._stage.room()

    async def steering(self) -> tuple[str, ...]:
        """At a step's boundary: the texts of the messages that were sent to steer this turn; they join the history."""
        taken = await self._stage.steering()
        if taken:
            self.history = await self._stage.history()
            self.earlier = await self._stage.earlier(self.history)
        return tuple("".join(p.text for p in m.parts if isinstance(p, TextPart)) for m in taken)

    async def told_of(self, asked: str, model_id: str) -> None:
        """Another model than the one that was asked answers. The warning comes once a turn: a turn may ask often."""
        self._stage.answered_by(model_id)
        if (asked, model_id) not in self._fallbacks:
            self._fallbacks.add((asked, model_id))
            await self.warn("fallback", f"{asked} can't answer at present; {model_id} answers in its place.")

    async def reset(self) -> None:
        """Take back what was said in this answer so far; readers discard it."""
        self._stage.emit(Reset(self.id, self._answer_id))
        await self._stage.room()

    async def aclose(self) -> None:
        """Close every upstream that is still open."""
        for calls in list(self._calls):
            await calls.aclose()

    @property
    def _answer_id(self) -> str:
        return self._stage.state.answer_id or ""


def _check(word: str, kind: Any) -> None:
    if word not in get_args(kind):
        raise Misuse(f"{word!r} is none of {', '.join(get_args(kind))}.")
