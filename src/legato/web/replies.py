"""What responses contain: the model's own types, encoded once, and their schemas for OpenAPI from the same source."""

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from legato.core.diagnostics import DiagnosticsReport, StreamEnd
from legato.core.files import File
from legato.core.found import Hit, SavedSearch
from legato.core.memory import Memory
from legato.core.model import Approval, Grant, Message, Session, State, Stats, Summary, Turn
from legato.core.spending import UsageReport
from legato.providers.catalog import ModelInfo
from legato.store.queueing import Waiting
from legato.transfer.report import ImportReport


class SnapshotReply(msgspec.Struct, frozen=True):
    """State and cursor of one instant."""

    state: State
    cursor: str


class SentReply(msgspec.Struct, frozen=True):
    """The turn, and the cursor right before its first event."""

    turn: Turn
    cursor: str


class SessionList(msgspec.Struct, frozen=True):
    """A page of sessions; ``running`` are the ids of those whose turn is being answered."""

    data: tuple[Session, ...]
    running: tuple[str, ...]
    has_more: bool
    next: str | None


class Prunable(msgspec.Struct, frozen=True):
    """Sessions that are too old, the oldest first, and how many they are in all; without ``dry_run`` they are gone."""

    data: tuple[Session, ...]
    count: int
    dry_run: bool


class MessageList(msgspec.Struct, frozen=True):
    """A page of messages of the branch that ends with ``leaf_id``, oldest first; ``next`` leads to older ones.

    ``branches``: of each message that has siblings, the ids of these, itself among them, in the order of their creation.
    """

    data: tuple[Message, ...]
    has_more: bool
    next: str | None
    leaf_id: str | None
    branches: dict[str, tuple[str, ...]]


class QueueList(msgspec.Struct, frozen=True):
    """What waits in a session, the next one first."""

    data: tuple[Waiting, ...]


class ApprovalList(msgspec.Struct, frozen=True):
    """What waits for an answer, the oldest first."""

    data: tuple[Approval, ...]


class GrantList(msgspec.Struct, frozen=True):
    """What is allowed for always."""

    data: tuple[Grant, ...]


class HitList(msgspec.Struct, frozen=True):
    """A page of hits, the best first."""

    data: tuple[Hit, ...]
    has_more: bool
    next: str | None


class MemoryList(msgspec.Struct, frozen=True):
    """A page of what is remembered, the newest first."""

    data: tuple[Memory, ...]
    has_more: bool
    next: str | None


class SearchList(msgspec.Struct, frozen=True):
    """Saved searches, by name."""

    data: tuple[SavedSearch, ...]


class MemorySettings(msgspec.Struct, frozen=True):
    """Whether anything is remembered of you, and given to agents."""

    enabled: bool


class StreamEndList(msgspec.Struct, frozen=True):
    """Why streams ended, the newest first."""

    data: tuple[StreamEnd, ...]


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as clients see it.

    ``default``: it answers where none is named; ``welcomes``: it opens a session; ``suggestions`` are prompts to begin with.
    """

    id: str
    name: str
    role: str | None
    parent_role: str | None
    description: str
    model_id: str | None
    demo: bool
    available: bool
    default: bool
    welcomes: bool
    suggestions: tuple[str, ...]


class AgentList(msgspec.Struct, frozen=True):
    """All agents."""

    data: tuple[AgentInfo, ...]


class ModelList(msgspec.Struct, frozen=True):
    """The models that the configuration names."""

    data: tuple[ModelInfo, ...]


class EventReply(msgspec.Struct, frozen=True):
    """One event with its cursor."""

    cursor: str
    type: str
    data: msgspec.Raw


class EventList(msgspec.Struct, frozen=True):
    """Events in order; ``cursor`` is where to go on."""

    data: tuple[EventReply, ...]
    cursor: str
    has_more: bool


class Problem(msgspec.Struct, frozen=True):
    """An error (RFC 9457); ``code`` is stable. Further fields carry details."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class Health(msgspec.Struct, frozen=True):
    """``ok`` or ``not ready``."""

    status: str


_TYPES: Final = (
    SnapshotReply,
    SentReply,
    SessionList,
    Prunable,
    MessageList,
    QueueList,
    MemoryList,
    MemorySettings,
    ApprovalList,
    GrantList,
    AgentList,
    ModelList,
    EventList,
    HitList,
    SavedSearch,
    SearchList,
    Stats,
    Summary,
    File,
    UsageReport,
    DiagnosticsReport,
    StreamEndList,
    ImportReport,
    Problem,
    Health,
)


def reply(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def documents(kind: type[Any] | None, status: int = 200, *, stream: bool = False) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route: what it answers, and that errors are problems."""
    name = None if kind is None else kind.__name__
    content: dict[str, Any] = {}
    if name is not None:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    if stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    good = {"description": (kind.__doc__ or "").strip() if kind else "Done.", "content": content}
    return {status: good, "default": {"description": "A problem.", "content": problem}}


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schemas of the replies added."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        _, schemas = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
        components = document.setdefault("components", {}).setdefault("schemas", {})
        components.update({name: schema for name, schema in schemas.items() if name not in components})
        for unused in ("HTTPValidationError", "ValidationError"):
            components.pop(unused, None)
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        app.openapi_schema = document
    return app.openapi_schema
