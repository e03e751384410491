"""The tree of errors: codes, messages, sizes."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.errors import MAX_ERROR_BYTES, LegatoError, ProviderError, TurnError, cut
from tests.support.strategies import raw_texts


def tree(kind: type[LegatoError] = LegatoError) -> Iterator[type[LegatoError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == LegatoError.__module__:
            yield from tree(child)


def test_each_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in tree()]

    assert len(codes) > 30
    assert sorted(set(codes)) == sorted(codes)
    assert [code for code in codes if code != code.lower() or not code.replace("_", "").isalpha()] == []


def test_each_declares_its_code_itself() -> None:
    assert [kind.__name__ for kind in tree() if "code" not in vars(kind)] == []


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_the_docstring_is_the_message(kind: type[LegatoError]) -> None:
    error = kind()

    assert kind.__doc__
    assert error.message == str(error) == kind.__doc__.strip()
    assert error.message.endswith(".")


def test_a_message_of_its_own_and_details() -> None:
    error = ProviderError("No model today.", status=503)

    assert (error.message, error.details) == ("No model today.", {"status": 503})


@pytest.mark.promise("R-12")
@given(st.one_of(raw_texts, st.integers(0, 9000).map(lambda n: "é" * n), st.integers(0, 5000).map(lambda n: "🎼" * n)))
def test_a_message_is_at_most_4_kb_and_can_be_stored(text: str) -> None:
    message = TurnError(text).message

    raw = message.encode("utf-8")
    assert len(raw) <= MAX_ERROR_BYTES
    assert "\x00" not in message  # PostgreSQL refuses it, and the turn could not end


@given(st.text(), st.integers(3, 40))
def test_what_is_cut_begins_as_it_did_and_says_so(text: str, limit: int) -> None:
    short = cut(text.replace("\x00", ""), limit)

    assert len(short.encode()) <= limit
    if short != text.replace("\x00", ""):
        assert short.endswith("…")
        assert text.replace("\x00", "").startswith(short[:-1])
