"""OpenAI's own tokenizers, where the optional package ``bpe-openai`` is installed."""

import importlib
import warnings
from functools import lru_cache
from typing import Final

from legato.core.prompt import CountTokens

# By prefix, the longest match first. From OpenAI's tiktoken, model.py; later models are not named there.
_ENCODINGS: Final = (
    ("gpt-4o", "o200k_base"),
    ("gpt-4.1", "o200k_base"),
    ("gpt-4.5", "o200k_base"),
    ("chatgpt-4o", "o200k_base"),
    ("gpt-5", "o200k_base"),
    ("gpt-oss", "o200k_base"),
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4-mini", "o200k_base"),
    ("gpt-4", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
)
# The package refuses texts of more than 200,000 tokens, which so many characters of 4 bytes can't exceed.
_PIECE_CHARACTERS: Final = 50_000


def openai_counter(model: str) -> CountTokens | None:
    """Counts with the tokenizer of OpenAI's ``model``; None where it or the package isn't there."""
    for prefix, encoding in _ENCODINGS:
        if model.startswith(prefix):
            return _counter(encoding)
    return None


@lru_cache
def _counter(encoding: str) -> CountTokens | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it opens its data in an old way
            encode = importlib.import_module("bpe_openai").get_encoding(encoding).encode_ordinary
    except ImportError:
        return None

    def count(text: str) -> int:
        pieces = range(0, len(text), _PIECE_CHARACTERS)
        return sum(len(encode(text[start : start + _PIECE_CHARACTERS])) for start in pieces)

    return count
