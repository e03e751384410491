"""The kill loop: people talk in eight sessions, and their server is killed again and again.

Each person sends numbered questions, sometimes two at a time, sometimes one twice, cancels, interrupts, continues and
retries, and reads all the while with the project's own client, which resumes by itself. After the last kill everything may
finish; what was seen is a ``History``, for the checker to judge. The same seed makes the same people do the same things,
and kills after the same delays; what falls between is up to the machine.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from time import time
from typing import Final

import anyio
from anyio import to_thread

from legato.client import Sent
from legato.core.cursor import parse_cursor
from legato.core.ids import new_id
from legato.core.model import Mode, TurnKind
from tests.process.history import History, Life, Numbers
from tests.process.model_server import ModelServer
from tests.process.reader import Reader
from tests.process.recorder import Access, Recorder, access, reading
from tests.support.server import ServerProcess

SESSIONS: Final = 8
_LIVES_S: Final = (0.1, 1.6)
_SHARED_LIVES_S: Final = (0.3, 2.0)  # there, people open new sessions between two kills
_BOOT_KILLS: Final = 0.15  # how many are killed before they are ready
_BOOT_S: Final = (0.02, 0.3)
_LONG_S: Final = 60.0  # nothing here takes so long
_PATIENCE_S: Final = 2.0
_PACES: Final = (60, 40, None)
_WORDS: Final = (5, 60)
_LATE: Final = 3


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
        self._over = anyio.Event()

    async def run(self) -> History:
        """Kills, lets everything finish, and tells what was seen."""
        async with access(self._server.url) as to:
            async with anyio.create_task_group() as group:
                for number in range(SESSIONS):
                    group.start_soon(self._person, to, number)
                await self._kill_again_and_again()
                self._over.set()
            return await self._collect(to)

    async def _kill_again_and_again(self) -> None:
        random = Random(self._seed)
        lives_s = _SHARED_LIVES_S if self._shared else _LIVES_S
        for _ in range(self._kills):
            if random.random() < _BOOT_KILLS:
                await self._boot_and_die(random.uniform(*_BOOT_S))
            else:
                await self._live(random.uniform(*lives_s))
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
        person = Person(Random(f"{self._seed}.{number}"), patience_s=_PATIENCE_S if self._shared else _LONG_S)
        while not self._over.is_set():
            recorder = Recorder(to, (await to.client.create_session()).id)
            self._recorders.append(recorder)
            tabs = [recorder.reader(f"tab {tab}") for tab in range(1 + number % 2)]
            async with reading(*tabs):
                while not self._over.is_set() and await person.speak(recorder):
                    pass

    async def _collect(self, to: Access) -> History:
        tabs = [reader for recorder in self._recorders for reader in recorder.readers]
        async with reading(*tabs):
            for recorder in self._recorders:
                await recorder.all_ended()
            # Only now: a hundred readers who come at once would slow down what is measured.
            async with reading(*self._sleepers()):
                sessions = [await recorder.history() for recorder in self._recorders]
        return History(
            sessions=tuple(sessions),
            lives=tuple(self._lives),
            shared=self._shared,
            refused=self._model.with_outcome("refused"),
            streaming=self._model.with_outcome("running"),
        )

    def _sleepers(self) -> list[Reader]:
        """Readers who went away after some event, often one in the middle of a commit, and come back now."""
        random = Random(self._seed)
        cursors = [(one, [entry.cursor for entry in one.readers[0].recorded().entries]) for one in self._recorders]
        return [
            recorder.reader(f"late {number}", after=parse_cursor(random.choice(seen)))
            for recorder, seen in cursors
            for number in range(_LATE)
            if seen
        ]


class Person:
    """Someone with habits. ``patience_s``: how long they wait for an answer before they open another session."""

    def __init__(self, random: Random, *, patience_s: float) -> None:
        self._random = random
        self._patience_s = patience_s
        self._habits: dict[Callable[[Recorder], Awaitable[bool]], int] = {
            self._ask: 8,
            self._ask_twice: 3,
            self._queue: 3,
            self._interrupt: 2,
            self._cancel: 3,
        }

    async def speak(self, recorder: Recorder) -> bool:
        """One exchange; False when they have lost patience with this session."""
        [habit] = self._random.choices(list(self._habits), list(self._habits.values()))
        heard = await habit(recorder)
        await recorder.snapshot()
        return heard

    async def _ask(self, recorder: Recorder) -> bool:
        sent = await self._send(recorder)
        return await self._hear(recorder, sent) and await self._once_more(recorder, sent)

    async def _ask_twice(self, recorder: Recorder) -> bool:
        """A phone that does not know whether its message got through."""
        numbers, message_id = self._numbers(), new_id("msg")
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(partial(recorder.send, numbers, per_second=_PACES[0], message_id=message_id))
        sent = await recorder.send(numbers, per_second=_PACES[0], message_id=message_id)
        return await self._hear(recorder, sent)

    async def _queue(self, recorder: Recorder) -> bool:
        first, second = await self._send(recorder), await self._send(recorder)
        return await self._hear(recorder, first) and await self._hear(recorder, second)

    async def _interrupt(self, recorder: Recorder) -> bool:
        first = await self._send(recorder)
        await self._hesitate()
        second = await self._send(recorder, "interrupt")
        return await self._hear(recorder, first) and await self._hear(recorder, second)

    async def _cancel(self, recorder: Recorder) -> bool:
        sent = await self._send(recorder)
        await self._hesitate()
        await recorder.cancel(sent.turn.id)
        return await self._hear(recorder, sent)

    async def _once_more(self, recorder: Recorder, sent: Sent) -> bool:
        """Of an answer that ended early: go on, or try again."""
        turn = await recorder.ended(sent.turn.id)
        if turn.status != "incomplete":
            return True
        kind: TurnKind = self._random.choice(("continue", "retry"))
        return await self._hear(recorder, await recorder.again(kind, turn.id))

    async def _send(self, recorder: Recorder, mode: Mode = "queue") -> Sent:
        return await recorder.send(self._numbers(), per_second=self._random.choice(_PACES), mode=mode)

    def _numbers(self) -> Numbers:
        first = self._random.randrange(1, 100_000)
        return Numbers(first, first + self._random.randrange(*_WORDS))

    async def _hesitate(self) -> None:
        await anyio.sleep(self._random.uniform(0, 0.6))

    async def _hear(self, recorder: Recorder, sent: Sent) -> bool:
        with anyio.move_on_after(self._patience_s) as scope:
            await recorder.ended(sent.turn.id)
        return not scope.cancelled_caught
