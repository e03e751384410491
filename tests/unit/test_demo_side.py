"""The demo agent's script in place of a small model."""

import pytest

from legato.agents.demo_side import demo_side
from legato.core.titles import SYSTEM, as_data, checked

pytestmark = pytest.mark.anyio


@pytest.mark.promise("T-01")
@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What wine goes with grilled salmon?", "Wine Grilled Salmon"),
        ("hello", "Hello"),
        ("/long 300", "Long 300"),
        ("Hej! Hur lagar jag en god ärtsoppa?", "Lagar god ärtsoppa"),
        ("Расскажи, пожалуйста, про озеро Байкал зимой", "Озеро Байкал зимой"),
        ("Is C++ better than C# in Python3?", "C++ Better C#"),
        ("Explain internationalization interoperability", "Explain Internationalization"),
    ],
)
async def test_the_first_words_that_say_something_are_the_title(question: str, title: str) -> None:
    answer = "This is the demo agent."
    said = await demo_side(SYSTEM, as_data(question, answer))
    assert said == title
    assert checked(said, question, answer) == title


@pytest.mark.parametrize("question", ["", "?!", "x" * 200, "你" * 50, "🍷"])
async def test_where_it_has_nothing_to_say_it_says_nothing_that_could_be_a_title(question: str) -> None:
    assert checked(await demo_side(SYSTEM, as_data(question, "")), question, "") is None


async def test_other_work_is_not_its_own() -> None:
    assert await demo_side("Draw facts.", "{}") == ""
