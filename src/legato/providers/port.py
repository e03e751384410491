"""What the engine asks of a model's provider: one request, one stream of deltas."""

from collections.abc import AsyncGenerator
from typing import Any, Protocol

import msgspec

from legato.core.prompt import PromptMessage


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool that a model may call. ``parameters`` is the JSON schema of the object that it takes."""

    name: str
    description: str
    parameters: dict[str, Any]


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model. ``model`` is the provider's name for it; ``options`` go to it as they are.

    ``prefill``: the messages end with an assistant's words, and the answer goes on from there.
    ``room``: tokens of the model's window that are left beside the prompt, None where nobody counted.
    ``background``: nobody waits for it; people's requests come first.
    """

    model: str
    messages: tuple[PromptMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    prefill: bool = False
    max_tokens: int | None = None
    room: int | None = None
    options: dict[str, Any] = {}
    background: bool = False


class TextDelta(msgspec.Struct, frozen=True):
    """More of the answer."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True):
    """More of what the model thinks before it answers."""

    text: str


class ToolCallDelta(msgspec.Struct, frozen=True):
    """More of tool call number ``index`` (0, 1, …) of an answer: append ``arguments``, a piece of JSON text.

    ``call_id`` and ``name`` stand in every delta of a call.
    """

    index: int
    call_id: str
    name: str
    arguments: str


class UsageDelta(msgspec.Struct, frozen=True):
    """What the provider counted. ``cached_tokens`` are part of ``prompt_tokens``."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class StopDelta(msgspec.Struct, frozen=True):
    """Why the model stopped: ``stop``, ``length``, ``tool_calls``, ``content_filter`` or another word."""

    reason: str


class ModelDelta(msgspec.Struct, frozen=True):
    """Another model than the one that was asked for answers; comes first, or not at all. ``model_id`` is ``provider:model``."""

    model_id: str


Delta = TextDelta | ReasoningDelta | ToolCallDelta | UsageDelta | StopDelta | ModelDelta


class Provider(Protocol):
    """A way to models. ``start`` before the first stream, ``stop`` after the last one."""

    @property
    def name(self) -> str:
        """What stands before the colon of a model's id."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """The answer's deltas: ``UsageDelta`` at most once, before ``StopDelta``, which comes once and last.

        Closing the generator closes the upstream connection at once; wrap it in ``contextlib.aclosing``, or a
        consumer that is cancelled between two deltas leaves that to the garbage collector. Text may hold half
        a surrogate pair at either end of a piece.

        Raises:
            ProviderError: the provider failed; deltas before it are what was received.
        """

    async def start(self) -> None:
        """Opens what streams share."""

    async def stop(self) -> None:
        """Closes it; running streams end with an error."""
