"""What Hypothesis makes: texts as hostile as a model's, parts, messages, and every type of event."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from legato.core import events as ev
from legato.core.files import IMAGES, PDF, TEXT
from legato.core.model import (
    Approval,
    ContextInfo,
    ErrorInfo,
    FilePart,
    Message,
    Part,
    ReasoningPart,
    Session,
    State,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
    Usage,
)

TRAPS = (
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\u2028",
    "\u2029",
    "\u0085",
    "\ufeff",
    "\ufffd",
    "data: x\n\n",
    "👩‍👩‍👧",
    "\\n",
    '"',
    "\x01",
)
SURROGATES = ("\ud800", "\udbff", "\udc00", "\udfff", "\ud83c\udfbc", "\x00")

#: What may be stored: anything that UTF-8 can encode, without NUL.
texts = st.lists(
    st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))),
    max_size=5,
).map("".join)

#: What comes from outside: halves of surrogate pairs and NUL as well.
raw_texts = st.lists(st.one_of(st.sampled_from(TRAPS + SURROGATES), st.text()), max_size=6).map("".join)

names = st.sampled_from(["a", "b", "c"])
times = st.integers(0, 10**15).map(lambda us: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
tokens = st.integers(0, 10**9)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, st.none() | st.floats(0, 1e6), st.booleans())
errors = st.builds(ErrorInfo, st.just("agent_error"), texts)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ReasoningPart, texts),
    st.builds(ToolCallPart, names, texts, texts),
    st.builds(ToolResultPart, names, texts, st.booleans()),
    st.builds(
        FilePart, names, texts, st.sampled_from([*IMAGES, PDF, TEXT]), st.integers(0, 1 << 24), st.integers(0, 5_000)
    ),
)
statuses: Any = st.sampled_from(["queued", "in_progress", "completed", "cancelled", "failed", "incomplete"])
terminal: Any = st.sampled_from(["completed", "cancelled", "failed", "incomplete"])
roles: Any = st.sampled_from(["user", "assistant"])
kinds: Any = st.sampled_from(["text", "reasoning", "tool_arguments"])
phases: Any = st.sampled_from(["planning", "executing", "awaiting_approval"])
metadata = st.dictionaries(texts, st.one_of(texts, st.booleans(), st.none(), st.integers(-(2**53), 2**53)), max_size=3)

messages = st.builds(
    Message,
    id=names,
    session_id=st.just("s"),
    turn_id=names,
    role=roles,
    status=statuses,
    created_at=times,
    parts=st.lists(parts, max_size=3).map(tuple),
    parent_id=st.none() | names,
    usage=st.none() | usages,
    error=st.none() | errors,
    pinned=st.booleans(),
)
turns = st.builds(
    Turn,
    id=names,
    session_id=st.just("s"),
    message_id=names,
    agent_id=st.just("demo"),
    status=statuses,
    created_at=times,
    rank=st.integers(-5, 5),
    answer_id=st.none() | names,
    detail=st.none() | texts,
    context=st.none() | st.builds(ContextInfo, *[tokens] * 7),
    finished_at=st.none() | times,
    usage=st.none() | usages,
    error=st.none() | errors,
)
sessions = st.builds(
    Session,
    id=st.just("s"),
    owner=texts,
    agent_id=st.just("demo"),
    agent_name=texts,
    created_at=times,
    last_activity=times,
    title=st.none() | texts,
    metadata=metadata,
)
approvals = st.builds(
    Approval,
    id=names,
    session_id=st.just("s"),
    turn_id=names,
    question=texts,
    status=st.sampled_from(["pending", "allowed", "denied", "expired"]),
    created_at=times,
    expires_at=times,
    tool=st.none() | names,
)
states = st.builds(
    State,
    session=sessions,
    messages=st.lists(messages, max_size=3).map(tuple),
    turns=st.lists(turns, max_size=3).map(tuple),
    leaf_id=st.none() | names,
    has_more=st.booleans(),
    approvals=st.lists(approvals, max_size=2, unique_by=lambda approval: approval.id).map(tuple),
)
events: st.SearchStrategy[ev.Event] = st.one_of(
    st.builds(ev.Token, names, names, st.integers(0, 4), kinds, texts),
    st.builds(ev.StatusUpdate, names, phases, st.none() | texts),
    st.builds(
        ev.UsageEvent,
        turn_id=names,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        cached_tokens=tokens,
        total_tokens=tokens,
        cost_usd=st.none() | st.floats(0, 1e6),
        estimated=st.booleans(),
    ),
    st.builds(ev.Done, names, terminal, st.just("stop"), times, st.none() | errors, st.none() | texts),
    messages.map(lambda message: ev.MessageEvent("changed", message.id, message)),
    names.map(lambda name: ev.MessageEvent("removed", name)),
    st.builds(ev.TurnEvent, turns),
    st.builds(ev.SessionEvent, sessions),
    st.builds(ev.ToolCall, names, names, st.integers(0, 4), names, texts, texts),
    st.builds(ev.ToolResult, names, names, st.integers(0, 4), names, texts, st.booleans()),
    st.builds(ev.ApprovalEvent, names, approvals),
    states.map(lambda state: ev.Snapshot(state=state)),
    messages.map(lambda message: ev.Snapshot(message=message)),
    st.builds(ev.Reset, names, names, st.integers(0, 4)),
    st.builds(ev.ErrorEvent, names, st.just("agent_error"), texts),
    st.builds(ev.Warning, names, st.just("slow"), texts),
)


@st.composite
def split(draw: st.DrawFn, text: str) -> list[str]:
    """``text`` in pieces, cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
