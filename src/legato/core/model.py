"""What a conversation is made of. Frozen; times are aware UTC; money is in US dollars."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from legato.core.states import Phase, TurnStatus

Role = Literal["user", "assistant"]
Mode = Literal["queue", "reject", "interrupt", "rollback", "steer"]
Priority = Literal["interactive", "background"]
TurnKind = Literal["send", "edit", "continue", "retry", "welcome"]
TitleSource = Literal["person", "model", "date"]
ApprovalStatus = Literal["pending", "allowed", "denied", "expired"]
CrashPolicy = Literal["incomplete", "restart", "continue"]


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Words."""

    text: str


class ReasoningPart(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning"):
    """What a model thought before it answered; shown, never sent back to a model."""

    text: str


class ToolCallPart(msgspec.Struct, frozen=True, tag_field="type", tag="tool_call"):
    """A call of a tool; ``arguments`` is JSON text as the model wrote it."""

    call_id: str
    name: str
    arguments: str = ""


class ToolResultPart(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result"):
    """What the tool named by ``call_id`` answered."""

    call_id: str
    output: str
    is_error: bool = False


class FilePart(msgspec.Struct, frozen=True, tag_field="type", tag="file"):
    """A file that was sent: ``media_type`` is what its bytes are, ``tokens`` what a model takes for it at most."""

    file_id: str
    name: str
    media_type: str
    size: int
    tokens: int = 0


Part = TextPart | ReasoningPart | ToolCallPart | ToolResultPart | FilePart


class Usage(msgspec.Struct, frozen=True):
    """Tokens and cost. ``cached_tokens`` are part of ``prompt_tokens``; ``cost_usd`` is None where no price is known.

    ``estimated`` says that the provider did not report it (all of it, or the last step's).
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None
    estimated: bool = False


class ErrorInfo(msgspec.Struct, frozen=True):
    """A stable code and a message of at most 4 KB."""

    code: str
    message: str


class ContextInfo(msgspec.Struct, frozen=True):
    """What was sent to the model: messages and tokens in, the budget they had to fit; memories in.

    What was not: messages that were left out (``dropped``), and those in whose place a summary went (``summarised``).
    ``window`` is the model's, in tokens.
    """

    messages: int
    tokens: int
    dropped: int
    budget: int
    memories: int = 0
    summarised: int = 0
    window: int = 0


class Gauge(msgspec.Struct, frozen=True):
    """How full the model's ``window`` was at its last call: ``tokens`` of what it was sent and what it has answered."""

    tokens: int
    window: int


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a prompt for the first ``messages`` of a branch, up to ``message_id``; they themselves stay."""

    message_id: str
    messages: int
    text: str
    created_at: datetime


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of the history. ``parent_id`` is None for the first, and for one that still waits in the queue.

    An edited one knows its place while it waits: beside the message that it takes the place of. ``pinned``: it never falls out
    of the prompt.
    """

    id: str
    session_id: str
    turn_id: str
    role: Role
    status: TurnStatus
    created_at: datetime
    parts: tuple[Part, ...] = ()
    message_type: str = "message"
    parent_id: str | None = None
    agent_id: str | None = None
    model_id: str | None = None
    client_message_id: str | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    pinned: bool = False


class Turn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input and everything done to answer it. Waiting turns run in the order of ``rank``, the lowest first.

    ``message_id`` is what it answers; that of a welcome, which answers nothing, is its own first answer's.
    """

    id: str
    session_id: str
    message_id: str
    agent_id: str
    status: TurnStatus
    created_at: datetime
    kind: TurnKind = "send"
    mode: Mode = "queue"
    priority: Priority = "interactive"
    rank: int = 0
    answer_id: str | None = None
    source_turn_id: str | None = None
    model_id: str | None = None
    attempt: int = 0
    phase: Phase | None = None
    detail: str | None = None
    context: ContextInfo | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    text: str | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None

    @property
    def brings_message(self) -> bool:
        """Whether it has brought its message into the session: a retry answers an earlier one, a welcome answers none."""
        return self.kind in ("send", "edit", "continue")


class Fork(msgspec.Struct, frozen=True):
    """Where a session comes from that goes on from another one: it, and its last message that was taken over."""

    session_id: str
    message_id: str | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation of one owner with one agent.

    ``keep``: it is never removed for its age. ``memory``: facts may be drawn from it. ``quarantined``: something of it is
    damaged; it can be read, and takes no turns.
    """

    id: str
    owner: str
    agent_id: str
    agent_name: str
    created_at: datetime
    last_activity: datetime
    parent_role: str | None = None
    model_id: str | None = None
    title: str | None = None
    title_source: TitleSource | None = None
    closed_at: datetime | None = None
    archived_at: datetime | None = None
    pinned: bool = False
    keep: bool = False
    memory: bool = True
    context: str | None = None
    metadata: dict[str, Any] = {}
    read_only: bool = False
    forked_from: Fork | None = None
    quarantined: bool = False


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent asks a person, and what was answered. ``tool`` is what it wants to use, where it is one."""

    id: str
    session_id: str
    turn_id: str
    question: str
    status: ApprovalStatus
    created_at: datetime
    expires_at: datetime
    tool: str | None = None
    decided_at: datetime | None = None


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of an agent's that its owner is not asked about any more."""

    id: str
    agent_id: str
    tool: str


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over a session, over all of its branches; ``active_count`` are the messages of the active one.

    ``age_s`` is in seconds since it was created.
    """

    session_id: str
    message_count: int
    active_count: int = 0
    turn_count: int
    usage: Usage
    age_s: float
    last_activity: datetime


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one instant: the newest messages of its active branch, oldest first, and its unfinished turns.

    ``turns`` holds the running and the waiting turns, in the order they will run, and the last finished one; ``approvals`` what
    waits for a person's answer.
    ``has_more`` says that older messages exist. ``gauge`` is None until a model has been called.
    """

    session: Session
    messages: tuple[Message, ...] = ()
    turns: tuple[Turn, ...] = ()
    leaf_id: str | None = None
    has_more: bool = False
    approvals: tuple[Approval, ...] = ()
    gauge: Gauge | None = None
