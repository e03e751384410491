"""The upstream of other tests is itself tested: what it refuses, and that it runs in another process."""

import re
import sys
from typing import Any

import aiohttp
import anyio
import pytest

from tests.support.provider import deltas_of, opened, text_of
from tests.support.upstream_strict import problem

USER = {"role": "user", "content": "Hi"}
SAID = {"role": "assistant", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "1"}
SYSTEM = {"role": "system", "content": "Be kind."}


def body(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), "stream": True} | fields


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [SYSTEM, USER],
        [USER, SAID, USER],
        [SYSTEM, USER, CALLED, RESULT, SAID, USER],
        [USER, CALLED, RESULT],
        [USER, SAID | {"tool_calls": [CALL]}, RESULT],
    ],
)
def test_what_every_provider_takes_is_taken(messages: list[dict[str, Any]]) -> None:
    assert problem(body(*messages)) is None


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "missing"),
        ([SYSTEM], "not the user's"),
        ([SAID, USER], "first message"),
        ([USER, SAID], "last message"),
        ([USER, USER], "alternate"),
        ([USER, SAID, SAID, USER], "alternate"),
        ([USER, SYSTEM, USER], "alternate"),
        ([USER, CALLED, USER], "no result"),
        ([USER, CALLED], "no result"),
        ([USER, CALLED, RESULT, RESULT], "without its call"),
        ([USER, CALLED, RESULT | {"tool_call_id": "c2"}], "without its call"),
        ([USER, CALLED, RESULT, USER], "before the assistant"),
        ([{"role": "user", "content": " "}], "empty"),
        ([USER, SAID | {"content": ""}, USER], "empty"),
        ([USER, SAID | {"content": None}, USER], "empty"),
        ([USER, SAID | {"tool_calls": []}, USER], "tool_calls is empty"),
        ([USER, CALLED | {"tool_calls": [CALL | {"id": ""}]}, RESULT], "lacks its id"),
        ([USER | {"name": "x"}], "unknown fields: name"),
        ([{"role": "developer", "content": "x"}], "unknown role"),
    ],
)
def test_what_a_strict_provider_refuses_is_refused(messages: list[dict[str, Any]], said: str) -> None:
    assert said in str(problem(body(*messages)))


@pytest.mark.parametrize("arguments", ["", '{"a":', "[]"])
def test_arguments_must_be_an_object(arguments: str) -> None:
    call = CALL | {"function": {"name": "f", "arguments": arguments}}

    assert "arguments are not" in str(problem(body(USER, CALLED | {"tool_calls": [call]}, RESULT)))


def test_fields_that_only_llama_cpp_knows_are_refused_elsewhere() -> None:
    asked = body(USER, cache_prompt=True)

    assert problem(asked) == "unknown fields: cache_prompt"
    assert problem(asked, llama=True) is None
    assert problem(body(USER) | {"model": ""}) == "model is missing"
    assert problem([]) == "the body is not an object"


@pytest.mark.anyio
async def test_it_runs_in_another_process() -> None:
    command = [sys.executable, "-m", "tests.support.upstream", "--port", "0"]
    async with await anyio.open_process(command, stderr=None) as process:
        assert process.stdout is not None
        announced = re.fullmatch(r"upstream (http://127\.0\.0\.1:\d+)/v1\n", (await process.stdout.receive()).decode())
        assert announced is not None
        async with opened(f"{announced[1]}/v1") as provider, aiohttp.ClientSession() as http:
            assert text_of(await deltas_of(provider, "count 12 from 10 at 500/s")) == "10 11 12 "
            async with http.get(f"{announced[1]}/exchanges") as answer:
                exchanges = await answer.json()
        process.terminate()

    assert [(one["asked"], one["outcome"], one["sent"]) for one in exchanges] == [
        ("count 12 from 10 at 500/s", "completed", 3)
    ]
