"""The configuration file: TOML, typed, and wrong in words that name the file and the key."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from legato.agents.registry import (
    DEFAULT_MAX_STEPS,
    DEFAULT_MAX_TURN_S,
    DEFAULT_MEMORY_TOKENS,
    DEFAULT_RESERVE,
    DEFAULT_TAIL,
    OnStoreFailure,
)
from legato.core.errors import Misuse
from legato.core.model import CrashPolicy
from legato.providers.catalog import ModelEntry
from legato.providers.options import Count, Positive, Seconds, Settings

Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Days = Annotated[float, msgspec.Meta(gt=0, le=36_500)]
Hour = Annotated[int, msgspec.Meta(ge=0, le=23)]


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[agents]]``: see ``AgentSpec``. Without ``run`` (``package.module:function``) the model answers; ``tools`` too."""

    id: Identifier
    name: str | None = None
    role: str | None = None
    parent_role: str | None = None
    description: str = ""
    system: str = ""
    model: str | None = None
    run: str | None = None
    tail: Count = DEFAULT_TAIL
    reserve: Count = DEFAULT_RESERVE
    max_turn_s: Seconds = DEFAULT_MAX_TURN_S
    max_running: Positive | None = None
    max_tokens: Positive | None = None
    on_store_failure: OnStoreFailure = "refuse"
    options: dict[str, Any] = {}
    tools: tuple[str, ...] = ()
    max_steps: Positive = DEFAULT_MAX_STEPS
    on_crash: CrashPolicy = "incomplete"
    single_current: bool = False
    idle_close_s: Seconds | None = None
    retention_days: Days | None = None
    history_limit: Count = 0
    titles: bool = True
    memory: tuple[Identifier, ...] = ()
    memory_sessions: Positive = 5
    memory_tokens: Count = DEFAULT_MEMORY_TOKENS
    summarise_at: Share | None = None
    side_model: str | None = None
    welcome: str | None = None
    suggestions: tuple[str, ...] = ()
    enabled: bool = True


class ProviderEntry(Settings, frozen=True, kw_only=True):
    """``[providers.<name>]``: the settings, and the environment variable with the key where one is wanted."""

    api_key_env: str | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A configuration file. ``default_agent`` is that of a session that names none; else it is the first.

    ``side_model`` makes titles, memories and summaries for agents that name none; ``titles``, ``retention_days``,
    ``prune_hour`` (UTC) and ``max_files_mb`` as in ``EngineSettings``.
    """

    agents: tuple[AgentEntry, ...] = ()
    providers: dict[Identifier, ProviderEntry] = {}
    models: tuple[ModelEntry, ...] = ()
    default_agent: str | None = None
    side_model: str | None = None
    titles: bool | None = None
    retention_days: Days | None = None
    prune_hour: Hour | None = None
    max_files_mb: Count | None = None


def load_config(path: Path) -> Config:
    """The configuration in a file.

    Raises:
        Misuse: it can't be read, is not TOML, or a key is unknown or of the wrong kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misuse(f"The configuration file {path} can't be read: {error}") from error
    return parse_config(text, source=str(path))


def parse_config(text: str, *, source: str) -> Config:
    """The configuration in ``text``; ``source`` names it in errors.

    Raises:
        Misuse: it is not TOML, or a key is unknown or of the wrong kind.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Config)
    except tomllib.TOMLDecodeError as error:
        raise Misuse(f"{source} is not valid TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise Misuse(f"{source}: {_said(error)}") from error


def _said(error: msgspec.ValidationError) -> str:
    """``agents[0].tail: Expected `int`, got `str` `` instead of msgspec's ``… - at `$.agents[0].tail` ``."""
    said, _, place = str(error).partition(" - at `$")
    key = place.rstrip("`").removeprefix(".")
    return f"{key}: {said}" if key else said
