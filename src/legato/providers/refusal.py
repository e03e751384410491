"""What an answer that isn't a stream means, and whether another try may help."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from legato.core.errors import (
    ProviderBusy,
    ProviderCut,
    ProviderError,
    ProviderNonsense,
    ProviderRefused,
    ProviderTimeout,
)
from legato.providers.decoding import error_message

MAX_RETRY_AFTER_S: Final = 20.0
_MESSAGE_CHARACTERS: Final = 1000
_RETRIED: Final = frozenset({408, 409, 429})
_BUSY: Final = frozenset({429, 503, 529})
_TIMED_OUT: Final = frozenset({408, 504})


def is_transient(status: int) -> bool:
    """Whether the same request may succeed a moment later."""
    return status in _RETRIED or status >= 500


def may_pass(error: ProviderError) -> bool:
    """Whether the same request may succeed a moment later; ``error`` came before the answer's first token."""
    status = error.details.get("status")
    return isinstance(error, ProviderCut) or (isinstance(status, int) and is_transient(status))


def refusal(status: int, content_type: str, body: bytes) -> ProviderError:
    """The error that an answer with this status means."""
    words = _words(content_type, body)
    if status < 300:
        unread = f"The model's provider did not answer with a stream but with {content_type}."
        return ProviderError(words) if _is_error(body) else ProviderNonsense(unread)
    return meaning(status, words)


def meaning(status: int, words: str) -> ProviderError:
    """The error that a status of 300 and more means; ``words`` are the server's own, if it has any."""
    said = f"({status}): {words}" if words else f"({status})."
    if status < 400:
        return ProviderRefused(f"The model's provider redirects ({status}); correct its base URL.")
    if status in (401, 403):  # providers quote parts of the key here
        return ProviderRefused(f"The model's provider did not accept our credentials ({status}).")
    if status in _BUSY:
        kind: type[ProviderError] = ProviderBusy
        message = f"The model's provider is overloaded or limits our rate {said}"
    elif status in _TIMED_OUT:
        kind, message = ProviderTimeout, f"The model's provider took too long {said}"
    elif status < 500:
        kind, message = ProviderRefused, f"The model's provider refused the request {said}"
    else:
        kind, message = ProviderError, f"The model's provider failed {said}"
    return kind(message, status=status)


def _words(content_type: str, body: bytes) -> str:
    """The server's own words; a page of HTML has none that a reader wants."""
    answer = _json(body)
    if isinstance(answer, dict):
        return error_message(answer.get("error") or answer)[:_MESSAGE_CHARACTERS]
    text = "" if "html" in content_type else body.decode("utf-8", "replace").strip()
    return text[:_MESSAGE_CHARACTERS]


def _is_error(body: bytes) -> bool:
    answer = _json(body)
    return isinstance(answer, dict) and bool(answer.get("error"))


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait, at most 20; None where it doesn't say."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)
