"""A provider that talks to the scripted upstream."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from legato.core.prompt import PromptMessage
from legato.providers.anthropic import Anthropic
from legato.providers.http import HttpProvider
from legato.providers.openai_compatible import OpenAICompatible
from legato.providers.options import Kind, Options
from legato.providers.pace import Pace
from legato.providers.port import Delta, ModelRequest, Provider, TextDelta

KINDS: dict[Kind, type[HttpProvider]] = {"openai": OpenAICompatible, "anthropic": Anthropic}


class Naps:
    """Takes the place of ``asyncio.sleep``: notes how long, and does not wait."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


@asynccontextmanager
async def opened(
    base_url: str,
    *,
    sleep: Callable[[float], Awaitable[None]] | None = None,
    jitter: float = 1.0,
    kind: Kind = "openai",
    pace: Pace | None = None,
    **settings: Any,
) -> AsyncIterator[HttpProvider]:
    """A started provider at ``base_url``; it does not sleep between its tries unless told how."""
    provider = KINDS[kind](
        name="test",
        options=Options(kind=kind, base_url=base_url, **settings),
        sleep=sleep or Naps(),
        jitter=lambda: jitter,
        pace=pace,
    )
    await provider.start()
    try:
        yield provider
    finally:
        await provider.stop()


def asking(text: str, *, model: str = "m", **fields: Any) -> ModelRequest:
    """A request in which the user says ``text``."""
    return ModelRequest(model=model, messages=(PromptMessage("user", text),), **fields)


async def deltas_of(provider: Provider, request: ModelRequest | str) -> list[Delta]:
    """All deltas of one answer."""
    async with aclosing(provider.stream(asking(request) if isinstance(request, str) else request)) as stream:
        return [delta async for delta in stream]


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
