"""Agents whose strings the test holds: they say what they are told, when they are told.

puppet = await puppets.of(turn_id)      # as soon as the turn runs
puppet.say("Hello ", "world")
puppet.end()                            # or fail(error), or just wait for what happens: puppet.gone
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio

from legato.agents.turn import Turn
from legato.core.states import Phase

_Act = str | Exception | Callable[[], Awaitable[object]] | None


class Puppet:
    """One running turn. ``gone`` is set when its agent has been left, in whatever way."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.gone = anyio.Event()
        self.steered: list[str] = []
        self._acts: asyncio.Queue[_Act] = asyncio.Queue()

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self._acts.put_nowait(piece)

    def do(self, act: Callable[[], Awaitable[object]]) -> None:
        """Let the agent call something of its turn: ``puppet.do(lambda: puppet.turn.reasoning("Hm."))``."""
        self._acts.put_nowait(act)

    def phase(self, phase: Phase, detail: str | None = None) -> None:
        self.do(lambda: self.turn.status(phase, detail))

    def steer(self) -> None:
        """Ask for steering messages; ``steered`` has their texts."""
        self.do(self._steer)

    def fail(self, error: Exception) -> None:
        self._acts.put_nowait(error)

    def end(self) -> None:
        self._acts.put_nowait(None)

    async def acts(self) -> AsyncIterator[str]:
        while (act := await self._acts.get()) is not None:
            if isinstance(act, str):
                yield act
            elif isinstance(act, Exception):
                raise act
            else:
                await act()

    async def _steer(self) -> None:
        self.steered += await self.turn.steering()


class Puppets:
    """The agent; ``answer`` is what is registered."""

    def __init__(self) -> None:
        self._playing: dict[str, list[Puppet]] = {}
        self._changed = anyio.Event()

    def plays(self, turn_id: str) -> bool:
        """Whether this turn has begun to run, now or before."""
        return turn_id in self._playing

    async def of(self, turn_id: str, attempt: int = 1) -> Puppet:
        """The puppet of this turn, as soon as it runs so often."""
        while len(playing := self._playing.get(turn_id, [])) < attempt:
            await self._changed.wait()
        return playing[attempt - 1]

    async def answer(self, turn: Turn) -> AsyncIterator[str]:
        puppet = Puppet(turn)
        self._playing.setdefault(turn.id, []).append(puppet)
        self._changed.set()
        self._changed = anyio.Event()
        try:
            async for piece in puppet.acts():
                yield piece
        finally:
            puppet.gone.set()


async def echo(turn: Turn) -> AsyncIterator[str]:
    """Answers at once, in three pieces."""
    for piece in ("You ", "said: ", turn.text):
        yield piece
