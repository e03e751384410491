"""The agents this process can run."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from legato.agents.tools import ToolLike, as_tool
from legato.core.errors import AgentNotFound, Misuse
from legato.core.memory import KIND
from legato.core.model import CrashPolicy, TurnKind

if TYPE_CHECKING:
    from legato.agents.turn import Turn

Run = Callable[["Turn"], AsyncIterator[str]]
#: A system prompt and a text to what a small model would answer.
Side = Callable[[str, str], Awaitable[str]]

OnStoreFailure = Literal["refuse", "degrade"]

DEFAULT_TAIL: Final = 60
DEFAULT_RESERVE: Final = 2048
DEFAULT_MAX_TURN_S: Final = 600.0
DEFAULT_MEMORY_TOKENS: Final = 500
DEFAULT_MAX_STEPS: Final = 20


def saying(text: str) -> Run:
    """What says this, and nothing else."""

    async def say(turn: "Turn") -> AsyncIterator[str]:
        yield text

    return say


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: what it is called, what it runs, and what its turns may take.

    ``tail`` is in messages (0 for all), ``reserve`` in tokens of the model's window kept for the answer,
    ``max_running`` how many of its turns may run at once, in all processes together (None: any number),
    ``max_tokens`` the limit sent to the provider, ``options`` further fields of its requests (``temperature``
    …). ``tools`` are what its model may call, at most ``max_steps`` times in a turn. ``on_crash`` says what becomes of a turn
    whose process dies: ``incomplete``, ``restart`` (it is answered anew) or ``continue`` (from what was said). ``unavailable``
    says why the agent can't answer, None if it can. ``demo`` marks what is scripted, not a model.

    Its sessions: ``single_current`` closes the one before when another begins (S-04), ``idle_close_s`` closes one after so
    many seconds without activity (None: never; S-05), ``retention_days`` removes one after so many days (None: as the
    deployment says; S-06), ``history_limit`` keeps the newest messages only (0: all; S-10).

    Side work: ``titles`` whether sessions get one made; ``memory`` the kinds of facts that are remembered of an owner (none: no
    memory), from the last ``memory_sessions`` sessions, at most ``memory_tokens`` of them given to the agent; ``summarise_at``
    the share of the prompt's room at which a summary is made to take the place of what was said first (None: what finds no room
    is left out); ``side_model`` the (small) model that does all that, else the agent's own; ``side`` does it where no model is,
    from a system prompt and a text. ``welcome`` opens a session, said as it is or by a generator like ``run``; ``suggestions``
    are prompts to begin with.
    ``on_store_failure``: what becomes of a send with a stream while the store is away: ``refuse`` it (503), or ``degrade``:
    answer it without history, and store nothing (R-14).
    """

    id: str
    name: str
    run: Run
    role: str | None = None
    parent_role: str | None = None
    description: str = ""
    system: str = ""
    model_id: str | None = None
    tail: int = DEFAULT_TAIL
    reserve: int = DEFAULT_RESERVE
    max_turn_s: float = DEFAULT_MAX_TURN_S
    max_running: int | None = None
    max_tokens: int | None = None
    on_store_failure: OnStoreFailure = "refuse"
    options: dict[str, Any] = {}
    tools: tuple[ToolLike, ...] = ()
    max_steps: int = DEFAULT_MAX_STEPS
    on_crash: CrashPolicy = "incomplete"
    single_current: bool = False
    idle_close_s: float | None = None
    retention_days: float | None = None
    history_limit: int = 0
    titles: bool = True
    memory: tuple[str, ...] = ()
    memory_sessions: int = 5
    memory_tokens: int = DEFAULT_MEMORY_TOKENS
    summarise_at: float | None = None
    side_model: str | None = None
    side: Side | None = None
    welcome: str | Run | None = None
    suggestions: tuple[str, ...] = ()
    enabled: bool = True
    unavailable: str | None = None
    demo: bool = False

    @property
    def available(self) -> bool:
        return self.enabled and self.unavailable is None

    def answers(self, kind: TurnKind) -> Run:
        """What a turn of this kind runs."""
        if kind != "welcome":
            return self.run
        return self.welcome if callable(self.welcome) else saying(self.welcome or "")

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it names."""
        return tuple(model for model in (self.model_id, self.side_model) if model is not None)


class Registry:
    """Agents by id, in the order they were registered."""

    def __init__(self, *specs: AgentSpec, default: str | None = None) -> None:
        self._specs: dict[str, AgentSpec] = {}
        self._default = default
        for spec in specs:
            self.register(spec)

    def register(self, spec: AgentSpec) -> None:
        """Adds an agent.

        Raises:
            Misuse: its id is empty or taken, what it runs (also to welcome) is no async generator function, ``summarise_at`` is
                no share, a kind of facts has no good name, or a tool has none, or no types.
        """
        if not spec.id:
            raise Misuse("An agent needs an id.")
        if spec.id in self._specs:
            raise Misuse(f"The agent {spec.id!r} is registered twice.")
        if not inspect.isasyncgenfunction(spec.run):
            raise Misuse(f"The agent {spec.id!r} must be an async generator function: let it yield its answer.")
        if callable(spec.welcome) and not inspect.isasyncgenfunction(spec.welcome):
            raise Misuse(f"The welcome of the agent {spec.id!r} must be a text or an async generator function.")
        for kind in (kind for kind in spec.memory if KIND.fullmatch(kind) is None):
            raise Misuse(
                f"The agent {spec.id!r} can't remember {kind[:100]!r}: a kind has 1 to 64 of A-Z a-z 0-9 . _ -"
            )
        if spec.summarise_at is not None and not 0 < spec.summarise_at <= 1:
            raise Misuse(
                f"The agent {spec.id!r} can't summarise at {spec.summarise_at:g}: a share is more than 0, and at most 1."
            )
        names = [as_tool(tool).name for tool in spec.tools]
        if twice := {name for name in names if names.count(name) > 1}:
            raise Misuse(f"The agent {spec.id!r} has two tools named {min(twice)!r}.")
        self._specs[spec.id] = spec

    def get(self, agent_id: str) -> AgentSpec:
        """The agent with this id.

        Raises:
            AgentNotFound: there is none; the message names it.
        """
        try:
            return self._specs[agent_id]
        except KeyError:
            raise AgentNotFound(f"There is no agent {agent_id[:200]!r}.") from None

    def list(self) -> tuple[AgentSpec, ...]:
        return tuple(self._specs.values())

    def default(self) -> AgentSpec:
        """The agent of a session that names none: the configured one, else the first that can answer.

        Raises:
            Misuse: no agent is registered.
        """
        if self._default is not None:
            return self.get(self._default)
        specs = self.list()
        if not specs:
            raise Misuse("No agent is registered.")
        return next((spec for spec in specs if spec.available), specs[0])
