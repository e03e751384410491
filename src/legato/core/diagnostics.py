"""What a process tells of itself: why streams ended, how long things took, how much is going on (promise E-09)."""

from datetime import datetime
from typing import Final, Literal

import msgspec

from legato.core.measures import Spread

#: Why a stream ended, as clients say it.
ClientCode = Literal[
    "client.stream.done", "client.stream.user-abort", "client.stream.reader-error", "client.stream.view-remount"
]
#: The same, as the server says it.
ServerCode = Literal[
    "stream.completed",
    "stream.cancelled",
    "stream.error",
    "stream.incomplete",
    "stream.reconciled",
    "stream.closed",
    "stream.abandoned",
]
#: ``reason`` of ``done`` as docs/protocol.md has it. Any other is a provider's word, and is counted as ``other``.
REASONS: Final = frozenset(
    {
        "stop",
        "length",
        "content_filter",
        "max_steps",
        "steered",
        "cancelled",
        "interrupted",
        "rolled_back",
        "cleared",
        "deleted",
        "withdrawn",
        "worker_lost",
        "shutdown",
        "store_unavailable",
        "corrupted",
        "session_quarantined",
        "error",
        "agent_unavailable",
    }
)


class StreamEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a stream ended: an answer's (``turn``), a response's to who follows a ``session`` or the ``list``, a ``client``'s."""

    at: datetime
    what: Literal["turn", "session", "list", "client"]
    code: ServerCode | ClientCode
    reason: str | None = None
    session_id: str | None = None
    turn_id: str | None = None


class SpreadMinute(msgspec.Struct, frozen=True):
    """How long it took in the minute that began at ``at``."""

    at: datetime
    spread: Spread


class Latency(msgspec.Struct, frozen=True):
    """How long it took in the last hour, and in each of its minutes in which it was done."""

    total: Spread
    minutes: tuple[SpreadMinute, ...]


class EndsMinute(msgspec.Struct, frozen=True):
    """How often each came in the minute that began at ``at``."""

    at: datetime
    counts: dict[str, int]


class Ends(msgspec.Struct, frozen=True):
    """How often each came in the last hour, and in each of its minutes in which one did."""

    total: dict[str, int]
    minutes: tuple[EndsMinute, ...]


class OpenMinute(msgspec.Struct, frozen=True):
    """The most that was open at once in the minute that began at ``at``: streams of sessions and lists, running turns."""

    at: datetime
    sessions: int
    lists: int
    turns: int


class OpenStreams(msgspec.Struct, frozen=True):
    """Streams that are open now."""

    sessions: int
    lists: int


class OpenTurns(msgspec.Struct, frozen=True):
    """Turns that run now in this process, and that wait in the store."""

    running: int
    waiting: int


class DiagnosticsReport(msgspec.Struct, frozen=True, kw_only=True):
    """One process's last hour, without a word or an id of anybody's."""

    started_at: datetime
    now: datetime
    streams: OpenStreams
    turns: OpenTurns
    open: tuple[OpenMinute, ...]
    stream_ends: Ends
    turn_ends: Ends
    first_token: Latency
    commit: Latency
    rescue: Latency
