"""How a conversation of a file enters a store: fresh ids, and the journal that tells how it came about.

A *piece* is a turn with its messages and the events that tell it, as if it had happened here; readers who fold the pieces'
events in order hold the session (guarantee G17). A piece is one row of the journal.
"""

from collections.abc import Iterable, Iterator

import msgspec

from legato.core.events import Done, Event, MessageEvent, TurnEvent, UsageEvent, encode_lines
from legato.core.fold import Fold
from legato.core.ids import Prefix, new_id
from legato.core.model import FilePart, Message, Turn
from legato.core.states import TerminalStatus, is_terminal
from legato.transfer.records import Conversation, Skipped


class Piece(msgspec.Struct, frozen=True):
    """A turn (None: messages of a turn that the file lacks), its messages, and ``count`` events as a journal's payload.

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
    """A conversation as it will stand in the store. After all pieces, the events ``leaf`` bring readers to the leaf."""

    session_id: str
    leaf_id: str | None
    pieces: tuple[Piece, ...]
    leaf: tuple[Event, ...]
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


class _Leaf:
    """Where readers are, by the rule of the fold: a message becomes the leaf that follows it, or that is in progress."""

    def __init__(self) -> None:
        self.id: str | None = None

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            message = event.message if isinstance(event, MessageEvent) else None
            if message is not None and (message.parent_id == self.id or message.status == "in_progress"):
                self.id = message.id


def arrive(conversation: Conversation, agent_id: str) -> Arrival:
    """Give a conversation ids of ours and tell it in events. ``agent_id`` is whose turns are that name no agent."""
    session_id, ids = new_id("ses"), _Ids()
    tree, skipped = _as_a_tree(conversation)
    messages = [_message(each, session_id, ids, agent_id) for each in tree]
    turns = [_turn(each, session_id, ids, agent_id) for each in conversation.turns]
    leaf_id = _leaf(conversation, messages, ids)
    heard = _Leaf()
    pieces = tuple(_with_files(piece, ids) for piece in _pieces(messages, turns, heard))
    return Arrival(
        session_id=session_id,
        leaf_id=leaf_id,
        pieces=pieces,
        leaf=() if heard.id == leaf_id else _to_leaf(messages, leaf_id),
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
                skipped.append(Skipped(place=f"{conversation.place}, message {each.id[:64]}", what="parent", why=why))
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
    )


def _leaf(conversation: Conversation, messages: list[Message], ids: _Ids) -> str | None:
    """The file's leaf; where it names none that is there, the newest message."""
    wanted = ids.maybe("msg", conversation.session.leaf_id)
    if any(message.id == wanted for message in messages):
        return wanted
    return messages[-1].id if messages else None


def _pieces(messages: list[Message], turns: list[Turn], heard: _Leaf) -> Iterator[Piece]:
    mine: dict[str, list[Message]] = {}
    for message in messages:
        mine.setdefault(message.turn_id, []).append(message)
    known = {turn.id for turn in turns}
    for turn_id, theirs in mine.items():
        if turn_id not in known:
            yield _piece(None, theirs, [MessageEvent("added", each.id, each) for each in theirs], heard)
    for turn in turns:
        theirs = mine.get(turn.id, [])
        yield _piece(turn, theirs, _told(turn, theirs), heard)


def _with_files(piece: Piece, ids: _Ids) -> Piece:
    files = tuple(
        (part.file_id, ids.sources[part.file_id], message.id)
        for message in piece.messages
        for part in message.parts
        if isinstance(part, FilePart)
    )
    return msgspec.structs.replace(piece, files=files) if files else piece


def _piece(turn: Turn | None, messages: list[Message], events: list[Event], heard: _Leaf) -> Piece:
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
    ended = turn.finished_at or turn.created_at
    events.append(Done(turn.id, _terminal(turn), turn.reason or "unknown", ended, turn.error, turn.text))
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
    held = msgspec.structs.replace(leaf, status="in_progress")
    return MessageEvent("changed", leaf.id, held), MessageEvent("changed", leaf.id, leaf)
