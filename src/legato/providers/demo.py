"""A model that is a script: offline, without a key, for examples and tests of applications. It says that it is no model."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec

from legato.core.ids import new_id
from legato.providers.port import Delta, ModelRequest, StopDelta, TextDelta, ToolCallDelta, UsageDelta


class Call(msgspec.Struct, frozen=True):
    """What a script has its model call: a tool's name and its arguments."""

    name: str
    arguments: dict[str, Any]


#: From what the model is asked to what it says and calls.
Script = Callable[[ModelRequest], Iterable[str | Call]]

_WORDS: Final = re.compile(r"\s*\S+\s*")
_WORDS_PER_S: Final = 50.0
_CHARS_PER_TOKEN: Final = 4


def newest(request: ModelRequest) -> str:
    """What the user said last."""
    return next((message.content for message in reversed(request.messages) if message.role == "user"), "")


def results(request: ModelRequest) -> list[str]:
    """What the tools have answered since then."""
    found: list[str] = []
    for message in reversed(request.messages):
        if message.role == "user":
            break
        if message.role == "tool":
            found.append(message.content)
    return found[::-1]


def echo(request: ModelRequest) -> Iterable[str | Call]:
    """Says what was said."""
    yield f"You said: {newest(request)} (I am a script, not a model.)"


class DemoModel:
    """The provider ``name``, whose models all play one script, at the pace of a fast reader (``per_second`` words)."""

    def __init__(
        self,
        script: Script = echo,
        *,
        name: str = "demo",
        per_second: float = _WORDS_PER_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._script = script
        self._pause_s = 1 / per_second
        self._sleep = sleep

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        """See ``Provider.stream``."""
        calls = spoken = 0
        for act in self._script(request):
            if isinstance(act, Call):
                yield ToolCallDelta(calls, new_id("call"), act.name, msgspec.json.encode(act.arguments).decode())
                calls += 1
                continue
            for word in _WORDS.findall(act):
                spoken += len(word)
                yield TextDelta(word)
                await self._sleep(self._pause_s)
        asked = sum(len(message.content) for message in request.messages)
        yield UsageDelta(1 + asked // _CHARS_PER_TOKEN, 1 + spoken // _CHARS_PER_TOKEN)
        yield StopDelta("tool_calls" if calls else "stop")
