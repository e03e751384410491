"""Texts and trees that are made to be walked again and again are walked once."""

from typing import Final

import pytest

from legato.core.model import ReasoningPart, TextPart
from legato.transfer.records import (
    MAX_TEXT,
    TOO_LONG,
)
from tests.transfer.making import claude, open_webui, read

pytestmark = [pytest.mark.promise("S-13"), pytest.mark.timeout(60)]  # what is quadratic takes far longer


OPENING: Final = '<details type="reasoning">'


@pytest.mark.parametrize(
    "content",
    [
        OPENING * 40_000,
        '<details type="reasoning"' * 40_000,
        '<details type="a' * 60_000,
        OPENING + "<summary>" * 110_000 + "</details>",
    ],
    ids=["without an end", "never closed", "a name without an end", "summaries"],
)
def test_blocks_in_a_text_are_looked_for_once(content: str) -> None:
    (conversation,), _ = read(open_webui(content + "Bees"))
    assert "Bees" in "".join(getattr(part, "text", "") for part in conversation.messages[0].parts)


def test_blocks_in_a_text_are_found() -> None:
    thought = "\n<summary>Thought <b>a</b></summary>\n> One\n<summary>x</summary>> Two &amp; &#" + "9" * 5_000 + ";\n"
    text = f"A{OPENING}{thought}</details>\nB<details type='x'>C</details>{OPENING}D"
    (conversation,), _ = read(open_webui(text))
    first, second, third = conversation.messages[0].parts
    assert (first, third) == (TextPart("A"), TextPart(f"B<details type='x'>C</details>{OPENING}D"))
    assert isinstance(second, ReasoningPart)
    assert second.text.startswith("One\nTwo ")


def test_what_is_too_long_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legato.transfer.open_webui._apart", None)
    found, skipped = read(open_webui("x" * (MAX_TEXT + 1)))
    assert found == []
    assert (skipped[0].what, skipped[0].why) == ("message", TOO_LONG)


def test_the_way_to_what_is_left_out_is_walked_once() -> None:
    """A chain of messages that are left out, and as many that hang on its end: each asks for the nearest that stays."""
    count = 20_000
    root = {"uuid": "root", "sender": "human", "text": "Hi", "parent_message_uuid": ""}
    chain = [
        {"uuid": f"c{number}", "sender": "x", "parent_message_uuid": f"c{number - 1}" if number else "root"}
        for number in range(count)
    ]
    last = f"c{count - 1}"
    leaves = [
        {"uuid": f"l{number}", "sender": "human", "text": "Hi", "parent_message_uuid": last} for number in range(count)
    ]
    circle = [{"uuid": f"o{n}", "sender": "x", "parent_message_uuid": f"o{1 - n}"} for n in range(2)]
    lost = {"uuid": "lost", "sender": "human", "text": "Hi", "parent_message_uuid": "o1"}
    (conversation,), _ = read(claude([root, *chain, *leaves, *circle, lost]))
    parents = {each.id: each.parent_id for each in conversation.messages}
    assert parents.pop("root") is None
    assert parents.pop("lost") is None
    assert set(parents.values()) == {"root"}
    assert len(parents) == count


def test_answers_in_a_row_are_joined_in_one_go_and_never_too_long() -> None:
    said = [{"uuid": f"a{number}", "sender": "assistant", "text": "x" * 200} for number in range(40_000)]
    (conversation,), _ = read(claude(said))
    assert len(conversation.messages) == 9  # 200 and a little more each, of 1 Mi
    assert sum(len(each.parts) for each in conversation.messages) == 40_000
    attached = [{"extracted_content": "x"}] * 20_000
    (conversation,), _ = read(claude([{"uuid": "u", "sender": "human", "text": "Hi", "attachments": attached}]))
    assert len(conversation.messages[0].parts) == 20_001
