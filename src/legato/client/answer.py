"""A turn's answer as it grows: every event in, what changed of its text out. Pure."""

from os.path import commonprefix
from typing import NamedTuple

from legato.core.events import Done, Event, Snapshot, Token
from legato.core.fold import Fold
from legato.core.model import Message, State, TextPart, Turn
from legato.core.states import is_terminal


class Piece(NamedTuple):
    """The answer's text is now its first ``at`` characters and ``text``.

    Nearly always ``at`` is where the text ended, so that printing ``text`` is enough. It is less when an
    attempt began anew (``reset``), when a snapshot brought another text, or (with an empty ``text``) when the
    answer was removed.
    """

    text: str
    at: int


class GrowingAnswer:
    """The fold of a session, seen from one turn. ``state`` is what was known before the first event."""

    def __init__(self, turn: Turn, state: State | None = None) -> None:
        self._fold = Fold(state)
        self._turn = self._fold.turns.setdefault(turn.id, turn)
        # Not by the turn's status alone: a repeated send answers with a finished turn whose events are still
        # to come.
        self._finished = state is not None and is_terminal(self._turn.status)
        self._pieces: list[str] = []
        self._length = 0
        self._last_part = -1
        self._last_is_text = False
        self._recount()

    @property
    def turn(self) -> Turn:
        """The turn as it was last told."""
        return self._turn

    @property
    def finished(self) -> bool:
        """Whether nothing more of the turn can come."""
        return self._finished

    @property
    def message(self) -> Message | None:
        """The answer; None before it begins, and for a turn that has none (or has it no more)."""
        return self._fold.message(self._turn.answer_id) if self._turn.answer_id else None

    @property
    def text(self) -> str:
        """The answer's text parts, joined."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def know(self, turn: Turn) -> Piece | None:
        """The turn as the server tells it outside the journal, when that has nothing more of it."""
        self._turn = self._fold.turns[turn.id] = turn
        self._finished = is_terminal(turn.status)
        return self._recount()

    def apply(self, event: Event) -> Piece | None:
        """Lets ``event`` happen; what it did to the text, if anything."""
        self._fold.apply(event)
        self._turn = self._fold.turns.get(self._turn.id, self._turn)
        match event:
            case Token():
                return self._grow(event)
            case Done(turn_id=self._turn.id):
                self._finished = True
            case Snapshot(state=State()):
                self._finished = self._turn.id in self._fold.turns and is_terminal(self._turn.status)
        return self._recount()

    @property
    def unknown(self) -> bool:
        """Whether a snapshot brought a state that does not tell about the turn: ask the server."""
        return self._turn.id not in self._fold.turns

    def _grow(self, token: Token) -> Piece | None:
        if token.message_id != self._turn.answer_id:
            return None
        if token.part != self._last_part:
            return self._recount()
        # The quick way, so that n tokens cost n: the last part goes on.
        return self._append(token.text) if self._last_is_text else None

    def _append(self, text: str) -> Piece | None:
        if not text:
            return None
        piece = Piece(text, self._length)
        self._pieces.append(text)
        self._length += len(text)
        return piece

    def _recount(self) -> Piece | None:
        """Compares with the message itself, whatever happened to it."""
        message = self.message
        parts = message.parts if message else ()
        self._last_part = len(parts) - 1
        self._last_is_text = bool(parts) and isinstance(parts[-1], TextPart)
        before, after = self.text, "".join(part.text for part in parts if isinstance(part, TextPart))
        if before == after:
            return None
        at = len(before) if after.startswith(before) else _common(before, after)
        self._pieces, self._length = [after], len(after)
        return Piece(after[at:], at)


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return len(commonprefix([one, other]))  # noqa: RUF071 (by characters is what is meant)
