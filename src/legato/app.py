"""The façade: what a host application imports, and the one place where everything is wired."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from legato.agents.config import Config, load_config
from legato.agents.keys import Providers
from legato.agents.registry import AgentSpec, Registry, Run
from legato.agents.setup import DEMO, make_setup
from legato.core.errors import ModelNotFound, NotStarted
from legato.doorbell.local import LocalDoorbell
from legato.doorbell.port import Doorbell
from legato.engine.approvals import Approvals
from legato.engine.chores import Chores, Duty
from legato.engine.clearing import Clearing
from legato.engine.compactor import Compactor
from legato.engine.diagnostics import Diagnostics
from legato.engine.dispatch import Dispatcher
from legato.engine.engine import Engine
from legato.engine.eraser import Eraser
from legato.engine.hub import Hub
from legato.engine.journal import Journal
from legato.engine.lifecycle import Lifecycle
from legato.engine.lifeline import Lifeline
from legato.engine.lists import Lists
from legato.engine.looper import Looper
from legato.engine.memory import Memories
from legato.engine.owned import Owner
from legato.engine.pruner import Pruner
from legato.engine.publish import Publisher
from legato.engine.run import SHUTDOWN, Runner
from legato.engine.scrubber import Scrubber
from legato.engine.settings import EngineSettings
from legato.engine.side import SideModel
from legato.engine.summaries import Summaries
from legato.engine.tasks import Tasks
from legato.engine.tidying import Tidying
from legato.engine.titles import Titles
from legato.engine.trimmer import Trimmer
from legato.engine.usage import Estimate
from legato.providers.catalog import Catalog, ModelEntry
from legato.providers.drivers import driver
from legato.providers.fallback import Fallbacks
from legato.providers.options import DEFAULT_CONTEXT_WINDOW, Options
from legato.providers.port import Provider
from legato.store import search
from legato.store.opening import open_store
from legato.store.port import Store
from legato.store.sqlite import now_us
from legato.web.application import create_app
from legato.web.auth import Authenticate, LoopbackUser
from legato.web.settings import WebSettings

_NOWHERE = "http://localhost"  # of a provider that is not reached by an address
_END_S = (
    1.0  # how long turns get to write their end: with what stops after them, the grace is exceeded by less than 2 s
)


class Models:
    """The configured providers and what is known about their models."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        providers: Mapping[str, Provider],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalog = catalog
        self.providers = providers
        self._fallbacks = Fallbacks(catalog=catalog, provider=self._own, clock_s=monotonic_s)

    def provider(self, model_id: str) -> Provider:
        """Raises ModelNotFound."""
        self.catalog.get(model_id)
        return self._fallbacks.of(model_id)

    def _own(self, model_id: str) -> Provider:
        try:
            return self.providers[model_id.partition(":")[0]]
        except KeyError:
            raise ModelNotFound(f"There is no model {model_id[:200]!r}.") from None


class Legato:
    """A chat server inside an ASGI application.

        chat = Legato("sqlite:///chat.db")

        @chat.agent("assistant", model="openai:gpt-5-mini")
        async def assistant(turn):
            async for text in turn.stream():
                yield text

        app = FastAPI(lifespan=chat.lifespan)
        app.mount("/chat", chat.asgi(auth=my_user))

    ``database`` is ``sqlite:///file`` or ``postgresql://…``. Providers come from ``config`` (a TOML file) and the environment
    (``OPENAI_API_KEY``, ``OPENAI_BASE_URL``, ``ANTHROPIC_API_KEY``). Without any agent the offline demo answers.
    """

    def __init__(
        self,
        database: str = "sqlite:///legato.db",
        *,
        config: Config | Path | None = None,
        environment: Mapping[str, str] = os.environ,
        settings: EngineSettings | None = None,
        web: WebSettings | None = None,
        clock_us: Callable[[], int] = now_us,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.web = web or WebSettings()
        self.draining = False
        self._database = database
        self._source = str(config) if isinstance(config, Path) else "configuration"
        self._config = load_config(config) if isinstance(config, Path) else config or Config()
        self._environment = environment
        self._clock_us = clock_us
        self._monotonic_s = monotonic_s
        self._declared: list[AgentSpec] = []
        self._own: dict[str, tuple[Provider, Options]] = {}
        self._running: _Running | None = None
        self._stopping: _Running | None = None

    def agent(self, agent_id: str, **fields: Any) -> Callable[[Run], Run]:
        """Register an async generator function as an agent; ``fields`` are those of ``AgentSpec``, and ``model``."""
        model_id = fields.pop("model", None)
        name = fields.pop("name", agent_id)

        def register(run: Run) -> Run:
            self._declared.append(AgentSpec(id=agent_id, name=name, model_id=model_id, run=run, **fields))
            return run

        return register

    def provider(
        self, provider: Provider, *, context_window: int = DEFAULT_CONTEXT_WINDOW, models: tuple[ModelEntry, ...] = ()
    ) -> None:
        """Add a way to models of the host's own; ``models`` say more about some of them."""
        self._own[provider.name] = provider, Options(base_url=_NOWHERE, context_window=context_window)
        self._config = msgspec.structs.replace(self._config, models=(*self._config.models, *models))

    @property
    def engine(self) -> Engine:
        """Raises NotStarted."""
        if self._running is None:
            raise NotStarted
        return self._running.engine

    def of(self, owner: str) -> Owner:
        """What a host's own routes ask for one of its users. Raises NotStarted."""
        return Owner(self.engine, owner)

    def asgi(self, auth: Authenticate | None = None) -> Any:
        """The HTTP application, to be mounted anywhere. ``auth`` says who asks; without it, only loopback may."""
        return create_app(
            engine=lambda: self.engine,
            ready=lambda: self._running is not None and not self.draining,
            auth=auth or LoopbackUser(),
            settings=self.web,
        )

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Start before, stop after: hand it to the host application."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Raises StoreInUse, SchemaMismatch, Unavailable, Misuse."""
        running = self._wire()
        await running.start()
        self._running, self.draining = running, False

    async def stop(self) -> None:
        """End streams, let turns finish within the grace, hand over or end the others, and give everything back."""
        if self._running is not None:
            self.drain()
            running, self._running = self._running, None
            self._stopping = running
            await running.stop()
            self._stopping = None

    def drain(self) -> None:
        """Not ready any more; readers are sent elsewhere at the next event boundary, no new turns are taken up."""
        self.draining = True
        if self._running is not None:
            self._running.drain()

    def hurry(self) -> None:
        """End what still runs now: the grace is over, also one that a ``stop`` to come would give."""
        self.drain()
        running = self._running or self._stopping
        if running is not None:
            running.hurry()

    def _wire(self) -> "_Running":
        registry, models = self._agents_and_models()
        store = open_store(self._database, clock_us=self._clock_us)
        return _Running(
            store=store,
            doorbell=_doorbell(self._database) if store.shared else LocalDoorbell(),
            registry=registry,
            models=models,
            settings=_configured(self.settings, self._config),
            clock_us=self._clock_us,
            monotonic_s=self._monotonic_s,
        )

    def _agents_and_models(self) -> tuple[Registry, Models]:
        own = {name: options for name, (_, options) in self._own.items()}
        setup = make_setup(self._config, self._environment, source=self._source, own=own)
        providers = Providers(self._config, self._environment, own)
        declared = [self._checked(spec, providers) for spec in self._declared]
        configured = () if declared and setup.agents == (DEMO,) else setup.agents
        registry = Registry(*declared, *configured, default=setup.default_agent)
        named = [model for spec in registry.list() for model in spec.models]
        options = dict(setup.providers)
        options |= {name: providers.options[name] for model in named if (name := model.partition(":")[0])}
        catalog = Catalog(providers=options, entries=setup.models, named=named)
        drivers: dict[str, Provider] = {
            name: self._own[name][0] if name in self._own else driver(name, option, catalog)
            for name, option in options.items()
        }
        return registry, Models(catalog=catalog, providers=drivers, monotonic_s=self._monotonic_s)

    def _checked(self, spec: AgentSpec, providers: Providers) -> AgentSpec:
        if spec.side_model is not None:
            providers.lacking(spec.side_model, f"agent {spec.id!r}")
        if spec.model_id is None:
            return spec
        lacking = providers.lacking(spec.model_id, f"agent {spec.id!r}")
        return msgspec.structs.replace(spec, unavailable=lacking or spec.unavailable)


def _configured(settings: EngineSettings, config: Config) -> EngineSettings:
    """The settings, with what a configuration file says about them."""
    names = ("titles", "retention_days", "prune_hour", "max_files_mb")
    said = {name: getattr(config, name) for name in names}
    return msgspec.structs.replace(settings, **{name: value for name, value in said.items() if value is not None})


def _doorbell(url: str) -> Doorbell:
    from legato.doorbell.postgres import PostgresDoorbell  # as ``open_store`` does with the store

    return PostgresDoorbell(url=url)


class _Running:
    """What a started Legato consists of. Collaborators come in by keyword: who knows whom is read off here."""

    def __init__(
        self,
        *,
        store: Store,
        doorbell: Doorbell,
        registry: Registry,
        models: Models,
        settings: EngineSettings,
        clock_us: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._store, self._doorbell, self._models, self._settings = store, doorbell, models, settings
        self._tasks = tasks = Tasks()
        self._meter = meter = Estimate(catalog=models.catalog)
        self._hub = hub = Hub(store=store, tasks=tasks)
        self._lists = lists = Lists(store=store, tasks=tasks)
        self._diagnostics = diagnostics = Diagnostics(monotonic_s=monotonic_s)
        publisher = Publisher(
            store=store, hub=hub, lists=lists, doorbell=doorbell, tasks=tasks, diagnostics=diagnostics
        )
        self._lifecycle = lifecycle = Lifecycle(
            store=store,
            publisher=publisher,
            registry=registry,
            meter=meter,
            settings=settings,
            clock_us=clock_us,
        )
        eraser = Eraser(store=store)
        trimmer = Trimmer(store=store, publisher=publisher, registry=registry)
        side = SideModel(store=store, models=models, tasks=tasks)
        titles = Titles(store=store, publisher=publisher, registry=registry, side=side)
        memories = Memories(store=store, side=side, registry=registry, settings=settings)
        self._chores = chores = Chores(
            store=store,
            tasks=tasks,
            worker=lambda: self._dispatcher.worker_id,
            duties=(
                Duty(kind="close", work=lifecycle.close),
                eraser.duty,
                Clearing(store=store).duty,
                trimmer.duty,
                memories.duty,
                Summaries(store=store, side=side, registry=registry, models=models).duty,
                Duty(kind="title", work=titles.title, at_once=8, most_tries=0),
            ),
        )
        self._runner = runner = Runner(
            store=store,
            publisher=publisher,
            journal=Journal(store=store, publisher=publisher, tasks=tasks, diagnostics=diagnostics),
            registry=registry,
            models=models,
            meter=meter,
            tasks=tasks,
            chores=chores,
            settings=settings,
            diagnostics=diagnostics,
        )
        self._dispatcher = dispatcher = Dispatcher(
            store=store,
            publisher=publisher,
            runner=runner,
            registry=registry,
            tasks=tasks,
            meter=meter,
            settings=settings,
        )
        self._lifeline = Lifeline(
            store=store,
            publisher=publisher,
            runner=runner,
            dispatcher=dispatcher,
            meter=meter,
            settings=settings,
            diagnostics=diagnostics,
            monotonic_s=monotonic_s,
        )
        self._approvals = approvals = Approvals(store=store, publisher=publisher, dispatcher=dispatcher)
        self.engine = Engine(
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
            approvals=approvals,
            settings=settings,
            diagnostics=diagnostics,
        )
        self._fences = Looper(step=self._lifeline.check_fences, interval_s=settings.fence_s, name="fences")
        self._loops = (self._fences, *self._duties())
        self._stack = AsyncExitStack()
        self._drained_s: float | None = None

    def _duties(self) -> list[Looper]:
        settings, compactor = self._settings, Compactor(store=self._store, settings=self._settings)
        pruner = Pruner(
            store=self._store,
            lifecycle=self._lifecycle,
            worker=lambda: self._dispatcher.worker_id,
            settings=settings,
        )
        scrubber = Scrubber(store=self._store, cleans=(search.clean,))
        duties = [
            Looper(step=self._lifeline.beat, interval_s=settings.beat_s, name="heartbeat"),
            Looper(step=self._lifeline.sweep, interval_s=settings.sweep_s, name="rescue"),
            Looper(step=self._dispatcher.sweep, interval_s=settings.sweep_s, name="dispatch"),
            Looper(step=self._approvals.step, interval_s=settings.approvals_s, name="approvals"),
            Looper(step=compactor.step, interval_s=settings.compact_every_s, name="compaction"),
            Looper(step=self._lifecycle.close_idle, interval_s=settings.close_idle_every_s, name="idle sessions"),
            Looper(step=pruner.step, interval_s=settings.prune_every_s, name="retention"),
            self._side_work(),
            *self._files(),
            Looper(step=scrubber.step, interval_s=settings.scrub_s, name="scrub"),
            Looper(step=Tidying(store=self._store).step, interval_s=settings.tidy_every_s, name="tidying"),
            Looper(step=self._hub.rest, interval_s=settings.rest_s, name="rest"),
        ]
        if self._store.shared:
            duties.append(Looper(step=self._hub.look, interval_s=settings.look_s, name="look"))
        return duties

    def _side_work(self) -> Looper:
        loop = Looper(step=self._chores.step, interval_s=self._settings.chores_s, name="chores")
        self._chores.on_due = loop.wake
        return loop

    def _files(self) -> tuple[Looper, Looper]:
        attachments, settings = self.engine.attachments, self._settings
        clean = Looper(step=attachments.clean, interval_s=settings.tidy_every_s, name="removed files")
        attachments.on_gone = clean.wake
        return clean, Looper(step=attachments.sweep, interval_s=settings.sweep_files_s, name="unused files")

    async def start(self) -> None:
        """Start from the bottom up; what fails takes down again what stood already."""
        async with AsyncExitStack() as stack:
            prices = self._tasks.start(asyncio.to_thread(self._models.catalog.load), "prices")
            stack.push_async_callback(asyncio.wait, [prices])
            await self._store.start()
            stack.push_async_callback(self._store.stop)
            await prices
            for provider in self._models.providers.values():
                await provider.start()
                stack.push_async_callback(provider.stop)
            await self._lifeline.register()
            stack.push_async_callback(self._lifeline.resign)
            await self._lifeline.sweep()  # what died with the last process ends before anybody can ask
            await self._doorbell.start(self._heard)
            stack.push_async_callback(self._doorbell.stop)
            self._dispatcher.accepting = True
            for loop in self._loops:
                loop.start()
                stack.push_async_callback(loop.stop)
            self._stack = stack.pop_all()

    def drain(self) -> None:
        if self._drained_s is None:
            self._drained_s = time.monotonic()
        self._dispatcher.accepting = False
        self._diagnostics.stopping = True
        self._hub.stop()
        self._lists.stop()
        self.engine.degrading.stop()

    async def stop(self) -> None:
        """Let the turns finish, the heartbeat still going, stop what the grace was too short for, then from the top down."""
        self.drain()
        await self._chores.stop()
        await self._dispatcher.settle()
        waited_s = time.monotonic() - (self._drained_s or 0.0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._runner.idle(), max(0.0, self._settings.grace_s - waited_s))
        self._runner.stop_all(SHUTDOWN)
        await self._tasks.settle(_END_S)
        await self._stack.aclose()

    def hurry(self) -> None:
        self._runner.stop_all(SHUTDOWN)

    def _heard(self, session_ids: Iterable[str] | None) -> None:
        """Another process rang: its events are worth a look, and so is whether our turns are still ours."""
        ids = None if session_ids is None else list(session_ids)
        self._hub.heard(ids)
        self._lists.heard(ids)
        if ids is None or self._runner.runs_in(ids):
            self._fences.wake()
