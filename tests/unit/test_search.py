"""Questions, words and snippets: pure, and nothing that anybody types or says breaks them."""

import html
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core import snippet as snippets
from legato.core.search import MOST_ASKED, Term, parse, score
from legato.core.snippet import MOST_LOOKED_AT, snippet
from legato.core.words import MOST_BYTES, composed, places, words

pytestmark = pytest.mark.promise("S-14")
odd_texts = st.text(st.characters(codec=None) | st.sampled_from('éÅß가が京ไ"\u0301\u3099İ<&'))


def test_questions() -> None:
    assert parse("") == parse(' "" ?! ') == ()
    assert parse("one two") == (Term(("one",)), Term(("two",), open=True))
    assert parse('"one two" three ') == (Term(("one", "two"), exact=True), Term(("three",), open=True))
    assert parse('one "two three"') == (Term(("one",)), Term(("two", "three"), exact=True))
    assert parse("“one two”") == (Term(("one", "two"), exact=True),)
    assert parse('"never ends') == (Term(("never",)), Term(("ends",), open=True))
    assert parse("foo-bar a@b.c") == (Term(("foo", "bar")), Term(("a", "b", "c"), open=True))
    assert parse("東京都") == (Term(("東", "京", "都"), open=True),)
    assert parse("a a a") == (Term(("a",)), Term(("a",), open=True))
    assert sum(len(term.words) for term in parse("a b " * 500)) <= MOST_ASKED
    assert len(parse(" ".join(f"w{number}" for number in range(500)))) == MOST_ASKED


def test_words_are_folded() -> None:
    assert words("Ångström, ÄRLIG Öl! naïve Cafe\u0301") == ["angstrom", "arlig", "ol", "naive", "cafe"]
    assert words("Ёлка МОСКВА Ελλάδα") == ["елка", "москва", "ελλαδα"]
    assert words("ﬁne ＡＢＣ x²") == ["fine", "abc", "x2"]
    assert words("__init__ snake_case 3.14") == ["init", "snake", "case", "3", "14"]
    assert words("北京 カフェ 한국") == ["北", "京", "カ", "フ", "ェ", "한", "국"]
    assert words("がか") == ["が", "か"]
    assert words("हिन्दी। में") == ["हिन्दी", "में"]
    assert words("x" * 130) == ["x" * 64, "x" * 64, "xx"]
    assert words("a b c", 2) == ["a", "b"]


def test_words_are_bounded() -> None:
    assert len(words("a " * 20_000)) == 16_000
    for letter, size in (("a", 65), ("é", 65), ("ж", 129), ("\U00016800", 257)):
        assert len(words(f"{letter * 64} " * 14_000)) == MOST_BYTES // size
    assert len(words("京" * 20_000)) == 16_000


@given(odd_texts)
def test_words_are_what_they_are_made_of(text: str) -> None:
    """Nothing in a word can end a string of a database's query language, and to fold again changes nothing."""
    found = words(text)
    assert all(re.fullmatch(r"[^\s'\"\\:*()&|!<>-]+", word) for word in found)
    assert [again for word in found for again in words(word)] == found
    assert words(" ".join(found)) == found


@given(odd_texts)
def test_places_are_those_of_the_words(text: str) -> None:
    whole = composed(text)
    found = list(places(whole))
    assert [word.text for word in found] == words(text)
    for word, following in pairwise(found):
        assert word.start < word.end
        assert word.start <= following.start
    for word in found:
        assert word.text[:1] in "".join(words(whole[word.start : word.end]))


@given(odd_texts, odd_texts, st.booleans())
def test_a_snippet_is_escaped_text_with_marks(text: str, asked: str, inside: bool) -> None:
    shown = snippet(text, parse(asked), inside=inside)
    without = shown.replace("<mark>", "").replace("</mark>", "")
    assert "<" not in without
    assert ">" not in without
    assert re.fullmatch(r"(?:[^<]|<mark>[^<]*</mark>)*", shown, re.DOTALL)
    plain = html.unescape(without).removeprefix("…").removesuffix("…")
    assert plain in re.sub(r"\s+", " ", composed(text)) or not plain.strip()


@given(st.lists(st.sampled_from(["harbour", "Malmö", "x", "<b>", "京都", "\n\n", "word" * 20]), max_size=80))
def test_what_is_asked_for_is_marked(said: list[str]) -> None:
    text = " ".join(said)
    shown = snippet(text, parse('malmo "harbour"'))
    assert ("<mark>" in shown) == ("harbour" in said or "Malmö" in said)
    assert len(shown) < 700


@pytest.mark.parametrize("filler", ["pier ", "Öl, ", "京", "x\n", "ﬁ fi\u0301 ", "שָׁלוֹם "])
@pytest.mark.parametrize("before", [0, 50, 3_990, 4_000, 4_160, 4_165, 4_170, 5_990, 30_000])
def test_the_first_mention_is_found_wherever_it_stands(filler: str, before: int) -> None:
    lead = (filler * before)[:before].rpartition(filler)[0] + filler if before else ""
    text = f"{lead}- My harbour, a harbour; {filler * 50_000}"
    shown = snippet(text, parse('"my harbour" harb'))
    assert "<mark>My harbour</mark>, a <mark>harbour</mark>; " in shown
    inside = snippet(text, parse("arbour"), inside=True)
    assert "My h<mark>arbour</mark>, a h<mark>arbour</mark>; " in inside
    assert shown.startswith("…") == (before > 60)
    assert len(re.sub("</?mark>", "", shown)) < 400


def test_a_phrase_with_a_gap_is_found_wherever_it_stands() -> None:
    for before in (0, 700, 780):
        shown = snippet(f"{'pier ' * before}my{'.' * 500}harbour pier", parse('"my harbour"'))
        assert f"<mark>my{'.' * 500}harbour</mark>" in shown


def test_what_is_far_away_is_not_looked_for() -> None:
    shown = snippet("x " * MOST_LOOKED_AT + "harbour", parse("harbour"))
    assert shown == ("x " * 90).rstrip() + "…"
    assert snippet("x" * MOST_LOOKED_AT + "y", parse("harbour")).endswith("x…")


def test_few_words_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long text is looked over, and gone through word by word where something is."""
    gone_through = 0

    def watched(text: str) -> list[Any]:
        nonlocal gone_through
        found = list(places(text))
        gone_through += len(found)
        return found

    monkeypatch.setattr(snippets, "places", watched)
    assert "<mark>" in snippet("pier " * 8_000 + "harbour" + " pier" * 190_000, parse("harbour"))
    assert "<mark>" not in snippet("pier " * 200_000, parse("harbour"))
    assert gone_through < 2 * 1_500


def test_scores() -> None:
    terms = parse('"harbour"')
    often, once = score(terms, "harbour harbour harbour x"), score(terms, "harbour x x x")
    long = score(terms, "harbour " + "x " * 2_000)
    begun = score(parse("harb"), "harbour x x x")
    assert often > once > long
    assert once > begun
    assert score(terms, "nothing", title=True) > score(terms, "harbour " * 100)
    assert score((), "x") == 0
