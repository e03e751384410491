"""An answer that is said again: what readers have is not told twice, and what differs takes its place (promise R-07)."""

from collections.abc import Sequence

from legato.core.events import TokenKind
from legato.core.model import Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart


class Replay:
    """The parts that earlier attempts have said, and how far the new one has come with saying the same."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        self._at = 0  # the part that comes next, or of which ``_offset`` letters were said again
        self._offset = 0

    @property
    def over(self) -> bool:
        """Whether all of it was said again."""
        return self._at >= len(self._parts) or (self._at == len(self._parts) - 1 and 0 < self._offset == self._length)

    def left(self) -> tuple[int, TokenKind, str]:
        """Where what was said is left: readers discard from this part on, and what was said again of it, of its kind, stays."""
        kind: TokenKind = "reasoning" if isinstance(self._part, ReasoningPart) else "text"
        if self._offset == self._length and self._offset:
            return self._at + 1, kind, ""
        return self._at, kind, self._text[: self._offset]

    def rest(self) -> tuple[Part, ...]:
        """The words and thoughts that come next, until something else does."""
        found: list[Part] = []
        for at, part in enumerate(self._parts[self._at :]):
            if not isinstance(part, TextPart | ReasoningPart):
                break
            if said := part.text[self._offset if at == 0 else 0 :]:
                found.append(type(part)(said))
        return tuple(found)

    def text(self, kind: TokenKind, text: str, *, begins: bool) -> str | None:
        """What of these words is new; None where they are not what was said. ``begins``: they begin a part."""
        if begins and self._offset:
            if self._offset != self._length:
                return None
            self._at, self._offset = self._at + 1, 0
        part = self._part
        if part is None:
            return text
        if not isinstance(part, ReasoningPart if kind == "reasoning" else TextPart):
            return None
        known = part.text[self._offset :]
        if known.startswith(text):
            self._offset += len(text)
            return ""
        if self._at == len(self._parts) - 1 and text.startswith(known):
            self._offset = len(part.text)
            return text[len(known) :]
        return None

    def call(self, name: str, arguments: str, call_id: str | None) -> str | None:
        """The id of the call that was made here; None where it was another, or none."""
        part = self._peek()
        if not isinstance(part, ToolCallPart) or (part.name, part.arguments) != (name, arguments):
            return None
        if call_id is not None and part.call_id != call_id:
            return None
        self._pass()
        return part.call_id

    def part(self, part: ToolResultPart) -> bool:
        """Whether this is what was told here."""
        if self._peek() != part:
            return False
        self._pass()
        return True

    def _peek(self) -> Part | None:
        """The part that comes next; None in the middle of one."""
        if self._offset not in (0, self._length):
            return None
        at = self._at + (self._offset > 0)
        return self._parts[at] if at < len(self._parts) else None

    def _pass(self) -> None:
        self._at, self._offset = self._at + (self._offset > 0) + 1, 0

    @property
    def _part(self) -> Part | None:
        return self._parts[self._at] if self._at < len(self._parts) else None

    @property
    def _text(self) -> str:
        return self._part.text if isinstance(self._part, TextPart | ReasoningPart) else ""

    @property
    def _length(self) -> int:
        return len(self._text)
