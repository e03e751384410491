"""Side work in the background: each kind in its own few tasks, so that one that hangs holds up no other and no turn (G19)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from legato.agents.registry import AgentSpec
from legato.core.errors import AgentNotFound, ModelNotFound, NotFound, SessionNotFound, Unavailable
from legato.core.model import Session, Turn
from legato.core.states import TurnStatus
from legato.engine.settings import EngineSettings
from legato.engine.tasks import Tasks, log, report
from legato.store import chores
from legato.store.chores import Chore, Kind
from legato.store.port import Store

_FIRST_S: Final = 10.0  # until a chore that failed is tried again; doubles, up to an hour
_MOST_S: Final = 3600.0
_AWAY_S: Final = 5.0  # the same where the store was away: not ever later, as there is nothing wrong with the chore
_ELSEWHERE_S: Final = 30.0  # the same where its agent or model is not here; doubles, too
_MOST_LOOKS: Final = 20  # and then nobody has it any more
_STOPPING_S: Final = 0.5  # what side work gets to stop when the process does


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """How a kind of chore is done: ``work`` returns None when it is done, or the seconds after which to go on.

    ``at_once`` of them run together in this process, each for at most ``timeout_s``. After ``most_tries`` failures it is
    given up (0: never); what ``work`` waits for, or a store that was away, is no failure. It raises SessionNotFound where
    there is nothing to be done any more, AgentNotFound or ModelNotFound where another process may have what it takes.
    """

    kind: Kind
    work: Callable[[Chore], Awaitable[float | None]]
    at_once: int = 2
    timeout_s: float = 60.0
    most_tries: int = 5


def asked_for(
    spec: AgentSpec, session: Session, turn: Turn, status: TurnStatus, settings: EngineSettings, *, full: bool
) -> dict[Kind, int]:
    """What a session waits for when a turn of it has ended: each kind with its delay in microseconds.

    ``full``: so is the prompt, as far as the agent lets it be.
    """
    asked: dict[Kind, int] = {}
    if status == "completed" and turn.kind != "welcome":
        if settings.titles and spec.titles and session.title is None:
            asked["title"] = 0
        if spec.memory and session.memory:
            asked["memory"] = int(settings.memory_idle_s * 1_000_000)
    if spec.history_limit:
        asked["trim"] = 0
    if full:
        asked["summary"] = 0
    return asked


def asked_for_closing(spec: AgentSpec) -> dict[Kind, int]:
    """What a session waits for when it has been closed: facts are drawn from it at once (T-02)."""
    return {"memory": 0} if spec.memory else {}


class _Again(NamedTuple):
    """When a chore is to be taken up again, and whether that it was counts as a try."""

    after_s: float
    counted: bool


class Chores:
    """The chores of this process: a step looks for what is due and begins it."""

    def __init__(self, *, store: Store, tasks: Tasks, worker: Callable[[], str], duties: tuple[Duty, ...] = ()) -> None:
        self.on_due: Callable[[], None] = lambda: None
        self._store = store
        self._tasks = tasks
        self._worker = worker
        self._duties = duties
        self._running: dict[tuple[str, Kind], asyncio.Task[bool]] = {}
        self._said: set[tuple[Kind, str]] = set()
        self._stopped = False

    def due(self) -> None:
        """Something was asked for just now."""
        self.on_due()

    async def step(self) -> None:
        if self._stopped:
            return
        for duty in self._duties:
            busy = {session_id for session_id, kind in self._running if kind == duty.kind}
            if len(busy) < duty.at_once:
                for session_id in await self._store.read(chores.due, duty.kind, self._worker(), duty.at_once):
                    if session_id not in busy and len(busy) < duty.at_once:
                        busy.add(session_id)
                        self._begin(duty, session_id)

    async def stop(self) -> None:
        """Leave what is under way: nobody's turn is lost by it, and whoever comes next takes it up."""
        self._stopped = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=_STOPPING_S)

    def _begin(self, duty: Duty, session_id: str) -> None:
        key = session_id, duty.kind
        task = self._running[key] = self._tasks.start(self._do(duty, session_id), f"{duty.kind} {session_id}")
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: tuple[str, Kind], task: asyncio.Task[bool]) -> None:
        """Go on with the next one; but what the store does not take now is still due, and would be begun again and again."""
        del self._running[key]
        if not task.cancelled() and task.result():
            self.due()

    async def _do(self, duty: Duty, session_id: str) -> bool:
        """Whether the store has taken what became of it; if not it stays ours, see ``chores.take``."""
        try:
            await self._take_up(duty, session_id)
        except Unavailable:
            log.warning("%s of %s: the store is unavailable", duty.kind, session_id)
            return False
        except Exception as error:  # the next one may do better
            report(error, f"{duty.kind} of {session_id}")
            return False
        return True

    async def _take_up(self, duty: Duty, session_id: str) -> None:
        worker_id = self._worker()
        chore = await self._store.write(chores.take, session_id, duty.kind, worker_id)
        if chore is None:
            return
        again = await self._attempt(duty, chore)
        if again is None:
            await self._store.write(chores.finish, chore, worker_id)
        else:
            await self._store.write(chores.put_off, chore, worker_id, again.after_s, counted=again.counted)

    async def _attempt(self, duty: Duty, chore: Chore) -> _Again | None:
        """When it is to be taken up again; None when it is done, or given up."""
        try:
            async with asyncio.timeout(duty.timeout_s):
                after_s = await duty.work(chore)
        except SessionNotFound:
            return None  # deleted meanwhile
        except Unavailable:
            log.warning("%s of %s: the store is unavailable", duty.kind, chore.session_id)
            return _Again(_AWAY_S, counted=False)
        except (AgentNotFound, ModelNotFound) as error:
            return self._elsewhere(chore, error)
        except Exception as error:  # one session's side work must not stop the others'
            report(error, f"{duty.kind} of {chore.session_id}")
            return self._later(duty, chore)
        return None if after_s is None else _Again(after_s, counted=False)

    def _elsewhere(self, chore: Chore, error: NotFound) -> _Again | None:
        if (said := (chore.kind, str(error))) not in self._said:
            self._said.add(said)
            log.warning("%s is left to a process that can do it: %s", *said)
        return None if chore.tries >= _MOST_LOOKS else _Again(_doubled(_ELSEWHERE_S, chore.tries), counted=True)

    def _later(self, duty: Duty, chore: Chore) -> _Again | None:
        if duty.most_tries and chore.tries >= duty.most_tries:
            log.error("%s of %s is given up after %d tries", duty.kind, chore.session_id, chore.tries)
            return None
        return _Again(_doubled(_FIRST_S, chore.tries), counted=True)


def _doubled(first_s: float, tries: int) -> float:
    return float(min(first_s * 2.0 ** (tries - 1), _MOST_S))
