"""Events folded into the state they describe: the same rule for the server's projections and for every client.

    fold(snapshot at cursor c) ⊕ events after c = the session            (guarantee G17)

Tolerant by design: an event about something this reader never saw (its beginning was cleared or rolled back) changes
nothing, so that a fold may start anywhere a snapshot or the beginning allows.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import assert_never

import msgspec

from legato.core.events import (
    ApprovalEvent,
    Done,
    ErrorEvent,
    Event,
    MessageEvent,
    Reset,
    SessionEvent,
    Snapshot,
    StatusUpdate,
    Token,
    ToolCall,
    ToolResult,
    TurnEvent,
    UsageEvent,
    Warning,
)
from legato.core.model import (
    Approval,
    ContextInfo,
    FilePart,
    Gauge,
    Message,
    Part,
    ReasoningPart,
    Session,
    State,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from legato.core.states import is_terminal


class Draft:
    """A message that grows. Text is kept in pieces and joined when asked for, so that n tokens cost n, not n²."""

    def __init__(self, message: Message) -> None:
        self.base = message
        self._parts = list(message.parts)
        self._pieces: dict[int, list[str]] = {}

    def add_text(self, token: Token) -> None:
        self._pad(token.part, ReasoningPart("") if token.kind == "reasoning" else TextPart(""))
        self._pieces.setdefault(token.part, []).append(token.text)

    def put(self, index: int, part: Part) -> None:
        self._pad(index, part)
        self._parts[index] = part
        self._pieces.pop(index, None)

    def cut(self, index: int) -> None:
        del self._parts[index:]
        self._pieces = {at: pieces for at, pieces in self._pieces.items() if at < index}

    def build(self) -> Message:
        for index, pieces in self._pieces.items():
            self._parts[index] = _longer(self._parts[index], "".join(pieces))
        self._pieces.clear()
        return msgspec.structs.replace(self.base, parts=tuple(self._parts))

    def _pad(self, index: int, part: Part) -> None:
        # Earlier parts may be missing while their tokens are compacted away: a snapshot further on brings them.
        while len(self._parts) < index:
            self._parts.append(TextPart(""))
        if len(self._parts) == index:
            self._parts.append(part)


def _longer(part: Part, text: str) -> Part:
    match part:
        case TextPart():
            return TextPart(part.text + text)
        case ReasoningPart():
            return ReasoningPart(part.text + text)
        case ToolCallPart():
            return msgspec.structs.replace(part, arguments=part.arguments + text)
        case ToolResultPart() | FilePart():
            return part
        case _:
            assert_never(part)


class Fold:
    """A session's state, one event after another."""

    def __init__(self, state: State | None = None) -> None:
        self._load(state)

    def _load(self, state: State | None) -> None:
        self.session: Session | None = state.session if state else None
        self.leaf_id: str | None = state.leaf_id if state else None
        self.has_more = state.has_more if state else False
        self.messages: dict[str, Draft] = {m.id: Draft(m) for m in state.messages} if state else {}
        self.turns: dict[str, Turn] = {t.id: t for t in state.turns} if state else {}
        self.approvals: dict[str, Approval] = {a.id: a for a in state.approvals} if state else {}
        self.gauge: Gauge | None = state.gauge if state else None
        self.gone: set[str] = set()

    def apply(self, event: Event) -> None:
        """Let ``event`` happen."""
        match event:
            case Token():
                if draft := self.messages.get(event.message_id):
                    draft.add_text(event)
            case MessageEvent():
                self._message(event)
            case TurnEvent():
                self.turns[event.turn.id] = event.turn
                self.gauge = gauge_told(event) or self.gauge
                self._active(event.turn.created_at)
            case SessionEvent():
                self.session = event.session
            case StatusUpdate():
                self._change_turn(event.turn_id, phase=event.phase, detail=event.detail)
            case UsageEvent():
                self._change_turn(event.turn_id, usage=event.usage())
                self._change_answer(event.turn_id, usage=event.usage())
                self.gauge = gauge_told(event) or self.gauge
            case Done():
                self._done(event)
            case ToolCall():
                self._put(event.message_id, event.part, ToolCallPart(event.call_id, event.name, event.arguments))
            case ToolResult():
                self._put(event.message_id, event.part, ToolResultPart(event.call_id, event.output, event.is_error))
            case Reset():
                if draft := self.messages.get(event.message_id):
                    draft.cut(event.part)
            case Snapshot():
                self._snapshot(event)
            case ApprovalEvent():
                self.approvals.pop(event.approval.id, None)
                if event.approval.decided_at is None:
                    self.approvals[event.approval.id] = event.approval
                else:
                    self._active(event.approval.decided_at)
            case ErrorEvent() | Warning():
                pass
            case _:
                assert_never(event)

    def apply_all(self, events: Iterable[Event]) -> "Fold":
        for event in events:
            self.apply(event)
        return self

    def state(self) -> State:
        """The state now: the active branch, then the messages that wait, in the order in which they will be answered.

        Raises:
            ValueError: no event or snapshot has told about the session yet.
        """
        if self.session is None:
            raise ValueError("nothing is known about the session yet")
        turns = sorted(self.turns.values(), key=_turn_order)
        waiting = [t.message_id for t in turns if t.status == "queued" and t.brings_message]
        path = self._path()
        ids = [*path, *(i for i in waiting if i in self.messages)]
        return State(
            session=self.session,
            messages=tuple(self.messages[i].build() for i in ids),
            turns=tuple(turns),
            leaf_id=self.leaf_id,
            # A root on the branch: what was older is gone (the session was trimmed).
            has_more=self.has_more and not (path and self.messages[path[0]].base.parent_id is None),
            approvals=tuple(self.approvals.values()),
            gauge=self.gauge,
        )

    def overlay(self, other: "Fold") -> None:
        """Take over the turns, the approvals, the gauge and the known messages that ``other`` tells more about."""
        self.turns |= other.turns
        self.approvals |= other.approvals
        self.gauge = other.gauge or self.gauge
        self.messages |= {i: draft for i, draft in other.messages.items() if i in self.messages}

    def show(self, message: Message) -> None:
        """Hold a message without placing it in the history."""
        self.messages[message.id] = Draft(message)

    def message(self, message_id: str) -> Message | None:
        """One message as it stands, on the active branch or not."""
        draft = self.messages.get(message_id)
        return draft.build() if draft else None

    def _path(self) -> list[str]:
        path: dict[str, None] = {}  # a circle, which only damage can make, is not walked for ever
        at, last = self.leaf_id, None
        while at is not None and at in self.messages and at not in path:
            path[at] = None
            last = self.messages[at]
            at = last.base.parent_id
        if last is not None and at in self.gone:
            last.base = msgspec.structs.replace(last.base, parent_id=None)
        return list(path)[::-1]

    def _message(self, event: MessageEvent) -> None:
        if event.message is None:
            self.gone.add(event.message_id)
            gone = self.messages.pop(event.message_id, None)
            if gone is not None and self.leaf_id == event.message_id:
                parent_id = gone.base.parent_id
                self.leaf_id = None if parent_id in self.gone else parent_id
            return
        before = self.messages.get(event.message_id)
        enters = event.op == "added" or (before is not None and before.base.status == "queued")
        self.messages[event.message_id] = Draft(event.message)
        if event.message.status != "queued":
            self._placed(event.message, leaf=event.leaf, enters=enters)

    def _placed(self, message: Message, *, leaf: bool, enters: bool) -> None:
        # A message that enters the history becomes its newest; one that only changes (its pieces, its pin) stays where it is.
        if leaf or (enters and message.parent_id == self.leaf_id) or message.status == "in_progress":
            self.leaf_id = message.id

    def _put(self, message_id: str, index: int, part: Part) -> None:
        if draft := self.messages.get(message_id):
            draft.put(index, part)

    def _change_turn(self, turn_id: str, **changes: object) -> None:
        if turn := self.turns.get(turn_id):
            self.turns[turn_id] = msgspec.structs.replace(turn, **changes)

    def _change_answer(self, turn_id: str, **changes: object) -> None:
        turn = self.turns.get(turn_id)
        draft = self.messages.get(turn.answer_id) if turn and turn.answer_id else None
        if draft is not None:
            draft.base = msgspec.structs.replace(draft.base, **changes)

    def _active(self, at: datetime) -> None:
        if self.session is not None and self.session.last_activity < at:
            self.session = msgspec.structs.replace(self.session, last_activity=at)

    def _done(self, event: Done) -> None:
        self._active(event.finished_at)
        for turn_id in [t.id for t in self.turns.values() if is_terminal(t.status)]:
            del self.turns[turn_id]
        self._change_turn(
            event.turn_id,
            status=event.status,
            reason=event.reason,
            finished_at=event.finished_at,
            error=event.error,
            text=event.text,
            phase=None,
            detail=None,
        )
        self._change_answer(event.turn_id, status=event.status, error=event.error)
        self.approvals = {a.id: a for a in self.approvals.values() if a.turn_id != event.turn_id}

    def _snapshot(self, event: Snapshot) -> None:
        if event.state is not None:
            self._load(event.state)
        elif event.message is not None and event.message.id in self.messages:
            self.messages[event.message.id] = Draft(event.message)


def gauge_told(event: Event) -> Gauge | None:
    """How full the model's window is, if this event tells it: what was sent, and at the end what was answered, too."""
    match event:
        case TurnEvent(turn=Turn(status="in_progress", context=ContextInfo(tokens=tokens, window=window))) if window:
            return Gauge(tokens, window)
        case UsageEvent():
            return event.gauge
        case _:
            return None


def _turn_order(turn: Turn) -> tuple[int, int]:
    order = 2 if turn.status == "queued" else 1 if turn.status == "in_progress" else 0
    return order, turn.rank
