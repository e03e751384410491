"""What is particular to OpenAI-compatible servers."""

from collections.abc import AsyncIterator

import pytest

from legato.core.prompt import PromptMessage
from legato.providers.http import HttpProvider
from legato.providers.port import (
    ModelRequest,
    StopDelta,
    TextDelta,
)
from tests.support.provider import asking, deltas_of, opened, text_of
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-03")]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def provider(upstream: Upstream) -> AsyncIterator[HttpProvider]:
    async with opened(upstream.url) as provider:
        yield provider


async def test_the_request_says_what_it_must_and_no_more(provider: HttpProvider, upstream: Upstream) -> None:
    await deltas_of(provider, asking("count 1", model="tiny", max_tokens=7, options={"temperature": 0}))

    assert upstream.exchanges[0].body == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "count 1"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 7,
        "temperature": 0,
    }


async def test_options_cannot_replace_the_messages(provider: HttpProvider, upstream: Upstream) -> None:
    deltas = await deltas_of(provider, asking("count 1", options={"messages": [], "stream": False, "model": "x"}))

    assert text_of(deltas) == "1 "
    assert upstream.exchanges[0].body["model"] == "m"


PREFILLED = (PromptMessage("user", "count 3"), PromptMessage("assistant", "1 "))


async def test_a_prefill_is_gone_on_from_by_vllm() -> None:
    request = ModelRequest(model="m", messages=PREFILLED, prefill=True, options={"add_generation_prompt": True})
    async with Upstream(vllm=True) as upstream, opened(upstream.url, flavour="vllm") as provider:
        assert text_of(await deltas_of(provider, request)) == "2 3 "
        sent = upstream.exchanges[0].body

    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)
    assert sent["messages"][-1] == {"role": "assistant", "content": "1 "}


async def test_a_prefill_is_gone_on_from_by_llama_cpp_whose_model_may_not_think_then() -> None:
    kwargs = {"enable_thinking": True, "tone": "kind"}
    request = ModelRequest(model="m", messages=PREFILLED, prefill=True, options={"chat_template_kwargs": kwargs})
    async with Upstream(llama=True) as upstream, opened(upstream.url, flavour="llama.cpp") as provider:
        assert text_of(await deltas_of(provider, request)) == "2 3 "
        assert upstream.exchanges[0].body["chat_template_kwargs"] == {"enable_thinking": False, "tone": "kind"}


@pytest.mark.parametrize("flavour", ["vllm", "llama.cpp"])
async def test_without_a_prefill_nothing_is_said_about_one(flavour: str) -> None:
    llama = flavour == "llama.cpp"
    async with Upstream(llama=llama, vllm=not llama) as upstream, opened(upstream.url, flavour=flavour) as provider:
        assert text_of(await deltas_of(provider, "count 1")) == "1 "
        sent = upstream.exchanges[0].body

    assert sent.keys() - {"cache_prompt"} == {"model", "messages", "stream", "stream_options"}


@pytest.mark.parametrize("flavour", ["generic", "llama.cpp"])
async def test_cache_prompt_is_for_llama_cpp_only(flavour: str) -> None:
    async with Upstream(llama=True) as upstream, opened(upstream.url, flavour=flavour) as provider:
        await deltas_of(provider, "count 1")

        assert upstream.exchanges[0].body.get("cache_prompt") == (True if flavour == "llama.cpp" else None)


async def test_usage_is_not_asked_for_where_the_server_refuses_the_question(upstream: Upstream) -> None:
    async with opened(upstream.url, stream_usage=False) as provider:
        deltas = await deltas_of(provider, "count 1")

    assert deltas == [TextDelta("1 "), StopDelta("stop")]
    assert "stream_options" not in upstream.exchanges[0].body
