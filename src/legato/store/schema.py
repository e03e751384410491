"""The tables. The journal is the truth; sessions, messages and turns are projections written in the same transaction.

Times are microseconds since 1970 in UTC by the store's clock; JSON is text written by msgspec; the payload of a journal
row is described in ``core.events``. Invariants are constraints here first and code second.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from legato.core.text import normalise

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class _Name(TypeDecorator[str]):
    """A string that is looked up: one that no database can hold finds nothing, instead of failing on one of them."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else normalise(value)


#: The owner of a session that has been deleted and is being erased: nobody who asks has this name.
NOBODY: Final = ""

_STATUSES: Final = "('queued', 'in_progress', 'completed', 'cancelled', 'failed', 'incomplete')"

meta: Final = Table(
    "meta",
    metadata,
    Column("key", _Name(64), primary_key=True),
    Column("value", Text, nullable=False),
)

workers: Final = Table(
    "workers",
    metadata,
    Column("id", _Name(40), primary_key=True),
    # Raised by the worker's own event loop; others compare it with what they saw before, never with a clock.
    Column("counter", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)


def _listed(name: str, *first: str, where: str | None = None, postgresql_where: str | None = None) -> Index:
    """An index in the order of an owner's list."""
    conditions = {"sqlite_where": where, "postgresql_where": postgresql_where or where}
    options: dict[str, Any] = {key: text(value) for key, value in conditions.items() if value is not None}
    return Index(name, "owner", *first, text("last_activity DESC"), text("id DESC"), **options)


def _once(name: str, *columns: str) -> Index:
    """At most one session of an owner has the same values there, if it has any."""
    where = text(f"{columns[-1]} IS NOT NULL")
    return Index(name, "owner", *columns, unique=True, sqlite_where=where, postgresql_where=where)


sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("owner", _Name(255), nullable=False),
    # Whose it was before it was nobody's: for the lists of other processes, which are told.
    Column("former_owner", _Name(255)),
    Column("agent_id", _Name(128), nullable=False),
    Column("agent_name", _Name(255), nullable=False),
    Column("parent_role", _Name(128)),
    Column("model_id", _Name(255)),
    Column("title", _Name(512)),
    Column("title_source", _Name(16)),
    Column("created_at", BigInteger, nullable=False),
    Column("last_activity", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("archived_at", BigInteger),
    Column("pinned", Boolean, nullable=False, default=False),
    Column("keep", Boolean, nullable=False, default=False),
    Column("memory", Boolean, nullable=False, default=True),
    # The message up to which facts were drawn.
    Column("remembered_id", _Name(40)),
    # When memory was switched on here again: what was said before is not remembered.
    Column("memory_since", BigInteger),
    Column("context", _Name(512)),
    Column("imported_from", _Name(255)),
    # The session and the message of it that this one goes on from; they may be gone.
    Column("forked_from", _Name(40)),
    Column("forked_message_id", _Name(40)),
    Column("metadata", Text, nullable=False, default="{}"),
    # The session's row is the lock: the last seq of its journal, and the fencing number of its open turn.
    Column("head", BigInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("leaf_id", _Name(40)),
    # Nothing up to here is told any more, nor is any message of a turn that had ended by then: it was cleared.
    Column("cleared_seq", BigInteger, nullable=False, server_default=text("0")),
    # How full the model's window was at the last call (``core.model.Gauge``).
    Column("gauge", Text),
    # Since when something of it is known to be damaged, and what was found first (promise X-06).
    Column("quarantined_at", BigInteger),
    Column("quarantine_reason", _Name(64)),
    # The lists (S-02). Without one of its own a filter that few sessions pass walks all of their owner's.
    _listed("ix_sessions_list"),
    _listed("ix_sessions_agent", "agent_id"),
    _listed("ix_sessions_active", where="closed_at IS NULL AND archived_at IS NULL"),
    _listed("ix_sessions_closed", where="closed_at IS NOT NULL"),
    _listed("ix_sessions_archived", where="archived_at IS NOT NULL"),
    _listed("ix_sessions_pinned", where="pinned = 1", postgresql_where="pinned"),
    _listed("ix_sessions_context", "context", where="context IS NOT NULL"),
    # What has been silent for how long, for those who prune by age, and who close by it: most are closed for good.
    Index("ix_sessions_age", "agent_id", "last_activity"),
    Index(
        "ix_sessions_idle",
        "agent_id",
        "last_activity",
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    ),
    # One canonical thread for each thing of the host's (promise S-09), and one import of each foreign session (G18).
    _once("uq_sessions_context", "agent_id", "context"),
    _once("uq_sessions_imported", "imported_from"),
    CheckConstraint("title_source IN ('person', 'model', 'date')", name="title_source"),
    CheckConstraint("(title IS NULL) = (title_source IS NULL)", name="title_has_source"),
)

# Side work that a session waits for: nobody's turn waits for it, and it survives whoever does it (guarantee G19).
chores: Final = Table(
    "chores",
    metadata,
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("kind", _Name(16), nullable=False),
    # 0: at once, whatever a clock says.
    Column("due_at", BigInteger, nullable=False),
    # Raised by each request: what was asked for again while it was done is done again.
    Column("version", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("worker_id", _Name(40)),
    PrimaryKeyConstraint("session_id", "kind"),
    Index("ix_chores_due", "kind", "due_at"),
)

# What is remembered of an owner across sessions. A forgotten fact leaves its digest, so that it is not drawn again.
memories: Final = Table(
    "memories",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("owner", _Name(255), nullable=False),
    Column("agent_id", _Name(128), nullable=False),
    Column("kind", _Name(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("digest", _Name(64), nullable=False),
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("message_id", _Name(40), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("edited", Boolean, nullable=False, default=False),
    Column("forgotten", Boolean, nullable=False, default=False),
    Index("ix_memories_owner", "owner", "agent_id", text("changed_at DESC")),
    Index("ix_memories_session", "session_id"),
    Index("uq_memories_fact", "owner", "agent_id", "digest", unique=True),
)

# What an owner has chosen: ``memory`` is ``off``, or since when (in microseconds) it is on again.
preferences: Final = Table(
    "preferences",
    metadata,
    Column("owner", _Name(255), nullable=False),
    Column("name", _Name(64), nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("owner", "name"),
)

# Saved searches (promise S-14).
searches: Final = Table(
    "searches",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("owner", _Name(255), nullable=False),
    Column("name", _Name(200), nullable=False),
    Column("query", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("uq_searches_name", "owner", "name", unique=True),
)

# What can be found (``store.search``): the words of a message, or of a session's title, where ``message_id`` is NULL. Not tied
# to them by a foreign key: they may be gone before what they left in the index is.
search_entries: Final = Table(
    "search_entries",
    metadata,
    # Begins each of the owner's words in the index, so that nobody's search walks through other people's; and an owner's
    # entries lie together: to read all of 10,000 is then a matter of milliseconds, however many others there are.
    Column("owner_key", _Name(16), nullable=False),
    Column("id", BigInteger, Identity(), nullable=False),
    Column("session_id", _Name(40), nullable=False),
    Column("message_id", _Name(40)),
    Column("role", _Name(16)),
    Column("created_at", BigInteger, nullable=False),
    Column("words", Text, nullable=False),
    # The index itself on PostgreSQL; SQLite's is the FTS5 table ``search_index``, which two triggers keep.
    Column("terms", Text().with_variant(TSVECTOR(), "postgresql")),
    # Removed, and not yet taken out of the index.
    Column("gone", Boolean, nullable=False, default=False),
    PrimaryKeyConstraint("owner_key", "id"),
    Index("uq_search_entries_id", "id", unique=True),
    Index("ix_search_entries_session", "session_id"),
    Index("ix_search_entries_message", "message_id"),
    Index("ix_search_entries_gone", "id", sqlite_where=text("gone = 1"), postgresql_where=text("gone")),
    Index("ix_search_entries_terms", "terms", postgresql_using="gin").ddl_if(dialect="postgresql"),
    sqlite_with_rowid=False,
)

# What was used, by day in UTC (days since 1970): sums that outlive the sessions, without a word of them (promise R-11).
usage_days: Final = Table(
    "usage_days",
    metadata,
    Column("owner", _Name(255), nullable=False),
    Column("day", Integer, nullable=False),
    Column("agent_id", _Name(128), nullable=False),
    # "" where no model was called.
    Column("model_id", _Name(255), nullable=False),
    # ``turn``, or the side work that called the model: ``title``, ``memory``, ``summary``.
    Column("kind", _Name(16), nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cost_usd", Float, nullable=False),
    # How many of the calls are not in the cost, for want of a price; how many are estimates.
    Column("unpriced", BigInteger, nullable=False),
    Column("estimated", BigInteger, nullable=False),
    PrimaryKeyConstraint("owner", "day", "agent_id", "model_id", "kind"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("turn_id", _Name(40), nullable=False),
    Column("parent_id", _Name(40)),
    Column("role", _Name(16), nullable=False),
    Column("message_type", _Name(64), nullable=False),
    Column("status", _Name(16), nullable=False),
    Column("agent_id", _Name(128)),
    Column("model_id", _Name(255)),
    Column("client_message_id", _Name(128)),
    Column("parts", Text, nullable=False),
    Column("usage", Text),
    Column("error_code", _Name(64)),
    Column("error_message", Text),
    Column("created_at", BigInteger, nullable=False),
    # It never falls out of the prompt.
    Column("pinned", Boolean, nullable=False, default=False),
    Column("crc", BigInteger, nullable=False),
    CheckConstraint(f"status IN {_STATUSES}", name="status"),
    CheckConstraint("role IN ('user', 'assistant')", name="role"),
    CheckConstraint("status <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    # Also from a message to those that follow it: the branches.
    Index("ix_messages_session", "session_id", "parent_id"),
    Index("ix_messages_turn", "turn_id"),
    Index("ix_messages_pinned", "session_id", sqlite_where=text("pinned = 1"), postgresql_where=text("pinned")),
)

# What stands in a prompt for the first ``messages`` of a branch, up to ``message_id`` (promise C-03).
summaries: Final = Table(
    "summaries",
    metadata,
    Column("message_id", _Name(40), primary_key=True),
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("messages", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("crc", BigInteger, nullable=False),
    Index("ix_summaries_session", "session_id"),
)

# What was attached (promise S-18), once for each owner who has it: equal files of two owners are two, or each could find out
# what the other one has. ``coming``: being written; ``gone``: nobody's any more, its pieces are taken away in slices.
file_contents: Final = Table(
    "file_contents",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("owner", _Name(255), nullable=False),
    Column("digest", _Name(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", _Name(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("state IN ('coming', 'ready', 'gone')", name="state"),
    Index(
        "uq_file_contents_ready",
        "owner",
        "digest",
        unique=True,
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    # What has yet to come or to go.
    Index(
        "ix_file_contents_unready",
        "state",
        "created_at",
        sqlite_where=text("state <> 'ready'"),
        postgresql_where=text("state <> 'ready'"),
    ),
)

file_pieces: Final = Table(
    "file_pieces",
    metadata,
    Column("content_id", _Name(40), ForeignKey("file_contents.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("crc", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    PrimaryKeyConstraint("content_id", "number"),
)

# A file is its owner's until a message has it; then it is that message's, and goes with it.
files: Final = Table(
    "files",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("owner", _Name(255), nullable=False),
    Column("content_id", _Name(40), ForeignKey("file_contents.id"), nullable=False),
    Column("name", _Name(255), nullable=False),
    Column("media_type", _Name(64), nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE")),
    Column("message_id", _Name(40)),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("(session_id IS NULL) = (message_id IS NULL)", name="session_and_message"),
    Index("ix_files_content", "content_id"),
    Index("ix_files_session", "session_id"),
    Index("ix_files_message", "message_id"),
    # Those that no message has, for the duty that removes them.
    Index(
        "ix_files_unused",
        "created_at",
        sqlite_where=text("session_id IS NULL"),
        postgresql_where=text("session_id IS NULL"),
    ),
)

turns: Final = Table(
    "turns",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("message_id", _Name(40), nullable=False),
    Column("answer_id", _Name(40)),
    Column("source_turn_id", _Name(40)),
    Column("agent_id", _Name(128), nullable=False),
    Column("model_id", _Name(255)),
    Column("locale", _Name(35)),
    Column("kind", _Name(16), nullable=False),
    Column("mode", _Name(16), nullable=False),
    Column("priority", _Name(16), nullable=False),
    Column("rank", BigInteger, nullable=False),
    Column("status", _Name(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger),
    Column("worker_id", _Name(40)),
    # What becomes of it when its process dies, and how often one has.
    Column("on_crash", _Name(16), nullable=False, default="incomplete"),
    Column("crashes", Integer, nullable=False, default=0),
    # The approval that it waits for: nobody's until that is decided.
    Column("asks", _Name(40)),
    # The seq of the claim's last event and of `done`: where the turn's own events begin and end.
    Column("start_seq", BigInteger),
    Column("done_seq", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("compacted", Boolean, nullable=False, default=False),
    Column("context", Text),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Column("cached_tokens", BigInteger),
    Column("cost_usd", Float),
    Column("estimated", Boolean),
    Column("reason", _Name(64)),
    Column("explanation", Text),
    Column("error_code", _Name(64)),
    Column("error_message", Text),
    CheckConstraint(f"status IN {_STATUSES}", name="status"),
    CheckConstraint("priority IN ('interactive', 'background')", name="priority"),
    CheckConstraint("on_crash IN ('incomplete', 'restart', 'continue')", name="on_crash"),
    CheckConstraint("asks IS NULL OR worker_id IS NULL", name="asks_is_nobodys"),
    CheckConstraint("status NOT IN ('in_progress') OR epoch IS NOT NULL", name="open_has_epoch"),
    CheckConstraint("status NOT IN ('failed') OR error_code IS NOT NULL", name="failed_says_why"),
    # Single flight (guarantee G6): a session has at most one open turn, whatever the code believes.
    Index(
        "uq_turns_open",
        "session_id",
        unique=True,
        sqlite_where=text("status = 'in_progress'"),
        postgresql_where=text("status = 'in_progress'"),
    ),
    # What the sweep claims, in its order: people's turns before those that can wait.
    Index(
        "ix_turns_waiting",
        "agent_id",
        text("priority DESC"),
        "created_at",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    # The order within a session.
    Index(
        "ix_turns_queued",
        "session_id",
        "rank",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    Index(
        "ix_turns_worker",
        "worker_id",
        sqlite_where=text("status = 'in_progress'"),
        postgresql_where=text("status = 'in_progress'"),
    ),
    # What compaction has yet to do.
    Index(
        "ix_turns_compactable",
        "finished_at",
        sqlite_where=text("compacted = 0 AND finished_at IS NOT NULL"),
        postgresql_where=text("NOT compacted AND finished_at IS NOT NULL"),
    ),
    Index("ix_turns_session_done", "session_id", "done_seq"),
)

# What a turn that is not over has done and is not to do again (``core.steps``); gone when it is over.
steps: Final = Table(
    "steps",
    metadata,
    Column("turn_id", _Name(40), ForeignKey("turns.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", _Name(16), nullable=False),
    Column("name", _Name(255), nullable=False),
    Column("digest", _Name(64), nullable=False),
    Column("call_id", Text),
    Column("result", Text),
    Column("failed", Boolean, nullable=False),
    Column("crc", BigInteger, nullable=False),
    PrimaryKeyConstraint("turn_id", "number"),
)

# What people were asked (promise R-10).
approvals: Final = Table(
    "approvals",
    metadata,
    Column("id", _Name(40), primary_key=True),
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("turn_id", _Name(40), ForeignKey("turns.id", ondelete="CASCADE"), nullable=False),
    Column("owner", _Name(255), nullable=False),
    # Its step's number, and what tells whether the same is asked.
    Column("number", Integer, nullable=False),
    Column("digest", _Name(64), nullable=False),
    Column("tool", _Name(255)),
    Column("question", Text, nullable=False),
    Column("status", _Name(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("decided_at", BigInteger),
    CheckConstraint("status IN ('pending', 'allowed', 'denied', 'expired')", name="status"),
    CheckConstraint("(status = 'pending') = (decided_at IS NULL)", name="decided"),
    # A turn waits for one answer at a time.
    Index(
        "uq_approvals_pending",
        "turn_id",
        unique=True,
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "ix_approvals_owner",
        "owner",
        "id",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "ix_approvals_expiry",
        "expires_at",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index("ix_approvals_session", "session_id"),
    Index("ix_approvals_turn", "turn_id"),
)

sends: Final = Table(
    "sends",
    metadata,
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("client_message_id", _Name(128), nullable=False),
    Column("body_hash", _Name(64), nullable=False),
    Column("turn_id", _Name(40), nullable=False),
    Column("cursor_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("session_id", "client_message_id"),
)

journal: Final = Table(
    "journal",
    metadata,
    Column("session_id", _Name(40), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("turn_id", _Name(40)),
    Column("epoch", BigInteger),
    Column("batch", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("crc", BigInteger, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    # Keyed by the last seq: "everything after my cursor" is then one range of the key, also when a row covers many seqs.
    PrimaryKeyConstraint("session_id", "last_seq"),
    CheckConstraint("first_seq >= 1 AND last_seq >= first_seq", name="range"),
    # A commit of unknown outcome is tried again with the same number and can't enter twice (promise R-02 of the inside). On
    # PostgreSQL the earlier try may still be on its way, so that only a constraint can tell; SQLite's one writer is never
    # two, asks the key, and is spared a third of what a token costs it.
    Index(
        "uq_journal_batch",
        "turn_id",
        "epoch",
        "batch",
        unique=True,
        postgresql_where=text("batch IS NOT NULL"),
    ).ddl_if(dialect="postgresql"),
    # What was said of the session itself: a row among thousands.
    Index(
        "ix_journal_session",
        "session_id",
        "last_seq",
        sqlite_where=text("turn_id IS NULL"),
        postgresql_where=text("turn_id IS NULL"),
    ),
    sqlite_with_rowid=False,
)
