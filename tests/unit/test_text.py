"""One normalisation, whatever the pieces."""

from hypothesis import given
from hypothesis import strategies as st

from legato.core.text import Normaliser, abridged, normalise
from tests.support.strategies import raw_texts, split


def _by_hand(text: str) -> str:
    """The rule, spelt out: pairs are joined, halves and NUL are replaced, all else stays."""
    out: list[str] = []
    at = 0
    while at < len(text):
        here, after = text[at], text[at + 1 : at + 2]
        at += 1
        if "\ud800" <= here <= "\udbff" and "\udc00" <= after <= "\udfff":
            out.append(chr(0x10000 + ((ord(here) - 0xD800) << 10) + ord(after) - 0xDC00))
            at += 1
        else:
            out.append("\ufffd" if here == "\x00" or "\ud800" <= here <= "\udfff" else here)
    return "".join(out)


@given(raw_texts)
def test_the_rule(text: str) -> None:
    assert normalise(text) == _by_hand(text)


@given(raw_texts)
def test_what_is_normal_stays_and_can_be_encoded(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once
    assert "\x00" not in once
    assert once.encode("utf-8").decode("utf-8") == once


@given(raw_texts.flatmap(lambda text: st.tuples(st.just(text), split(text))))
def test_any_split_comes_to_the_same(told: tuple[str, list[str]]) -> None:
    text, pieces = told
    normaliser = Normaliser()

    joined = "".join(normaliser.feed(piece) for piece in pieces) + normaliser.flush()

    assert joined == normalise(text)


def test_half_a_pair_waits_for_its_other_half_and_no_longer() -> None:
    normaliser = Normaliser()

    assert normaliser.feed("a\ud83c") == "a"
    assert normaliser.feed("") == ""
    assert normaliser.feed("\udfbcb") == "🎼b"
    assert normaliser.feed("\ud83c") == ""
    assert normaliser.flush() == "\ufffd"
    assert normaliser.flush() == ""


def test_of_a_long_text_beginning_and_end_are_shown_and_how_much_is_left_out() -> None:
    assert abridged("a" * 8, 8) == "a" * 8
    assert abridged("aaaaaabcdzz", 8) == "aaaaaa… [3 characters left out] …zz"
