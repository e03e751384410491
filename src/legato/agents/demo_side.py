"""The demo agent's side work: scripted, like the agent."""

from legato.agents import demo_memory
from legato.core import memory


async def demo_side(system: str, text: str) -> str:
    """What a small model would answer."""
    return demo_memory.draw(text) if system == memory.SYSTEM else ""
