"""Agents that pay, by themselves or as a model says: each payment is a line in a ledger that outlives every process (the file
that ``LEDGER`` names)."""

import asyncio
import os
from collections.abc import AsyncIterator

from legato import Turn, tool
from legato.core.errors import OutcomeUnknown

STEPS = 4
PACE_S = 0.02


def pay(turn_id: str, number: int) -> str:
    _enter(f"{turn_id} {number}")
    return "paid"


def _enter(line: str) -> None:
    """One write, so that it is there whole or not at all."""
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(ledger, f"{line}\n".encode())
    finally:
        os.close(ledger)


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


@tool(name="pay")
async def settle(turn: Turn, number: int) -> str:
    """Pay a bill."""
    await asyncio.sleep(PACE_S)
    _enter(f"{turn.id} {number}")
    await asyncio.sleep(PACE_S)
    return f"paid {number}"


@tool(approve=True)
async def launch(turn: Turn, number: int) -> str:
    """Launch a rocket."""
    _enter(f"{turn.id} {number}")
    await asyncio.sleep(PACE_S)
    return f"launched {number}"


async def clerk(turn: Turn) -> AsyncIterator[str]:
    """Does what its model says."""
    async for text in turn.stream(tools=[settle, launch]):
        yield text
