"""The tree of errors. A docstring is the message; ``code`` is stable and part of the wire.

LegatoError
├── NotFound            unknown or foreign: nobody can tell which
├── Conflict            the thing exists and its state says no
├── Invalid             the request can never succeed as it is
├── Busy                later, perhaps
├── Unavailable         the store can't be reached or can't take a write
├── Corrupted           a stored row does not match its checksum
├── Misuse              the host application or its configuration is wrong
└── TurnError           ends a turn; its code and message reach the reader
"""

from typing import ClassVar, Final

from legato.core.text import normalise

MAX_ERROR_BYTES: Final = 4096  # promise R-12: a typed error carries at most 4 KB
MAX_WORD_BYTES: Final = 64  # a code or a reason; the store has room for no more, and a turn must be able to end


def cut(text: str, limit: int = MAX_ERROR_BYTES) -> str:
    """``text``, normalised, cut to ``limit`` bytes of UTF-8 at a character's boundary, with an ellipsis where it is cut."""
    text = normalise(text)  # a provider's words may hold a NUL, and a turn must be able to end with them
    raw = text.encode("utf-8")
    if len(raw) <= limit:
        return text
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


class LegatoError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None, **details: object) -> None:
        self.message = cut(message or (type(self).__doc__ or "").strip())
        self.details = details
        super().__init__(self.message)


class NotFound(LegatoError):
    """There is no such thing here."""

    code = "not_found"


class SessionNotFound(NotFound):
    """There is no such session."""

    code = "session_not_found"


class TurnNotFound(NotFound):
    """There is no such turn."""

    code = "turn_not_found"


class MessageNotFound(NotFound):
    """There is no such message."""

    code = "message_not_found"


class SummaryNotFound(NotFound):
    """Nothing of this session has been summarised."""

    code = "summary_not_found"


class SearchNotFound(NotFound):
    """There is no such saved search."""

    code = "search_not_found"


class MemoryNotFound(NotFound):
    """There is no such memory."""

    code = "memory_not_found"


class ApprovalNotFound(NotFound):
    """There is no such approval."""

    code = "approval_not_found"


class GrantNotFound(NotFound):
    """There is no such grant."""

    code = "grant_not_found"


class FileNotFound(NotFound):
    """There is no such file."""

    code = "file_not_found"


class AgentNotFound(NotFound):
    """There is no such agent."""

    code = "agent_not_found"


class ModelNotFound(NotFound):
    """There is no such model."""

    code = "model_not_found"


class Conflict(LegatoError):
    """The state of things does not allow this."""

    code = "conflict"


class SessionExists(Conflict):
    """This session id is taken."""

    code = "session_exists"


class SearchExists(Conflict):
    """Another search is saved under this name."""

    code = "search_exists"


class SessionClosed(Conflict):
    """The session is closed and takes no new turns; reopen it first."""

    code = "session_closed"


class SessionQuarantined(Conflict):
    """Something of this session is damaged: it can be read and exported, and takes no new turns."""

    code = "session_quarantined"


class TurnInProgress(Conflict):
    """A turn is running in this session."""

    code = "turn_in_progress"


class MessageIdReused(Conflict):
    """This message id was sent before with another body."""

    code = "message_id_reused"


class TurnNotFinished(Conflict):
    """The turn has not ended yet."""

    code = "turn_not_finished"


class TurnNotQueued(Conflict):
    """The turn is no longer waiting."""

    code = "turn_not_queued"


class AlreadyDecided(Conflict):
    """This was answered before, or nobody answered in time."""

    code = "already_decided"


class FileInUse(Conflict):
    """The file belongs to a message; it goes with it."""

    code = "file_in_use"


class FilesFull(Conflict):
    """Your files take up all the room there is for them; delete some, or sessions that have some."""

    code = "files_full"


class ClockJumped(Conflict):
    """The server's clock was put forward; nothing is removed for its age until it is sane."""

    code = "clock_jumped"


class Invalid(LegatoError):
    """The request is not valid."""

    code = "invalid_request"


class BadCursor(Invalid):
    """The cursor is not one of ours."""

    code = "bad_cursor"


class ContextOverflow(Invalid):
    """The message does not fit into the model's context window."""

    code = "context_overflow"


class FileUnsupported(Invalid):
    """Only images (PNG, JPEG, GIF, WebP), PDF and text in UTF-8 can be attached."""

    code = "file_unsupported"


class FileTooLarge(Invalid):
    """The file is too large."""

    code = "file_too_large"


class AttachmentUnsupported(Invalid):
    """The model can't take this kind of file."""

    code = "attachment_unsupported"


class AttachmentsTooLarge(Invalid):
    """The images and documents of one message are too large together."""

    code = "attachments_too_large"


class Busy(LegatoError):
    """Too much is going on; try again later."""

    code = "busy"


class QueueFull(Busy):
    """Too many messages are waiting in this session."""

    code = "queue_full"


class Unavailable(LegatoError):
    """The store can't be reached."""

    code = "store_unavailable"


class StoreFull(Unavailable):
    """The store's disk is full; nothing can be written until there is room."""

    code = "store_full"


class Corrupted(LegatoError):
    """A stored row does not match its checksum."""

    code = "corrupted"


class Misuse(LegatoError):
    """Legato is set up wrongly."""

    code = "misuse"


class NotStarted(Misuse):
    """Legato was not started: pass ``lifespan=chat.lifespan`` to the application it is mounted in."""

    code = "not_started"


class StoreInUse(Misuse):
    """Another process serves this SQLite file. Stop it first, or use PostgreSQL for several processes."""

    code = "store_in_use"


class SchemaMismatch(Misuse):
    """The database's schema is not the one this version needs; run ``legato db upgrade``."""

    code = "schema_mismatch"


class UnsafeBind(Misuse):
    """Refusing to listen beyond loopback without credentials."""

    code = "unsafe_bind"


class TurnError(LegatoError):
    """The turn failed."""

    code = "turn_failed"


class AgentUnavailable(TurnError):
    """The agent is switched off or not set up."""

    code = "agent_unavailable"


class AgentFailed(TurnError):
    """The agent raised an error; the server's log has it."""

    code = "agent_error"


class EmptyAnswer(TurnError):
    """The model ended without an answer."""

    code = "empty_answer"


class StepFailed(TurnError):
    """A step of the agent's failed."""

    code = "step_failed"


class OutcomeUnknown(TurnError):
    """A step had begun when its process died; whether it was done is not known, and it is not done again."""

    code = "outcome_unknown"


class ToolFailed(TurnError):
    """The tool failed."""

    code = "tool_failed"


class TurnTimeout(TurnError):
    """The turn took longer than it may."""

    code = "turn_timeout"


class ProviderError(TurnError):
    """The model's provider failed."""

    code = "provider_error"


class ProviderUnreachable(ProviderError):
    """The model's provider can't be reached."""

    code = "provider_unreachable"


class ProviderRefused(ProviderError):
    """The model's provider refused the request."""

    code = "provider_refused"


class ProviderBusy(ProviderError):
    """The model's provider is overloaded or limits our rate."""

    code = "provider_busy"


class ProviderTimeout(ProviderError):
    """The model's provider was silent for too long."""

    code = "provider_timeout"


class ProviderCut(ProviderError):
    """The model's provider broke off in mid-answer."""

    code = "provider_cut"


class ProviderNonsense(ProviderError):
    """The model's provider sent something that can't be understood."""

    code = "provider_nonsense"
