"""JSON of other people, which may hold anything: halves of surrogate pairs, NUL, NaN, bytes that are no UTF-8."""

import json
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from legato.core.text import normalise
from legato.transfer.elements import count

#: How a NUL or half a pair may be written; where nothing of the kind is, nothing needs a second look.
_SUSPECT: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\x00")
#: Decoded, each value takes up to 100 bytes, however few it has in the file (``[],``): of real conversations even the commas in
#: texts, which are counted too, are far fewer.
MAX_VALUES: Final = 2_000_000
_BETWEEN_VALUES: Final = (b",", b"[", b"{")
_DEPTH: Final = 64
_OLDEST_S: Final = 0.0
_NEWEST_S: Final = 253_402_300_799.0  # the end of the year 9999


class Unreadable(ValueError):
    """It is no JSON, or too much of it."""


def has_many(raw: bytes, most_values: int) -> bool:
    """Whether it may come to more values than these. Commas in texts are counted, too."""
    return count(raw, _BETWEEN_VALUES) > most_values


def decoded(raw: bytes, most_values: int = MAX_VALUES) -> Any:
    """The value, every text in it normalised.

    Raises:
        Unreadable.
    """
    if has_many(raw, most_values):
        raise Unreadable(f"it has more than {most_values} values")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        value = _leniently(raw)
    return cleaned(value) if _SUSPECT.search(raw) else value


def _leniently(raw: bytes) -> Any:
    """What msgspec is too strict for: surrogates that stand alone, bytes of another encoding."""
    try:
        return cleaned(json.loads(raw.decode("utf-8", "replace"), parse_constant=lambda _: None))
    except (ValueError, RecursionError) as error:
        raise Unreadable(type(error).__name__) from None


def cleaned(value: Any, depth: int = _DEPTH) -> Any:
    """Text normalised; what is nested without end is cut off. Raises Unreadable."""
    match value:
        case str():
            return normalise(value)
        case dict() | list() if depth == 0:
            raise Unreadable("it is nested too deep")
        case dict():
            return {normalise(str(key)): cleaned(inner, depth - 1) for key, inner in value.items()}
        case list():
            return [cleaned(inner, depth - 1) for inner in value]
        case _:
            return value


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def moment(value: Any) -> datetime | None:
    """A time as a number of seconds (or milliseconds) since 1970, or as ISO 8601; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        if not abs(value) <= _NEWEST_S * 1000:  # of any length, or no number at all
            return None
        seconds = value / 1000 if abs(value) > _NEWEST_S / 2 else value
        return datetime.fromtimestamp(seconds, UTC) if _OLDEST_S <= seconds <= _NEWEST_S else None
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return sensible(found if found.tzinfo else found.replace(tzinfo=UTC))


def sensible(at: datetime) -> datetime | None:
    """A time in UTC that a list can be ordered by; None before 1970."""
    try:
        at = at.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return at if at.year >= 1970 else None
