"""An answer that one reader gets and nobody stores: its frames, as they come, without cursors (see ``degraded``)."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import anyio
import msgspec

from legato.agents.turn import Turn as AgentTurn
from legato.core.errors import (
    MAX_WORD_BYTES,
    AgentFailed,
    EmptyAnswer,
    LegatoError,
    TurnTimeout,
    Unavailable,
    cut,
)
from legato.core.events import (
    Done,
    ErrorEvent,
    Event,
    Reset,
    StatusUpdate,
    Token,
    TokenKind,
    UsageEvent,
    Warning,
    encode_data,
)
from legato.core.model import ContextInfo, ErrorInfo, Message, Part, Turn, Usage
from legato.core.prompt import NOTHING, Earlier
from legato.core.sse import encode_frame
from legato.core.states import TerminalStatus
from legato.core.text import Normaliser
from legato.engine import phrases
from legato.engine.tasks import report
from legato.engine.usage import priced, total
from legato.providers.catalog import Catalog

#: What ``done`` and ``warning`` say of it.
DEGRADED: Final = "degraded"
_ROOM_BYTES: Final = 256 * 1024
_WORDS: Final = (StatusUpdate, Reset, Warning)


class _Unkept(msgspec.Struct, frozen=True, kw_only=True):
    """A step that nobody will ask for again."""

    kind: str
    name: str
    digest: str
    result: str | None = None
    failed: bool = False


class Private:
    """The stage (``agents.turn.Stage``) of such an answer, and what its reader takes.

    Whatever would have to be on disk before the agent may go on (a tool's call, a step, a question) raises Unavailable.
    """

    def __init__(self, *, turn: Turn, catalog: Catalog, locale: str | None) -> None:
        self.state = turn
        self.locale = locale
        self.given: AgentTurn | None = None
        self.message: Message | None = None
        self._catalog = catalog
        self._frames: list[bytes] = []
        self._bytes = 0
        self._more = asyncio.Event()
        self._taken = asyncio.Event()
        self._settled = anyio.Event()
        self._closed = False
        self._stop_reason: str | None = None
        self._model_stop: str | None = None
        self._usages: list[tuple[str, Usage]] = []
        self._text = Normaliser()
        self._kind: TokenKind | None = None
        self._parts = 0
        self._empty = True
        self._put(Warning(turn.id, DEGRADED, phrases.degraded(locale)))

    # For the agent

    def say(self, kind: TokenKind, text: str) -> None:
        if kind != self._kind:
            self._flush()
            self._kind = kind
            self._parts += 1
        self._token(kind, self._text.feed(text))

    def emit(self, event: Event) -> None:
        if not isinstance(event, _WORDS):
            raise Unavailable
        self._flush()
        if isinstance(event, Reset):
            self._kind, self._parts, self._empty = None, 0, True
        self._put(event)

    async def room(self) -> None:
        """Wait while the reader is slow."""
        while self._bytes > _ROOM_BYTES and not self._settled.is_set():
            self._taken.clear()
            await self._taken.wait()

    async def history(self) -> tuple[Message, ...]:
        return () if self.message is None else (self.message,)

    async def earlier(self, history: tuple[Message, ...]) -> Earlier:
        return NOTHING

    async def load(self, file_id: str) -> NoReturn:
        raise Unavailable

    async def steering(self) -> tuple[Message, ...]:
        return ()

    def planned(self, context: ContextInfo) -> None:
        pass

    def used(self, model_id: str, usage: Usage) -> None:
        self._usages.append((model_id, usage))

    def stopped(self, reason: str) -> None:
        self._model_stop = cut(reason, MAX_WORD_BYTES)

    def answered_by(self, model_id: str) -> None:
        """Another model than the one that was asked for answers."""
        self.state = msgspec.structs.replace(self.state, model_id=model_id)

    def open_part(self) -> int:
        raise Unavailable

    def call(self, *_: Any, **__: Any) -> NoReturn:
        raise Unavailable

    def open_call(self, *_: Any, **__: Any) -> NoReturn:
        raise Unavailable

    def argue(self, *_: Any, **__: Any) -> NoReturn:
        raise Unavailable

    def result(self, *_: Any, **__: Any) -> NoReturn:
        raise Unavailable

    def interrupted(self) -> tuple[Part, ...]:
        return ()

    async def begin_step(self, kind: str, name: str, asked: str, call_id: str | None = None) -> tuple[Any, bool]:
        """A model may be called: what it says need not be on disk before anything else is done."""
        if kind != "stream":
            raise Unavailable
        return _Unkept(kind=kind, name=name, digest=asked), False

    async def keep_step(self, *_: Any, **__: Any) -> None:
        """What a model has said need not be kept: nobody begins this answer anew."""

    async def end_step(self, *_: Any, **__: Any) -> NoReturn:
        raise Unavailable

    async def ask(self, *_: Any, **__: Any) -> NoReturn:
        raise Unavailable

    def report(self, error: BaseException, what: str) -> None:
        report(error, f"answer {self.state.id}: {what}")

    # For the engine

    def stop(self, reason: str) -> None:
        """The agent must stop; the first reason counts."""
        self._stop_reason = self._stop_reason or reason
        self.settle()

    async def abandon(self) -> None:
        """The reader is gone."""
        self.stop("abandoned")

    def settle(self) -> None:
        self._settled.set()
        self._taken.set()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until the agent is done, or must be; False when that took too long."""
        with anyio.move_on_after(timeout_s):
            await self._settled.wait()
        return self._settled.is_set()

    async def close_upstreams(self) -> None:
        if self.given is not None:
            await self.given.aclose()

    def end(self, failed: Exception | None, *, in_time: bool) -> None:
        """Tell how it ended: ``usage`` where a model was called, then ``done``."""
        self._flush()
        status, error = self._outcome(failed, in_time=in_time)
        if status == "failed" and error is not None:
            self._put(ErrorEvent(self.state.id, error.code, error.message))
        if (usage := total(priced(self._usages, self._catalog))) is not None:
            self._put(UsageEvent(turn_id=self.state.id, **msgspec.structs.asdict(usage)))
        self._put(Done(self.state.id, status, DEGRADED, datetime.now(UTC), error))

    def close(self) -> None:
        """Nothing more comes."""
        self._closed = True
        self._more.set()

    # For the reader

    async def next(self, timeout_s: float) -> bytes | None:
        """More frames; b"" when there was nothing for ``timeout_s``, None when it is over."""
        if not self._frames and not self._closed:
            self._more.clear()
            with anyio.move_on_after(timeout_s):
                await self._more.wait()
        frames, self._frames, self._bytes = self._frames, [], 0
        self._taken.set()
        return b"".join(frames) if frames or not self._closed else None

    def _outcome(self, failed: Exception | None, *, in_time: bool) -> tuple[TerminalStatus, ErrorInfo | None]:
        match failed:
            case _ if self._stop_reason is not None:
                return "incomplete", ErrorInfo(self._stop_reason, "The server stops.")
            case Unavailable():
                return "incomplete", ErrorInfo(failed.code, failed.message)
            case LegatoError():
                return "failed", ErrorInfo(cut(failed.code, MAX_WORD_BYTES), failed.message)
            case None if not in_time:
                return "failed", ErrorInfo(TurnTimeout.code, TurnTimeout().message)
            case None if self._empty:
                return "failed", ErrorInfo(EmptyAnswer.code, EmptyAnswer().message)
            case None:
                cut_off = self._model_stop in ("length", "content_filter")
                return ("incomplete", ErrorInfo(str(self._model_stop), "")) if cut_off else ("completed", None)
            case _:
                return "failed", ErrorInfo(AgentFailed.code, AgentFailed().message)

    def _flush(self) -> None:
        if self._kind is not None:
            self._token(self._kind, self._text.flush())

    def _token(self, kind: TokenKind, text: str) -> None:
        if text:
            self._empty = self._empty and (kind == "reasoning" or text.isspace())
            self._put(Token(self.state.id, self.state.answer_id or "", self._parts - 1, kind, text))

    def _put(self, event: Event) -> None:
        frame = encode_frame(event.event.encode(), encode_data(event))
        self._frames.append(frame)
        self._bytes += len(frame)
        self._more.set()
