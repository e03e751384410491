"""Whatever happened to a history, the strictest provider takes it, and it fits (promises C-01, C-04, C-05)."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.errors import ContextOverflow
from legato.core.model import Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from legato.core.prompt import Budget, build_prompt
from legato.core.tokens import estimate_tokens
from legato.providers.body import encode_request
from legato.providers.options import Settings
from legato.providers.port import ModelRequest
from tests.support.upstream_strict import problem

_NOW = datetime.now(UTC)

words = st.sampled_from(["", " ", "\n", "Hello", "some words of an answer", "🍷", "x" * 400])
call_ids = st.sampled_from(["call_1", "call_2", "call_3"])
arguments = st.sampled_from(["", "{}", '{"city": "Rome"}', '{"city": "Ro', "[1]", "null", "Rome"])
answer_parts = st.one_of(
    st.builds(TextPart, words),
    st.builds(ReasoningPart, words),
    st.builds(ToolCallPart, call_ids, st.just("weather"), arguments),
    st.builds(ToolResultPart, call_ids, words),
)
statuses = st.sampled_from(["completed", "cancelled", "failed", "incomplete"])


def _message(number: int, role: str, parts: tuple[Part, ...], status: str) -> Message:
    return Message(
        id=f"msg_{number}",
        session_id="ses_1",
        turn_id=f"trn_{number // 2}",
        role="user" if role == "user" else "assistant",
        status=status,  # type: ignore[arg-type]
        created_at=_NOW,
        parts=parts,
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Turns of a question and, mostly, an answer; then the newest question."""
    messages: list[Message] = []
    for number in range(draw(st.integers(0, 6))):
        messages.append(_message(2 * number, "user", (TextPart(draw(words)),), draw(statuses)))
        if draw(st.booleans()):
            parts = tuple(_once(draw(st.lists(answer_parts, max_size=6))))
            messages.append(_message(2 * number + 1, "assistant", parts, draw(statuses)))
    return (*messages, _message(999, "user", (TextPart("And now?"),), "completed"))


def _once(parts: list[Part]) -> list[Part]:
    """No id of a call stands twice in an answer: the engine makes them."""
    seen: set[tuple[type, str]] = set()
    kept = []
    for part in parts:
        key = (type(part), getattr(part, "call_id", str(id(part))))
        if key not in seen:
            seen.add(key)
            kept.append(part)
    return kept


def _body(history: tuple[Message, ...], budget: Budget, system: str = "Be kind.") -> tuple[Any, int]:
    prompt = build_prompt(system, history, budget, estimate_tokens)
    request = ModelRequest(model="m", messages=prompt.messages)
    return json.loads(encode_request(request, Settings())), prompt.info.tokens


@pytest.mark.promise("C-05", "C-01", "C-04")
@given(histories(), st.integers(100, 3000), st.integers(0, 8), st.sampled_from(["", "Be kind."]))
def test_every_history_is_legal_and_fits(history: tuple[Message, ...], window: int, tail: int, system: str) -> None:
    body, tokens = _body(history, Budget(window=window, reserve=10, tail=tail), system)

    assert problem(body) is None
    assert tokens <= window - 10
    assert body["messages"][-1]["content"].endswith("And now?")


@pytest.mark.promise("C-05")
def test_a_call_that_broke_off_in_its_arguments_bricks_nothing() -> None:
    parts = (TextPart("Let me see."), ToolCallPart("call_1", "weather", '{"city": "Ro'))
    history = (
        _message(0, "user", (TextPart("Weather?"),), "completed"),
        _message(1, "assistant", parts, "incomplete"),
        _message(2, "user", (TextPart("Well?"),), "completed"),
    )
    body, _ = _body(history, Budget(window=8192, reserve=100))

    assert problem(body) is None
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}


@pytest.mark.promise("C-01")
def test_a_message_that_cannot_fit_is_refused_with_the_numbers() -> None:
    history = (_message(0, "user", (TextPart("word " * 100),), "completed"),)

    with pytest.raises(ContextOverflow) as caught:
        _body(history, Budget(window=100, reserve=50))
    assert caught.value.details["available"] == 50
