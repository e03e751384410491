"""The spine: sessions, messages, turns, journal, sends, workers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTIAL_LISTS = (
    ("ix_sessions_active", "closed_at IS NULL AND archived_at IS NULL", "closed_at IS NULL AND archived_at IS NULL"),
    ("ix_sessions_closed", "closed_at IS NOT NULL", "closed_at IS NOT NULL"),
    ("ix_sessions_archived", "archived_at IS NOT NULL", "archived_at IS NOT NULL"),
    ("ix_sessions_pinned", "pinned = 1", "pinned"),
)

# SQLite's full-text index holds the terms only, each begun by its owner's key; "secure-delete" takes them out byte by byte.
SEARCH_INDEX = (
    """CREATE VIRTUAL TABLE search_index USING fts5 (
        words, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
    )""",
    "INSERT INTO search_index (search_index, rank) VALUES ('secure-delete', 1)",
    """CREATE TRIGGER search_entry_enters AFTER INSERT ON search_entries BEGIN
        INSERT INTO search_index (rowid, words)
        VALUES (new.id, new.owner_key || replace(new.words, ' ', ' ' || new.owner_key));
    END""",
    """CREATE TRIGGER search_entry_leaves AFTER DELETE ON search_entries BEGIN
        INSERT INTO search_index (search_index, rowid, words)
        VALUES ('delete', old.id, old.owner_key || replace(old.words, ' ', ' ' || old.owner_key));
    END""",
)

ONCE = (("uq_sessions_context", ("agent_id", "context")), ("uq_sessions_imported", ("imported_from",)))


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("former_owner", sa.String(length=255), nullable=True),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("agent_name", sa.String(length=255), nullable=False),
        sa.Column("parent_role", sa.String(length=128), nullable=True),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("title", sa.String(length=512), nullable=True),
        sa.Column("title_source", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_activity", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("keep", sa.Boolean(), nullable=False),
        sa.Column("memory", sa.Boolean(), nullable=False),
        sa.Column("remembered_id", sa.String(length=40), nullable=True),
        sa.Column("memory_since", sa.BigInteger(), nullable=True),
        sa.Column("context", sa.String(length=512), nullable=True),
        sa.Column("imported_from", sa.String(length=255), nullable=True),
        sa.Column("forked_from", sa.String(length=40), nullable=True),
        sa.Column("forked_message_id", sa.String(length=40), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("leaf_id", sa.String(length=40), nullable=True),
        sa.Column("cleared_seq", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("gauge", sa.Text(), nullable=True),
        sa.Column("quarantined_at", sa.BigInteger(), nullable=True),
        sa.Column("quarantine_reason", sa.String(length=64), nullable=True),
        sa.CheckConstraint("title_source IN ('person', 'model', 'date')", name=op.f("ck_sessions_title_source")),
        sa.CheckConstraint("(title IS NULL) = (title_source IS NULL)", name=op.f("ck_sessions_title_has_source")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_age", "sessions", ["agent_id", "last_activity"], unique=False)
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_sessions_idle",
        "sessions",
        ["agent_id", "last_activity"],
        unique=False,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    for name, columns in ONCE:
        given = sa.text(f"{columns[-1]} IS NOT NULL")
        op.create_index(name, "sessions", ["owner", *columns], unique=True, sqlite_where=given, postgresql_where=given)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "journal",
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("turn_id", sa.String(length=40), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("batch", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("crc", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("first_seq >= 1 AND last_seq >= first_seq", name=op.f("ck_journal_range")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_journal_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "last_seq", name=op.f("pk_journal")),
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "postgresql":
        op.create_index(
            "uq_journal_batch",
            "journal",
            ["turn_id", "epoch", "batch"],
            unique=True,
            postgresql_where=sa.text("batch IS NOT NULL"),
        )
    op.create_index(
        "ix_journal_session",
        "journal",
        ["session_id", "last_seq"],
        unique=False,
        sqlite_where=sa.text("turn_id IS NULL"),
        postgresql_where=sa.text("turn_id IS NULL"),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("turn_id", sa.String(length=40), nullable=False),
        sa.Column("parent_id", sa.String(length=40), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("message_type", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=True),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("client_message_id", sa.String(length=128), nullable=True),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("crc", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('user', 'assistant')", name=op.f("ck_messages_role")),
        sa.CheckConstraint("status <> 'failed' OR error_code IS NOT NULL", name=op.f("ck_messages_failed_says_why")),
        sa.CheckConstraint(
            "status IN ('queued', 'in_progress', 'completed', 'cancelled', 'failed', 'incomplete')",
            name=op.f("ck_messages_status"),
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_messages_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_session", "messages", ["session_id", "parent_id"], unique=False)
    op.create_index("ix_messages_turn", "messages", ["turn_id"], unique=False)
    op.create_index(
        "ix_messages_pinned",
        "messages",
        ["session_id"],
        unique=False,
        sqlite_where=sa.text("pinned = 1"),
        postgresql_where=sa.text("pinned"),
    )
    op.create_table(
        "summaries",
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("crc", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_summaries_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_summaries")),
    )
    op.create_index("ix_summaries_session", "summaries", ["session_id"], unique=False)
    op.create_table(
        "sends",
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("client_message_id", sa.String(length=128), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("turn_id", sa.String(length=40), nullable=False),
        sa.Column("cursor_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_sends_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "client_message_id", name=op.f("pk_sends")),
    )
    op.create_table(
        "turns",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("answer_id", sa.String(length=40), nullable=True),
        sa.Column("source_turn_id", sa.String(length=40), nullable=True),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("model_id", sa.String(length=255), nullable=True),
        sa.Column("locale", sa.String(length=35), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("mode", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.String(length=16), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("worker_id", sa.String(length=40), nullable=True),
        sa.Column("on_crash", sa.String(length=16), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("asks", sa.String(length=40), nullable=True),
        sa.Column("start_seq", sa.BigInteger(), nullable=True),
        sa.Column("done_seq", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("compacted", sa.Boolean(), nullable=False),
        sa.Column("context", sa.Text(), nullable=True),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=True),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.Column("estimated", sa.Boolean(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status IN ('queued', 'in_progress', 'completed', 'cancelled', 'failed', 'incomplete')",
            name=op.f("ck_turns_status"),
        ),
        sa.CheckConstraint("priority IN ('interactive', 'background')", name=op.f("ck_turns_priority")),
        sa.CheckConstraint("on_crash IN ('incomplete', 'restart', 'continue')", name=op.f("ck_turns_on_crash")),
        sa.CheckConstraint("asks IS NULL OR worker_id IS NULL", name=op.f("ck_turns_asks_is_nobodys")),
        sa.CheckConstraint("status NOT IN ('failed') OR error_code IS NOT NULL", name=op.f("ck_turns_failed_says_why")),
        sa.CheckConstraint("status NOT IN ('in_progress') OR epoch IS NOT NULL", name=op.f("ck_turns_open_has_epoch")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_turns_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_turns")),
    )
    op.create_index(
        "ix_turns_compactable",
        "turns",
        ["finished_at"],
        unique=False,
        sqlite_where=sa.text("compacted = 0 AND finished_at IS NOT NULL"),
        postgresql_where=sa.text("NOT compacted AND finished_at IS NOT NULL"),
    )
    op.create_index(
        "ix_turns_queued",
        "turns",
        ["session_id", "rank"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_turns_waiting",
        "turns",
        ["agent_id", sa.text("priority DESC"), "created_at"],
        unique=False,
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index("ix_turns_session_done", "turns", ["session_id", "done_seq"], unique=False)
    op.create_index(
        "ix_turns_worker",
        "turns",
        ["worker_id"],
        unique=False,
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(
        "uq_turns_open",
        "turns",
        ["session_id"],
        unique=True,
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(
        "ix_sessions_list", "sessions", ["owner", sa.text("last_activity DESC"), sa.text("id DESC")], unique=False
    )
    op.create_index(
        "ix_sessions_agent",
        "sessions",
        ["owner", "agent_id", sa.text("last_activity DESC"), sa.text("id DESC")],
        unique=False,
    )
    for name, where, postgresql_where in PARTIAL_LISTS:
        op.create_index(
            name,
            "sessions",
            ["owner", sa.text("last_activity DESC"), sa.text("id DESC")],
            unique=False,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(postgresql_where),
        )
    with_context = sa.text("context IS NOT NULL")
    op.create_index(
        "ix_sessions_context",
        "sessions",
        ["owner", "context", sa.text("last_activity DESC"), sa.text("id DESC")],
        unique=False,
        sqlite_where=with_context,
        postgresql_where=with_context,
    )
    op.create_table(
        "chores",
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_chores_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("session_id", "kind", name=op.f("pk_chores")),
    )
    op.create_index("ix_chores_due", "chores", ["kind", "due_at"], unique=False)
    op.create_table(
        "memories",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("forgotten", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_memories_session_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
    )
    op.create_index("ix_memories_owner", "memories", ["owner", "agent_id", sa.text("changed_at DESC")], unique=False)
    op.create_index("ix_memories_session", "memories", ["session_id"], unique=False)
    op.create_index("uq_memories_fact", "memories", ["owner", "agent_id", "digest"], unique=True)
    op.create_table(
        "preferences",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "name", name=op.f("pk_preferences")),
    )
    op.create_table(
        "searches",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
    )
    op.create_index("uq_searches_name", "searches", ["owner", "name"], unique=True)
    op.create_table(
        "search_entries",
        sa.Column("owner_key", sa.String(length=16), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=True),
        sa.Column("role", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text().with_variant(postgresql.TSVECTOR(), "postgresql"), nullable=True),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("owner_key", "id", name=op.f("pk_search_entries")),
        sqlite_with_rowid=False,
    )
    op.create_index("uq_search_entries_id", "search_entries", ["id"], unique=True)
    op.create_index("ix_search_entries_session", "search_entries", ["session_id"], unique=False)
    op.create_index("ix_search_entries_message", "search_entries", ["message_id"], unique=False)
    op.create_index(
        "ix_search_entries_gone",
        "search_entries",
        ["id"],
        unique=False,
        sqlite_where=sa.text("gone = 1"),
        postgresql_where=sa.text("gone"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.create_index("ix_search_entries_terms", "search_entries", ["terms"], postgresql_using="gin")
    else:
        for statement in SEARCH_INDEX:
            op.execute(statement)
    op.create_table(
        "usage_days",
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("agent_id", sa.String(length=128), nullable=False),
        sa.Column("model_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=False),
        sa.Column("unpriced", sa.BigInteger(), nullable=False),
        sa.Column("estimated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", "agent_id", "model_id", "kind", name=op.f("pk_usage_days")),
    )
    op.create_table(
        "steps",
        sa.Column("turn_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("call_id", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("crc", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_steps_turn_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("turn_id", "number", name=op.f("pk_steps")),
    )
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=False),
        sa.Column("turn_id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("tool", sa.String(length=255), nullable=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("status IN ('pending', 'allowed', 'denied', 'expired')", name=op.f("ck_approvals_status")),
        sa.CheckConstraint("(status = 'pending') = (decided_at IS NULL)", name=op.f("ck_approvals_decided")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_approvals_session_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name=op.f("fk_approvals_turn_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approvals")),
    )
    pending = sa.text("status = 'pending'")
    for index, of, unique in (
        ("uq_approvals_pending", ["turn_id"], True),
        ("ix_approvals_owner", ["owner", "id"], False),
        ("ix_approvals_expiry", ["expires_at"], False),
    ):
        op.create_index(index, "approvals", of, unique=unique, sqlite_where=pending, postgresql_where=pending)
    op.create_index("ix_approvals_session", "approvals", ["session_id"], unique=False)
    op.create_index("ix_approvals_turn", "approvals", ["turn_id"], unique=False)

    op.create_table(
        "file_contents",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('coming', 'ready', 'gone')", name=op.f("ck_file_contents_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_contents")),
    )
    op.create_index(
        "uq_file_contents_ready",
        "file_contents",
        ["owner", "digest"],
        unique=True,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index(
        "ix_file_contents_unready",
        "file_contents",
        ["state", "created_at"],
        sqlite_where=sa.text("state <> 'ready'"),
        postgresql_where=sa.text("state <> 'ready'"),
    )
    op.create_table(
        "file_pieces",
        sa.Column("content_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("crc", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_id"], ["file_contents.id"], name=op.f("fk_file_pieces_content_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("content_id", "number", name=op.f("pk_file_pieces")),
    )
    op.create_table(
        "files",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("content_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=64), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String(length=40), nullable=True),
        sa.Column("message_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("(session_id IS NULL) = (message_id IS NULL)", name=op.f("ck_files_session_and_message")),
        sa.ForeignKeyConstraint(["content_id"], ["file_contents.id"], name=op.f("fk_files_content_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_files_session_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
    )
    op.create_index("ix_files_content", "files", ["content_id"])
    op.create_index("ix_files_session", "files", ["session_id"])
    op.create_index("ix_files_message", "files", ["message_id"])
    op.create_index(
        "ix_files_unused",
        "files",
        ["created_at"],
        sqlite_where=sa.text("session_id IS NULL"),
        postgresql_where=sa.text("session_id IS NULL"),
    )


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TABLE search_index")
    for table in (
        "approvals",
        "steps",
        "files",
        "file_pieces",
        "file_contents",
        "usage_days",
        "search_entries",
        "searches",
        "preferences",
        "memories",
        "chores",
    ):
        op.drop_table(table)
    for name, where, postgresql_where in reversed(PARTIAL_LISTS):
        op.drop_index(
            name, table_name="sessions", sqlite_where=sa.text(where), postgresql_where=sa.text(postgresql_where)
        )
    op.drop_index("ix_sessions_context", table_name="sessions")
    op.drop_index("ix_sessions_agent", table_name="sessions")
    op.drop_index("ix_sessions_list", table_name="sessions")
    op.drop_index(
        "uq_turns_open",
        table_name="turns",
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.drop_index(
        "ix_turns_worker",
        table_name="turns",
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.drop_index("ix_turns_session_done", table_name="turns")
    op.drop_index(
        "ix_turns_waiting",
        table_name="turns",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_index(
        "ix_turns_queued",
        table_name="turns",
        sqlite_where=sa.text("status = 'queued'"),
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_index(
        "ix_turns_compactable",
        table_name="turns",
        sqlite_where=sa.text("compacted = 0 AND finished_at IS NOT NULL"),
        postgresql_where=sa.text("NOT compacted AND finished_at IS NOT NULL"),
    )
    op.drop_table("turns")
    op.drop_table("sends")
    op.drop_index("ix_messages_turn", table_name="messages")
    op.drop_index("ix_messages_session", table_name="messages")
    op.drop_table("messages")
    op.drop_table("journal")
    op.drop_table("workers")
    op.drop_table("sessions")
    op.drop_table("meta")
