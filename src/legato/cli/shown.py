"""What of an answer stands on the screen, where nothing can be taken back. Pure."""

from typing import NamedTuple

from legato.client import Piece


class Show(NamedTuple):
    """Text to write next. ``anew``: not a continuation of what stands there, but all of it again."""

    text: str
    anew: bool = False


class Shown:
    """Compares an answer with what was written of it.

    An attempt that begins anew mostly says the same again: nothing is written until it has caught up with the screen or
    says something else.
    """

    def __init__(self, text: str = "") -> None:
        self._pieces = [text]  # the screen
        self._length = len(text)
        self._text: str | None = None  # the answer, while it is not what stands on the screen

    def take(self, piece: Piece) -> Show:
        """The answer changed."""
        if self._text is None and piece.at == self._length:
            self._pieces.append(piece.text)
            self._length += len(piece.text)
            return Show(piece.text)
        screen = self._screen()
        text = (screen if self._text is None else self._text)[: piece.at] + piece.text
        if screen.startswith(text):
            self._text = None if text == screen else text
            return Show("")
        return self._write(text, screen)

    def settle(self) -> Show:
        """The answer is final."""
        return Show("") if self._text is None else self._write(self._text, self._screen())

    def _screen(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def _write(self, text: str, screen: str) -> Show:
        self._pieces, self._length, self._text = [text], len(text), None
        return Show(text[len(screen) :]) if text.startswith(screen) else Show(text, anew=True)
