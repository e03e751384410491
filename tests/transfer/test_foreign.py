"""Other people's exports, hand-made after their public formats: what of them is taken over, and what is told of the rest."""

import io
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.model import ErrorInfo, Message, ReasoningPart, TextPart
from legato.transfer import reading
from legato.transfer.arriving import arrive
from legato.transfer.elements import TooLarge
from legato.transfer.reading import Unrecognised, conversations
from legato.transfer.records import Conversation, Skipped

pytestmark = pytest.mark.promise("S-13")

FIXTURES: Final = Path(__file__).parent / "fixtures"


def read(name: str) -> tuple[list[Conversation], list[Skipped]]:
    with (FIXTURES / name).open("rb") as file:
        return sorted_out(file)


def sorted_out(file: Any) -> tuple[list[Conversation], list[Skipped]]:
    found = list(conversations(file))
    whole = [each for each in found if isinstance(each, Conversation)]
    skipped = [each for each in found if isinstance(each, Skipped)]
    return whole, [*skipped, *(each for one in whole for each in one.skipped)]


def branch(conversation: Conversation) -> list[Message]:
    by_id = {message.id: message for message in conversation.messages}
    path, at = [], conversation.session.leaf_id
    while at is not None:
        path.append(by_id[at])
        at = by_id[at].parent_id
    return path[::-1]


def texts(messages: Any) -> list[str]:
    return ["".join(part.text for part in each.parts if isinstance(part, TextPart)) for each in messages]


def whys(skipped: list[Skipped]) -> set[tuple[str, str]]:
    return {(each.place, each.what) for each in skipped}


def test_chatgpt() -> None:
    (bees,), skipped = read("chatgpt.json")
    session = bees.session
    assert (bees.origin, session.title, session.pinned, session.archived_at) == (
        "chatgpt:6748-bees",
        "Bees in winter",
        True,
        None,
    )
    assert session.created_at.timestamp() == 1733000000.25
    assert session.last_activity.timestamp() == 1733000400.5
    path = branch(bees)
    assert texts(path) == [
        "What do bees do in winter?",
        "They form a **cluster** and shiver.",
        "How warm is it inside?",
        "About 35 °C 🐝",
    ]
    assert path[1].parts[0] == ReasoningPart("Bees\nThey cluster.")  # what it thought and what it said are one answer
    assert [message.model_id for message in path] == [None, "o3", None, "gpt-4o"]
    other = next(message for message in bees.messages if message not in path)
    assert (texts([other]), other.status, other.parent_id) == (["They sleep."], "incomplete", path[0].id)
    assert [(turn.kind, turn.status) for turn in bees.turns] == [
        ("send", "completed"),
        ("retry", "incomplete"),
        ("send", "completed"),
    ]
    assert bees.turns[1].source_turn_id == bees.turns[0].id
    assert whys(skipped) == {
        ("conversation 1, sys", "hidden message"),
        ("conversation 1, u1", "image"),
        ("conversation 1, c1", "assistant message"),
        ("conversation 1, r1", "tool message"),
        ("conversation 1, e1", "message"),
        ("conversation 2, q", "user_editable_context"),
        ("conversation 2, q", "message"),
        ("conversation 2", "conversation"),
    }


def test_claude() -> None:
    (bread, older), skipped = read("claude.json")
    assert (bread.origin, bread.session.title) == ("claude:c1a0de00-0000-4000-9000-000000000001", "Sourdough")
    assert texts(branch(bread)) == [
        "Why is my loaf flat?\n\nrecipe.txt:\n\n500 g flour",
        "It is *underproofed*.",
        "Shorter, please \ufffd",
        "Proof longer.",
    ]
    assert branch(bread)[1].parts[0] == ReasoningPart("Underproofed, likely.")
    assert texts(branch(older)) == ["An older export has no tree.", "Then each follows the last."]
    assert older.session.title is None
    assert whys(skipped) == {
        ("conversation 1, m1", "file"),
        ("conversation 1, m2", "tool call"),
        ("conversation 1, m2", "tool result"),
        ("conversation 1, m5", "file"),
        ("conversation 1, m5", "message"),
    }


def test_open_webui() -> None:
    (tides,), skipped = read("open_webui.json")
    assert (tides.origin, tides.session.title) == ("open-webui:0b1c-webui", "Tides")
    assert tides.session.archived_at == tides.session.last_activity
    path = branch(tides)
    assert texts(path) == [
        "Why are there two tides a day?",
        "Because there are **two bulges**.",
        "And at the poles?",
        "Hardly any.",
    ]
    assert path[1].parts[0] == ReasoningPart("The moon pulls.\nTwo bulges & one turn.")
    assert path[3].status == "incomplete"
    failed = next(message for message in tides.messages if message not in path)
    assert (failed.status, failed.error, failed.parts) == ("failed", ErrorInfo("imported", "Ollama: 500"), ())
    assert whys(skipped) == {("conversation 1, q1", "image"), ("conversation 1, a3", "tool calls")}


@pytest.mark.parametrize("name", ["librechat.json", "librechat_recursive.json"])
def test_librechat(name: str) -> None:
    (ferns,), skipped = read(name)
    assert (ferns.origin, ferns.session.title) == ("librechat:lc-1", "Ferns")
    path = branch(ferns)
    assert texts(path) == ["Name a fern.", "Maidenhair fern.", "Another?", ""]
    assert path[1].parts[0] == ReasoningPart("Maidenhair.")
    assert (path[3].status, path[3].error) == ("failed", ErrorInfo("imported", "Rate limit"))
    (other,) = [message for message in ferns.messages if message not in path]
    assert (texts([other]), other.status, other.parent_id) == (["Bracken"], "incomplete", path[0].id)
    assert whys(skipped) == {("conversation 1, l1", "file"), ("conversation 1, l2", "tool call")}


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.json")))
def test_what_comes_in_is_a_tree_whose_every_answer_can_be_asked_for_again(name: str) -> None:
    for conversation in read(name)[0]:
        arrival = arrive(conversation, "demo")
        turns = {piece.turn.id: piece.turn for piece in arrival.pieces if piece.turn}
        messages = {message.id: message for piece in arrival.pieces for message in piece.messages}
        assert all(message.parent_id in messages for message in messages.values() if message.parent_id)
        assert all(message.turn_id in turns for message in messages.values())
        assert all(messages[turn.message_id].role == "user" for turn in turns.values())
        assert all(turn.agent_id == "demo" for turn in turns.values())
        assert {message.agent_id for message in messages.values()} <= {None, "demo"}
        assert arrival.leaf_id in messages


def test_a_file_must_be_what_it_is_said_to_be() -> None:
    with (
        (FIXTURES / "claude.json").open("rb") as file,
        pytest.raises(Unrecognised, match="from claude, not from chatgpt"),
    ):
        list(conversations(file, "chatgpt"))


def test_one_bad_conversation_harms_no_other() -> None:
    good = (FIXTURES / "claude.json").read_bytes().strip()
    file = good[:-1] + b',{"chat_messages": 7},{"uuid":"x","chat_messages":[{"sender":"human","text":"Hi"}]}]'
    found, skipped = sorted_out(io.BytesIO(file))
    assert len(found) == 3
    assert ("conversation 3", "conversation") in whys(skipped)


def test_an_array_that_is_cut_off_says_so() -> None:
    found, skipped = sorted_out(io.BytesIO((FIXTURES / "claude.json").read_bytes()[:-300]))
    assert len(found) == 1
    assert ("the end", "file") in whys(skipped)


anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**60) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.data(), name=st.sampled_from(sorted(path.name for path in FIXTURES.glob("*.json"))))
def test_nothing_in_a_file_breaks_its_reader(data: st.DataObject, name: str) -> None:
    """A real file with anything in the place of something."""
    value = json.loads((FIXTURES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at, key = value, None
        while isinstance(at, dict | list) and at:
            holder = at
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            at = at[key]
            if data.draw(st.integers(0, 4)) == 0:
                break
        if key is not None:
            holder[key] = data.draw(anything)
    try:
        found = list(conversations(io.BytesIO(json.dumps(value).encode())))
    except (Unrecognised, TooLarge):
        return
    for each in found:
        if isinstance(each, Conversation):
            arrive(each, "demo")


def test_the_sources_are_those_that_are_read() -> None:
    assert set(reading.SOURCES) == {"legato", *(kind.name for kind in reading._KINDS)}
