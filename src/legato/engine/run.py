"""Running a claimed turn: the agent speaks, the journal writes, and whatever happens the turn ends once.

Cancellation reaches the agent in a task of its own, so that ending the turn is never cancelled with it. The
turn's status comes from what stopped it, never from how much was said (promise R-05).
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Final

import anyio
import msgspec

from legato.agents.calling import MAX_STEPS
from legato.agents.registry import AgentSpec, Registry
from legato.agents.turn import Models, Turn
from legato.core.errors import (
    MAX_WORD_BYTES,
    AgentFailed,
    AgentUnavailable,
    ContextOverflow,
    Corrupted,
    EmptyAnswer,
    LegatoError,
    ModelNotFound,
    NotFound,
    TurnError,
    TurnTimeout,
    Unavailable,
    cut,
)
from legato.core.model import ErrorInfo
from legato.engine import phrases
from legato.engine.chores import Chores, asked_for
from legato.engine.diagnostics import Diagnostics
from legato.engine.failpoints import reached
from legato.engine.journal import Fenced, Journal
from legato.engine.memory import recalled
from legato.engine.precedence import Precedence
from legato.engine.publish import Publisher
from legato.engine.settings import EngineSettings
from legato.engine.stage import FENCED, WAITING, LiveTurn
from legato.engine.summaries import is_time
from legato.engine.tasks import Tasks, log, report
from legato.engine.usage import priced, total
from legato.store import ending as store_ending
from legato.store import rescuing
from legato.store.claiming import Claimed
from legato.store.ending import Ending, Meter
from legato.store.port import Store
from legato.store.quarantine import place_of

SHUTDOWN = "shutdown"
_CLOSING_S: Final = 0.5  # what an agent gets to stop when the process does: its time is nearly up


class Runner:
    """The turns that this process runs."""

    def __init__(
        self,
        *,
        store: Store,
        publisher: Publisher,
        journal: Journal,
        registry: Registry,
        models: Models,
        meter: Meter,
        tasks: Tasks,
        chores: Chores,
        settings: EngineSettings,
        diagnostics: Diagnostics,
    ) -> None:
        #: By turn and epoch: an attempt may still be stopping when the next one has begun.
        self.live: dict[tuple[str, int], LiveTurn] = {}
        self.background = 0  # how many of them can wait
        self.precedence = Precedence()
        self._store = store
        self._publisher = publisher
        self._journal = journal
        self._registry = registry
        self._models = models
        self._meter = meter
        self._tasks = tasks
        self._chores = chores
        self._settings = settings
        self._diagnostics = diagnostics
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self, claimed: Claimed, ended: Callable[[str], None]) -> None:
        """Run a claimed turn; ``ended`` is called with its session's id when the next one may run."""
        spec = self._registry.get(claimed.turn.agent_id)
        writer = self._journal.writer(claimed.turn.session_id, claimed.turn.id, claimed.epoch, claimed.after)
        live = LiveTurn(
            claimed=claimed,
            writer=writer,
            store=self._store,
            publisher=self._publisher,
            tasks=self._tasks,
            tail=spec.tail,
            summaries=spec.summarise_at is not None,
            goes_on=spec.on_crash == "continue",
            precedence=self.precedence,
            diagnostics=self._diagnostics,
        )
        self.live[claimed.turn.id, claimed.epoch] = live
        self.background += live.background
        self._diagnostics.run(1)
        self._idle.clear()
        if self._closing:
            live.stop(SHUTDOWN)
        self._tasks.spawn(self._run(live, claimed, spec, ended), f"turn {claimed.turn.id}")

    def stop(self, turn_id: str, reason: str = FENCED) -> None:
        """Make a turn stop, if it runs here."""
        for (live_id, _), live in self.live.items():
            if live_id == turn_id:
                live.stop(reason)

    def fence(self, turn_id: str, epoch: int) -> None:
        """Make one attempt stop, if it runs here: it has been replaced."""
        if (live := self.live.get((turn_id, epoch))) is not None:
            live.stop(FENCED)

    def stop_all(self, reason: str) -> None:
        """Make every turn stop; at a shutdown also those whose claim is still on its way."""
        self._closing = self._closing or reason == SHUTDOWN
        for live in list(self.live.values()):
            live.stop(reason)

    async def idle(self) -> None:
        """Wait until no turn runs here."""
        await self._idle.wait()

    def runs_in(self, session_ids: Iterable[str]) -> bool:
        """Whether a turn of one of these sessions runs here."""
        here = {live.state.session_id for live in self.live.values()}
        return not here.isdisjoint(session_ids)

    async def _run(self, live: LiveTurn, claimed: Claimed, spec: AgentSpec, ended: Callable[[str], None]) -> None:
        try:
            ending = await self._answer(live, claimed, spec)
            if ending is not None and not (ending.reason == SHUTDOWN and await self._parked(live, spec)):
                full = is_time(spec, live.state.context, live.answered)
                asked = asked_for(spec, claimed.session, claimed.turn, ending.status, self._settings, full=full)
                await self._finish(live, msgspec.structs.replace(ending, chores=asked))
                if asked:
                    self._chores.due()
        finally:
            live.close()
            del self.live[live.state.id, live.epoch]
            self.background -= live.background
            self._diagnostics.run(-1)
            if not self.live:
                self._idle.set()
            ended(live.state.session_id)

    async def _answer(self, live: LiveTurn, claimed: Claimed, spec: AgentSpec) -> Ending | None:
        """Let the agent answer; None when the turn is not ours any more."""
        if not spec.available:
            return _unavailable(claimed.locale)
        agent = self._tasks.start(self._spoken(live, claimed, spec), f"agent of {live.state.id}")
        agent.add_done_callback(lambda _: live.settle())
        in_time = await live.settled(spec.max_turn_s)
        await self._stop_agent(agent, live)
        failure = None if not agent.done() or agent.cancelled() else agent.result()
        if live.stop_reason in (FENCED, WAITING) or isinstance(failure, Fenced):
            return None
        if live.stop_reason is not None:
            return Ending(status="incomplete", reason=live.stop_reason)
        if not in_time:
            failure = TurnTimeout(f"The turn took longer than {spec.max_turn_s:g} s.")
        return _failed(failure) if failure is not None else _completed(live)

    async def _stop_agent(self, agent: "asyncio.Task[BaseException | None]", live: LiveTurn) -> None:
        """Tell it twice, for some code takes a cancellation for a hiccup; then it is left, without its upstreams.

        No cancel scope of anyio's: that tells it again in each round of the event loop, for ever, and nobody else is served.
        """
        half_s = (_CLOSING_S if live.stop_reason == SHUTDOWN else self._settings.close_upstream_s) / 2
        agent.cancel()
        await asyncio.wait([agent], timeout=half_s)
        if not agent.done():
            if live.given is not None:
                with anyio.move_on_after(half_s):
                    await live.given.aclose()
            agent.cancel()
            await asyncio.wait([agent], timeout=half_s)
        if not agent.done():
            log.error("the agent of turn %s does not stop; the turn ends without it", live.state.id)

    async def _spoken(self, live: LiveTurn, claimed: Claimed, spec: AgentSpec) -> BaseException | None:
        """What the agent failed with. It has a task of its own: one that ignores cancellation holds up nobody's ending."""
        try:
            await self._speak(live, claimed, spec)
            live.caught_up()
            await live.flush()
        except asyncio.CancelledError:
            if _we_are_cancelled():
                raise
            return AgentFailed()  # something that it waited for was cancelled, not the agent
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an agent may raise anything; each cause has its ending
            return error
        return None

    async def _speak(self, live: LiveTurn, claimed: Claimed, spec: AgentSpec) -> None:
        history = claimed.history if claimed.history is not None else await live.history()
        live.given = turn = Turn(
            stage=live,
            spec=spec,
            models=self._models,
            session=claimed.session,
            message=claimed.message,
            history=history,
            locale=claimed.locale or "en",
            memories=await recalled(self._store, spec, claimed.session),
            earlier=await live.earlier(history),
        )
        try:
            async with aclosing(spec.answers(claimed.turn.kind)(turn)) as pieces:  # type: ignore[type-var] # the registry takes generators only
                async for piece in pieces:
                    if not isinstance(piece, str):
                        raise TypeError(f"an agent yields str, not {type(piece).__name__}")
                    live.say("text", piece)
                    await live.room()
        finally:
            with anyio.move_on_after(self._settings.close_upstream_s, shield=True):
                await turn.aclose()

    async def _parked(self, live: LiveTurn, spec: AgentSpec) -> bool:
        """Hand a turn to another process, or to this one's successor: one of which nobody has seen anything, or that goes on
        after a crash, too."""
        if not live.silent and spec.on_crash == "incomplete":
            return False
        try:
            await live.flush()
            parked = await self._publisher.write(rescuing.park, live.state.session_id, live.state.id, live.epoch)
        except LegatoError as error:
            log.warning("turn %s could not be handed over: %s", live.state.id, error.code)
            return False
        except Fenced:
            return True
        return parked is not None

    async def _finish(self, live: LiveTurn, ending: Ending) -> None:
        """End the turn in the store, however long that is away; only a dead process leaves this to its rescuer."""
        reached("in_finish")
        try:
            await live.flush()
        except Fenced:
            return
        except Exception as error:  # an outage, or something that can't be written: the turn ends all the same
            log.warning("turn %s: what it said last could not be stored: %s", live.state.id, type(error).__name__)
        calls = priced(live.usages, self._models.catalog)
        if calls:
            ending = msgspec.structs.replace(ending, usage=total(calls), calls=calls)
        wait_s = 0.1
        while not await self._ended(live, ending):
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - spreads retries
            wait_s = min(wait_s * 2, 5.0)

    async def _ended(self, live: LiveTurn, ending: Ending) -> bool:
        """Whether the turn has its end now, from us or from who replaced us."""
        turn = live.state
        try:
            await self._publisher.write(store_ending.finish, turn.session_id, turn.id, live.epoch, ending, self._meter)
        except NotFound:
            return True  # deleted with its session
        except Unavailable:
            log.warning("turn %s waits for the store to take its end", turn.id)
            return False
        except Exception as error:  # a turn that stays open blocks its session
            report(error, f"turn {turn.id} could not be ended")
            return False
        return True


def _unavailable(locale: str | None) -> Ending:
    text = phrases.unavailable(locale)
    error = ErrorInfo(AgentUnavailable.code, text)
    return Ending(status="failed", reason="agent_unavailable", error=error, text=text)


def _we_are_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed(failure: BaseException) -> Ending:
    match failure:
        case Unavailable():
            return Ending(
                status="incomplete", reason="store_unavailable", error=ErrorInfo(failure.code, failure.message)
            )
        case TurnError() | ContextOverflow() | ModelNotFound() | Corrupted():
            error: LegatoError = failure
        case _:
            report(failure, "an agent failed")
            error = AgentFailed()
    return Ending(
        status="failed",
        reason="error",
        error=ErrorInfo(cut(error.code, MAX_WORD_BYTES), error.message),
        damaged=place_of(error) if isinstance(error, Corrupted) else None,
    )


def _completed(live: LiveTurn) -> Ending:
    if live.empty:
        return _failed(EmptyAnswer())
    if live.model_stop in ("length", "content_filter", MAX_STEPS):
        return Ending(status="incomplete", reason=live.model_stop)
    return Ending(status="completed", reason=live.model_stop or "stop")
