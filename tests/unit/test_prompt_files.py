"""Files in prompts: whatever a history holds of them, the strictest provider takes it, and it fits (S-18, C-01, C-05)."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.agents.attachments import with_content
from legato.core.errors import ContextOverflow, Corrupted
from legato.core.files import MOST_SENT_BYTES
from legato.core.model import FilePart, Message, Part, TextPart
from legato.core.prompt import Budget, Prompt, PromptMessage, build_prompt, count_prompt, without_files
from legato.core.sniffing import sniff
from legato.core.tokens import estimate_tokens
from legato.providers.body import encode_request
from legato.providers.options import Settings
from legato.providers.port import ModelRequest
from tests.support.attachments import pdf, png
from tests.support.upstream_strict import problem

pytestmark = [pytest.mark.promise("S-18")]

NOW = datetime.now(UTC)
SEES = ("text", "images", "pdf")
CONTENTS = {
    "fil_image": png(100, 100),
    "fil_large": png(900, 900),
    "fil_paper": pdf(2),
    "fil_notes": "Grüezi, a few words.\n".encode() * 20,
    "fil_signs": b"[]{}`\\" * 300,
    "fil_blank": b" \n",
    "fil_other": "Привет, мир. ".encode("utf-16") * 40,
}


def part(file_id: str, name: str | None = None) -> FilePart:
    content = CONTENTS[file_id]
    sniffed = sniff([content])
    assert sniffed is not None
    return FilePart(file_id, name or f"{file_id}.x", sniffed.media_type, len(content), sniffed.tokens)


def message(number: int, *parts: Part, role: Any = "user", turn: int | None = None) -> Message:
    return Message(
        id=f"msg_{number}",
        session_id="ses_1",
        turn_id=f"trn_{number if turn is None else turn}",
        role=role,
        status="completed",
        created_at=NOW,
        parts=parts,
    )


async def load(file_id: str) -> bytes | None:
    if file_id == "fil_rotten":
        raise Corrupted
    return CONTENTS.get(file_id)


def loaded(messages: tuple[PromptMessage, ...]) -> tuple[PromptMessage, ...]:
    return asyncio.run(with_content(messages, load))


def prompt_of(*history: Message, capabilities: Any = SEES, window: int = 100_000) -> Prompt:
    return build_prompt("Be kind.", history, Budget(window, 0), estimate_tokens, capabilities=capabilities)


file_parts = st.builds(part, st.sampled_from(sorted(CONTENTS)), st.sampled_from(["cat.png", "猫" * 50, "🍷" * 100]))
user_parts = st.lists(file_parts | st.builds(TextPart, st.sampled_from(["", " ", "Look", "a\n\nb"])), max_size=4)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    out = []
    for number in range(draw(st.integers(0, 5))):
        out.append(message(2 * number, *draw(user_parts), turn=number))
        if draw(st.booleans()):
            out.append(message(2 * number + 1, TextPart("Nice."), role="assistant", turn=number))
    return (*out, message(99, *draw(user_parts), TextPart("And now?")))


@pytest.mark.promise("C-05", "C-01", "C-04")
@given(histories(), st.sampled_from([(), ("text",), ("text", "images"), SEES]), st.integers(3_000, 20_000))
def test_every_history_with_files_is_legal_and_fits(
    history: tuple[Message, ...], capabilities: Any, window: int
) -> None:
    try:
        prompt = build_prompt("", history, Budget(window, 100), estimate_tokens, capabilities=capabilities)
    except ContextOverflow:
        return
    messages = loaded(prompt.messages)
    body = json.loads(encode_request(ModelRequest(model="m", messages=messages), Settings()))
    assert problem(body) is None
    assert count_prompt(messages, estimate_tokens) <= prompt.info.tokens + 2 * len(messages)
    assert prompt.info.tokens <= prompt.info.budget
    carried = {file.media_type for each in messages for file in each.files}
    assert not any(each.startswith("image/") for each in carried) or "images" in capabilities
    assert "application/pdf" not in carried or "pdf" in capabilities


def test_texts_are_words_and_the_rest_is_not_touched() -> None:
    (_, asked) = loaded(prompt_of(message(1, part("fil_image"), part("fil_blank", "b.txt"), TextPart("Look"))).messages)
    assert [(file.file_id, file.content) for file in asked.files] == [("fil_image", CONTENTS["fil_image"])]
    assert asked.content == "[file b.txt (fil_blank) begins]\n \n\n[file fil_blank ends]\n\nLook"


def test_what_has_been_removed_leaves_a_line() -> None:
    gone = msgspec.structs.replace(part("fil_image", "cat.png"), file_id="fil_gone")
    (_, asked) = loaded(prompt_of(message(1, gone)).messages)
    assert (asked.content, asked.files) == ("[image cat.png was here: it has been removed]", ())


@pytest.mark.promise("X-06")
def test_what_is_damaged_leaves_a_line_and_the_rest_is_there() -> None:
    rotten = msgspec.structs.replace(part("fil_image", "cat.png"), file_id="fil_rotten")
    (_, asked) = loaded(prompt_of(message(1, rotten, part("fil_image"), TextPart("Look"))).messages)
    assert asked.content == "[image cat.png was here: it is damaged]\n\nLook"
    assert [file.file_id for file in asked.files] == ["fil_image"]


def test_what_a_model_can_not_take_leaves_a_line() -> None:
    history = [message(1, part("fil_image", "cat.png"), part("fil_paper", "p.pdf"), TextPart("Look"))]
    (_, asked) = prompt_of(*history, capabilities=("text", "pdf")).messages
    assert [file.name for file in asked.files] == ["p.pdf"]
    assert asked.content == "[image cat.png was here: this model can't see it]\n\nLook"
    (_, seen) = prompt_of(*history).messages
    assert without_files(seen, ("text", "pdf")) == asked  # as for a model that takes another one's place
    assert without_files(seen, SEES) == seen


def test_messages_that_are_joined_keep_their_files() -> None:
    history = [
        message(1, part("fil_image"), TextPart("one")),
        message(2, part("fil_paper")),
        message(3, TextPart("two")),
    ]
    (_, asked) = prompt_of(*history).messages
    assert [file.file_id for file in asked.files] == ["fil_image", "fil_paper"]
    assert asked.content == "one\n\ntwo"


def test_the_newest_that_fit_into_a_request_are_carried() -> None:
    large = FilePart("fil_image", "1.png", "image/png", MOST_SENT_BYTES - 10, 800)
    small = FilePart("fil_large", "2.png", "image/png", 10, 800)
    more = FilePart("fil_more", "3.png", "image/png", 1, 800)
    text = FilePart("fil_text", "4.txt", "text/plain", MOST_SENT_BYTES, 800)
    (_, all_of_them) = prompt_of(message(1, text, large, small)).messages
    assert [file.name for file in all_of_them.files] == ["4.txt", "1.png", "2.png"]
    (_, newest) = prompt_of(message(1, large, TextPart("one"), turn=1), message(2, text, small, more, turn=1)).messages
    assert [file.name for file in newest.files] == ["4.txt", "2.png", "3.png"]
    assert newest.content == "[image 1.png was here: too much to be sent again]\n\none"


def test_an_image_costs_what_it_says_and_falls_out_with_its_turn() -> None:
    history = [message(1, part("fil_large")), message(2, TextPart("Hello"), role="assistant", turn=1)]
    whole = prompt_of(*history, message(3, TextPart("And?")))
    assert whole.info.tokens > part("fil_large").tokens > 1_000
    tight = prompt_of(*history, message(3, TextPart("And?")), window=1_000)
    assert (tight.info.dropped, len(tight.messages)) == (2, 2)
    with pytest.raises(ContextOverflow):
        prompt_of(message(1, part("fil_large")), window=1_000)
