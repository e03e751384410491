"""When a model can't answer another one does, and stays for a while (promise A-05)."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from legato.core.errors import (
    ProviderBusy,
    ProviderCut,
    ProviderError,
    ProviderNonsense,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
)
from legato.core.prompt import PromptFile, PromptMessage
from legato.providers.catalog import Catalog, ModelEntry
from legato.providers.fallback import Fallbacks
from legato.providers.options import Options
from legato.providers.port import Delta, ModelDelta, ModelRequest, StopDelta, TextDelta, ToolSpec

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-05")]

OWN = Options(base_url="http://127.0.0.1:8080/v1")
ONE, TWO, THREE = "a:one", "b:two", "c:three"
TOOL = ToolSpec("f", "", {"type": "object"})


class Scripted:
    """A provider whose models fail as they are told to; ``asked`` has the requests, by model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.failing: ProviderError | None = None
        self.fails_after = 0
        self.asked: list[ModelRequest] = []
        self.closed = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        self.asked.append(request)
        try:
            if self.failing is not None and not self.fails_after:
                raise self.failing
            yield TextDelta(f"{self.name}:{request.model}")
            if self.failing is not None:
                raise self.failing
            yield StopDelta("stop")
        finally:
            self.closed += 1

    async def start(self) -> None:
        """Nothing is shared."""

    async def stop(self) -> None:
        """Nothing is shared."""


class World:
    """Three models of three providers; ONE has the other two for fallbacks, TWO has THREE."""

    def __init__(self, *entries: ModelEntry, fallbacks: tuple[str, ...] = (TWO, THREE)) -> None:
        self.now_s = 5000.0
        self.providers = {name: Scripted(name) for name in "abc"}
        self.one, self.two, self.three = self.providers.values()
        said = [*entries]
        if ONE not in [entry.id for entry in entries]:
            said.append(ModelEntry(id=ONE, fallbacks=fallbacks))
        if TWO not in [entry.id for entry in entries]:
            said.append(ModelEntry(id=TWO, fallbacks=(THREE,)))
        self.catalog = Catalog(providers=dict.fromkeys("abc", OWN), entries=said)
        self.all = Fallbacks(
            catalog=self.catalog,
            provider=lambda model_id: self.providers[model_id.partition(":")[0]],
            clock_s=lambda: self.now_s,
        )

    async def ask(self, model_id: str = ONE, **fields: Any) -> list[Delta]:
        request = ModelRequest(model=model_id.partition(":")[2], messages=(PromptMessage("user", "Hi"),), **fields)
        async with aclosing(self.all.of(model_id).stream(request)) as deltas:
            return [delta async for delta in deltas]

    async def answers(self, model_id: str = ONE, **fields: Any) -> str:
        """Which model answers; what readers are told is checked on the way."""
        deltas = await self.ask(model_id, **fields)
        instead = [delta.model_id for delta in deltas if isinstance(delta, ModelDelta)]
        [said] = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
        assert instead == ([] if said == model_id else [said])
        assert not instead or isinstance(deltas[0], ModelDelta)
        assert deltas[-1] == StopDelta("stop")
        return said


def failing(world: World, *names: str, error: Callable[[], ProviderError] = ProviderBusy) -> None:
    for name, provider in world.providers.items():
        provider.failing = error() if name in names else None


async def test_a_model_that_answers_answers() -> None:
    world = World()

    assert await world.answers() == ONE
    assert await world.answers(THREE) == THREE
    assert not world.two.asked


async def test_a_model_without_fallbacks_has_its_own_provider() -> None:
    world = World()

    assert world.all.of(THREE) is world.three
    assert world.all.of(ONE) is world.all.of(ONE)


@pytest.mark.parametrize(
    "error", [ProviderUnreachable, ProviderTimeout, ProviderBusy, ProviderCut, ProviderNonsense, ProviderError]
)
async def test_where_another_model_can_help_it_does(
    error: Callable[[], ProviderError], caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    failing(world, "a", error=error)
    with caplog.at_level(logging.WARNING):
        assert await world.answers() == TWO

    assert f"model {ONE}, asked for {ONE}: {error().code}" in caplog.text
    assert [provider.closed for provider in world.providers.values()] == [1, 1, 0]


async def test_what_is_our_own_fault_is_not_hidden() -> None:
    world = World()
    failing(world, "a", error=ProviderRefused)
    with pytest.raises(ProviderRefused):
        await world.ask()
    assert not world.two.asked

    failing(world)
    assert await world.answers() == ONE, "and nobody stays in its place"


async def test_after_the_first_token_nobody_takes_over() -> None:
    world = World()
    failing(world, "a", error=ProviderCut)
    world.one.fails_after = 1
    with pytest.raises(ProviderCut):
        await world.ask()
    assert not world.two.asked


async def test_they_are_asked_in_order_and_the_first_failure_is_told() -> None:
    world = World()
    failing(world, "a", "b")
    assert await world.answers() == THREE

    world = World()
    failing(world, "b", "c", error=ProviderTimeout)
    world.one.failing = ProviderUnreachable()
    with pytest.raises(ProviderUnreachable):
        await world.ask()
    assert [len(provider.asked) for provider in world.providers.values()] == [1, 1, 1]


async def test_a_fallback_that_refuses_is_passed_over() -> None:
    world = World()
    world.one.failing, world.two.failing = ProviderBusy(), ProviderRefused()

    assert await world.answers() == THREE


async def test_who_took_over_stays_for_ten_minutes_and_no_longer() -> None:
    world = World()
    failing(world, "a")
    await world.ask()
    failing(world)
    world.now_s += 599
    assert await world.answers() == TWO
    assert len(world.one.asked) == 1
    world.now_s += 1
    assert await world.answers() == ONE, "its answers meanwhile did not prolong it"
    world.now_s += 1
    assert await world.answers() == ONE


async def test_who_took_over_and_fails_too_is_relieved() -> None:
    world = World()
    failing(world, "a")
    await world.ask()
    failing(world, "b")
    assert await world.answers() == ONE, "the one that was asked for is the next"
    assert await world.answers() == ONE


async def test_who_took_over_is_relieved_also_when_nobody_else_can_answer() -> None:
    world = World()
    failing(world, "a")
    await world.ask()
    failing(world, "b", "c", error=ProviderTimeout)
    world.one.failing = ProviderUnreachable()
    with pytest.raises(ProviderUnreachable):
        await world.ask()

    world.now_s += 200  # whoever failed twice is asked again
    failing(world)
    assert await world.answers() == ONE


async def test_a_model_that_failed_twice_is_left_alone_for_90_seconds() -> None:
    world = World()
    failing(world, "a", "b")
    for _ in range(2):
        assert await world.answers() == THREE
        world.all._made.clear()  # nobody stays, so that everybody would be asked
    asked = len(world.one.asked), len(world.two.asked)
    assert asked == (2, 2)

    world.now_s += 89
    assert await world.answers() == THREE
    assert await world.answers(TWO) == THREE, "a model is left alone whoever it is asked for"
    assert (len(world.one.asked), len(world.two.asked)) == asked
    world.all._made.clear()
    world.now_s += 1
    failing(world)
    assert await world.answers() == ONE


async def test_when_all_are_left_alone_the_one_that_was_asked_for_is_asked() -> None:
    world = World()
    failing(world, "a", "b", "c")
    for _ in range(2):
        with pytest.raises(ProviderBusy):
            await world.ask()
    failing(world, "b", "c")
    assert await world.answers() == ONE


async def test_a_request_is_made_fit_for_who_gets_it() -> None:
    world = World(ModelEntry(id=TWO, context_window=4000, max_output_tokens=100))
    failing(world, "a")
    await world.ask(max_tokens=500, room=6000, options={"temperature": 2}, background=True)

    [first], [second] = world.one.asked, world.two.asked
    assert (first.model, first.max_tokens, first.room, first.options) == ("one", 500, 6000, {"temperature": 2})
    assert (second.model, second.max_tokens, second.room, second.options) == ("two", 100, 6000 - 4192, {})
    assert second.messages == first.messages
    assert second.background


async def test_options_go_along_to_another_model_of_the_same_provider() -> None:
    world = World(fallbacks=("a:small",))
    world.one.fails_after = 0
    failing(world, "a")
    with pytest.raises(ProviderBusy):
        await world.ask(options={"temperature": 2})

    assert [(request.model, request.options) for request in world.one.asked] == [
        ("one", {"temperature": 2}),
        ("small", {"temperature": 2}),
    ]


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        (ModelEntry(id=TWO, capabilities=("text",)), {"tools": (TOOL,)}),
        (ModelEntry(id=TWO, capabilities=("text", "tools")), {"prefill": True}),
        (ModelEntry(id=TWO, context_window=4192), {"room": 4000}),
        (ModelEntry(id=TWO, context_window=4200), {"room": 4000, "max_tokens": 9}),
    ],
)
async def test_a_fallback_that_can_not_do_what_is_asked_for_is_passed_over(
    entry: ModelEntry, fields: dict[str, Any]
) -> None:
    world = World(entry, ModelEntry(id=THREE, capabilities=("text", "tools", "prefill")))
    failing(world, "a")

    assert await world.answers(**fields) == THREE


async def test_whoever_closes_the_answer_closes_that_of_the_fallback() -> None:
    world = World()
    failing(world, "a")
    stream = world.all.of(ONE).stream(ModelRequest(model="one", messages=(PromptMessage("user", "Hi"),)))
    await anext(stream)
    await stream.aclose()

    assert world.two.closed == 1


@pytest.mark.promise("S-18")
async def test_who_takes_over_takes_the_files_too() -> None:
    cat = PromptFile("fil_1", "cat.png", "image/png", 3, 800, b"cat")
    asked = (PromptMessage("user", "What is it?", files=(cat,)),)
    world = World(
        ModelEntry(id=ONE, fallbacks=(TWO, THREE), capabilities=("text", "images")),
        ModelEntry(id=TWO, capabilities=("text", "pdf")),
        ModelEntry(id=THREE, capabilities=("text", "images")),
    )
    failing(world, "a")
    request = ModelRequest(model="one", messages=asked)
    async with aclosing(world.all.of(ONE).stream(request)) as deltas:
        said = [delta.text async for delta in deltas if isinstance(delta, TextDelta)]
    assert said == [THREE]
    assert world.three.asked[0].messages == asked
    assert world.two.asked == []
