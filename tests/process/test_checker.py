"""The checker is checked: it accepts what was promised and rejects each way of breaking it, for its own reason."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
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
TURNS = WHOLE, LOST, CANCELLED = "trn_whole", "trn_lost", "trn_cancelled"

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
    ends = {event.turn_id: event for event in told if isinstance(event, Done)}
    one = SessionHistory(
        id=SESSION,
        sends=tuple(
            Send(message_id=f"id of {turn_id}", turn_ids=(turn_id, turn_id), numbers=numbers(turn_id))
            for turn_id in TURNS
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
        answers=tuple(Answer(turn_id, text_of(fold.message(f"answer of {turn_id}"))) for turn_id in TURNS),
        journal=journal,
        final=Snapshot(final, journal[-1].cursor),
        messages=final.messages,
        turns=tuple(_ended(turn_id, ends.get(turn_id), fold) for turn_id in TURNS),
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


END: Final = len(events())

BROKEN_JOURNALS: Final[dict[str, tuple[list[Event], str]]] = {
    "a token is missing": (without(place(Token, LOST)), "its numbers have a gap or a double: word 0 is 13, not 11"),
    "a token came twice": (
        with_one_more(place(Token, LOST, 1), token(LOST, "11 12 ")),
        "its numbers have a gap or a double: word 2 is 11, not 13",
    ),
    "completed too early": (without(place(Token, WHOLE, 1)), f"turn {WHOLE}: completed after ['1'] of 3"),
    "nothing said and no reason given": (
        without(place(Token, CANCELLED)),
        f"message answer of {CANCELLED} is empty and does not say why",
    ),
    "no ending": (events()[:-2], f"turn {CANCELLED} has 0 endings"),
    "two endings": (with_one_more(END, ending(WHOLE, "completed", "stop")[1]), f"turn {WHOLE} has 2 endings"),
    "content after the ending": (
        with_one_more(place(Done, LOST) + 1, token(LOST, "14 ")),
        f"turn {LOST}: token after its done",
    ),
    "a reset after the ending": (
        with_one_more(END, Reset(WHOLE, f"answer of {WHOLE}")),
        f"turn {WHOLE}: reset after its done",
    ),
    "two usages": (with_one_more(place(Token, LOST), usage(LOST)), f"turn {LOST} has 2 usages"),
    "usage in the middle": (
        with_one_more(place(Done, LOST), token(LOST, "14 ")),
        f"turn {LOST}: its usage is not right before its done",
    ),
    "a status without its cause": (
        instead(place(Done, LOST), ending(LOST, "completed", "worker_lost")[1]),
        "its status is completed, its cause worker_lost",
    ),
    "one id, two messages": (
        with_one_more(END, MessageEvent("added", "other", change(question(LOST), id="other"))),
        f"message id id of {LOST} became 2 messages and 1 turns",
    ),
    "one id, two turns": (
        with_one_more(END, TurnEvent(turn("trn_other", message_id=f"question of {LOST}"))),
        f"message id id of {LOST} became 1 messages and 2 turns",
    ),
    "an acknowledged message is gone": (
        [event for event in events() if not (isinstance(event, MessageEvent) and event.op == "added")],
        f"message id id of {WHOLE} was acknowledged and became 0 messages",
    ),
    "two turns at once": (
        with_one_more(place(Done, WHOLE), TurnEvent(claimed(LOST))),
        f"2 turns run at once: {WHOLE}, {LOST}",
    ),
    "an ended turn runs again": (
        with_one_more(END, TurnEvent(claimed(WHOLE))),
        f"turn {WHOLE} went from completed to in_progress",
    ),
    "a waiting turn speaks": (
        with_one_more(place(TurnEvent, LOST, 1), StatusUpdate(LOST, "planning")),
        f"turn {LOST}: status_update at 14, where it does not run",
    ),
    "a journal without its beginning": (events()[1:], "the journal can't be read"),
}


@pytest.mark.parametrize("name", BROKEN_JOURNALS)
def test_a_broken_journal_is_rejected(name: str) -> None:
    told, reason = BROKEN_JOURNALS[name]
    try:
        found = violations(history(told))
    except ValueError:  # nothing can be folded from it: let the honest history stand beside this journal
        found = violations(with_session(journal=entries(told))(history()))
    assert any(reason in violation for violation in found), found


def read(*connections: Connection) -> Change:
    """The only reader got this."""
    return with_session(readers=(Reader("r", connections),))


JOURNAL: Final = entries(events())
ALTERED: Final = change(JOURNAL[6], data=JOURNAL[6].data.replace("1 ", "7 "))
BEYOND: Final = Entry(f"7f3a.{END + 1}", "token", encode_data(token(WHOLE, "4 ")).decode())
FOREIGN: Final = change(JOURNAL[-1], cursor=f"beef.{END}")


def with_text(message: Message, text: str) -> Message:
    return change(message, parts=(TextPart(text),))


def final_with(told: History, **fields: Any) -> SessionHistory:
    final = only(told).final
    return change(only(told), final=change(final, state=change(final.state, **fields)))


def with_final(**fields: Any) -> Change:
    return lambda told: change(told, sessions=(final_with(told, **fields),))


def other_turn(turn_id: str, **fields: Any) -> Change:
    def make(told: History) -> History:
        turns = tuple(change(turn, **fields) if turn.id == turn_id else turn for turn in only(told).turns)
        return with_session(turns=turns)(told)

    return make


def rescued_at(seconds: float, *, shared: bool) -> Change:
    """As if the rescue had taken so long after the restart."""
    told = [
        *events()[: place(Done, LOST)],
        ending(LOST, "incomplete", "worker_lost", READY + seconds)[1],
        *events()[place(Done, LOST) + 1 :],
    ]
    return lambda _: change(history(told), shared=shared)


GOOD: Final = only(history())

BROKEN_ACCOUNTS: Final[dict[str, tuple[Change, str]]] = {
    "the journal has a hole": (with_session(journal=JOURNAL[:7] + JOURNAL[8:]), "gaps, doubles or disorder: 7 then 9"),
    "the journal has a double": (
        with_session(journal=JOURNAL[:7] + JOURNAL[6:]),
        "gaps, doubles or disorder: 7 then 7",
    ),
    "the journal ends before its head": (
        with_session(final=change(GOOD.final, cursor=f"7f3a.{END + 1}")),
        f"the journal ends at {END}, its head is {END + 1}",
    ),
    "two incarnations": (read(Connection(0, (*JOURNAL[:-1], FOREIGN))), "cursors of 2 incarnations"),
    "delivered and not durable": (
        read(Connection(0, (*JOURNAL, BEYOND))),
        f"was given token 7f3a.{END + 1}, which the journal does not have",
    ),
    "delivered and not the same": (
        read(Connection(0, (*JOURNAL[:6], ALTERED, *JOURNAL[7:]))),
        "was given something else as 7f3a.7 than the journal has",
    ),
    "a reader missed one": (
        read(Connection(0, JOURNAL[:4] + JOURNAL[5:])),
        "asked for what follows 0 and was given 6 where 5 is next",
    ),
    "a reader got two the wrong way round": (
        read(Connection(0, (*JOURNAL[:4], JOURNAL[5], JOURNAL[4], *JOURNAL[6:]))),
        "was given 6 where 5 is next",
    ),
    "a resume left one out": (
        read(Connection(0, JOURNAL[:9]), Connection(9, JOURNAL[10:])),
        "asked for what follows 9 and was given 11 where 10 is next",
    ),
    "a resume brought one again": (
        read(Connection(0, JOURNAL[:9]), Connection(9, JOURNAL[8:])),
        "was given 9 twice",
    ),
    "a reader resumed too far on": (
        read(Connection(0, JOURNAL[:9]), Connection(10, JOURNAL[10:])),
        "stood at 9 and resumed after 10",
    ),
    "a reader was left behind": (read(Connection(0, JOURNAL[:9])), f"lost what follows 9: the journal goes to {END}"),
    "a reader who never got anything": (read(Connection(5)), "lost what follows 5"),
    "a retried send, another turn": (
        with_session(sends=(Send(message_id=f"id of {WHOLE}", turn_ids=(WHOLE, LOST)),)),
        f"message id id of {WHOLE} was answered with different turns: {WHOLE}, {LOST}",
    ),
    "an acknowledged send that left no trace": (
        with_session(sends=(Send(message_id="id", turn_ids=("trn_gone",)),)),
        "message id id was acknowledged and became 0 messages",
    ),
    "an acknowledged turn that left no trace": (
        with_session(sends=(Send(message_id=f"id of {WHOLE}", turn_ids=("trn_gone",)),)),
        "its turn trn_gone is not in the journal",
    ),
    "a cancel that ended nothing": (
        with_session(cancels=(Cancel(CANCELLED, "in_progress", None, END),)),
        f"turn {CANCELLED}: its cancel was acknowledged with in_progress",
    ),
    "content after a cancel": (
        with_session(cancels=(Cancel(CANCELLED, "cancelled", "cancelled", END - 3),)),
        f"an event at {END - 2}, after its cancel was acknowledged at {END - 3}",
    ),
    "a cancel that did not last": (
        with_session(cancels=(Cancel(WHOLE, "cancelled", "cancelled", END),)),
        f"turn {WHOLE}: cancelled as cancelled, ended as completed",
    ),
    "an accepted turn without an end": (
        other_turn(LOST, status="in_progress"),
        f"turn {LOST} was accepted and never ended",
    ),
    "a turn whose row says something else": (
        other_turn(WHOLE, status="failed"),
        f"turn {WHOLE} is failed (stop); its done says",
    ),
    "a turn that still runs in the snapshot": (
        with_final(turns=(claimed(LOST),)),
        f"turn {LOST} is in_progress at the end",
    ),
    "a message that still streams": (
        with_session(messages=(*GOOD.messages[:-1], change(GOOD.messages[-1], status="in_progress"))),
        f"message answer of {CANCELLED} is in_progress at the end",
    ),
    "another text in the snapshot": (
        with_final(messages=(*GOOD.messages[:-1], with_text(GOOD.messages[-1], "21 22 "))),
        "the journal folds to another state than the snapshot",
    ),
    "another text in the history": (
        with_session(messages=(*GOOD.messages[:-1], with_text(GOOD.messages[-1], "21 22 "))),
        "the history differs from the journal",
    ),
    "a snapshot of another moment": (
        with_session(snapshots=(Snapshot(GOOD.snapshots[7].state, GOOD.snapshots[8].cursor),)),
        "the snapshot at 9 and what follows give another end",
    ),
    "a client with another text": (
        with_session(answers=(Answer(LOST, "11 12 12 13 "),)),
        f"turn {LOST}: a client ended with word 2 is 12, not 13",
    ),
    "an empty answer without an error": (
        with_session(messages=(*GOOD.messages[:-1], with_text(GOOD.messages[-1], ""))),
        f"message answer of {CANCELLED} is empty and does not say why",
    ),
    "a slow rescue": (
        rescued_at(2.5, shared=False),
        f"turn {LOST} was rescued 2.5 s after the restart, later than 2.0",
    ),
    "a slow rescue by another": (
        rescued_at(15.5, shared=True),
        "was rescued 15.5 s after the restart, later than 15.0",
    ),
    "a request that no provider takes": (
        lambda told: change(told, refused=("count 3",)),
        "the upstream refused a request: count 3",
    ),
    "an upstream that nobody closed": (
        lambda told: change(told, streaming=("count 3",)),
        "the upstream still streams: count 3",
    ),
}


@pytest.mark.parametrize("name", BROKEN_ACCOUNTS)
def test_a_broken_account_is_rejected(name: str) -> None:
    broken, reason = BROKEN_ACCOUNTS[name]
    found = violations(broken(history()))
    assert any(reason in violation for violation in found), found


@pytest.mark.parametrize("seconds", [0.0, 14.5])
def test_a_rescue_through_another_process_may_take_its_time(seconds: float) -> None:
    assert violations(rescued_at(seconds, shared=True)(history())) == []


def test_time_in_which_no_server_was_up_does_not_count() -> None:
    told = rescued_at(9.0, shared=False)(history())
    lives = (*told.lives[:1], Life(READY, READY + 0.5), Life(None, READY + 4), Life(READY + 8.5, None))
    assert violations(change(told, lives=lives)) == []
    assert [rescue.ended_s for rescue in rescues(change(told, lives=lives))] == [pytest.approx(1.0)]


def test_an_answer_that_says_why_it_is_empty_is_accepted() -> None:
    told = without(place(Token, CANCELLED))
    last = told[-1]
    assert isinstance(last, Done)
    told[-1] = change(last, error=ErrorInfo("cancelled", "The turn was cancelled before the answer began."))
    good = history(told)
    assert violations(good) == []
    assert only(good).messages[-1].parts == ()


def test_an_entry_is_an_event() -> None:
    assert [entry.event() for entry in JOURNAL] == events()
    assert decode_event(BEYOND.type, BEYOND.data) == token(WHOLE, "4 ")
