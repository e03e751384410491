"""Server-sent events: frames out, frames in. (WHATWG HTML, section 9.2.)

``data`` is always one line of JSON, ``id`` and ``event`` come from fixed alphabets, so frames need no escaping.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from legato.core.events import split_lines

KEEP_ALIVE: Final = b":keep-alive\n\n"
_BOM: Final = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """One dispatched event, as a client sees it."""

    event: str
    data: str
    id: str | None


def encode_frame(event: bytes, data: bytes, cursor: bytes | None = None) -> bytes:
    """The bytes of one event; only what is durable has a ``cursor``."""
    head = b"id: " + cursor + b"\n" if cursor is not None else b""
    return head + b"event: " + event + b"\ndata: " + data + b"\n\n"


def encode_row(incarnation: str, first_seq: int, payload: bytes) -> bytes:
    """All frames of a journal row, ready for every reader's socket."""
    frame = b"id: %b.%%d\nevent: %%b\ndata: %%b\n\n" % incarnation.encode()
    return b"".join([frame % line for line in split_lines(first_seq, payload)])


def encode_retry(milliseconds: int) -> bytes:
    """Tells a client how long to wait before it connects again."""
    return b"retry: %d\n\n" % milliseconds


class Parser:
    """Bytes in any pieces → frames. ``retry_ms`` is what the server asked for last; ``alive`` counts comments.

    Lines end with LF, CRLF or CR. A frame without ``data`` is not dispatched; what an end of stream cuts off is lost, as
    the standard wants it: the cursor has not moved past it.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self.alive = 0
        self._buffer = b""
        self._started = False
        self._after_cr = False
        self._event = ""
        self._data: list[str] = []
        self._id: str | None = None

    def feed(self, piece: bytes) -> list[Frame]:
        """The frames that ``piece`` completes."""
        frames: list[Frame] = []
        for line in self._lines(piece):
            if line:
                self._field(line)
            elif (frame := self._dispatch()) is not None:
                frames.append(frame)
        return frames

    def _lines(self, piece: bytes) -> Iterable[bytes]:
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        self._buffer += piece
        if not self._started:
            if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
                return []
            self._started = True
            self._buffer = self._buffer.removeprefix(_BOM)
        if piece.endswith(b"\r"):
            self._after_cr = True
        *lines, self._buffer = self._buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return lines

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", "replace")
        match name:
            case b"":
                self.alive += 1
            case b"data":
                self._data.append(text)
            case b"event":
                self._event = text
            case b"id" if "\0" not in text:
                self._id = text
            case b"retry" if text.isascii() and text.isdigit() and len(text) < 10:  # not a megabyte for int()
                self.retry_ms = int(text)
            case _:
                pass

    def _dispatch(self) -> Frame | None:
        event, data, self._event, self._data = self._event or "message", self._data, "", []
        frame_id, self._id = self._id, None
        return Frame(event, "\n".join(data), frame_id) if data else None


class DataParser:
    """Bytes in any pieces → the ``data`` of each event, as bytes: for streams of JSON without names and ids.

    Several times faster than ``Parser`` where every event is one ``data:`` line, as model servers write them;
    any other legal stream is read too.
    """

    def __init__(self, max_bytes: int = 16 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._started = False
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that ``piece`` completes.

        Raises:
            ValueError: an event is larger than ``max_bytes``.
        """
        if self._after_cr or b"\r" in piece:
            piece = self._unify(piece)
        if not self._pending_bytes and _is_one_event(piece):
            self._started = True
            return [piece[6:-2]]
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        if self._pending_bytes > self._max_bytes:
            raise ValueError(f"an event of more than {self._max_bytes} bytes")
        if b"\n" not in piece:
            return []
        blocks = self._joined().split(b"\n\n")
        rest = blocks.pop()
        self._pending, self._pending_bytes = [rest], len(rest)
        return [data for block in blocks if (data := _data(block)) is not None]

    def _unify(self, piece: bytes) -> bytes:
        """``piece`` with LF as its only line end, also where a CRLF was torn in two."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        if piece.endswith(b"\r"):
            self._after_cr = True
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _joined(self) -> bytes:
        text = b"".join(self._pending)
        if not self._started:
            self._started = True
            text = text.removeprefix(_BOM)
        return text


def _is_one_event(piece: bytes) -> bool:
    return piece.startswith(b"data: ") and piece.endswith(b"\n\n") and piece.find(b"\n") == len(piece) - 2


def _data(block: bytes) -> bytes | None:
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:") or line == b"data"]
    return b"\n".join(lines) if lines else None
