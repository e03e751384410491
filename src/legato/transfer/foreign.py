"""Other people's conversations as sessions of ours: a tree of *nodes* becomes messages and turns.

What can't be taken over is left out with the reason, and what followed it follows what stood before. Answers that follow each
other without a branch between them (a model that thinks, calls a tool, goes on) become one message.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from legato.core.model import ErrorInfo, Message, Part, Role, TextPart, Turn
from legato.core.states import TerminalStatus
from legato.transfer.bounds import bounded_message, bounded_session, origin
from legato.transfer.records import MAX_TEXT, TOO_LONG, Conversation, SessionRecord, Skipped, leave_out, size_of

_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_NODES: Final = 50_000


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A message of theirs. Without ``parts`` it is left out: ``why``."""

    id: str
    parent_id: str | None
    role: Role = "user"
    parts: tuple[Part, ...] = ()
    at: datetime | None = None
    model_id: str | None = None
    status: TerminalStatus = "completed"
    error: ErrorInfo | None = None
    what: str = "message"
    why: str = ""


class Talk(msgspec.Struct, kw_only=True):
    """A conversation of theirs. ``leaf_id`` None: it ends with the newest message."""

    format: str
    id: str
    place: str
    title: str | None = None
    at: datetime | None = None
    last_at: datetime | None = None
    leaf_id: str | None = None
    model_id: str | None = None
    archived: bool = False
    pinned: bool = False
    nodes: list[Node] = msgspec.field(default_factory=list)
    skipped: list[Skipped] = msgspec.field(default_factory=list)

    def skip(self, where: str, what: str, why: str) -> None:
        """Report what is left out; ``where`` is an id of theirs."""
        place = f"{self.place}, {where[:64]}" if where else self.place
        leave_out(self.skipped, Skipped(place=place, what=what, why=why))

    def add(self, node: Node) -> None:
        if len(self.nodes) < _MOST_NODES:
            self.nodes.append(node)
        else:
            self.skip(node.id, "message", f"a conversation may have {_MOST_NODES} messages")

    def conversation(self) -> Conversation:
        kept = _kept(self)
        times = [node.at for node in kept if node.at is not None]
        begun = self.at or min(times, default=None) or self.last_at or _BEGINNING
        last = self.last_at or max(times, default=None) or begun
        messages = _messages(kept, begun)
        session = SessionRecord(
            id=self.id,
            agent_id="",
            title=self.title or None,
            title_source="person" if self.title else None,
            created_at=begun,
            last_activity=max(begun, last),
            archived_at=last if self.archived else None,
            pinned=self.pinned,
            leaf_id=self.leaf_id or (messages[-1].id if messages else None),
            metadata={"imported_model": self.model_id} if self.model_id else {},
        )
        bounded, skipped = bounded_session(session, self.place)
        return Conversation(
            origin=origin(self.format, self.id),
            place=self.place,
            session=bounded,
            messages=tuple(messages),
            turns=tuple(_turns(messages)),
            skipped=(*self.skipped, *skipped),
        )


def _kept(talk: Talk) -> list[Node]:
    """The nodes that are taken over, each hung onto the nearest one before it; answers in a row joined."""
    by_id = {node.id: node for node in talk.nodes}
    nearest = _Nearest(by_id, {node.id for node in talk.nodes if _is_left_out(talk, node)})
    placed = [
        msgspec.structs.replace(node, parent_id=nearest.to(node.parent_id))
        for node in talk.nodes
        if node.id not in nearest.left_out
    ]
    leaf_id = nearest.to(talk.leaf_id)
    joined, into = _joined(placed)
    talk.leaf_id = into.get(leaf_id or "", leaf_id)
    return joined


def _is_left_out(talk: Talk, node: Node) -> bool:
    if node.why:
        if node.what != "root":
            talk.skip(node.id, node.what, node.why)
        return True
    if not any(not isinstance(part, TextPart) or part.text.strip() for part in node.parts) and node.error is None:
        talk.skip(node.id, "message", "it is empty")
        return True
    if size_of(node.parts) > MAX_TEXT:
        talk.skip(node.id, "message", TOO_LONG)
        return True
    return False


class _Nearest:
    """The nearest node towards the root that is taken over; of each that is left out it is found once."""

    def __init__(self, by_id: dict[str, Node], left_out: set[str]) -> None:
        self.left_out = left_out
        self._by_id = by_id
        self._known: dict[str, str | None] = {}

    def to(self, at: str | None) -> str | None:
        passed: list[str] = []
        while at in self.left_out and at not in self._known:
            passed.append(at)
            self._known[at] = None  # who comes by again walks in a circle
            at = self._by_id[at].parent_id
        found = self._known.get(at or "", at if at in self._by_id else None)
        self._known.update(dict.fromkeys(passed, found))
        return found


def _joined(nodes: Sequence[Node]) -> tuple[list[Node], dict[str, str]]:
    """Answers in a row as one, under the first one's id; and which id each went into."""
    children: dict[str | None, int] = {}
    for node in nodes:
        children[node.parent_id] = children.get(node.parent_id, 0) + 1
    out: dict[str, Node] = {}
    into: dict[str, str] = {}
    parts: dict[str, list[Part]] = {}
    sizes: dict[str, int] = {}
    for node in nodes:
        parent_id = into.get(node.parent_id or "", node.parent_id)
        before = out.get(parent_id or "")
        alone = children[node.parent_id] == 1
        size = size_of(node.parts)
        if (
            before is not None
            and before.role == node.role == "assistant"
            and alone
            and sizes[before.id] + size <= MAX_TEXT
        ):
            into[node.id] = before.id
            parts[before.id] += node.parts
            sizes[before.id] += size
            out[before.id] = msgspec.structs.replace(
                before,
                model_id=node.model_id or before.model_id,
                status=node.status,
                error=node.error or before.error,
            )
        else:
            out[node.id] = msgspec.structs.replace(node, parent_id=parent_id)
            parts[node.id], sizes[node.id] = list(node.parts), size
    return [msgspec.structs.replace(node, parts=tuple(parts[node.id])) for node in out.values()], into


def _messages(nodes: Iterable[Node], begun: datetime) -> list[Message]:
    """Messages with the ids of their nodes; a turn begins with each message of the user, and with each other answer to it."""
    by_id: dict[str, Message] = {}
    answered: set[str] = set()
    for node in nodes:
        parent = by_id.get(node.parent_id or "")
        turn_id = node.id
        if node.role == "assistant" and parent is not None and parent.role == "user" and parent.id not in answered:
            answered.add(parent.id)
            turn_id = parent.turn_id
        by_id[node.id] = bounded_message(
            Message(
                id=node.id,
                session_id="",
                turn_id=turn_id,
                role=node.role,
                status=node.status,
                created_at=node.at or (parent.created_at if parent else begun),
                parts=node.parts,
                parent_id=parent.id if parent else None,
                agent_id="" if node.role == "assistant" else None,  # whoever answers here
                model_id=node.model_id,
                error=node.error,
            )
        )
    return list(by_id.values())


def _turns(messages: Sequence[Message]) -> list[Turn]:
    by_turn: dict[str, list[Message]] = {}
    for message in messages:
        by_turn.setdefault(message.turn_id, []).append(message)
    by_id = {message.id: message for message in messages}
    turns = [_turn(turn_id, theirs, by_id) for turn_id, theirs in by_turn.items()]
    return sorted(turns, key=lambda turn: turn.finished_at or turn.created_at)


def _turn(turn_id: str, messages: Sequence[Message], by_id: dict[str, Message]) -> Turn:
    asked = next((each for each in messages if each.role == "user"), None)
    answer = next((each for each in messages if each.role == "assistant"), None)
    parent = by_id.get(answer.parent_id or "") if answer is not None else None
    again = asked is None and parent is not None and parent.role == "user"
    first, last = messages[0], messages[-1]
    fields: dict[str, Any] = {"kind": "retry", "source_turn_id": parent.turn_id} if again and parent else {}
    status: TerminalStatus = answer.status if answer is not None else "incomplete"  # type: ignore[assignment]
    return Turn(
        id=turn_id,
        session_id="",
        message_id=(parent.id if again and parent else first.id),
        answer_id=answer.id if answer else None,
        agent_id="",
        model_id=answer.model_id if answer else None,
        status=status,
        created_at=first.created_at,
        finished_at=max(first.created_at, last.created_at),
        attempt=1 if answer else 0,
        reason={"completed": "stop"}.get(status, status) if answer else "imported",
        error=answer.error if answer else None,
        **fields,
    )
