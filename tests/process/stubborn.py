"""An agent that takes a cancellation for a hiccup, for servers whose configuration names it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from legato.agents.turn import Turn


async def stubborn(turn: "Turn") -> AsyncIterator[str]:
    """The model answers, unless it counts to no end: then two words of it, and its stream is never let go."""
    words = turn.stream()
    if " at " not in turn.text:
        async for word in words:
            yield word
        return
    yield await anext(words)
    yield await anext(words)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
