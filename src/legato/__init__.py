"""Legato: LLM conversations that stay unbroken."""

from legato.agents.turn import Turn
from legato.app import Legato

__all__ = ["Legato", "Turn"]
