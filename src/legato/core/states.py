"""The life of a turn: which status may follow which.

queued ──► in_progress ──► completed | cancelled | failed | incomplete
   └─────► completed (a steering message taken over by the running turn) | cancelled
"""

from typing import Final, Literal

TurnStatus = Literal["queued", "in_progress", "completed", "cancelled", "failed", "incomplete"]
TerminalStatus = Literal["completed", "cancelled", "failed", "incomplete"]
Phase = Literal["planning", "executing", "awaiting_approval"]

TERMINAL: Final[frozenset[str]] = frozenset({"completed", "cancelled", "failed", "incomplete"})

_NEXT: Final[dict[TurnStatus, frozenset[str]]] = {
    "queued": frozenset({"in_progress", "completed", "cancelled"}),
    "in_progress": TERMINAL,
    "completed": frozenset(),
    "cancelled": frozenset(),
    "failed": frozenset(),
    "incomplete": frozenset(),
}


def may_follow(before: TurnStatus, after: TurnStatus) -> bool:
    """Whether a turn in status ``before`` may go to ``after``; a terminal status is never left."""
    return after in _NEXT[before]


def is_terminal(status: TurnStatus) -> bool:
    return status in TERMINAL
