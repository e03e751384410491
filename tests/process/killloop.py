"""The kill loop: people talk in eight sessions, and their server is killed again and again.

Each person sends numbered questions, sometimes two at a time, sometimes one twice, cancels, interrupts, continues and
retries, and reads all the while with the project's own client, which resumes by itself. After the last kill everything may
finish; what was seen is a ``History``, for the checker to judge. The same seed makes the same people do the same things,
and kills after the same delays; what falls between is up to the machine.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from random import Random
from time import time
from typing import Final

import anyio
from anyio import to_thread

from legato.client import Sent
from legato.core.ids import new_id
from legato.core.model import Turn
from tests.process.history import History, Life, Numbers
from tests.process.model_server import ModelServer
from tests.process.recorder import Access, Recorder, access, reading
from tests.support.server import ServerProcess

SESSIONS: Final = 8
_LIVES_S: Final = (0.1, 1.6)
_BOOT_KILLS: Final = 0.15  # how many are killed before they are ready
_BOOT_S: Final = (0.02, 0.3)
_LONG_S: Final = 60.0  # nothing here takes so long


class KillLoop:
    """``shared``: the database is one that other processes could serve, so that rescue takes its time there."""

    def __init__(self, *, server: ServerProcess, model: ModelServer, shared: bool, kills: int, seed: int) -> None:
        self._server = server
        self._model = model
        self._shared = shared
        self._kills = kills
        self._seed = seed
        self._lives: list[Life] = []
        self._recorders: list[Recorder] = []
        self._over = False

    async def run(self) -> History:
        """Kills, lets everything finish, and tells what was seen."""
        async with access(self._server.url) as to:
            async with anyio.create_task_group() as group:
                for number in range(SESSIONS):
                    group.start_soon(self._person, to, number)
                await self._kill_again_and_again()
                self._over = True
            return await self._collect(to)

    async def _kill_again_and_again(self) -> None:
        random = Random(self._seed)
        for _ in range(self._kills):
            if random.random() < _BOOT_KILLS:
                await self._boot_and_die(random.uniform(*_BOOT_S))
            else:
                await self._live(random.uniform(*_LIVES_S))
        await to_thread.run_sync(self._server.start)
        self._lives.append(Life(time(), None))

    async def _live(self, seconds: float) -> None:
        await to_thread.run_sync(self._server.start)
        ready_at = time()
        await anyio.sleep(seconds)
        await self._kill(ready_at)

    async def _boot_and_die(self, seconds: float) -> None:
        await to_thread.run_sync(self._server.launch)
        await anyio.sleep(seconds)
        await self._kill(None)

    async def _kill(self, ready_at: float | None) -> None:
        await to_thread.run_sync(self._server.kill)
        self._lives.append(Life(ready_at, time()))

    async def _person(self, to: Access, number: int) -> None:
        person = Person(to, Random(f"{self._seed}.{number}"), patience_s=2.0 if self._shared else _LONG_S)
        while not self._over:
            recorder = Recorder(to, (await to.client.create_session()).id)
            self._recorders.append(recorder)
            async with reading(recorder.reader("from the beginning")):
                while not self._over and await person.speak(recorder):
                    pass

    async def _collect(self, to: Access) -> History:
        readers = [reader for recorder in self._recorders for reader in recorder.readers]
        async with reading(*readers):
            sessions = [await recorder.history() for recorder in self._recorders]
        return History(
            sessions=tuple(sessions),
            lives=tuple(self._lives),
            shared=self._shared,
            refused=self._model.with_outcome("refused"),
            streaming=self._model.with_outcome("running"),
        )


class Person:
    """Someone with habits. ``patience_s``: how long they wait for an answer before they open another session."""

    def __init__(self, to: Access, random: Random, *, patience_s: float) -> None:
        self._random = random
        self._patience_s = patience_s
        self._number = 0
        self._habits: list[tuple[Callable[[Recorder], Awaitable[None]], int]] = [
            (self._ask, 8),
            (self._ask_twice, 3),
            (self._queue, 3),
            (self._interrupt, 2),
            (self._cancel, 3),
        ]
        self._unfinished: Turn | None = None
        self._to = to

    async def speak(self, recorder: Recorder) -> bool:
        """One exchange; False when they have lost patience with this session."""
        habits, weights = zip(*self._habits, strict=True)
        [habit] = self._random.choices(habits, weights)
        with anyio.move_on_after(self._patience_s) as scope:
            await habit(recorder)
            await recorder.snapshot()
            await self._once_more(recorder)
        return not scope.cancelled_caught
