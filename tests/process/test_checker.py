"""The checker is checked: it accepts what was promised and rejects each way of breaking it, for its own reason."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from legato.core.events import (
    Done,
    Event,
    MessageEvent,
    Reset,
    SessionEvent,
    StatusUpdate,
    Token,
    TurnEvent,
    UsageEvent,
    decode_event,
    encode_data,
)
from legato.core.fold import Fold
from legato.core.model import ErrorInfo, Message, Session, TextPart, Turn, Usage
from tests.process.checker import text_of, violations
from tests.process.history import (
    Answer,
    Cancel,
    Connection,
    Entry,
    History,
    Life,
    Numbers,
    Reader,
    Send,
    SessionHistory,
    Snapshot,
    delivered,
    doubled,
    lost,
    rescues,
)

BEGAN: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KILLED: Final = BEGAN.timestamp() + 1
READY: Final = KILLED + 1
SESSION: Final = "ses_1"
WHOLE, LOST, CANCELLED = "trn_whole", "trn_lost", "trn_cancelled"

Change = Callable[[History], History]
change = msgspec.structs.replace


# A good history: a turn that completes, one whose owner is killed, one that is cancelled.


def session() -> Session:
    return Session(id=SESSION, owner="me", agent_id="a", agent_name="A", created_at=BEGAN, last_activity=BEGAN)


def numbers(turn_id: str) -> Numbers:
    return {WHOLE: Numbers(1, 3), LOST: Numbers(11, 19), CANCELLED: Numbers(21, 29)}[turn_id]


def turn(turn_id: str, **fields: Any) -> Turn:
    known: dict[str, Any] = {
        "id": turn_id,
        "session_id": SESSION,
        "message_id": f"question of {turn_id}",
        "agent_id": "a",
        "status": "queued",
        "created_at": BEGAN,
    }
    return Turn(**(known | fields))


def claimed(turn_id: str) -> Turn:
    return turn(turn_id, status="in_progress", answer_id=f"answer of {turn_id}", attempt=1, started_at=BEGAN)


def question(turn_id: str) -> Message:
    return Message(
        id=f"question of {turn_id}",
        session_id=SESSION,
        turn_id=turn_id,
        role="user",
        status="queued",
        created_at=BEGAN,
        parts=(TextPart("count"),),
        client_message_id=f"id of {turn_id}",
    )


def answer(turn_id: str) -> Message:
    return Message(
        id=f"answer of {turn_id}",
        session_id=SESSION,
        turn_id=turn_id,
        role="assistant",
        status="in_progress",
        created_at=BEGAN,
        parent_id=f"question of {turn_id}",
    )


def token(turn_id: str, text: str) -> Token:
    return Token(turn_id, f"answer of {turn_id}", 0, "text", text)


def usage(turn_id: str) -> UsageEvent:
    used = msgspec.structs.asdict(Usage(1, 2, total_tokens=3))
    return UsageEvent(turn_id=turn_id, **used)


def opening(turn_id: str, leaf: str | None) -> list[Event]:
    asked = question(turn_id)
    return [
        MessageEvent("added", asked.id, asked),
        TurnEvent(turn(turn_id)),
        MessageEvent("changed", asked.id, change(asked, status="completed", parent_id=leaf)),
        TurnEvent(claimed(turn_id)),
        MessageEvent("added", f"answer of {turn_id}", answer(turn_id)),
    ]


def ending(turn_id: str, status: Any, reason: str, at: float = READY) -> list[Event]:
    return [usage(turn_id), Done(turn_id, status, reason, datetime.fromtimestamp(at, UTC))]


def events() -> list[Event]:
    return [
        SessionEvent(session()),
        *opening(WHOLE, None),
        token(WHOLE, "1 "),
        token(WHOLE, "2 3 "),
        *ending(WHOLE, "completed", "stop", KILLED - 0.5),
        *opening(LOST, f"answer of {WHOLE}"),
        token(LOST, "11 12 "),
        token(LOST, "13 "),
        *ending(LOST, "incomplete", "worker_lost"),
        *opening(CANCELLED, f"answer of {LOST}"),
        token(CANCELLED, "21 "),
        *ending(CANCELLED, "cancelled", "cancelled", READY + 1),
    ]


def entries(told: Iterable[Event]) -> tuple[Entry, ...]:
    return tuple(
        Entry(f"7f3a.{seq}", event.event, encode_data(event).decode(), READY + 0.1) for seq, event in enumerate(told, 1)
    )


def history(told: Sequence[Event] | None = None) -> History:
    """What honest servers and clients make of a journal of these events."""
    told = events() if told is None else told
    journal = entries(told)
    fold = Fold().apply_all(told)
    final = fold.state()
    turn_ids = list(dict.fromkeys(event.turn.id for event in told if isinstance(event, TurnEvent)))
    ends = {event.turn_id: event for event in told if isinstance(event, Done)}
    one = SessionHistory(
        id=SESSION,
        sends=tuple(
            Send(message_id=f"id of {turn_id}", turn_ids=(turn_id, turn_id), numbers=numbers(turn_id))
            for turn_id in turn_ids
        ),
        cancels=(Cancel(CANCELLED, "cancelled", "cancelled", len(journal)),),
        readers=(
            Reader("whole", (Connection(0, journal),)),
            Reader("resumed", (Connection(0, journal[:9]), Connection(9), Connection(9, journal[9:]))),
            Reader("late", (Connection(5, journal[5:]),)),
        ),
        snapshots=tuple(
            Snapshot(Fold().apply_all(told[:seq]).state(), journal[seq - 1].cursor) for seq in range(1, len(journal))
        ),
        answers=tuple(Answer(turn_id, text_of(fold.message(f"answer of {turn_id}"))) for turn_id in turn_ids),
        journal=journal,
        final=Snapshot(final, journal[-1].cursor),
        messages=final.messages,
        turns=tuple(_ended(turn_id, ends.get(turn_id), fold) for turn_id in turn_ids),
    )
    lives = (Life(BEGAN.timestamp() - 1, KILLED), Life(READY, None))
    return History(sessions=(one,), lives=lives)


def _ended(turn_id: str, done: Done | None, fold: Fold) -> Turn:
    if done is None:
        return claimed(turn_id)
    status: Any = done.status
    known = change(claimed(turn_id), status=status, reason=done.reason, finished_at=done.finished_at)
    return fold.turns.get(turn_id, known)


def only(told: History) -> SessionHistory:
    [session] = told.sessions
    return session


def with_session(**fields: Any) -> Change:
    return lambda told: change(told, sessions=(change(only(told), **fields),))


def test_a_good_history_is_accepted() -> None:
    assert violations(history()) == []


def test_what_the_table_counts() -> None:
    told = history()
    size = len(only(told).journal)
    assert (delivered(only(told)), lost(only(told)), doubled(only(told))) == (3 * size - 5, 0, 0)
    [rescue] = rescues(told)
    assert (rescue.turn_id, rescue.ended_s, round(rescue.heard_s, 1)) == (LOST, 0.0, 0.1)


def test_time_in_which_nobody_could_rescue_does_not_count() -> None:
    late = [change(event, finished_at=event.finished_at + timedelta(seconds=9)) for event in ending(LOST, "incomplete", "worker_lost")[1:] if isinstance(event, Done)]  # noqa: E501
    assert late


# Broken ones: of journals (which honest readers then follow), and of what was told about a good journal.


def place(kind: type[Event], turn_id: str, nth: int = 0) -> int:
    """Where the nth event of this kind of this turn stands."""
    found = [at for at, event in enumerate(events()) if isinstance(event, kind) and _of(event) == turn_id]
    return found[nth]


def _of(event: Event) -> str:
    match event:
        case TurnEvent():
            return event.turn.id
        case MessageEvent():
            return event.message.turn_id if event.message else ""
        case _:
            return str(getattr(event, "turn_id", ""))


def without(at: int) -> list[Event]:
    told = events()
    del told[at]
    return told


def with_one_more(at: int, *more: Event) -> list[Event]:
    told = events()
    told[at:at] = more
    return told


def instead(at: int, event: Event) -> list[Event]:
    told = events()
    told[at] = event
    return told
