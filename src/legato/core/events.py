"""The immutable facts of a journal, and their bytes.

An event's ``data`` on the wire is its JSON; its type stands beside it. A journal row keeps one line ``type json`` per seq;
an empty line is a tombstone (the content was cleared, rolled back or compacted), so that every seq stays accounted for.
JSON never contains a raw line break, so lines need no escaping.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar, Final, Literal

import msgspec

from legato.core.errors import Corrupted
from legato.core.model import Approval, ErrorInfo, Gauge, Message, Session, State, Turn, Usage
from legato.core.states import Phase, TerminalStatus

TokenKind = Literal["text", "reasoning", "tool_arguments"]


class Token(msgspec.Struct, frozen=True):
    """A piece of an answer: append ``text`` to part number ``part`` of the message."""

    event: ClassVar[str] = "token"
    turn_id: str
    message_id: str
    part: int
    kind: TokenKind
    text: str


class StatusUpdate(msgspec.Struct, frozen=True, omit_defaults=True):
    """The running turn entered a phase."""

    event: ClassVar[str] = "status_update"
    turn_id: str
    phase: Phase
    detail: str | None = None


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What the turn used; once, right before ``done``."""

    event: ClassVar[str] = "usage"
    turn_id: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int
    cost_usd: float | None
    estimated: bool
    gauge: Gauge | None = None

    def usage(self) -> Usage:
        return msgspec.convert(self, Usage, from_attributes=True)


class Done(msgspec.Struct, frozen=True, omit_defaults=True):
    """The turn reached its terminal status; nothing of it comes after. ``text`` explains in the reader's language."""

    event: ClassVar[str] = "done"
    turn_id: str
    status: TerminalStatus
    reason: str
    finished_at: datetime
    error: ErrorInfo | None = None
    text: str | None = None


class MessageEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message was added, changed (its whole new state) or removed (only its id is told).

    ``leaf``: the active branch ends with it from now on.
    """

    event: ClassVar[str] = "message"
    op: Literal["added", "changed", "removed"]
    message_id: str
    message: Message | None = None
    leaf: bool = False


class TurnEvent(msgspec.Struct, frozen=True):
    """A turn was accepted, claimed or changed: its whole new state."""

    event: ClassVar[str] = "turn"
    turn: Turn


class SessionEvent(msgspec.Struct, frozen=True):
    """The session was created or changed: its whole new state."""

    event: ClassVar[str] = "session"
    session: Session


class ToolCall(msgspec.Struct, frozen=True):
    """The agent calls a tool. Arguments that stream follow as tokens of kind ``tool_arguments`` for the same part."""

    event: ClassVar[str] = "tool_call"
    turn_id: str
    message_id: str
    part: int
    call_id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True):
    """A tool answered."""

    event: ClassVar[str] = "tool_result"
    turn_id: str
    message_id: str
    part: int
    call_id: str
    output: str
    is_error: bool = False


class ApprovalEvent(msgspec.Struct, frozen=True):
    """The agent asks a person, or the person has answered: the approval's whole new state."""

    event: ClassVar[str] = "approval"
    turn_id: str
    approval: Approval


class Snapshot(msgspec.Struct, frozen=True, omit_defaults=True):
    """Replaces what the reader holds: the whole session (``state``), or one message whose tokens were compacted."""

    event: ClassVar[str] = "snapshot"
    state: State | None = None
    message: Message | None = None


class Reset(msgspec.Struct, frozen=True):
    """Discard the parts of this message from number ``part`` on; what follows replaces them."""

    event: ClassVar[str] = "reset"
    turn_id: str
    message_id: str
    part: int = 0


class ErrorEvent(msgspec.Struct, frozen=True):
    """Something failed; ``done`` follows and says how the turn ended."""

    event: ClassVar[str] = "error"
    turn_id: str
    code: str
    message: str


class Warning(msgspec.Struct, frozen=True):
    """Something a reader should know that ends nothing."""

    event: ClassVar[str] = "warning"
    turn_id: str
    code: str
    message: str


Event = (
    Token
    | StatusUpdate
    | UsageEvent
    | Done
    | MessageEvent
    | TurnEvent
    | SessionEvent
    | ToolCall
    | ToolResult
    | ApprovalEvent
    | Snapshot
    | Reset
    | ErrorEvent
    | Warning
)

_TYPES: Final[tuple[type[Event], ...]] = (
    Token,
    StatusUpdate,
    UsageEvent,
    Done,
    MessageEvent,
    TurnEvent,
    SessionEvent,
    ToolCall,
    ToolResult,
    ApprovalEvent,
    Snapshot,
    Reset,
    ErrorEvent,
    Warning,
)
EVENT_TYPES: Final[tuple[str, ...]] = tuple(kind.event for kind in _TYPES)

_encoder: Final = msgspec.json.Encoder()
_decoders: Final = {kind.event: msgspec.json.Decoder(kind) for kind in _TYPES}


def encode_data(event: Event) -> bytes:
    """The event's ``data``: JSON in UTF-8 without line breaks."""
    return _encoder.encode(event)


def decode_event(name: str, data: bytes | str) -> Event:
    """The event of type ``name`` with this data; fields that a newer server added are ignored.

    Raises:
        Corrupted: no such type, or data of another shape.
    """
    try:
        return _decoders[name].decode(data)
    except (KeyError, ValueError, RecursionError) as error:  # ValueError: msgspec's own, and bytes that are not UTF-8
        raise Corrupted(f"an event of type {name!r} can't be read") from error


def encode_lines(events: Iterable[Event]) -> bytes:
    """The payload of a journal row: one line per event."""
    return b"\n".join([event.event.encode() + b" " + _encoder.encode(event) for event in events])


def split_lines(first_seq: int, payload: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The ``(seq, type, data)`` of a journal row; tombstones are left out."""
    for seq, line in enumerate(payload.split(b"\n"), first_seq):
        if line:
            name, _, data = line.partition(b" ")
            yield seq, name, data


def decode_lines(first_seq: int, payload: bytes) -> Iterator[tuple[int, Event]]:
    """The ``(seq, event)`` of a journal row; tombstones are left out."""
    for seq, name, data in split_lines(first_seq, payload):
        yield seq, decode_event(name.decode("ascii", "replace"), data)
