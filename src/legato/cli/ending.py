"""How a turn ended, in words and as an exit status."""

from typing import Final

from legato.core.model import Turn

CANCELLED_HERE: Final = 130  # as a shell tells a Ctrl-C
_REASONS: Final = {
    "length": "cut off at the model's limit",
    "content_filter": "stopped by the provider's content filter",
    "steered": "taken over by the answer that runs",
    "worker_lost": "the server that ran it died",
    "shutdown": "the server was stopped",
    "interrupted": "another message came first",
    "rolled_back": "another message took its place",
    "cleared": "the session was cleared",
    "withdrawn": "withdrawn",
}
_SILENT: Final = frozenset({"stop", "tool_calls"})


def mark(turn: Turn, *, can_go_on: bool) -> str | None:
    """What a reader must know of the end; None for a good one. ``can_go_on``: whether ``:continue`` may be typed here."""
    reason = turn.reason or ""
    if turn.status == "completed" and reason in _SILENT:
        return None
    why = turn.text or (turn.error.message if turn.error else _REASONS.get(reason, reason))
    told = f"[{turn.status}]" if why in ("", turn.status) else f"[{turn.status}: {why}]"
    return told + _way_on(turn) if can_go_on else told


def _way_on(turn: Turn) -> str:
    if turn.status == "failed":
        return " — :retry tries again"
    if turn.status == "incomplete" or turn.reason in ("length", "cancelled"):
        return " — :continue goes on"
    return ""


def exit_status(turn: Turn, *, interrupted: bool) -> int:
    """0 for an answer, 130 for one that was cancelled by Ctrl-C, 1 for every other end."""
    if turn.status == "completed":
        return 0
    return CANCELLED_HERE if interrupted and turn.status == "cancelled" else 1
