"""How a conversation of a file enters a store: fresh ids, and the journal that tells how it came about.

A *piece* is a turn with its messages and the events that tell it, as if it had happened here; readers who fold the pieces'
events in order hold the session (guarantee G17). A piece is one row of the journal.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from legato.core.events import Done, Event, MessageEvent, TurnEvent, UsageEvent, encode_lines
from legato.core.fold import Fold, gauge_told
from legato.core.ids import Prefix, new_id
from legato.core.model import FilePart, Gauge, Message, Turn
from legato.core.states import TerminalStatus, is_terminal
from legato.transfer.records import Conversation, Skipped, leave_out, size_of

_MOST_TOGETHER: Final = 16  # messages
_MOST_CHARS: Final = 64 * 1024


class Piece(msgspec.Struct, frozen=True):
    """A turn (None: messages that come without theirs), its messages, and ``count`` events as a journal's payload.

    ``files`` are those of its messages: the id of each, that of the file whose bytes it has, and its message's.
    """

    turn: Turn | None
    messages: tuple[Message, ...]
    count: int
    payload: bytes
    files: tuple[tuple[str, str, str], ...] = ()

    @property
    def size(self) -> int:
        return len(self.payload)


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation as it will stand in the store. After all pieces, the events ``leaf`` bring readers to the leaf.

    ``gauge`` is what they are told of how full the model's window was.
    """

    session_id: str
    leaf_id: str | None
    pieces: tuple[Piece, ...]
    leaf: tuple[Event, ...]
    gauge: Gauge | None
    skipped: tuple[Skipped, ...]


class _Ids:
    """Fresh ids for a file's, the same one each time."""

    def __init__(self) -> None:
        self._known: dict[tuple[Prefix, str], str] = {}
        self.sources: dict[str, str] = {}  # of files

    def of(self, prefix: Prefix, old: str) -> str:
        key = prefix, old
        if key not in self._known:
            self._known[key] = new_id(prefix)
        return self._known[key]

    def file(self, message_id: str, source_id: str) -> str:
        """A file is one message's."""
        file_id = self.of("fil", f"{message_id} {source_id}")
        self.sources[file_id] = source_id
        return file_id

    def maybe(self, prefix: Prefix, old: str | None) -> str | None:
        return None if old is None else self.of(prefix, old)


class _Heard:
    """What readers know: how full the window was, and, by the rule of the fold, where they are: an added message becomes the
    leaf that follows it, and so does one in progress."""

    def __init__(self) -> None:
        self.leaf_id: str | None = None
        self.gauge: Gauge | None = None

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            self.gauge = gauge_told(event) or self.gauge
            if isinstance(event, MessageEvent) and (message := event.message) is not None:
                enters = event.op == "added" and message.parent_id == self.leaf_id
                if enters or message.status == "in_progress":
                    self.leaf_id = message.id


def arrive(conversation: Conversation, agent_id: str, session_id: str | None = None) -> Arrival:
    """Give a conversation ids of ours and tell it in events. ``agent_id`` is whose turns are that name no agent."""
    session_id, ids = session_id or new_id("ses"), _Ids()
    tree, skipped = _as_a_tree(conversation)
    messages = [_message(each, session_id, ids, agent_id) for each in tree]
    turns = [_turn(each, session_id, ids, agent_id) for each in conversation.turns]
    leaf_id = _leaf(conversation, messages, ids)
    heard = _Heard()
    pieces = tuple(_with_files(piece, ids) for piece in _pieces(messages, turns, heard))
    return Arrival(
        session_id=session_id,
        leaf_id=leaf_id,
        pieces=pieces,
        leaf=() if heard.leaf_id == leaf_id else _to_leaf(messages, leaf_id),
        gauge=heard.gauge,
        skipped=tuple(skipped),
    )


def _as_a_tree(conversation: Conversation) -> tuple[list[Message], list[Skipped]]:
    """Parents before their children, otherwise in the file's order; who has no way to a root becomes one."""
    known = {message.id: message for message in conversation.messages}
    placed: set[str] = set()
    out: list[Message] = []
    skipped: list[Skipped] = []
    for message in conversation.messages:
        chain, seen, at = [], set[str](), message
        while at.id not in placed and at.id not in seen:
            seen.add(at.id)
            chain.append(at)
            if at.parent_id is None or at.parent_id not in known:
                break
            at = known[at.parent_id]
        for each in reversed(chain):
            if each.parent_id is not None and each.parent_id not in placed:
                why = "the message before it is missing" if each.parent_id not in known else "it stands in a circle"
                place = f"{conversation.place}, message {each.id[:64]}"
                leave_out(skipped, Skipped(place=place, what="parent", why=why))
                each = msgspec.structs.replace(each, parent_id=None)
            placed.add(each.id)
            out.append(each)
    return out, skipped


def _message(message: Message, session_id: str, ids: _Ids, agent_id: str) -> Message:
    return msgspec.structs.replace(
        message,
        id=ids.of("msg", message.id),
        session_id=session_id,
        turn_id=ids.of("trn", message.turn_id),
        parent_id=ids.maybe("msg", message.parent_id),
        parts=tuple(
            msgspec.structs.replace(part, file_id=ids.file(message.id, part.file_id))
            if isinstance(part, FilePart)
            else part
            for part in message.parts
        ),
        agent_id=agent_id if message.agent_id == "" else message.agent_id,
    )


def _turn(turn: Turn, session_id: str, ids: _Ids, agent_id: str) -> Turn:
    return msgspec.structs.replace(
        turn,
        id=ids.of("trn", turn.id),
        session_id=session_id,
        message_id=ids.of("msg", turn.message_id),
        answer_id=ids.maybe("msg", turn.answer_id),
        source_turn_id=ids.maybe("trn", turn.source_turn_id),
        agent_id=turn.agent_id or agent_id,
        # As its ``done`` will tell them: a row and its journal say the same.
        reason=turn.reason or "unknown",
        finished_at=turn.finished_at or turn.created_at,
    )


def _leaf(conversation: Conversation, messages: list[Message], ids: _Ids) -> str | None:
    """The file's leaf; where it names none that is there, the newest message."""
    wanted = ids.maybe("msg", conversation.session.leaf_id)
    if any(message.id == wanted for message in messages):
        return wanted
    return messages[-1].id if messages else None


def _pieces(messages: list[Message], turns: list[Turn], heard: _Heard) -> Iterator[Piece]:
    mine: dict[str, list[Message]] = {}
    for message in messages:
        mine.setdefault(message.turn_id, []).append(message)
    known = {turn.id for turn in turns}
    told: dict[str, Message] = {}
    for turn_id, theirs in mine.items():
        if turn_id not in known:
            yield from _alone(theirs, heard)
            told |= {each.id: each for each in theirs}
    for turn in turns:
        theirs = mine.get(turn.id, [])
        if not _is_small(theirs):
            yield from _alone([each for each in theirs if each.id != turn.answer_id], heard)
            theirs = [each for each in theirs if each.id == turn.answer_id]
        # The answer of another turn's, which this one names, too: its end is not that one's.
        other = told.get(turn.answer_id or "")
        events = [*_told(turn, theirs), *([MessageEvent("changed", other.id, other)] if other is not None else [])]
        yield _piece(turn, theirs, events, heard)
        told |= {each.id: each for each in mine.get(turn.id, [])}


def _alone(messages: Sequence[Message], heard: _Heard) -> Iterator[Piece]:
    """Messages without their turn, in pieces that are small where the messages are."""
    for group in _groups(messages):
        yield _piece(None, group, [MessageEvent("added", each.id, each) for each in group], heard)


def _groups(messages: Sequence[Message]) -> Iterator[list[Message]]:
    group: list[Message] = []
    for message in messages:
        if group and not _is_small([*group, message]):
            yield group
            group = []
        group.append(message)
    if group:
        yield group


def _is_small(messages: Sequence[Message]) -> bool:
    return len(messages) <= _MOST_TOGETHER and sum(size_of(each.parts) for each in messages) <= _MOST_CHARS


def _with_files(piece: Piece, ids: _Ids) -> Piece:
    files = dict.fromkeys(  # a message may show one twice
        (part.file_id, ids.sources[part.file_id], message.id)
        for message in piece.messages
        for part in message.parts
        if isinstance(part, FilePart)
    )
    return msgspec.structs.replace(piece, files=tuple(files)) if files else piece


def _piece(turn: Turn | None, messages: list[Message], events: list[Event], heard: _Heard) -> Piece:
    heard.hear(events)
    return Piece(turn, tuple(messages), len(events), encode_lines(events))


def _told(turn: Turn, messages: list[Message]) -> list[Event]:
    """The events of a turn that is over; what the usual ones don't bring about is told as it is."""
    begun = msgspec.structs.replace(
        turn, status="in_progress", reason=None, text=None, usage=None, error=None, finished_at=None
    )
    events: list[Event] = [MessageEvent("added", each.id, each) for each in messages if each.id == turn.message_id]
    events.append(TurnEvent(begun))
    events += [_added(each, turn) for each in messages if each.id != turn.message_id]
    if turn.usage is not None:
        events.append(_usage_event(turn))
    assert turn.finished_at is not None and turn.reason is not None  # noqa: S101, PT018 - see ``_turn``
    events.append(Done(turn.id, _terminal(turn), turn.reason, turn.finished_at, turn.error, turn.text))
    fold = Fold().apply_all(events)
    events += [MessageEvent("changed", each.id, each) for each in messages if fold.message(each.id) != each]
    return events


def _added(message: Message, turn: Turn) -> MessageEvent:
    """The answer is told as it was when it began, apart from its words: what comes after ends it."""
    if message.id == turn.answer_id:
        message = msgspec.structs.replace(message, status="in_progress", usage=None, error=None)
    return MessageEvent("added", message.id, message)


def _terminal(turn: Turn) -> TerminalStatus:
    if not is_terminal(turn.status):
        raise ValueError(f"a turn that is {turn.status} can't arrive")
    return turn.status  # type: ignore[return-value] # that is what was asked just now


def _usage_event(turn: Turn) -> UsageEvent:
    assert turn.usage is not None  # noqa: S101 - asked before
    usage = turn.usage
    return UsageEvent(
        turn_id=turn.id,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        total_tokens=usage.total_tokens,
        cost_usd=usage.cost_usd,
        estimated=usage.estimated,
    )


def _to_leaf(messages: list[Message], leaf_id: str | None) -> tuple[Event, ...]:
    """What brings readers to the leaf from anywhere."""
    leaf = next(message for message in messages if message.id == leaf_id)
    return (MessageEvent("changed", leaf.id, leaf, leaf=True),)
