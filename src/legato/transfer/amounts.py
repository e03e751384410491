"""Numbers of a file that others will be added to: none may be so large, or so little of a number, that a sum breaks."""

import math
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from legato.core.model import ContextInfo, Message, Turn, Usage

_MOST_TOKENS: Final = 10**12  # sums of millions of them fit into the 64 bits of a database
_MOST_USD: Final = 1e9
_TOKENS: Final = ("prompt_tokens", "completion_tokens", "cached_tokens", "total_tokens")

Numbers = TypeVar("Numbers", Usage, ContextInfo)


def sound_usage(usage: Usage | None) -> Usage | None:
    """The usage within bounds; a cost that is none is not known."""
    if usage is None:
        return None
    cost = usage.cost_usd
    known = cost is not None and math.isfinite(cost) and 0 <= cost <= _MOST_USD
    return msgspec.structs.replace(_within(usage, _TOKENS), cost_usd=cost if known else None)


def sound_context(context: ContextInfo | None) -> ContextInfo | None:
    return None if context is None else _within(context, ContextInfo.__struct_fields__)


def unsound(thing: Message | Turn) -> Iterator[str]:
    """What of it has numbers out of bounds."""
    if sound_usage(thing.usage) != thing.usage:
        yield "usage"
    if isinstance(thing, Turn) and sound_context(thing.context) != thing.context:
        yield "context"


def _within(numbers: Numbers, names: tuple[str, ...]) -> Numbers:
    bounded = {name: max(0, min(getattr(numbers, name), _MOST_TOKENS)) for name in names}
    return msgspec.structs.replace(numbers, **bounded)
