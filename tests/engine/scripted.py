"""A model whose answers a test has written, and what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

import msgspec

from legato.providers.options import Capability
from legato.providers.port import Delta, ModelRequest, StopDelta, TextDelta, ToolCallDelta, UsageDelta

#: A piece of an answer, or what the model does meanwhile.
Act = Delta | str | Callable[[], Awaitable[object]]


def calls(name: str, arguments: str = "{}", call_id: str = "call_1", index: int = 0) -> ToolCallDelta:
    return ToolCallDelta(index, call_id, name, arguments)


class ScriptedModel:
    """The provider ``scripted``: each call plays the next answer. ``requests`` is what it was asked."""

    name = "scripted"
    capabilities: tuple[Capability, ...] = ("text", "tools", "prefill")

    def __init__(self, *answers: Sequence[Act]) -> None:
        self.requests: list[ModelRequest] = []
        self._answers = list(answers)

    def then(self, *answers: Sequence[Act]) -> None:
        """What it answers after that."""
        self._answers += answers

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        assert self._answers, f"nobody has written an answer to {request.messages[-1].content!r}"
        called = False
        for act in self._answers.pop(0):
            if isinstance(act, str):
                yield TextDelta(act)
            elif isinstance(act, msgspec.Struct):
                called = called or isinstance(act, ToolCallDelta)
                yield act
            else:
                await act()
        yield UsageDelta(10, 5)
        yield StopDelta("tool_calls" if called else "stop")


class CutOff(ScriptedModel):
    """It stops early, whatever it was saying."""

    def __init__(self, why: str, *answers: Sequence[Act]) -> None:
        super().__init__(*answers)
        self._why = why

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        async for delta in super().stream(request):
            yield StopDelta(self._why) if isinstance(delta, StopDelta) else delta


async def forever() -> None:
    """What a model does that hangs, or whose process is about to die."""
    await asyncio.get_running_loop().create_future()
