"""What a chat writes: answers on the standard output, everything else dimly on the standard error."""

import os
from typing import Final, TextIO

from legato.client import Notice

# What could move the cursor, rename the window or fill the clipboard: text of models and of other people is hostile.
_HARMLESS: Final = dict.fromkeys((*range(32), *range(127, 160)), "�") | {0x09: "\t", 0x0A: "\n", 0x0D: ""}


def printable(text: str) -> str:
    """``text`` without characters that command a terminal; line ends and tabs stay."""
    return text.translate(_HARMLESS)


class Terminal:
    """Two streams that may be one screen. To a pipe the answer goes as it is, and nothing else does."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._is_screen = out.isatty()
        self._has_reader = err.isatty()
        self._is_dim = self._has_reader and "NO_COLOR" not in os.environ
        self._in_line = False
        self._is_lost = False
        self.is_connected = False  # what was never there can't be lost

    def say(self, text: str) -> None:
        """A piece of an answer, at once."""
        if text:
            self._out.write(printable(text) if self._is_screen else text)
            self._out.flush()
            self._in_line = not text.endswith("\n")

    def end(self) -> None:
        """The answer is over: what follows begins a line."""
        if self._in_line:
            self.say("\n")

    def note(self, text: str) -> None:
        """Something a reader must know."""
        if self._in_line and self._is_screen and self._has_reader:
            self._err.write("\n")
            self._in_line = False
        line = printable(text)
        self._err.write(f"\x1b[2m{line}\x1b[0m\n" if self._is_dim else f"{line}\n")
        self._err.flush()

    def aside(self, text: str) -> None:
        """Something a person may like to see, and a log need not have."""
        if self._has_reader:
            self.note(text)

    def notice(self, notice: Notice) -> None:
        """The connection went or came back; told once, however many attempts it takes."""
        if not self.is_connected:
            return
        if notice.what == "lost" and not self._is_lost:
            self.note(f"· connection lost, reconnecting… ({notice.reason})")
        elif notice.what == "back" and self._is_lost:
            self.note("· connected again")
        self._is_lost = notice.what == "lost"
