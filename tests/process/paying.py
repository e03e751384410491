"""Agents that pay: each payment is a line in a ledger that outlives every process (the file that ``LEDGER`` names)."""

import asyncio
import os
from collections.abc import AsyncIterator

from legato import Turn
from legato.core.errors import OutcomeUnknown

STEPS = 4
PACE_S = 0.02


def pay(turn_id: str, number: int | str) -> str:
    """One write, so that it is there whole or not at all."""
    line = f"{turn_id} {number}\n".encode()
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, line)
    finally:
        os.close(ledger)
    return "paid"


def weather(turn: Turn, city: str) -> str:
    """What the weather is like; each look costs something."""
    return pay(turn.id, city)


async def payer(turn: Turn) -> AsyncIterator[str]:
    """Pays four times, and asks in between."""
    for number in range(1, STEPS + 1):
        for word in ("Payment ", f"number {number} ", "is "):
            yield word
            await asyncio.sleep(PACE_S)
        try:
            yield await turn.step("pay", pay, turn.id, number)
        except OutcomeUnknown:
            yield "unknown"
        yield ". "
        if number == STEPS // 2:
            yield f"Going on is {await turn.ask('Go on?')}. "
