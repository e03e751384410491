"""Sessions as Markdown, for reading: the active branch, each message under a heading of its own."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from legato.core.files import weight
from legato.core.model import FilePart, Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, Turn
from legato.transfer.records import SessionRecord

UNTITLED: Final = "Untitled"
QUARANTINED: Final = "Something of this conversation is damaged in the database; what could be read stands here."
_FENCE: Final = re.compile(r"`{3,}")
_LINE_END: Final = re.compile(r"\r\n|\r|\n|\u2028|\u2029|\x0b|\x0c|\x85")
_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>#|~!])")
WHO: Final = {"user": "You", "assistant": "Assistant"}
STATUS: Final = {"incomplete": "incomplete", "cancelled": "cancelled", "failed": "failed"}


class Markdown:
    """CommonMark; what was said stands there as it was said."""

    whole = False

    def __init__(self) -> None:
        self._begun = False

    def head(self, now: datetime) -> bytes:
        return b""

    def begin(self, session: SessionRecord, elsewhere: int) -> bytes:
        before = "\n---\n\n" if self._begun else ""
        self._begun = True
        return (before + "".join(_title(session, elsewhere))).encode()

    def messages(self, messages: Sequence[Message]) -> bytes:
        return "".join("".join(_message(each)) for each in messages).encode()

    def turns(self, turns: Sequence[Turn]) -> bytes:
        return b""

    def end(self, sessions: int, messages: int) -> bytes:
        return b""


def when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC")


def one_line(text: str) -> str:
    return " ".join(_LINE_END.sub(" ", text).split())


def escaped(text: str) -> str:
    """One line that is nothing but text in Markdown."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def elsewhere_said(count: int) -> str:
    return (
        "One message on another branch is not shown."
        if count == 1
        else f"{count} messages on other branches are not shown."
    )


def _title(session: SessionRecord, elsewhere: int) -> Iterator[str]:
    yield f"# {escaped(session.title or UNTITLED)}\n\n"
    facts = [escaped(session.agent_name or session.agent_id), when(session.created_at)]
    if session.model_id:
        facts.insert(1, escaped(session.model_id))
    yield " · ".join(facts) + "\n\n"
    if session.quarantined:
        yield f"*{QUARANTINED}*\n\n"
    if elsewhere:
        yield f"*{elsewhere_said(elsewhere)}*\n\n"


def heading(message: Message) -> list[str]:
    """Who, when, and what a reader must know of how it ended."""
    said = [WHO[message.role], when(message.created_at)]
    if message.status in STATUS:
        said.append(STATUS[message.status])
    if message.error is not None and message.error.message:
        said.append(one_line(message.error.message))
    return said


def _message(message: Message) -> Iterator[str]:
    yield f"## {' · '.join(map(escaped, heading(message)))}\n\n"
    for part in message.parts:
        yield _part(part)


def _part(part: Part) -> str:
    match part:
        case TextPart():
            return f"{part.text.rstrip()}\n\n" if part.text.strip() else ""
        case ReasoningPart():
            return "".join(f"> {line}\n" for line in part.text.strip().splitlines()) + "\n" if part.text.strip() else ""
        case ToolCallPart():
            return f"**Tool call:** {escaped(part.name)}\n\n{fenced(part.arguments, 'json')}"
        case FilePart():
            return f"**Attached:** {escaped(part.name)} ({part.media_type}, {weight(part.size)})\n\n"
        case ToolResultPart():
            return f"**Tool result{' (error)' if part.is_error else ''}:**\n\n{fenced(part.output)}"


def fenced(text: str, language: str = "") -> str:
    """Text in a fence that it can't end."""
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n\n"
