"""Both kinds of provider and a real server: what is read, and letting go at once."""

import asyncio
from collections.abc import AsyncIterator

import anyio
import pytest

from legato.core.errors import Misuse
from legato.core.prompt import PromptCall, PromptMessage
from legato.core.text import Normaliser
from legato.providers.http import HttpProvider
from legato.providers.options import Kind, Options
from legato.providers.port import (
    ModelRequest,
    ReasoningDelta,
    StopDelta,
    TextDelta,
    ToolCallDelta,
    UsageDelta,
)
from tests.support.provider import KINDS, asking, deltas_of, opened, text_of
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-03")]


class Stuck:
    """A pause between tries that never ends; ``began`` once one has begun."""

    def __init__(self) -> None:
        self.began = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.began.set()
        await asyncio.get_running_loop().create_future()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Whose words are spoken; what comes of it is the same."""
    spoken: Kind = request.param
    return spoken


@pytest.fixture
async def provider(upstream: Upstream, kind: Kind) -> AsyncIterator[HttpProvider]:
    async with opened(upstream.url, kind=kind) as provider:
        yield provider


async def test_an_answer_is_its_words_then_its_usage_then_its_end(provider: HttpProvider) -> None:
    deltas = await deltas_of(provider, "count 3")

    assert deltas == [
        TextDelta("1 "),
        TextDelta("2 "),
        TextDelta("3 "),
        UsageDelta(prompt_tokens=2, completion_tokens=3),
        StopDelta("stop"),
    ]


async def test_the_key_and_our_headers_are_sent(kind: Kind) -> None:
    async with (
        Upstream(key="sk-right") as upstream,
        opened(upstream.url, kind=kind, api_key="sk-right", headers={"X-Title": "Legato"}) as provider,
    ):
        assert text_of(await deltas_of(provider, "count 2")) == "1 2 "
        assert upstream.exchanges[0].headers["X-Title"] == "Legato"


async def test_tool_calls_arrive_in_pieces_and_go_back_in_pairs(provider: HttpProvider) -> None:
    deltas = await deltas_of(provider, "tool")

    calls: dict[int, tuple[str, str, str]] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            *_, so_far = calls.get(delta.index, ("", "", ""))
            calls[delta.index] = (delta.call_id, delta.name, so_far + delta.arguments)
    assert calls == {
        0: ("call_Paris", "weather", '{"city": "Paris"}'),
        1: ("call_Rome", "weather", '{"city": "Rome"}'),
    }
    assert deltas[-1] == StopDelta("tool_calls")

    made = tuple(PromptCall(*call) for call in calls.values())
    results = tuple(PromptMessage("tool", "sunny", (), call.call_id) for call in made)
    history = (PromptMessage("user", "tool"), PromptMessage("assistant", "", made), *results)
    again = await deltas_of(provider, ModelRequest(model="m", messages=history))
    assert text_of(again) == "The tools have spoken."


async def test_reasoning_has_two_names_and_is_told_apart(provider: HttpProvider) -> None:
    deltas = await deltas_of(provider, "reason")

    assert deltas[:2] == [ReasoningDelta("Let me "), ReasoningDelta("think. ")]
    assert text_of(deltas) == "1 2 3 "


@pytest.mark.parametrize("script", ["crlf", "nodone", "gzip", "dribble", "big"])
async def test_the_wire_may_look_otherwise(provider: HttpProvider, script: str) -> None:
    deltas = await deltas_of(provider, script)

    expected = {
        "crlf": "1 2 3 ",
        "nodone": "1 2 3 ",
        "gzip": "".join(f"{number} " for number in range(1, 51)),
        "dribble": "naïve 🍷 日本\n",
        "big": "x" * 1_000_000,
    }
    assert text_of(deltas) == expected[script]
    assert isinstance(deltas[-2], UsageDelta)
    assert deltas[-1] == StopDelta("stop")


async def test_halves_of_a_surrogate_pair_are_passed_on(provider: HttpProvider) -> None:
    deltas = await deltas_of(provider, "surrogate")

    normaliser = Normaliser()
    pieces = [normaliser.feed(delta.text) for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(pieces) + normaliser.flush() == "a 🍷 and \ufffd end"


async def test_an_empty_answer_and_a_long_one_end_with_their_reason(provider: HttpProvider) -> None:
    empty = await deltas_of(provider, "empty")

    assert [type(delta) for delta in empty] == [UsageDelta, StopDelta]
    assert (await deltas_of(provider, "cutoff"))[-1] == StopDelta("length")
    assert (await deltas_of(provider, "nousage"))[-2:] == [TextDelta("3 "), StopDelta("stop")]


@pytest.mark.parametrize("script", ["count 5", "late"])
async def test_a_connection_serves_one_answer_after_the_other(
    provider: HttpProvider, upstream: Upstream, script: str
) -> None:
    for _ in range(3):
        await deltas_of(provider, script)

    assert len({exchange.peer for exchange in upstream.exchanges}) == 1


@pytest.mark.promise("R-04")
@pytest.mark.parametrize("script", ["count 100000 at 500/s", "stall after 3"])
async def test_closing_the_stream_closes_the_connection(
    provider: HttpProvider, upstream: Upstream, script: str
) -> None:
    stream = provider.stream(asking(script))
    for _ in range(3):
        await anext(stream)
    await stream.aclose()

    with anyio.fail_after(2):
        await upstream.exchanges[0].ended.wait()
    assert upstream.exchanges[0].outcome == "closed"


@pytest.mark.promise("R-04")
@pytest.mark.parametrize("script", ["hang", "silence", "stall after 3"])
async def test_cancelling_the_reader_closes_the_connection(
    provider: HttpProvider, upstream: Upstream, script: str
) -> None:
    third = asyncio.Event()

    async def read() -> None:
        async for delta in provider.stream(asking(script)):
            if delta == TextDelta("3 "):
                third.set()

    task = asyncio.ensure_future(read())
    with anyio.fail_after(2):
        exchange = await upstream.exchange(0)
        if script == "stall after 3":
            await third.wait()
        task.cancel()
        await exchange.ended.wait()
        await asyncio.wait([task])

    assert task.cancelled()
    assert exchange.outcome == "closed"


async def test_a_pause_between_tries_can_be_cancelled(kind: Kind, upstream: Upstream) -> None:
    stuck = Stuck()
    async with opened(upstream.url, kind=kind, sleep=stuck) as provider:
        task = asyncio.ensure_future(deltas_of(provider, "status 503"))
        with anyio.fail_after(2):
            await stuck.began.wait()
            task.cancel()
            await asyncio.wait([task])

    assert task.cancelled()
    assert len(upstream.exchanges) == 1


async def test_no_more_answers_at_once_than_allowed(kind: Kind, upstream: Upstream) -> None:
    async with opened(upstream.url, kind=kind, max_concurrent=2) as provider:
        answers = await asyncio.gather(*(deltas_of(provider, "count 20 at 1000/s") for _ in range(8)))

    assert {text_of(answer) for answer in answers} == {"".join(f"{number} " for number in range(1, 21))}
    assert upstream.most_at_once == 2


@pytest.mark.promise("X-05")
async def test_secrets_are_not_printed() -> None:
    options = Options(base_url="http://user:hunter22@host/v1", api_key="sk-secret", headers={"X-Key": "topsecret"})

    shown = f"{options!r} {options} {[options]}"
    assert "host" in shown
    assert not [secret for secret in ("hunter22", "sk-secret", "topsecret") if secret in shown]


async def test_a_provider_that_was_not_started_says_so(kind: Kind) -> None:
    provider = KINDS[kind](name="mine", options=Options(base_url="http://127.0.0.1:9/v1"))

    with pytest.raises(Misuse, match="mine"):
        await deltas_of(provider, "count 1")
