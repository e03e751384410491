"""What an OpenAI-compatible server streams, decoded and told as deltas."""

from typing import Any, Final

import msgspec

from legato.core.errors import ProviderCut, ProviderError
from legato.core.ids import new_id
from legato.providers.decoding import decoder, error_message
from legato.providers.interpreter import Interpreter, counted
from legato.providers.port import Delta, ReasoningDelta, TextDelta, ToolCallDelta, UsageDelta

_DONE: Final = b"[DONE]"
_FAILURES: Final = {
    "error": ProviderError,
    "abort": ProviderCut,
}  # OpenRouter's and vLLM's reasons to stop that are none


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


decode_chunk: Final = decoder(Chunk)


class Chunks(Interpreter):
    """The chunks of one answer."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[str, str]] = []
        self._open: dict[int, int] = {}

    def _tell(self, data: bytes, deltas: list[Delta]) -> None:
        if data == _DONE:
            self.finished = True
            return
        chunk = decode_chunk(data)
        if chunk.error:
            raise ProviderError(error_message(chunk.error))
        if chunk.usage is not None:
            self.usage = _usage(chunk.usage)
        if not chunk.choices:
            return
        choice = chunk.choices[0]
        if choice.delta is not None:
            self._say(choice.delta, deltas)
        if choice.finish_reason:
            if (failure := _FAILURES.get(choice.finish_reason)) is not None:
                raise failure
            self.stop_reason = choice.finish_reason

    def _say(self, delta: _Delta, deltas: list[Delta]) -> None:
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


def _usage(usage: _Usage) -> UsageDelta | None:
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or usage.prompt_cache_hit_tokens
    return counted(usage.prompt_tokens, usage.completion_tokens, cached)
