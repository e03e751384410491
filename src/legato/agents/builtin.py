"""The agent of a configuration entry that names no function of its own."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from legato.agents.turn import Turn


async def assistant(turn: "Turn") -> AsyncIterator[str]:
    """The model's answer, given the budgeted history."""
    async for text in turn.stream():
        yield text
