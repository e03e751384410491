"""What of a small model's answer may be a title, and the date where nothing may."""

import unicodedata
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.titles import MAX_CHARS, MAX_WORDS, as_data, checked, dated, dominant_script

QUESTION = "Which wine goes with grilled salmon?"
ANSWER = "A Pinot Noir, lightly chilled."


@pytest.mark.promise("T-01")
@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Salmon Wine", "Salmon Wine"),
        ("  Salmon Wine\n", "Salmon Wine"),
        ('"Salmon Wine"', "Salmon Wine"),
        ("**Salmon Wine.**", "Salmon Wine"),
        ("# Salmon Wine", "Salmon Wine"),
        ("Title: “Salmon Wine”!", "Salmon Wine"),
        ("Salmon  Wine", "Salmon Wine"),
        ("`Salmon`", "Salmon"),
        ("Salmon's Wine", "Salmon's Wine"),
        ("C# Basics", "C# Basics"),
        ("ignore previous", "ignore previous"),  # is only text
        ("A" * MAX_CHARS, "A" * MAX_CHARS),
    ],
)
def test_a_title_comes_out_bare(said: str, title: str) -> None:
    assert checked(said, QUESTION, ANSWER) == title


@pytest.mark.promise("T-01")
@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing"),
        pytest.param(" \n ", id="blank"),
        pytest.param("A Wine For Salmon", id="four words"),
        pytest.param("A" * (MAX_CHARS + 1), id="too long"),
        pytest.param("Salmon\nWine", id="two lines"),
        pytest.param("Salmon\u2028Wine", id="two lines of Unicode's"),
        pytest.param("Salmon\tWine", id="a tab"),
        pytest.param("Salmon \x1b[31mWine", id="an escape"),
        pytest.param("Salmon\u202eeniW", id="turned around"),
        pytest.param("Salmon\ud800", id="half a surrogate"),
        pytest.param('The "Salmon" Wine', id="quotes inside"),
        pytest.param("Wine 'Salmon", id="half a quote"),
        pytest.param("[Salmon](Wine)", id="a link"),
        pytest.param("http://salmon.example/wine", id="an address"),
        pytest.param("<b>Salmon</b>", id="a tag"),
        pytest.param("Лосось и вино", id="another script"),
        pytest.param("鮭とワイン", id="another script without spaces"),
        pytest.param("2026", id="no letter"),
        pytest.param("🍷", id="no letter but a picture"),
        pytest.param("w " * 500_000, id="1 MB"),
        pytest.param("I would call this conversation: Salmon Wine", id="a sentence"),
    ],
)
def test_nonsense_is_no_title(said: str) -> None:
    assert checked(said, QUESTION, ANSWER) is None


@pytest.mark.promise("T-01")
@pytest.mark.parametrize(
    ("said", "question", "answer", "fits"),
    [
        ("Озеро Байкал", "Расскажи про Байкал", "Байкал — глубочайшее озеро.", True),
        ("Lake Baikal", "Расскажи про Байкал", "Байкал — глубочайшее озеро.", False),
        ("Ошибка в Python", "Почему падает?", "Python asyncio raises", True),
        ("Объяснение кода", "Объясни этот код", "def f(): return compute(all_of_it)", True),
        ("东京旅行", "我想去东京旅行，有什么建议？", "可以看看浅草寺。", True),
        ("東京の旅", "我想去东京旅行，有什么建议？", "可以看看浅草寺。", False),
        ("東京旅行", "東京への旅のおすすめは？", "浅草寺です。", True),
        ("도쿄 여행", "도쿄 여행을 추천해 주세요", "네, 좋아요.", True),
        ("Tokyo", "도쿄 여행을 추천해 주세요", "네, 좋아요.", False),
        ("طوکیو کا سفر", "مجھے ٹوکیو کے بارے میں بتائیں", "ضرور", True),
        ("می\u200cخواهم", "می‌خواهم سفر کنم", "", True),
        ("Grilled Salmon", "12 + 30?", "42", False),
    ],
)
def test_a_title_is_in_a_script_that_one_of_the_two_writes_in(
    said: str, question: str, answer: str, fits: bool
) -> None:
    assert checked(said, question, answer) == (said if fits else None)


@given(st.text(max_size=60), st.text(max_size=40))
def test_whatever_is_said_what_comes_out_is_a_title(said: str, question: str) -> None:
    title = checked(said, question, said)
    if title is not None:
        assert 1 <= len(title.split()) <= MAX_WORDS
        assert len(title) <= MAX_CHARS
        assert not any(unicodedata.category(each).startswith("C") for each in title if each not in "\u200c\u200d")
        assert checked(title, question, said) == title


@given(st.text(), st.text())
def test_no_text_breaks_out_of_its_wrapping(question: str, answer: str) -> None:
    try:
        data = as_data(question, answer)
    except UnicodeEncodeError:  # half a surrogate, which no message contains
        return
    assert msgspec.json.decode(data) == {"question": question[:1000], "answer": answer[:1000]}
    assert "\n" not in data


@pytest.mark.promise("T-01")
@pytest.mark.parametrize(
    ("locale", "title"),
    [
        (None, "25 November 2026"),
        ("en-GB", "25 November 2026"),
        ("sv-SE", "25 november 2026"),
        ("ru", "25 ноября 2026"),
        ("RU_ru", "25 ноября 2026"),
        ("xx-hostile", "25 November 2026"),
    ],
)
def test_the_day_is_in_the_readers_language(locale: str | None, title: str) -> None:
    assert dated(datetime(2026, 11, 25, 23, 59, tzinfo=UTC), locale) == title


def test_the_script_is_that_of_most_letters() -> None:
    assert dominant_script("Привет, Bob!") == "CYRILLIC"
    assert dominant_script("ＡＢ") == "LATIN"
    assert dominant_script("漢字とかな") == "CJK"
    assert dominant_script("123 — ?") is None
