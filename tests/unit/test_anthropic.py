"""What is asked of Anthropic, which is strict, and that an answer goes on where it broke off."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.errors import ProviderRefused
from legato.core.model import Message
from legato.core.prompt import Budget, PromptCall, PromptFile, PromptMessage, build_prompt
from legato.core.tokens import estimate_tokens
from legato.providers.anthropic_body import DEFAULT_MAX_TOKENS, encode_request, unsent
from legato.providers.port import ModelRequest, ToolSpec
from tests.support.provider import deltas_of, opened, text_of
from tests.support.upstream import Upstream
from tests.support.upstream_anthropic_strict import problem
from tests.unit.test_prompt_strict import histories

pytestmark = [pytest.mark.promise("A-03")]

USER = PromptMessage("user", "Weather?")
CALLED = PromptMessage("assistant", "", (PromptCall("call_1", "weather", '{"city": "Rome"}'),))
RESULT = PromptMessage("tool", "sunny", (), "call_1")
WEATHER = ToolSpec("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


def body(*messages: PromptMessage, most_tokens: int | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a request with these messages, which is valid."""
    request = ModelRequest(model="claude-haiku-5-5", messages=messages, **fields)
    made: dict[str, Any] = json.loads(encode_request(request, most_tokens))
    assert problem(made) is None
    return made


def test_the_request_says_what_it_must_and_no_more() -> None:
    assert body(PromptMessage("system", "Be kind."), USER, max_tokens=7) == {
        "model": "claude-haiku-5-5",
        "max_tokens": 7,
        "system": "Be kind.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Weather?"}]}],
        "stream": True,
    }


def test_the_api_wants_a_limit_and_gets_what_the_model_and_its_window_allow() -> None:
    assert body(USER)["max_tokens"] == DEFAULT_MAX_TOKENS
    assert body(USER, most_tokens=64_000)["max_tokens"] == 64_000
    assert body(USER, most_tokens=64_000, room=2048)["max_tokens"] == 2048
    assert body(USER, most_tokens=64_000, room=-5)["max_tokens"] == 1
    assert body(USER, most_tokens=64_000, room=10, max_tokens=300)["max_tokens"] == 300
    assert body(USER, options={"max_tokens": 12})["max_tokens"] == 12


def test_options_go_along_but_cannot_replace_what_was_said() -> None:
    made = body(USER, options={"temperature": 0, "messages": [], "system": "No.", "stream": False, "model": "x"})

    assert (made["temperature"], made["stream"], made["model"]) == (0, True, "claude-haiku-5-5")
    assert made["messages"][0]["content"][0]["text"] == "Weather?"


def test_system_prompts_stand_by_themselves_wherever_they_came_from() -> None:
    made = body(PromptMessage("system", "One."), USER, PromptMessage("system", "Two."))

    assert made["system"] == "One.\n\nTwo."
    assert len(made["messages"]) == 1


def test_tools_and_their_results_are_blocks_in_turn() -> None:
    two = PromptMessage("assistant", "Hm.", (*CALLED.calls, PromptCall("call_2", "weather", "{}")))
    other = PromptMessage("tool", " ", (), "call_2")
    made = body(USER, two, RESULT, other, PromptMessage("user", "And?"), tools=(WEATHER,))

    assert made["tools"] == [
        {"name": "weather", "description": "Tells the weather.", "input_schema": WEATHER.parameters}
    ]
    assert "tool_choice" not in made
    assert made["messages"][1]["content"] == [
        {"type": "text", "text": "Hm."},
        {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Rome"}},
        {"type": "tool_use", "id": "call_2", "name": "weather", "input": {}},
    ]
    assert made["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"},
            {"type": "tool_result", "tool_use_id": "call_2"},
            {"type": "text", "text": "And?"},
        ],
    }


@pytest.mark.promise("C-05")
def test_tools_that_were_called_once_and_are_gone_are_known_and_not_called() -> None:
    made = body(USER, CALLED, RESULT)

    assert [tool["name"] for tool in made["tools"]] == ["weather"]
    assert made["tool_choice"] == {"type": "none"}


@pytest.mark.promise("C-05")
@pytest.mark.parametrize("call_id", ["functions.weather:0", "", "ö", "x" * 65, "\ud800"])
def test_a_call_that_another_model_made_bricks_nothing(call_id: str) -> None:
    called = PromptMessage("assistant", "", (PromptCall(call_id, "web search!" * 9, "[1]"),))
    made = body(USER, called, PromptMessage("tool", "1", (), call_id))

    assert made["messages"][1]["content"][0]["input"] == {}
    assert made["messages"][2]["content"][0]["tool_use_id"] == made["messages"][1]["content"][0]["id"]


@pytest.mark.promise("C-05")
@given(histories(), st.sampled_from(["", "Be kind."]))
def test_every_history_is_legal(history: tuple[Message, ...], system: str) -> None:
    prompt = build_prompt(system, history, Budget(window=100_000, reserve=10, tail=0), estimate_tokens)

    body(*prompt.messages)


@pytest.mark.promise("C-05", "R-07")
@given(histories(), st.text(" \nab", min_size=1).filter(lambda said: said.strip()))
def test_every_history_is_legal_with_an_answer_to_go_on_from(history: tuple[Message, ...], said: str) -> None:
    prompt = build_prompt("", history, Budget(window=100_000, reserve=10, tail=0), estimate_tokens)
    begun = PromptMessage("assistant", said)
    made = body(*prompt.messages, begun, prefill=True)

    sent = made["messages"][-1]["content"][-1]["text"]
    request = ModelRequest(model="m", messages=(*prompt.messages, begun), prefill=True)
    assert sent + unsent(request) == said


@pytest.mark.promise("R-07")
def test_who_goes_on_does_not_think_first() -> None:
    thinking = {"thinking": {"type": "adaptive"}}
    begun = PromptMessage("assistant", "It is")

    assert "thinking" in body(USER, options=thinking)
    assert "thinking" not in body(USER, begun, prefill=True, options=thinking)


@pytest.mark.promise("R-07")
@pytest.mark.anyio
@pytest.mark.parametrize("begun", ["1 2", "1 2 "])
async def test_an_answer_goes_on_where_it_broke_off(begun: str) -> None:
    messages = (PromptMessage("user", "count 5"), PromptMessage("assistant", begun))
    async with Upstream() as upstream, opened(upstream.url, kind="anthropic") as provider:
        deltas = await deltas_of(provider, ModelRequest(model="m", messages=messages, prefill=True))

    assert begun + text_of(deltas) == "1 2 3 4 5 "


@pytest.mark.promise("R-07", "R-12")
@pytest.mark.anyio
async def test_a_model_that_can_not_go_on_says_so() -> None:
    messages = (PromptMessage("user", "count 5"), PromptMessage("assistant", "1"))
    request = ModelRequest(model="m-no-prefill", messages=messages, prefill=True)
    async with Upstream() as upstream, opened(upstream.url, kind="anthropic") as provider:
        with pytest.raises(ProviderRefused, match="prefill"):
            await deltas_of(provider, request)


@pytest.mark.promise("S-18")
def test_files_come_before_the_words_and_after_what_tools_said() -> None:
    cat = PromptFile("fil_1", "cat.png", "image/png", 30, 800, b"c" * 30)
    paper = PromptFile("fil_2", "paper.pdf", "application/pdf", 30, 800, b"p" * 30)
    asked = PromptMessage("user", "What is it?", files=(cat, paper))
    first, _, second = body(asked, CALLED, RESULT, asked)["messages"]

    encoded = base64.b64encode(b"c" * 30).decode()
    assert first["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": encoded}
    assert [block["type"] for block in first["content"]] == ["image", "document", "text"]
    assert [block["type"] for block in second["content"]] == ["tool_result", "image", "document", "text"]
    (alone,) = body(PromptMessage("user", "", files=(cat,)))["messages"]
    assert [block["type"] for block in alone["content"]] == ["image"]
