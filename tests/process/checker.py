"""The judge of a recorded history: pure, and itself tested in ``test_checker``.

It knows nothing about how the server works, only what was promised: delivered is durable, a resume is exact, a message id
is one message and one turn, a turn has one ending, a cancel is final, nothing is left half done.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final

from legato.core.cursor import parse_cursor
from legato.core.errors import Corrupted
from legato.core.events import (
    Done,
    ErrorEvent,
    Event,
    MessageEvent,
    Reset,
    StatusUpdate,
    Token,
    ToolCall,
    ToolResult,
    TurnEvent,
    UsageEvent,
)
from legato.core.fold import Fold
from legato.core.model import Message, TextPart, Turn
from legato.core.states import is_terminal, may_follow
from tests.process.history import Connection, History, Reader, Send, SessionHistory, dangling, rescues

EMBEDDED_S: Final = 2.0
SHARED_S: Final = 15.0
_CONTENT: Final = (Token, ToolCall, ToolResult, Reset, StatusUpdate)
_STATUS_OF: Final = {
    "stop": "completed",
    "length": "incomplete",
    "worker_lost": "incomplete",
    "shutdown": "incomplete",
    "cancelled": "cancelled",
    "interrupted": "cancelled",
    "withdrawn": "cancelled",
    "error": "failed",
}

Found = Iterator[str]


def violations(history: History) -> list[str]:
    """Everything in ``history`` that must not be; empty when all promises were kept."""
    found = [f"{session.id}: {what}" for session in history.sessions for what in _judge(session)]
    found += [f"the upstream refused a request: {said}" for said in history.refused]
    found += [f"the upstream still streams: {asked}" for asked in history.streaming]
    if not found:  # the times of a broken history mean nothing
        found += list(_slow_rescues(history))
    return found


def text_of(message: Message | None) -> str:
    """The text parts, joined."""
    return "".join(part.text for part in message.parts if isinstance(part, TextPart)) if message else ""


def _judge(session: SessionHistory) -> Found:
    yield from _journal_is_whole(session)
    for reader in session.readers:
        for what in _reader(session, reader):
            yield f"reader {reader.name}: {what}"
    try:
        events = [(entry.seq, entry.event()) for entry in session.journal]
        fold = Fold().apply_all(event for _, event in events)
        fold.state()
    except (Corrupted, ValueError) as error:
        yield f"the journal can't be read: {error}"
        return
    for check in _OF_EVENTS:
        yield from check(session, events)
    for judge in _OF_FOLD:
        yield from judge(session, fold)


# The journal and its readers


def _journal_is_whole(session: SessionHistory) -> Found:
    seqs = [entry.seq for entry in session.journal]
    if seqs != list(range(1, len(seqs) + 1)):
        yield f"the journal has gaps, doubles or disorder: {_oddity(seqs)}"
    if seqs and (head := parse_cursor(session.final.cursor).seq) != seqs[-1]:
        yield f"the journal ends at {seqs[-1]}, its head is {head}"
    cursors = [entry.cursor for entry in session.journal] + [e.cursor for r in session.readers for e in r.entries]
    if len(incarnations := {parse_cursor(cursor).incarnation for cursor in cursors}) > 1:
        yield f"cursors of {len(incarnations)} incarnations"


def _oddity(seqs: Sequence[int]) -> str:
    return next((f"{one} then {other}" for one, other in pairwise([0, *seqs]) if other != one + 1), "")


def _reader(session: SessionHistory, reader: Reader) -> Found:
    facts = {entry.seq: (entry.type, entry.data) for entry in session.journal}
    for entry in reader.entries:
        if entry.seq not in facts:
            yield f"was given {entry.type} {entry.cursor}, which the journal does not have"
        elif facts[entry.seq] != (entry.type, entry.data):
            yield f"was given something else as {entry.cursor} than the journal has"
    for connection in reader.connections:
        yield from _resume(connection, list(facts))
    yield from _positions(reader)
    last = max((entry.seq for entry in reader.entries), default=reader.connections[0].after)
    if facts and last < max(facts):
        yield f"lost what follows {last}: the journal goes to {max(facts)}"


def _resume(connection: Connection, seqs: Sequence[int]) -> Found:
    """A connection brings the journal from right after its cursor on, as far as it lives."""
    given = [entry.seq for entry in connection.entries]
    wanted = [seq for seq in seqs if seq > connection.after][: len(given)]
    for got, want in zip(given, wanted, strict=False):
        if got != want:
            yield f"asked for what follows {connection.after} and was given {got} where {want} is next"
            return


def _positions(reader: Reader) -> Found:
    """Over its connections a reader goes on where it stood, and sees nothing twice."""
    at = reader.connections[0].after if reader.connections else 0
    for connection in reader.connections:
        if connection.after != at:
            yield f"stood at {at} and resumed after {connection.after}"
        at = max([connection.after, *(entry.seq for entry in connection.entries)])
    counts = Counter(entry.seq for entry in reader.entries)
    if twice := [seq for seq, times in counts.items() if times > 1]:
        yield f"was given {twice[0]} twice"


# Sends and turns, by the journal

Events = Sequence[tuple[int, Event]]


def _one_message_one_turn(session: SessionHistory, events: Events) -> Found:
    for send in session.sends:
        if len(set(send.turn_ids)) > 1:
            yield f"message id {send.message_id} was answered with different turns: {', '.join(send.turn_ids)}"
        yield from _accepted_once(send, events)


def _accepted_once(send: Send, events: Events) -> Found:
    added = {e.message_id for e in _added(events) if e.message and e.message.client_message_id == send.message_id}
    turns = {e.turn.id for _, e in events if isinstance(e, TurnEvent) and e.turn.message_id in added}
    turns = {turn_id for turn_id in turns if _kind(turn_id, events) != "retry"}
    wanted = 0 if send.kind == "retry" else 1
    if send.turn_ids and len(added) != wanted:
        yield f"message id {send.message_id} was acknowledged and became {len(added)} messages"
    if len(added) > 1 or len(turns) > 1:
        yield f"message id {send.message_id} became {len(added)} messages and {len(turns)} turns"
    for turn_id in set(send.turn_ids):
        if not any(isinstance(e, TurnEvent) and e.turn.id == turn_id for _, e in events):
            yield f"message id {send.message_id}: its turn {turn_id} is not in the journal"


def _added(events: Events) -> Iterator[MessageEvent]:
    return (e for _, e in events if isinstance(e, MessageEvent) and e.op == "added")


def _kind(turn_id: str, events: Events) -> str:
    return next(e.turn.kind for _, e in events if isinstance(e, TurnEvent) and e.turn.id == turn_id)


def _one_ending(session: SessionHistory, events: Events) -> Found:
    accepted = {event.turn.id for _, event in events if isinstance(event, TurnEvent)}
    for turn_id in sorted(accepted):
        mine = [event for _, event in events if _turn_of(event) == turn_id]
        endings = [event for event in mine if isinstance(event, Done)]
        if len(endings) != 1:
            yield f"turn {turn_id} has {len(endings)} endings"
        elif mine[-1] is not endings[0]:
            yield f"turn {turn_id}: {mine[-1].event} after its done"
        if (cause := _wrong_cause(endings)) is not None:
            yield f"turn {turn_id}: {cause}"
        yield from _usage_before_done(turn_id, [event for _, event in events])


def _wrong_cause(endings: Sequence[Done]) -> str | None:
    for done in endings:
        if done.status != _STATUS_OF.get(done.reason, done.status):
            return f"its status is {done.status}, its cause {done.reason}"
    return None


def _usage_before_done(turn_id: str, events: Sequence[Event]) -> Found:
    places = [at for at, event in enumerate(events) if isinstance(event, UsageEvent) and event.turn_id == turn_id]
    if len(places) > 1:
        yield f"turn {turn_id} has {len(places)} usages"
    for at in places:
        after = events[at + 1] if at + 1 < len(events) else None
        if not (isinstance(after, Done) and after.turn_id == turn_id):
            yield f"turn {turn_id}: its usage is not right before its done"


def _turn_of(event: Event) -> str | None:
    match event:
        case TurnEvent():
            return event.turn.id
        case Token() | ToolCall() | ToolResult() | Reset() | StatusUpdate() | UsageEvent() | ErrorEvent() | Done():
            return event.turn_id
        case MessageEvent(message=Message(role="assistant", turn_id=turn_id)):
            return turn_id
        case _:
            return None


def _one_at_a_time(session: SessionHistory, events: Events) -> Found:
    """A turn speaks between its claim and its done, and nobody else does meanwhile."""
    statuses: dict[str, str] = {}
    for seq, event in events:
        if isinstance(event, TurnEvent):
            yield from _step(statuses, event.turn)
        elif isinstance(event, Done):
            statuses[event.turn_id] = event.status
        elif isinstance(event, _CONTENT) and statuses.get(event.turn_id) != "in_progress":
            yield f"turn {event.turn_id}: {event.event} at {seq}, where it does not run"


def _step(statuses: dict[str, str], turn: Turn) -> Found:
    before = statuses.get(turn.id)
    if before not in (None, turn.status) and not may_follow(before, turn.status):  # type: ignore[arg-type]
        yield f"turn {turn.id} went from {before} to {turn.status}"
    statuses[turn.id] = turn.status
    if len(running := [turn_id for turn_id, status in statuses.items() if status == "in_progress"]) > 1:
        yield f"{len(running)} turns run at once: {', '.join(running)}"


def _cancel_is_final(session: SessionHistory, events: Events) -> Found:
    for cancel in session.cancels:
        if not is_terminal(cancel.status):  # type: ignore[arg-type]
            yield f"turn {cancel.turn_id}: its cancel was acknowledged with {cancel.status}"
        late = [seq for seq, event in events if seq > cancel.head and _turn_of(event) == cancel.turn_id]
        if late:
            yield f"turn {cancel.turn_id}: an event at {late[0]}, after its cancel was acknowledged at {cancel.head}"
        done = [event for _, event in events if isinstance(event, Done) and event.turn_id == cancel.turn_id]
        if done and (done[0].status, done[0].reason) != (cancel.status, cancel.reason):
            yield f"turn {cancel.turn_id}: cancelled as {cancel.status}, ended as {done[0].status}"


def _numbers_are_whole(session: SessionHistory, events: Events) -> Found:
    fold = Fold()
    for _, event in events:
        fold.apply(event)
        if not isinstance(event, Done) or (send := _send_of(session, event.turn_id)) is None or send.numbers is None:
            continue
        said = text_of(_answer(fold, event.turn_id))
        if not send.numbers.text.startswith(said):
            yield f"turn {event.turn_id}: its numbers have a gap or a double: {_differs(said, send.numbers.text)}"
        elif event.status == "completed" and said != send.numbers.text:
            yield f"turn {event.turn_id}: completed after {said.split()[-1:]} of {send.numbers.last}"


def _send_of(session: SessionHistory, turn_id: str) -> Send | None:
    return next((send for send in session.sends if turn_id in send.turn_ids), None)


def _answer(fold: Fold, turn_id: str) -> Message | None:
    turn = fold.turns.get(turn_id)
    return fold.message(turn.answer_id) if turn and turn.answer_id else None


def _differs(said: str, wanted: str) -> str:
    for place, (one, other) in enumerate(zip(said.split(), wanted.split(), strict=False)):
        if one != other:
            return f"word {place} is {one}, not {other}"
    return f"…{said[-20:]!r}"


# What stands at the end


def _nothing_dangles(session: SessionHistory, fold: Fold) -> Found:
    for turn_id in dangling(session):
        yield f"turn {turn_id} was accepted and never ended"
    for turn in session.final.state.turns:
        if not is_terminal(turn.status):
            yield f"turn {turn.id} is {turn.status} at the end"
    shown = {message.id: message for message in (*session.final.state.messages, *session.messages)}
    for message in shown.values():
        if not is_terminal(message.status):
            yield f"message {message.id} is {message.status} at the end"
        if message.role == "assistant" and message.error is None and set(message.parts) <= {TextPart("")}:
            yield f"message {message.id} is empty and does not say why"


def _state_is_the_fold(session: SessionHistory, fold: Fold) -> Found:
    told = fold.state()
    if told != session.final.state:
        yield f"the journal folds to another state than the snapshot: {_difference(told, session.final.state)}"
    if told.messages != session.messages:
        yield f"the history differs from the journal: {_difference(told.messages, session.messages)}"
    for turn in session.turns:
        if (known := fold.turns.get(turn.id)) is not None and known != turn:
            yield f"turn {turn.id} differs from the journal: {_difference(known, turn)}"


def _turns_are_as_told(session: SessionHistory, events: Events) -> Found:
    told = {event.turn_id: (event.status, event.reason) for _, event in events if isinstance(event, Done)}
    for turn in session.turns:
        if told.get(turn.id, (turn.status, turn.reason)) != (turn.status, turn.reason):
            yield f"turn {turn.id} is {turn.status} ({turn.reason}); its done says {told[turn.id]}"


def _snapshots_lead_to_the_end(session: SessionHistory, fold: Fold) -> Found:
    for snapshot in session.snapshots:
        seq = parse_cursor(snapshot.cursor).seq
        later = Fold(snapshot.state).apply_all(entry.event() for entry in session.journal if entry.seq > seq)
        if later.state() != fold.state():
            yield f"the snapshot at {seq} and what follows give another end: {_difference(later.state(), fold.state())}"


def _clients_saw_the_end(session: SessionHistory, fold: Fold) -> Found:
    turns = {turn.id: turn for turn in session.turns}
    for answer in session.answers:
        if (turn := turns.get(answer.turn_id)) is None:
            yield f"turn {answer.turn_id} was acknowledged and is gone"
            continue
        message = fold.message(turn.answer_id or "")
        if answer.text != text_of(message):
            yield f"turn {answer.turn_id}: a client ended with {_differs(answer.text, text_of(message))}"


def _difference(one: object, other: object) -> str:
    """Where two things that should be equal part, in words."""
    left, right = repr(one), repr(other)
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    begin = max(0, at - 80)
    return f"…{left[begin : at + 120]} <> …{right[begin : at + 120]}"


def _slow_rescues(history: History) -> Found:
    limit_s = SHARED_S if history.shared else EMBEDDED_S
    for rescue in rescues(history):
        if rescue.ended_s > limit_s:
            yield f"turn {rescue.turn_id} was rescued {rescue.ended_s:.1f} s after the restart, later than {limit_s} s"


_OF_EVENTS: Final[tuple[Callable[[SessionHistory, Events], Found], ...]] = (
    _one_message_one_turn,
    _one_ending,
    _one_at_a_time,
    _cancel_is_final,
    _numbers_are_whole,
    _turns_are_as_told,
)
_OF_FOLD: Final[tuple[Callable[[SessionHistory, Fold], Found], ...]] = (
    _nothing_dangles,
    _state_is_the_fold,
    _snapshots_lead_to_the_end,
    _clients_saw_the_end,
)
