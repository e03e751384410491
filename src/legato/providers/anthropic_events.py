"""What Anthropic's Messages API streams, decoded and told as deltas in our words."""

from typing import Any, Final

import msgspec

from legato.core.errors import ProviderError
from legato.core.ids import new_id
from legato.providers.decoding import decoder, error_message
from legato.providers.interpreter import Interpreter, counted
from legato.providers.port import Delta, ReasoningDelta, TextDelta, ToolCallDelta
from legato.providers.refusal import meaning

# From Anthropic's documentation of stop reasons and of errors; a word that isn't here is passed on as it is.
_STOPS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STATUSES: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Delta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class StreamEvent(msgspec.Struct):
    """The fields that are of use here of all types of events together."""

    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: _Usage | None = None
    error: Any = None


decode_event: Final = decoder(StreamEvent)


class _Call:
    """A tool call that is being told; ``said`` whether any of its arguments were."""

    def __init__(self, number: int, block: _Block) -> None:
        self.said = False
        self._number = number
        self._id = block.id or new_id("call")
        self._name = block.name or ""

    def delta(self, arguments: str) -> ToolCallDelta:
        self.said = self.said or bool(arguments)
        return ToolCallDelta(self._number, self._id, self._name, arguments)


class Events(Interpreter):
    """The events of one answer. ``unsent`` is the white space at a prefill's end, which could not be sent.

    An answer that goes on from there begins with it, mostly; readers have it already.
    """

    def __init__(self, unsent: str = "") -> None:
        super().__init__()
        self._unsent = unsent
        self._calls: dict[int, _Call] = {}
        self._called = 0
        self._counts = dict.fromkeys(_Usage.__struct_fields__, 0)

    def _tell(self, data: bytes, deltas: list[Delta]) -> None:
        event = decode_event(data)
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._say(event.index, event.delta, deltas)
            case "content_block_start" if event.content_block is not None:
                self._begin(event.index, event.content_block, deltas)
            case "content_block_stop":
                call = self._calls.pop(event.index, None)
                if call is not None and not call.said:  # a call without arguments streams none, and they are JSON
                    deltas.append(call.delta("{}"))
            case "message_start" if event.message is not None:
                self._count(event.message.usage)
            case "message_delta":
                self._end(event)
            case "message_stop":
                self.finished = True
            case "error":
                raise _failure(event.error)
            case _:
                pass  # ``ping``, and what is yet to be invented

    def _begin(self, index: int, block: _Block, deltas: list[Delta]) -> None:
        if block.type == "tool_use":
            call = self._calls[index] = _Call(self._called, block)
            self._called += 1
            deltas.append(call.delta(""))
        else:
            self._say(index, _Delta(text=block.text, thinking=block.thinking), deltas)

    def _say(self, index: int, delta: _Delta, deltas: list[Delta]) -> None:
        if delta.thinking:
            deltas.append(ReasoningDelta(delta.thinking))
        if delta.text and (text := self._joined(delta.text)):
            deltas.append(TextDelta(text))
        if delta.partial_json and (call := self._calls.get(index)) is not None:
            deltas.append(call.delta(delta.partial_json))

    def _joined(self, text: str) -> str:
        while self._unsent and text and text[0] == self._unsent[0]:
            text, self._unsent = text[1:], self._unsent[1:]
        if text:
            self._unsent = ""
        return text

    def _end(self, event: StreamEvent) -> None:
        if event.delta is not None and (reason := event.delta.stop_reason):
            self.stop_reason = _STOPS.get(reason, reason)
        if event.usage is not None:
            self._count(event.usage)
            fresh, written, cached, completion = self._counts.values()
            self.usage = counted(fresh + written + cached, completion, cached)

    def _count(self, usage: _Usage | None) -> None:
        """The counts are cumulative, and not every server repeats those of the prompt at the end."""
        if usage is not None:
            for name, count in msgspec.structs.asdict(usage).items():
                self._counts[name] = max(self._counts[name], count or 0)


def _failure(error: Any) -> ProviderError:
    kind = error.get("type") if isinstance(error, dict) else None
    status = _STATUSES.get(kind) if isinstance(kind, str) else None
    words = error_message(error)
    return ProviderError(words) if status is None else meaning(status, words)
