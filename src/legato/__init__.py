"""Legato: LLM conversations that stay unbroken."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from legato.agents.turn import Turn
    from legato.app import Legato

__all__ = ["Legato", "Turn"]


def __getattr__(name: str) -> Any:
    """Import the server only when it is asked for: a client needs none of it."""
    if name == "Legato":
        from legato.app import Legato

        return Legato
    if name == "Turn":
        from legato.agents.turn import Turn

        return Turn
    raise AttributeError(name)
