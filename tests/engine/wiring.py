"""An engine wired by hand, without its loops: a test drives the steps, and chooses what the store does wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from legato.agents.registry import AgentSpec, Registry
from legato.app import Models
from legato.core.errors import Unavailable
from legato.doorbell.local import LocalDoorbell
from legato.engine.approvals import Approvals
from legato.engine.chores import Chores, Duty
from legato.engine.diagnostics import Diagnostics
from legato.engine.dispatch import Dispatcher
from legato.engine.engine import Engine
from legato.engine.hub import Hub
from legato.engine.journal import Journal
from legato.engine.lifecycle import Lifecycle
from legato.engine.lifeline import Lifeline
from legato.engine.lists import Lists
from legato.engine.publish import Publisher
from legato.engine.run import SHUTDOWN, Runner
from legato.engine.settings import EngineSettings
from legato.engine.tasks import Tasks
from legato.engine.usage import Estimate
from legato.providers.catalog import Catalog, ModelEntry
from legato.providers.options import Settings
from legato.store.opening import open_store
from legato.store.port import Batch, Row, Store
from legato.store.sqlite import now_us
from tests.engine.scripted import ScriptedModel

# What an append does: enter the store, fail before it could, or enter it and fail all the same.
Fault = Literal["lost", "answer lost"] | Exception | None


class FaultyStore:
    """A real store between faults. ``faults`` are those of the next appends; ``down`` fails everything."""

    def __init__(self, store: Store) -> None:
        self.down = False
        self.broken: set[str] = set()  # names of functions that fail, though the rest works
        self.held: set[str] = set()  # names of reads that answer late, and of writes that begin late: when released
        self.released = asyncio.Event()
        self.faults: list[Fault] = []
        self.appended: list[list[Batch]] = []
        self.open = asyncio.Event()  # appends wait for it
        self.open.set()
        self.waiting = asyncio.Event()  # something has come that far
        self.refused = asyncio.Event()  # something has found it down or broken
        self._store = store

    @property
    def incarnation(self) -> str:
        return self._store.incarnation

    @incarnation.setter
    def incarnation(self, value: str) -> None:
        self._store.incarnation = value

    @property
    def shared(self) -> bool:
        return self._store.shared

    @shared.setter
    def shared(self, value: bool) -> None:
        self._store.shared = value

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def read(self, query: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check(query)
        result = await self._store.read(query, *args, **kwargs)
        await self._hold(query)
        return result

    async def write(self, change: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        await self._hold(change)
        self._check(change)
        return await self._store.write(change, *args, **kwargs)

    async def vital(self, change: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self.write(change, *args, **kwargs)

    async def append(self, batches: Sequence[Batch]) -> list[Row | None]:
        self.appended.append(list(batches))
        self.waiting.set()
        await self.open.wait()
        fault = self.faults.pop(0) if self.faults else None
        if self.down or fault == "lost":
            raise Unavailable
        if isinstance(fault, Exception):
            raise fault
        rows = await self._store.append(batches)
        if fault == "answer lost":
            raise Unavailable
        return rows

    async def scrub(self) -> bool:
        self._check(self.scrub)
        return await self._store.scrub()

    async def _hold(self, function: Callable[..., object]) -> None:
        if function.__name__ in self.held:
            self.waiting.set()
            await self.released.wait()

    def _check(self, function: Callable[..., object]) -> None:
        if self.down or function.__name__ in self.broken:
            self.refused.set()
            raise Unavailable


@dataclass
class Wired:
    """The parts of one worker."""

    store: FaultyStore
    tasks: Tasks
    hub: Hub
    lists: Lists
    publisher: Publisher
    journal: Journal
    runner: Runner
    dispatcher: Dispatcher
    lifeline: Lifeline
    engine: Engine
    chores: Chores


def wire(
    store: FaultyStore,
    *agents: AgentSpec,
    settings: EngineSettings | None = None,
    duties: tuple[Duty, ...] = (),
    monotonic_s: Callable[[], float] = lambda: 0.0,
    provider: ScriptedModel | None = None,
) -> Wired:
    settings = settings or EngineSettings()
    registry, models, tasks = Registry(*agents), _models(provider), Tasks()
    meter = Estimate(catalog=models.catalog)
    hub, lists = Hub(store=store, tasks=tasks), Lists(store=store, tasks=tasks)
    diagnostics = Diagnostics(monotonic_s=monotonic_s)
    publisher = Publisher(
        store=store, hub=hub, lists=lists, doorbell=LocalDoorbell(), tasks=tasks, diagnostics=diagnostics
    )
    journal = Journal(store=store, publisher=publisher, tasks=tasks, diagnostics=diagnostics)
    chores = Chores(store=store, tasks=tasks, worker=lambda: dispatcher.worker_id, duties=duties)
    runner = Runner(
        store=store,
        publisher=publisher,
        journal=journal,
        registry=registry,
        models=models,
        meter=meter,
        tasks=tasks,
        chores=chores,
        settings=settings,
        diagnostics=diagnostics,
    )
    dispatcher = Dispatcher(
        store=store,
        publisher=publisher,
        runner=runner,
        registry=registry,
        tasks=tasks,
        meter=meter,
        settings=settings,
    )
    dispatcher.accepting = True
    lifeline = Lifeline(
        store=store,
        publisher=publisher,
        runner=runner,
        dispatcher=dispatcher,
        meter=meter,
        settings=settings,
        diagnostics=diagnostics,
        monotonic_s=monotonic_s,
    )
    lifecycle = Lifecycle(
        store=store, publisher=publisher, registry=registry, meter=meter, settings=settings, clock_us=now_us
    )
    engine = Engine(
        store=store,
        publisher=publisher,
        hub=hub,
        lists=lists,
        lifecycle=lifecycle,
        runner=runner,
        dispatcher=dispatcher,
        registry=registry,
        models=models,
        meter=meter,
        chores=chores,
        approvals=Approvals(store=store, publisher=publisher, dispatcher=dispatcher),
        settings=settings,
        diagnostics=diagnostics,
    )
    return Wired(store, tasks, hub, lists, publisher, journal, runner, dispatcher, lifeline, engine, chores)


def _models(provider: ScriptedModel | None) -> Models:
    if provider is None:
        return Models(catalog=Catalog(providers={}), providers={})
    name = provider.name
    entry = ModelEntry(id=f"{name}:m", capabilities=provider.capabilities)
    return Models(catalog=Catalog(providers={name: Settings()}, entries=[entry]), providers={name: provider})


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FaultyStore]:
    store = FaultyStore(open_store(url))
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@asynccontextmanager
async def working(store: FaultyStore, *agents: AgentSpec, **fields: Any) -> AsyncIterator[Wired]:
    """A registered worker on an open store; its turns end with it, its row stays."""
    wired = wire(store, *agents, **fields)
    await wired.lifeline.register()
    try:
        yield wired
    finally:
        wired.dispatcher.accepting = False
        wired.runner.stop_all(SHUTDOWN)
        await wired.tasks.settle(5)


def sql(conn: Connection, statement: str) -> None:
    """What no function of ours would do to a store."""
    conn.exec_driver_sql(statement)
