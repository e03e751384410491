"""From a configuration and the environment to the agents, providers and models of a server."""

import importlib
import inspect
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from legato.agents import demo_memory
from legato.agents.builtin import assistant
from legato.agents.config import AgentEntry, Config
from legato.agents.demo import demo
from legato.agents.demo_side import demo_side
from legato.agents.keys import Providers, default_model, is_configured
from legato.agents.registry import AgentSpec, Registry, Run
from legato.agents.tools import Tool, as_tool
from legato.core.errors import Misuse
from legato.providers.catalog import Catalog, ModelEntry
from legato.providers.options import Options

_log: Final = logging.getLogger("legato")

DEMO: Final = AgentSpec(
    id="demo",
    name="Demo (offline, scripted)",
    run=demo,
    role="demo",
    description="Shows every feature without a model and without a key. Type /help.",
    suggestions=("/markdown", "/long 400 40", "/tool", "/approve", "/reason"),
    memory=demo_memory.KINDS,
    side=demo_side,
    demo=True,
)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a server starts with: agents in order, providers by name, what is said about models."""

    agents: tuple[AgentSpec, ...]
    providers: dict[str, Options] = {}
    models: tuple[ModelEntry, ...] = ()
    default_agent: str | None = None

    def registry(self) -> Registry:
        return Registry(*self.agents, default=self.default_agent)

    def catalog(self) -> Catalog:
        named = [model for spec in self.agents for model in spec.models]
        return Catalog(providers=self.providers, entries=self.models, named=named)


def from_environment(env: Mapping[str, str]) -> Setup:
    """What the environment alone configures.

    ``OPENAI_API_KEY`` or ``OPENAI_BASE_URL`` make the agent ``assistant`` on the provider ``openai``, with
    the model ``OPENAI_MODEL``; else ``ANTHROPIC_API_KEY`` makes it on ``anthropic``, with ``ANTHROPIC_MODEL``;
    with none of them, the demo agent answers.

    Raises:
        Misuse: ``OPENAI_BASE_URL`` or ``ANTHROPIC_BASE_URL`` is not an address.
    """
    return make_setup(Config(), env)


def make_setup(
    config: Config, env: Mapping[str, str], *, source: str = "configuration", own: Mapping[str, Options] | None = None
) -> Setup:
    """What the configuration says; what it says nothing about comes from the environment.

    An agent whose provider lacks its key is there and unavailable. ``own`` are providers of the host's.

    Raises:
        Misuse: an agent or a model names a provider or a function that isn't there, or an id stands twice.
    """
    providers = Providers(config, env, own)
    entries = config.agents or _entries_from(env)
    agents = tuple(
        _spec(entry, providers, env, config.side_model, f"{source}: agents[{index}]")
        for index, entry in enumerate(entries)
    )
    models = tuple(
        _with_keys(entry, providers, f"{source}: models[{index}].fallbacks")
        for index, entry in enumerate(config.models)
    )
    named = [model for spec in agents for model in spec.models] + [
        other for entry in models for other in entry.fallbacks
    ]
    used = {*config.providers, *(own or ()), *(model.partition(":")[0] for model in named)}
    setup = Setup(
        agents=agents or (DEMO,),
        providers={name: options for name, options in providers.options.items() if name in used},
        models=models,
        default_agent=config.default_agent,
    )
    _check(setup, source)
    return setup


def _entries_from(env: Mapping[str, str]) -> tuple[AgentEntry, ...]:
    return (AgentEntry(id="assistant", name="Assistant"),) if is_configured(env) else ()


def _with_keys(entry: ModelEntry, providers: Providers, place: str) -> ModelEntry:
    """Without the fallbacks whose provider lacks its key: they could only fail."""
    kept = []
    for model_id in entry.fallbacks:
        if model_id == entry.id:
            raise Misuse(f"{place}: {model_id!r} can't stand in for itself.")
        if lacking := providers.lacking(model_id, place):
            _log.warning("%s: %s is left out. %s", place, model_id, lacking)
        else:
            kept.append(model_id)
    return msgspec.structs.replace(entry, fallbacks=tuple(kept))


def _spec(
    entry: AgentEntry, providers: Providers, env: Mapping[str, str], side_model: str | None, place: str
) -> AgentSpec:
    model = entry.model or (default_model(env) if entry.run is None else None)
    side_model = entry.side_model or side_model
    if side_model is not None:
        providers.lacking(side_model, f"{place}.side_model")  # one without its key makes no titles, and no trouble
    run = assistant if entry.run is None else _function(entry.run, f"{place}.run")
    return AgentSpec(
        id=entry.id,
        name=entry.name or entry.id,
        run=run,
        role=entry.role,
        parent_role=entry.parent_role,
        description=entry.description,
        system=entry.system,
        model_id=model,
        tail=entry.tail,
        reserve=entry.reserve,
        max_turn_s=entry.max_turn_s,
        max_running=entry.max_running,
        max_tokens=entry.max_tokens,
        on_store_failure=entry.on_store_failure,
        options=entry.options,
        tools=tuple(_tool(path, f"{place}.tools") for path in entry.tools),
        max_steps=entry.max_steps,
        on_crash=entry.on_crash,
        single_current=entry.single_current,
        idle_close_s=entry.idle_close_s,
        retention_days=entry.retention_days,
        history_limit=entry.history_limit,
        titles=entry.titles,
        memory=entry.memory,
        memory_sessions=entry.memory_sessions,
        memory_tokens=entry.memory_tokens,
        summarise_at=entry.summarise_at,
        side_model=side_model,
        side=demo_side if run == demo else None,
        welcome=entry.welcome,
        suggestions=entry.suggestions,
        enabled=entry.enabled,
        demo=run == demo,
        unavailable=providers.lacking(model, f"{place}.model") if model else None,
    )


def _function(path: str, place: str) -> Run:
    """The async generator function at ``package.module:function``."""
    found: Run = _imported(path, place)
    if not inspect.isasyncgenfunction(found):
        raise Misuse(f"{place}: {path!r} is not an async generator function; let it yield its answer.")
    return found


def _tool(path: str, place: str) -> Tool:
    """The tool, or the function to be one, at ``package.module:name``."""
    found = _imported(path, place)
    if not isinstance(found, Tool) and not callable(found):
        raise Misuse(f"{place}: {path!r} is not a function.")
    try:
        return as_tool(found)
    except Misuse as error:
        raise Misuse(f"{place}: {error.message}") from error


def _imported(path: str, place: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Misuse(f"{place}: {path!r} can't be imported: {error}") from error


def _check(setup: Setup, source: str) -> None:
    ids = [spec.id for spec in setup.agents]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise Misuse(f"{source}: agents: the id {min(twice)!r} stands twice.")
    if setup.default_agent is not None and setup.default_agent not in ids:
        raise Misuse(f"{source}: default_agent: there is no agent {setup.default_agent!r}.")
    for index, entry in enumerate(setup.models):
        if entry.id.partition(":")[0] not in setup.providers:
            raise Misuse(f"{source}: models[{index}].id: {entry.id!r} names no configured provider.")
