"""What a host application keeps with a session: JSON that can be stored, and read again by anybody."""

import math
from typing import Any, Final

from legato.core.text import normalise

MAX_DEPTH: Final = 32  # far from where any reader of JSON gives up


def clean(value: Any, depth: int = MAX_DEPTH) -> Any:
    """JSON with text as everywhere else, numbers that are some, and not nested without end.

    Raises:
        ValueError: a number is not finite, or it is nested deeper than ``MAX_DEPTH``.
    """
    match value:
        case str():
            return normalise(value)
        case float() if not math.isfinite(value):
            raise ValueError("a number must be finite")
        case dict() | list() if depth == 0:
            raise ValueError(f"it may be nested {MAX_DEPTH} deep")
        case dict():
            return {normalise(key): clean(inner, depth - 1) for key, inner in value.items()}
        case list():
            return [clean(inner, depth - 1) for inner in value]
        case _:
            return value
