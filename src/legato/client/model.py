"""What the routes answer with beyond the core's model."""

from typing import Generic, NamedTuple, TypeVar

import msgspec

from legato.core.cursor import Cursor
from legato.core.model import Message, State, Turn

T = TypeVar("T")


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that answers. ``demo`` says that no model is behind it.

    ``default``: it answers where none is named; ``welcomes``: it opens a session by itself; ``suggestions`` are prompts to
    begin with.
    """

    id: str
    name: str
    role: str | None = None
    parent_role: str | None = None
    description: str | None = None
    model_id: str | None = None
    demo: bool = False
    available: bool = True
    default: bool = False
    welcomes: bool = False
    suggestions: tuple[str, ...] = ()


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model. Windows in tokens, costs in US dollars per million tokens; None where they are not known."""

    id: str
    name: str
    provider: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    cost_per_1m_input: float | None = None
    cost_per_1m_output: float | None = None
    capabilities: tuple[str, ...] = ()


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A piece of a list; hand ``next`` back for the one after it."""

    data: list[T]
    has_more: bool = False
    next: str | None = None


class MessagePage(Page[Message], frozen=True):
    """A piece of a history, of the branch that ends with ``leaf_id``.

    ``branches``: of each message that has siblings, the ids of these, itself among them, in the order of their creation.
    """

    leaf_id: str | None = None
    branches: dict[str, list[str]] = {}


class Hint(msgspec.Struct, frozen=True):
    """Something to fetch again. ``what``: changed, running, finished or deleted; ``refetch`` means everything."""

    what: str
    session_id: str | None = None


class View(NamedTuple):
    """A session at one instant: following from ``cursor`` misses nothing and repeats nothing."""

    state: State
    cursor: Cursor


class Sent(NamedTuple):
    """An accepted turn, and the position right before its first event."""

    turn: Turn
    cursor: Cursor
