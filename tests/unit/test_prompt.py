"""What is sent to a model: legal whatever happened to the history, and never over the budget."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from legato.core.errors import ContextOverflow
from legato.core.model import Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from legato.core.prompt import (
    INTERRUPTED,
    MESSAGE_OVERHEAD,
    OPENING,
    OUTCOME_UNKNOWN,
    WORDLESS,
    Budget,
    PromptMessage,
    build_prompt,
    count_prompt,
)
from legato.core.tokens import estimate_tokens
from tests.support import story
from tests.support.strategies import terminal, texts

ROOMY = Budget(window=10**9, reserve=0, tail=0)
#: What is reckoned with beside the newest message: a line of ours that opens the conversation, and a joint.
LINE = estimate_tokens(OPENING) + 2 * MESSAGE_OVERHEAD


def message(turn: int, role: Any, *said: Part | str, status: Any = "completed") -> Message:
    parts = tuple(TextPart(part) if isinstance(part, str) else part for part in said)
    return Message(
        id=f"msg_{turn}_{role}_{len(said)}",
        session_id=story.SESSION,
        turn_id=f"trn_{turn}",
        role=role,
        status=status,
        created_at=story.NOW,
        parts=parts,
    )


def user(turn: int, text: str = "Hello") -> Message:
    return message(turn, "user", text)


def assistant(turn: int, *said: Part | str, status: Any = "completed") -> Message:
    return message(turn, "assistant", *(said or ("Hi",)), status=status)


def built(*history: Message, system: str = "", budget: Budget = ROOMY) -> tuple[PromptMessage, ...]:
    return build_prompt(system, history, budget, estimate_tokens).messages


def alone(system: str, question: Message) -> int:
    """The tokens of the system prompt and the newest message."""
    return build_prompt(system, [question], ROOMY, estimate_tokens).info.tokens


def roles(messages: Sequence[PromptMessage]) -> str:
    return " ".join(told.role for told in messages)


def problem(messages: Sequence[PromptMessage], system: str) -> str | None:
    """What the strictest provider finds wrong."""
    spoken = list(messages)
    if system.strip():
        if spoken[0] != PromptMessage("system", system):
            return "the system prompt is not first"
        spoken = spoken[1:]
    if not spoken or spoken[0].role != "user" or spoken[-1].role != "user":
        return "the user is not first and last"
    for told in spoken:
        if told.role == "system":
            return "a second system prompt"
        if not told.calls and not told.content.strip():
            return "something is empty"
        if told.calls and told.role != "assistant":
            return "somebody else calls"
        if any(not isinstance(json.loads(call.arguments), dict) for call in told.calls):
            return "arguments are no object"
    return _pairs_problem(spoken)


def _pairs_problem(spoken: list[PromptMessage]) -> str | None:
    unanswered: list[str | None] = []
    for before, told in pairwise([PromptMessage("assistant", "x"), *spoken]):
        if told.role == "tool":
            if not unanswered or told.call_id != unanswered.pop(0):
                return "a result without its call"
            continue
        if unanswered:
            return "a call without its result"
        expected = {"user": ["assistant"], "assistant": ["user"], "tool": ["assistant"]}[before.role]
        if told.role not in expected:
            return f"{told.role} after {before.role}"
        unanswered = [call.call_id for call in told.calls]
    return "a call without its result" if unanswered else None


said = st.one_of(texts, st.sampled_from(["", " ", "\n\t", "a few words", "word " * 200, "0123456789abcdef" * 20]))
arguments = st.sampled_from(["", "{}", '{"a": 1}', '{"a": ', "[]", "null", '"x"', "[" * 3000, "NaN"])
outputs = st.sampled_from(["", " ", "sun", "rain " * 300])


@st.composite
def answers(draw: st.DrawFn, turn: int) -> Message:
    parts: list[Part] = []
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "call", "result", "lost"]), max_size=7)):
        match kind:
            case "text":
                parts.append(TextPart(draw(said)))
            case "reasoning":
                parts.append(ReasoningPart(draw(said)))
            case "result" if calls:
                parts.append(ToolResultPart(f"call_{turn}_{calls}", draw(outputs)))
            case "lost":
                parts.append(ToolResultPart("call_that_was_never_made", "sun"))
            case _:
                calls += 1
                parts.append(ToolCallPart(f"call_{turn}_{calls}", "weather", draw(arguments)))
    return message(turn, "assistant", *parts, status=draw(terminal))


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns as interruptions leave them: unanswered, answered twice, steered, opened by the assistant; then a question."""
    shapes = draw(st.lists(st.sampled_from(["ua", "u", "a", "uaua", "uuu", "aa"]), max_size=8))
    told = [
        message(turn, "user", draw(said)) if role == "u" else draw(answers(turn))
        for turn, shape in enumerate(shapes)
        for role in shape
    ]
    question = draw(said.filter(str.strip))
    return (*told, user(99, question))


@pytest.mark.promise("C-05", "C-01", "C-04")
@given(
    histories(),
    st.integers(0, 4000),
    st.integers(0, 500),
    st.integers(0, 8),
    st.sampled_from(["", "  ", "Be kind.", "Be kind. " * 40]),
)
def test_every_prompt_is_legal_and_within_its_budget(
    history: tuple[Message, ...], window: int, reserve: int, tail: int, system: str
) -> None:
    budget = Budget(window, reserve, tail)
    assume(alone(system, history[-1]) + LINE <= budget.prompt_tokens)

    prompt = build_prompt(system, history, budget, estimate_tokens)

    assert problem(prompt.messages, system) is None
    assert prompt.info.tokens == count_prompt(prompt.messages, estimate_tokens) <= max(0, window - reserve)
    assert prompt.info.messages + prompt.info.dropped == len(history)
    assert prompt.messages[-1].content.endswith(history[-1].parts[0].text)  # type: ignore[union-attr]
    assert not tail or prompt.info.messages <= tail


@pytest.mark.promise("C-01")
@given(histories(), st.integers(0, 500), st.sampled_from(["", "Be kind. " * 40]))
def test_what_can_never_fit_is_refused(history: tuple[Message, ...], window: int, system: str) -> None:
    assume(alone(system, history[-1]) > window)

    with pytest.raises(ContextOverflow) as caught:
        build_prompt(system, history, Budget(window, 0), estimate_tokens)
    assert caught.value.details["available"] == window


@pytest.mark.promise("C-04")
@given(histories(), st.integers(100, 3000), st.sampled_from([len, lambda text: len(text.encode()), lambda text: 1]))
def test_the_budget_holds_for_any_way_of_counting(history: tuple[Message, ...], window: int, count: Any) -> None:
    try:
        prompt = build_prompt("Be kind.", history, Budget(window, 50), count)
    except ContextOverflow:
        return
    assert count_prompt(prompt.messages, count) <= window - 50


@pytest.mark.promise("C-01")
def test_the_oldest_whole_turns_fall_out_first_and_the_system_prompt_never() -> None:
    history = [
        told for turn in range(10) for told in (user(turn, f"question {turn}"), assistant(turn, f"answer {turn}"))
    ]
    history.append(user(10, "the newest"))
    seen = []
    for window in range(70, 600, 7):
        prompt = build_prompt("Be kind.", history, Budget(window, 0), estimate_tokens)
        kept = roles(prompt.messages)
        assert kept == "system " + "user assistant " * (prompt.info.messages // 2) + "user"
        assert prompt.messages[-1].content == "the newest"
        seen.append(prompt.info.messages)
    assert seen == sorted(seen)
    assert {seen[0], seen[-1]} == {1, 21}


@pytest.mark.promise("C-01")
def test_a_newest_message_that_cannot_fit_says_the_numbers() -> None:
    with pytest.raises(ContextOverflow) as caught:
        built(user(0), assistant(0), user(1, "word " * 500), system="Be kind.", budget=Budget(1000, 900))

    details = caught.value.details
    assert (details["available"], details["window"], details["reserved"]) == (100, 1000, 900)
    assert isinstance(details["needed"], int)
    assert details["needed"] > 100
    assert str(details["needed"]) in caught.value.message
    assert "100" in caught.value.message


@pytest.mark.promise("C-01")
def test_a_reserve_larger_than_the_window_leaves_no_room() -> None:
    assert Budget(100, 200).prompt_tokens == 0
    with pytest.raises(ContextOverflow):
        built(user(0), budget=Budget(100, 200))


@pytest.mark.promise("C-02")
def test_the_last_60_messages_are_considered_by_default() -> None:
    history = [told for turn in range(50) for told in (user(turn), assistant(turn))] + [user(50)]

    prompt = build_prompt("", history, Budget(10**6, 0), estimate_tokens)

    assert (prompt.info.messages, prompt.info.dropped) == (59, 42)  # whole turns: 60 would begin with an answer
    assert prompt.messages[0].role == "user"


@pytest.mark.promise("C-02")
@pytest.mark.parametrize(("tail", "kept"), [(0, 7), (1, 1), (2, 1), (3, 3), (4, 3), (7, 7), (100, 7)])
def test_the_tail_counts_messages_and_keeps_turns_whole(tail: int, kept: int) -> None:
    history = [told for turn in range(3) for told in (user(turn), assistant(turn))] + [user(3)]

    assert len(built(*history, budget=Budget(10**6, 0, tail))) == kept


@pytest.mark.promise("C-02")
def test_a_newest_turn_longer_than_the_tail_is_kept_whole() -> None:
    steered = (user(1), assistant(1, "so far"), user(1, "rather this"), assistant(1, "well"), user(1, "and that"))

    assert len(built(user(0), assistant(0), *steered, budget=Budget(10**6, 0, 2))) == 5


@pytest.mark.promise("C-05")
def test_what_the_user_said_twice_in_a_row_is_one_message() -> None:
    assert built(user(0, "one"), user(1, "two")) == (PromptMessage("user", "one\n\ntwo"),)


@pytest.mark.promise("C-05")
def test_an_assistant_that_opened_the_conversation_answers_a_line_of_ours() -> None:
    assert built(assistant(0, "Welcome"), user(1, "Hi")) == (
        PromptMessage("user", OPENING),
        PromptMessage("assistant", "Welcome"),
        PromptMessage("user", "Hi"),
    )


@pytest.mark.promise("C-05", "R-06")
@pytest.mark.parametrize("status", ["incomplete", "cancelled", "failed"])
def test_the_model_sees_that_an_answer_broke_off(status: Any) -> None:
    _, answer, _ = built(user(0), assistant(0, "I was about to", status=status), user(1))

    assert answer == PromptMessage("assistant", f"I was about to\n\n{INTERRUPTED}")


@pytest.mark.promise("C-05")
def test_an_answer_that_never_began_is_not_there() -> None:
    empty = assistant(0, ReasoningPart("hm"), "  ", status="failed")

    assert built(user(0, "one"), empty, user(1, "two")) == (PromptMessage("user", "one\n\ntwo"),)


@pytest.mark.promise("C-05")
def test_calls_and_results_stand_side_by_side_whatever_their_order() -> None:
    one, two = ToolCallPart("c1", "f", '{"a":1}'), ToolCallPart("c2", "g", "{}")
    told = assistant(0, "Let me see.", one, two, ToolResultPart("c2", "two"), ToolResultPart("c1", "one"), "Done.")

    _, calls, first, second, rest, _ = built(user(0), told, user(1))

    assert [call.call_id for call in calls.calls] == ["c1", "c2"]
    assert (calls.content, rest.content) == ("Let me see.", "Done.")
    assert (first, second) == (
        PromptMessage("tool", "one", (), "c1"),
        PromptMessage("tool", "two", (), "c2"),
    )


@pytest.mark.promise("C-05")
def test_text_between_two_calls_keeps_its_place() -> None:
    told = assistant(
        0,
        ToolCallPart("c1", "f", "{}"),
        ToolResultPart("c1", "one"),
        "Next.",
        ToolCallPart("c2", "f", "{}"),
        ToolResultPart("c2", ""),
    )

    messages = built(user(0), told, user(1))

    assert roles(messages) == "user assistant tool assistant tool assistant user"
    assert [messages[3].content, messages[4].content, messages[5].content] == ["Next.", "(empty)", WORDLESS]


@pytest.mark.promise("C-05")
def test_a_call_whose_result_was_lost_is_answered_with_that() -> None:
    messages = built(user(0), assistant(0, ToolCallPart("c1", "pay", '{"eur": 5'), status="incomplete"), user(1))

    assert roles(messages) == "user assistant tool assistant user"
    assert messages[1].calls[0].arguments == "{}"
    assert messages[2].content == OUTCOME_UNKNOWN
    assert messages[3].content == INTERRUPTED


def test_a_result_without_a_call_and_thoughts_are_not_sent() -> None:
    told = assistant(0, ReasoningPart("secret thought"), ToolResultPart("c9", "lost"), "Hi")

    assert built(user(0), told, user(1))[1] == PromptMessage("assistant", "Hi")


def test_a_blank_system_prompt_is_none() -> None:
    assert roles(built(user(0), system="  \n")) == "user"
