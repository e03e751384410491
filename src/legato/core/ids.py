"""Identifiers: a prefix that says what, and 130 random bits that say which."""

import re
import secrets
from typing import Final, Literal

Prefix = Literal["ses", "trn", "msg", "call", "apr", "wrk", "mem", "sch", "fil", "cnt"]

# Crockford's base 32 in lower case: no i, l, o, u, so that an id survives being read aloud or typed.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH: Final = 26
_PATTERN: Final = re.compile(rf"(ses|trn|msg|call|apr|wrk|mem|sch|fil|cnt)_[{_ALPHABET}]{{{_LENGTH}}}")


def new_id(prefix: Prefix) -> str:
    """A fresh id such as ``ses_0v3…``: 26 characters of 5 random bits after the prefix (promise S-16 asks for 122)."""
    return prefix + "_" + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def is_id(value: str, prefix: Prefix) -> bool:
    """Whether ``value`` has the form of an id with this prefix."""
    return value.startswith(prefix + "_") and _PATTERN.fullmatch(value) is not None
