"""The files of a conversation that is read from somewhere: in a file without a name, so that none of them is held in memory."""

import base64
import binascii
import hashlib
import tempfile
from typing import Any, BinaryIO, Final

from legato.core.files import MOST_BYTES

_WHOLE: Final = "what is there of it is not the whole"


class Luggage:
    """Files by the ids that they have in the file they come from. To be used in one thread at a time, and closed."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - open until it is closed. It has no name, and mode 0600
        self._places: dict[str, _Place] = {}

    def close(self) -> None:
        self._file.close()

    def begin(self, file_id: str, size: int, digest: str) -> None:
        """A file of which pieces follow."""
        self._places[file_id] = _Place(self._file.seek(0, 2), size, digest)

    def add(self, file_id: str, content: str) -> None:
        """More of it, in base 64. What is wrong is found when it is opened."""
        place = self._places.get(file_id)
        if place is None:
            return
        try:
            payload = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            place.broken = True
            return
        end = place.start + place.length
        if place.broken or self._file.seek(0, 2) != end or place.length + len(payload) > min(place.size, MOST_BYTES):
            place.broken = True
            return
        self._file.write(payload)
        place.length += len(payload)
        place.sha256.update(payload)

    def open(self, file_id: str) -> "Stretch | str":
        """A file's bytes; or why there are none."""
        place = self._places.get(file_id)
        if place is None:
            return "its content is not in the file"
        if place.broken or place.length != place.size or place.sha256.hexdigest() != place.digest:
            return _WHOLE
        return Stretch(self._file, place.start, place.length)


class _Place:
    """Where a file's bytes are, and what was said of it."""

    def __init__(self, start: int, size: int, digest: str) -> None:
        self.start = start
        self.size = size
        self.digest = digest
        self.length = 0
        self.sha256 = hashlib.sha256()
        self.broken = False


class Stretch:
    """A part of a file, as a file to be read."""

    def __init__(self, file: Any, start: int, length: int) -> None:
        self._file = file
        self._start = start
        self._length = length
        self._at = 0

    def read(self, count: int) -> bytes:
        self._file.seek(self._start + self._at)
        found: bytes = self._file.read(min(count, self._length - self._at))
        self._at += len(found)
        return found

    def tell(self) -> int:
        return self._at

    def seek(self, to: int) -> int:
        self._at = to
        return to
