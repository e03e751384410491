"""Looks for a word in files, however it may have been written there."""

from collections.abc import Iterator
from pathlib import Path


def places(directory: Path, word: str) -> list[str]:
    """Where the word stands in the files below a directory: raw, in lower or upper case, in UTF-16."""
    return [
        f"{path.name}: {form!r} at {content.find(form)}"
        for path in sorted(directory.rglob("*"))
        if path.is_file()
        for content in [path.read_bytes()]
        for form in dict.fromkeys(_forms(word))
        if form in content
    ]


def _forms(word: str) -> Iterator[bytes]:
    for cased in (word, word.lower(), word.upper()):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            yield cased.encode(encoding)
