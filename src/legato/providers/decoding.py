"""What a model's server sends, decoded: JSON of any quality, and the words in an error."""

import json
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from legato.core.errors import ProviderNonsense

T = TypeVar("T")

_SAYS_NOTHING: Final = "The model's provider failed."


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Reads events of this ``kind``; half a surrogate pair in a string stays as it is.

    What it returns raises ``ProviderNonsense``: not JSON, or JSON of another shape.
    """
    decode = msgspec.json.Decoder(kind).decode

    def read(data: bytes) -> T:
        try:
            return decode(data)
        except (ValueError, RecursionError):
            return _decode_leniently(data, kind)

    return read


def _decode_leniently(data: bytes, kind: type[T]) -> T:
    """msgspec refuses half a surrogate pair, even escaped, and torn UTF-8; the standard library doesn't."""
    try:
        return msgspec.convert(json.loads(data.decode("utf-8", "replace")), kind)
    except (ValueError, RecursionError) as error:
        raise ProviderNonsense("The model's provider sent a chunk that can't be read.") from error


def error_message(error: object) -> str:
    """The words in an error object of any server."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("error") or error.get("code")
    return error if isinstance(error, str) and error.strip() else _SAYS_NOTHING
