"""Ids: guessed by nobody, read aloud by anybody."""

import math
import secrets
from typing import Any, get_args

import pytest

from legato.core.ids import Prefix, is_id, new_id

PREFIXES: tuple[Any, ...] = get_args(Prefix)


@pytest.mark.promise("S-16")
def test_an_id_has_122_random_bits_or_more(monkeypatch: pytest.MonkeyPatch) -> None:
    choices: list[int] = []

    def choice(alphabet: str) -> str:
        choices.append(len(set(alphabet)))
        return alphabet[0]

    monkeypatch.setattr(secrets, "choice", choice)
    new_id("ses")

    assert sum(math.log2(size) for size in choices) >= 122


@pytest.mark.promise("S-16")
def test_ids_use_all_of_their_alphabet_and_never_meet() -> None:
    ids = [new_id("ses") for _ in range(2000)]

    assert len(set(ids)) == len(ids)
    for position in range(4, 30):
        assert len({made[position] for made in ids}) == 32


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_id_says_what_it_is(prefix: Prefix) -> None:
    made = new_id(prefix)

    assert made.startswith(f"{prefix}_")
    assert [other for other in PREFIXES if is_id(made, other)] == [prefix]


@pytest.mark.parametrize(
    "change", [str.upper, lambda made: made[:-1], lambda made: made + "0", lambda made: made + "\n"]
)
def test_what_only_looks_like_an_id_is_none(change: Any) -> None:
    assert not is_id(change(new_id("ses")), "ses")
    assert not is_id("ses_" + "u" * 26, "ses")
