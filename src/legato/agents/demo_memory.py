"""What the demo agent remembers: drawn by rules where others ask a model."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

KINDS: Final = ("names", "likes", "dislikes")

_END: Final = r"\s+([^.,;:!?\n]{1,80})"
#: How people tell their names.
NAME: Final = re.compile(r"\b(?:my name is|i am called|call me|jag heter|меня зовут)\s+([^\W\d_][\w'-]{0,60})", re.I)
_RULES: Final = {
    "names": NAME,
    "likes": re.compile(
        r"\b(?:i (?:really )?(?:like|love|enjoy)|jag (?:gillar|älskar)(?! inte)|я (?:люблю|обожаю))" + _END, re.I
    ),
    "dislikes": re.compile(
        r"\b(?:i (?:hate|dislike|(?:don['’]t|do not) like)|jag (?:hatar|ogillar|gillar inte)|я (?:не люблю|ненавижу))"
        + _END,
        re.I,
    ),
}


class _Line(msgspec.Struct):
    n: int
    by: str
    text: str
    old: bool = False


def draw(transcript: str) -> str:
    """The facts in a transcript (``core.memory.transcribe``), as a model would answer."""
    lines = [msgspec.json.decode(line, type=_Line) for line in transcript.splitlines()[1:]]
    said = [line for line in lines if line.by == "user" and not line.old]
    return msgspec.json.encode([fact for line in said for fact in _facts(line)]).decode()


def _facts(line: _Line) -> Iterator[dict[str, object]]:
    for kind, rule in _RULES.items():
        for found in rule.finditer(line.text):
            yield {"kind": kind, "text": found[1].strip(), "message": line.n}
