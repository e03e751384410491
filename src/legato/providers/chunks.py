"""What an OpenAI-compatible server streams, decoded and told as deltas."""

import json
from typing import Any, Final

import msgspec

from legato.core.errors import ProviderCut, ProviderError, ProviderNonsense
from legato.core.ids import new_id
from legato.providers.port import Delta, ReasoningDelta, StopDelta, TextDelta, ToolCallDelta, UsageDelta

_DONE: Final = b"[DONE]"
_FAILURES: Final = {
    "error": ProviderError,
    "abort": ProviderCut,
}  # OpenRouter's and vLLM's reasons to stop that are none
_MOST_TOKENS: Final = 1_000_000_000  # what is beyond is no count, and a database may have no room for it


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek's name


class Chunk(msgspec.Struct):
    """The fields of a ``chat.completion.chunk`` that are of use here."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(Chunk).decode


def decode_chunk(data: bytes) -> Chunk:
    """The chunk in ``data``; half a surrogate pair in a string stays as it is.

    Raises:
        ProviderNonsense: not JSON, or JSON of another shape.
    """
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        return _decode_leniently(data)


def _decode_leniently(data: bytes) -> Chunk:
    """msgspec refuses half a surrogate pair, even escaped, and torn UTF-8; the standard library doesn't."""
    try:
        return msgspec.convert(json.loads(data.decode("utf-8", "replace")), Chunk)
    except (ValueError, RecursionError) as error:
        raise ProviderNonsense("The model's provider sent a chunk that can't be read.") from error


class Interpreter:
    """The chunks of one answer, told as deltas; usage and the reason to stop are kept for ``ending``.

    ``finished`` once the server said so. ``failure`` is what the next ``read`` raises.
    """

    def __init__(self) -> None:
        self.finished = False
        self.stop_reason: str | None = None
        self.failure: ProviderError | None = None
        self._usage: UsageDelta | None = None
        self._calls: list[tuple[str, str]] = []
        self._open: dict[int, int] = {}

    def read(self, events: list[bytes]) -> list[Delta]:
        """The deltas in these events' data. What is wrong with one is raised after the deltas before it.

        Raises:
            ProviderNonsense: a chunk can't be understood.
            ProviderError: the server sent an error.
        """
        if self.failure is not None:
            raise self.failure
        deltas: list[Delta] = []
        for data in events:
            if data == _DONE:
                self.finished = True
                break
            try:
                self._read(decode_chunk(data), deltas)
            except ProviderError as error:
                if not deltas:
                    raise
                self.failure = error
                break
        return deltas

    def ending(self) -> list[Delta]:
        """The last deltas of an answer that came to its end."""
        stop = StopDelta(self.stop_reason or "stop")
        return [stop] if self._usage is None else [self._usage, stop]

    def _read(self, chunk: Chunk, deltas: list[Delta]) -> None:
        if chunk.error:
            raise ProviderError(error_message(chunk.error))
        if chunk.usage is not None:
            self._usage = _usage(chunk.usage)
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        if choice.delta is not None:
            self._tell(choice.delta, deltas)
        if choice.finish_reason:
            if (failure := _FAILURES.get(choice.finish_reason)) is not None:
                raise failure
            self.stop_reason = choice.finish_reason

    def _tell(self, delta: _Delta, deltas: list[Delta]) -> None:
        if thought := delta.reasoning_content or delta.reasoning:
            deltas.append(ReasoningDelta(thought))
        if text := delta.content or delta.refusal:
            deltas.append(TextDelta(text))
        if delta.tool_calls:
            deltas.extend(map(self._call, delta.tool_calls))

    def _call(self, call: _Call) -> ToolCallDelta:
        """Servers differ: some repeat a call's id, some number every call 0, some send no id at all."""
        function = call.function or _Function()
        slot = call.index or 0
        number = self._open.get(slot)
        if number is None or (call.id and call.id != self._calls[number][0]):
            number = self._open[slot] = len(self._calls)
            self._calls.append((call.id or new_id("call"), function.name or ""))
        call_id, name = self._calls[number]
        return ToolCallDelta(number, call_id, name, function.arguments or "")


def error_message(error: object) -> str:
    """The words in an error object of any server."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("error") or error.get("code")
    return error if isinstance(error, str) and error.strip() else "The model's provider failed."


def _usage(usage: _Usage) -> UsageDelta | None:
    """None where the counts can't be true: then they are estimated."""
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or usage.prompt_cache_hit_tokens or 0
    counts = (usage.prompt_tokens or 0, usage.completion_tokens or 0, cached)
    return UsageDelta(*counts) if all(0 <= count <= _MOST_TOKENS for count in counts) else None
