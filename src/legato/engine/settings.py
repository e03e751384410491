"""The engine's numbers, each with the promise or measurement it comes from."""

import msgspec

from legato.core.files import MOST_BYTES, MOST_OF_MESSAGE


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds."""

    queue_limit: int = 100
    """Turns that may wait in one session."""
    max_message_chars: int = 50_000
    """X-04."""
    max_running: int = 2_000
    """Turns that one process runs at once; more of them wait in the store."""
    max_background: int = 100
    """How many of them may be turns that were sent with ``priority: "background"`` (R-15)."""
    max_running_per_owner: int | None = None
    """Turns of one owner that run at once, in all processes together; more of them wait (R-15)."""
    max_degraded: int = 100
    """R-14: answers without the store that one process gives at once; beyond them a send is refused."""
    beat_s: float = 3.0
    sweep_s: float = 2.0
    dead_after_s: float = 10.0
    """Liveness (DESIGN, "what decides correctness"): together they rescue within 15 s (R-06)."""
    fence_s: float = 1.0
    """How often an owner looks whether its turns are still its own (G8: upstream closed within 2 s)."""
    look_s: float = 5.0
    """How often watched journals of a shared store are looked at, should a ring be lost."""
    rest_s: float = 10.0
    """How long the last events of a followed session stay in memory when nothing more comes."""
    replay_window_s: float = 24 * 3600.0
    """E-03: after it a finished turn's tokens are compacted."""
    compact_every_s: float = 60.0
    close_upstream_s: float = 2.0
    """R-04."""
    grace_s: float = 10.0
    """How long turns get to finish when the process stops (G15); what then still runs is handed over or ended."""
    chores_s: float = 5.0
    """How often side work is looked for that nobody announced; what was asked for here begins at once."""
    scrub_s: float = 5.0
    """How often it is looked whether the files are to be scrubbed of what was removed (G12: within 60 s)."""
    titles: bool = True
    """T-01: whether sessions get a title made, where their agent does not say otherwise."""
    approvals_s: float = 2.0
    """R-10: how often it is looked what nobody has answered in time."""
    close_idle_every_s: float = 60.0
    """S-05: how often sessions are closed for their silence; whoever comes to one closes it, too."""
    tidy_every_s: float = 10.0
    """G12: how often what was removed is taken out of the index of the search."""
    retention_days: float | None = None
    """S-06: days after its last activity that a session is removed, unless its agent says otherwise; None: never."""
    prune_hour: int = 2
    """S-06: the hour of the day, in UTC, from which what is too old is removed."""
    prune_every_s: float = 60.0
    """How often it is seen whether that hour has come."""
    max_file_bytes: int = MOST_BYTES
    """S-18: of one attachment."""
    max_message_files: int = MOST_OF_MESSAGE
    """S-18: attachments of one message."""
    max_files_mb: int = 1024
    """What the attachments of one owner may take in the store, in MiB; equal ones count once."""
    unused_files_s: float = 24 * 3600.0
    """How long a file is kept that no message has."""
    sweep_files_s: float = 60.0
    """How often those are looked for."""
    memory_idle_s: float = 1800.0
    """T-02: how long a session must be silent for facts to be drawn from it."""
