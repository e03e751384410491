"""A small conversation as its journal has it, for tests of readers: one turn, its answer full of traps."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from legato.core.cursor import Cursor
from legato.core.events import (
    Done,
    Event,
    MessageEvent,
    Snapshot,
    StatusUpdate,
    Token,
    ToolCall,
    ToolResult,
    TurnEvent,
    UsageEvent,
    encode_data,
)
from legato.core.model import Message, Session, State, TextPart, Turn
from legato.core.sse import KEEP_ALIVE, encode_frame, encode_retry

NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INCARNATION: Final = "7f3a"
SESSION: Final = "ses_00000000000000000000000001"
TURN: Final = "trn_00000000000000000000000001"
QUESTION: Final = "msg_00000000000000000000000001"
ANSWER: Final = "msg_00000000000000000000000002"

EVENTS_PATH: Final = f"/v1/sessions/{SESSION}/events"
TURNS_PATH: Final = f"/v1/sessions/{SESSION}/turns"
TURN_PATH: Final = f"{TURNS_PATH}/{TURN}"

# Characters of one to four bytes, joined emoji, line ends, a line that looks like a frame.
PIECES: Final = ("Bonjour, 世界", " 👩‍👩‍👧", "\n\ndata: no\r\n", "é\u2028", "日本語", " ok", " ok", "🎼")
AFTER_TOOL: Final = ("…", "\tfin ", "終わり")


def session() -> Session:
    return Session(id=SESSION, owner="local", agent_id="demo", agent_name="Demo", created_at=NOW, last_activity=NOW)


def turn(**changes: Any) -> Turn:
    base = Turn(id=TURN, session_id=SESSION, message_id=QUESTION, agent_id="demo", status="queued", created_at=NOW)
    return msgspec.structs.replace(base, **changes)


def question() -> Message:
    return Message(
        id=QUESTION,
        session_id=SESSION,
        turn_id=TURN,
        role="user",
        status="completed",
        created_at=NOW,
        parts=(TextPart("Hello"),),
    )


def answer(**changes: Any) -> Message:
    base = Message(
        id=ANSWER,
        session_id=SESSION,
        turn_id=TURN,
        role="assistant",
        status="in_progress",
        created_at=NOW,
        parent_id=QUESTION,
    )
    return msgspec.structs.replace(base, **changes)


def state(*, text: str = "", **turn_changes: Any) -> State:
    """The session while or after its turn runs; the answer so far is ``text``."""
    told = turn(**({"status": "in_progress", "answer_id": ANSWER} | turn_changes))
    said = answer(parts=(TextPart(text),) if text else (), status=told.status)
    return State(session=session(), messages=(question(), said), turns=(told,), leaf_id=ANSWER)


def token(text: str, part: int = 0) -> Token:
    return Token(TURN, ANSWER, part, "text", text)


def done(status: str = "completed", reason: str = "stop") -> Done:
    return msgspec.convert({"turn_id": TURN, "status": status, "reason": reason, "finished_at": NOW.isoformat()}, Done)


def opening() -> list[Event]:
    """A turn is accepted and begins."""
    return [
        TurnEvent(turn()),
        MessageEvent("added", QUESTION, question()),
        TurnEvent(turn(status="in_progress", answer_id=ANSWER, attempt=1)),
        MessageEvent("added", ANSWER, answer()),
    ]


def ending(status: str = "completed", reason: str = "stop") -> list[Event]:
    usage = UsageEvent(
        turn_id=TURN,
        prompt_tokens=8,
        completion_tokens=9,
        cached_tokens=0,
        total_tokens=17,
        cost_usd=None,
        estimated=True,
    )
    return [usage, done(status, reason)]


def whole() -> list[Event]:
    """A turn with text, a tool and more text."""
    return [
        *opening(),
        StatusUpdate(TURN, "executing"),
        *[token(piece) for piece in PIECES],
        ToolCall(TURN, ANSWER, 1, "call_1", "weather", '{"city":"京都"}'),
        ToolResult(TURN, ANSWER, 2, "call_1", "☀️"),
        *[token(piece, part=3) for piece in AFTER_TOOL],
        *ending(),
    ]


def short() -> list[Event]:
    """A turn of few bytes, for tests that go through all of them."""
    return [*opening(), *[token(piece) for piece in PIECES[:5]], *ending()[1:]]


TEXT: Final = "".join(PIECES + AFTER_TOOL)


def cursor(seq: int, incarnation: str = INCARNATION) -> Cursor:
    return Cursor(incarnation, seq)


def frame(seq: int, event: Event, incarnation: str = INCARNATION) -> bytes:
    return encode_frame(event.event.encode(), encode_data(event), str(cursor(seq, incarnation)).encode())


def frames(events: list[Event], after: int = 0, *, first_seq: int = 1, incarnation: str = INCARNATION) -> bytes:
    """A connection's bytes as a server writes them: greeting, what stands after seq ``after``, a heartbeat."""
    numbered = [(seq, event) for seq, event in enumerate(events, first_seq) if seq > after]
    body = [frame(seq, event, incarnation) for seq, event in numbered]
    return encode_retry(1) + KEEP_ALIVE.join([b"".join(body[:4]), b"".join(body[4:])])


def snapshot(seq: int, told: State, incarnation: str = INCARNATION) -> bytes:
    return frame(seq, Snapshot(state=told), incarnation)


def seq_after(text: str) -> int:
    """The seq of a request's ``after``; 0 for the beginning."""
    return int(text.rpartition(".")[2])


def sent(told: Turn | None = None, after: int = 0) -> dict[str, object]:
    """The body of an answer to a send."""
    return {"turn": told or turn(), "cursor": str(cursor(after))}
