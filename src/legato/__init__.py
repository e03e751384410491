"""Legato: LLM conversations that stay unbroken."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from legato.agents.tools import Tool, tool
    from legato.agents.turn import Turn
    from legato.app import Legato

__all__ = ["Legato", "Tool", "Turn", "tool"]


def __getattr__(name: str) -> Any:
    """Import the server only when it is asked for: a client needs none of it."""
    if name == "Legato":
        from legato.app import Legato

        return Legato
    if name == "Turn":
        from legato.agents.turn import Turn

        return Turn
    if name in ("Tool", "tool"):
        from legato.agents import tools

        return getattr(tools, name)
    raise AttributeError(name)
