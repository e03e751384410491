"""What requests may contain. Unknown fields are refused: a misspelt option must not be ignored in silence."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from legato.core.diagnostics import ClientCode
from legato.core.ids import is_id
from legato.core.memory import MOST_CHARS, line_of
from legato.core.metadata import clean
from legato.core.model import FilePart, Mode, Priority, TextPart
from legato.core.text import normalise
from legato.store.queueing import Amend, Last

_MAX_METADATA_BYTES: Final = 16 * 1024  # every list of sessions carries it, and every change of a session tells it anew


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(value)) > _MAX_METADATA_BYTES:
        raise ValueError(f"it may have {_MAX_METADATA_BYTES} bytes of JSON")
    return value


def _seen(value: str) -> str:
    """A title that nobody could see is none."""
    return value if value.strip() else ""


Text = Annotated[str, AfterValidator(normalise)]
Name = Annotated[Text, StringConstraints(min_length=1, max_length=128)]
Title = Annotated[Text, StringConstraints(max_length=200), AfterValidator(_seen)]
Key = Annotated[Text, StringConstraints(min_length=1, max_length=512)]
Metadata = Annotated[dict[str, Any], Field(max_length=100), AfterValidator(clean), AfterValidator(_bounded)]
MessageId = Annotated[Text, StringConstraints(min_length=1, max_length=128)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _session_id(value: str) -> str:
    if not is_id(value, "ses"):
        raise ValueError("a session id is ses_ and 26 characters of 0-9a-hjkmnp-tv-z")
    return value


class CreateSession(_Body):
    """A new session. ``id``: your own, so that creating can be tried again. ``welcome``: whether its agent may speak first."""

    agent_id: Name | None = None
    model_id: Annotated[Text, StringConstraints(min_length=1, max_length=255)] | None = None
    id: Annotated[str, AfterValidator(_session_id)] | None = None
    title: Title | None = None
    context: Key | None = None
    metadata: Metadata = {}
    welcome: bool = True


class PatchSession(_Body):
    """What is left out stays as it is."""

    title: Title | None = None
    pinned: bool = False
    archived: bool = False
    keep: bool = False
    memory: bool = False
    metadata: Metadata = {}


class PatchMessage(_Body):
    """What can be changed of a message."""

    pinned: bool


class Prune(_Body):
    """``dry_run``: only look. ``limit``: how many of the sessions the answer shows."""

    dry_run: bool = False
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class SaveSearch(_Body):
    """A search to be saved."""

    name: Annotated[Text, StringConstraints(min_length=1, max_length=200)]
    query: Annotated[Text, StringConstraints(max_length=2000)]


class TextOf(_Body):
    """Words of a message."""

    type: Literal["text"]
    text: Text


class FileOf(_Body):
    """A file that was uploaded before."""

    type: Literal["file"]
    file_id: Annotated[Text, StringConstraints(min_length=1, max_length=128)]


Part = Annotated[TextOf | FileOf, Field(discriminator="type")]


class SendTurn(_Body):
    """A message to be answered: ``text``, or ``parts``. ``edits``: your message that this one takes the place of.

    With ``edits``, ``text`` takes the place of its words, ``parts`` also of its files.
    """

    message_id: MessageId | None = None
    edits: Name | None = None
    text: Text | None = None
    parts: Annotated[list[Part], Field(max_length=100)] | None = None
    mode: Mode = "queue"
    priority: Priority = "interactive"
    model_id: Annotated[Text, StringConstraints(min_length=1, max_length=255)] | None = None
    on_disconnect: Literal["continue", "cancel"] = "continue"

    @model_validator(mode="after")
    def _one_of(self) -> "SendTurn":
        if (self.text is None) == (self.parts is None):
            raise ValueError("give either text or parts")
        return self

    def content(self) -> tuple[TextPart | FilePart, ...]:
        if self.text is not None:
            return (TextPart(self.text),)
        return _parts(self.parts or ())


def _parts(given: Sequence[Part]) -> tuple[TextPart | FilePart, ...]:
    """What is known of a file is looked up."""
    return tuple(
        TextPart(part.text) if isinstance(part, TextOf) else FilePart(part.file_id, "", "", 0) for part in given
    )


class AmendTurn(_Body):
    """What a waiting turn asks instead, and the turn ``before`` which it runs: null, the last.

    ``text`` takes the place of its words, ``parts`` also of its files.
    """

    text: Text | None = None
    parts: Annotated[list[Part], Field(max_length=100)] | None = None
    before: Name | None = None

    @model_validator(mode="after")
    def _something(self) -> "AmendTurn":
        if self.text is not None and self.parts is not None:
            raise ValueError("give either text or parts")
        if self.text is None and self.parts is None and "before" not in self.model_fields_set:
            raise ValueError("give text, parts or before")
        return self

    def what(self) -> Amend:
        before = (self.before or Last()) if "before" in self.model_fields_set else None
        if self.text is not None:
            return Amend(parts=(TextPart(self.text),), keeps_files=True, before=before)
        return Amend(parts=None if self.parts is None else _parts(self.parts), before=before)


def _fact(value: str) -> str:
    if (line := line_of(value)) is None:
        raise ValueError(f"a memory is one line of 1 to {MOST_CHARS} characters")
    return line


class EditMemory(_Body):
    """What a memory says instead: one line of at most 200 characters."""

    text: Annotated[Text, StringConstraints(min_length=1), AfterValidator(_fact)]


class MemorySwitch(_Body):
    """Whether anything is remembered."""

    enabled: bool


class Decide(_Body):
    """An answer; ``always`` allows the tool from now on."""

    decision: Literal["allow", "deny", "always"]


class ForkSession(_Body):
    """Up to which message, if not the last one; ``id``: your own, so that forking can be tried again."""

    message_id: Name | None = None
    title: Title | None = None
    id: Annotated[str, AfterValidator(_session_id)] | None = None


class Leaf(_Body):
    """The message whose branch becomes the active one."""

    message_id: Name


class ClientEnd(_Body):
    """How one of a client's streams ended."""

    code: ClientCode
    session_id: Annotated[str, AfterValidator(_session_id)] | None = None
    at: Annotated[AwareDatetime, Field(strict=False)]


class ReportStreams(_Body):
    """How a client's streams ended, since it said so last."""

    ends: Annotated[list[ClientEnd], Field(min_length=1, max_length=100)]


class Again(_Body):
    """For ``continue``."""

    message_id: MessageId | None = None


class Retry(Again):
    """``model_id``: of who answers now, else as for any new message."""

    model_id: Annotated[Text, StringConstraints(min_length=1, max_length=255)] | None = None
