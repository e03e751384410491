"""Another model answers a turn: its readers are told, and what it costs is put down to it (promise A-05)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from legato import Legato, Turn
from legato.agents.builtin import assistant
from legato.agents.config import Config, ProviderEntry
from legato.agents.registry import AgentSpec
from legato.app import Models
from legato.core.events import Token, TurnEvent, UsageEvent, Warning
from legato.core.fold import Fold
from legato.core.spending import Group, UsageRow
from legato.engine.side import SideModel
from legato.engine.tasks import Tasks
from legato.providers.catalog import Catalog, ModelEntry
from legato.providers.drivers import driver
from legato.providers.options import Options
from legato.store import spending
from legato.store.port import Store
from tests.engine.talking import Talk, only
from tests.engine.wiring import opened
from tests.support.brief import BRIEF
from tests.support.conversation import new_session
from tests.support.server import free_port
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-05")]

MODELS = (
    ModelEntry(id="away:one", cost_per_1m_input=100.0, cost_per_1m_output=100.0, fallbacks=("there:two",)),
    ModelEntry(id="there:two", cost_per_1m_input=1.0, cost_per_1m_output=2.0),
)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"


@asynccontextmanager
async def talking(url: str, upstream: Upstream, answer: object = assistant, **fields: Any) -> AsyncIterator[Talk]:
    """A session whose model is at a server that isn't there, and its fallback at one that speaks Anthropic's words."""
    providers = {
        "away": ProviderEntry(base_url=nowhere(), retries=0),
        "there": ProviderEntry(kind="anthropic", base_url=upstream.url),
    }
    config = Config(models=MODELS, providers=providers, titles=False)
    chat = Legato(url, settings=BRIEF, config=config, environment={}, monotonic_s=lambda: 100.0)
    chat.agent("model", model="away:one", **fields)(answer)  # type: ignore[arg-type]
    async with chat.lifespan():
        yield await Talk.begin(chat.engine)


async def by_model(store: Store, *more: Group) -> dict[object, UsageRow]:
    """What Ann has used, by model."""
    report = await store.read(spending.report, "ann", ("model", *more))
    return {row.model_id: row for row in report.data}


@pytest.mark.promise("R-11")
async def test_readers_are_told_and_the_cost_is_its_own(url: str, upstream: Upstream) -> None:
    async with talking(url, upstream) as talk:
        turn = await talk.ask("count 3")
        told, rows = await talk.told(), await by_model(talk.engine.store)

    assert (turn.status, turn.model_id) == ("completed", "there:two")
    assert turn.usage is not None
    assert turn.usage.cost_usd == pytest.approx((2 * 1.0 + 3 * 2.0) / 1e6)
    assert {model: (row.calls, row.cost_usd) for model, row in rows.items()} == {"there:two": (1, turn.usage.cost_usd)}
    [warning] = only(Warning, told, turn.id)
    said = "away:one can't answer at present; there:two answers in its place."
    assert (warning.code, warning.message) == ("fallback", said)
    kinds = [type(event) for _, event in told if isinstance(event, (Warning, Token, UsageEvent))]
    assert (kinds[0], kinds[-1]) == (Warning, UsageEvent)
    assert [event.turn.model_id for event in only(TurnEvent, told)][-1] == "there:two"
    folded = Fold().apply_all(event for _, event in told)
    assert folded.turns[turn.id] == turn, "what readers assemble is what stands in the store"


async def test_a_turn_that_asks_twice_warns_once(url: str, upstream: Upstream) -> None:
    async def answer(turn: Turn) -> AsyncIterator[str]:
        for _ in range(2):
            async for text in turn.stream():
                yield text

    async with talking(url, upstream, answer, options={"temperature": 0}) as talk:
        turn = await talk.ask("count 2")
        told, rows = await talk.told(), await by_model(talk.engine.store)
        texts = await talk.texts()

    assert texts == ["count 2", "1 2 1 2 "]
    assert len(only(Warning, told, turn.id)) == 1
    assert {model: row.calls for model, row in rows.items()} == {"there:two": 2}
    sent = [exchange.body for exchange in upstream.exchanges]
    assert ["temperature" in body for body in sent] == [False, False], "both times the agent's own model was asked for"


@pytest.mark.promise("R-04", "R-11")
async def test_what_was_cancelled_is_estimated_at_the_price_of_who_answered(url: str, upstream: Upstream) -> None:
    async with talking(url, upstream) as talk:
        sent = await talk.send("stall after 3")
        await talk.said("1 2 3 ")
        turn = await talk.cancel(sent.id)
        rows = await by_model(talk.engine.store)

    assert (turn.status, turn.model_id) == ("cancelled", "there:two")
    assert turn.usage is not None
    assert turn.usage.estimated
    cost = (turn.usage.prompt_tokens * 1.0 + turn.usage.completion_tokens * 2.0) / 1e6
    assert turn.usage.cost_usd == pytest.approx(cost)
    assert rows.keys() == {"there:two"}


async def test_side_work_is_put_down_to_who_did_it(url: str, upstream: Upstream) -> None:
    options = {
        "away": Options(base_url=nowhere(), retries=0),
        "there": Options(kind="anthropic", base_url=upstream.url),
    }
    catalog = Catalog(providers=options, entries=MODELS)
    drivers = {name: driver(name, option, catalog) for name, option in options.items()}
    spec = AgentSpec(id="model", name="Model", run=assistant, model_id="away:one")
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(opened(url))
        for provider in drivers.values():
            await provider.start()
            stack.push_async_callback(provider.stop)
        session = (await new_session(store, "ann")).session
        side = SideModel(store=store, tasks=Tasks(), models=Models(catalog=catalog, providers=drivers))

        assert await side.ask(spec, session, "title", "Be kind.", "count 2", max_tokens=50) == "1 2 "
        rows = await by_model(store, "kind")

    assert {model: (row.kind, row.calls) for model, row in rows.items()} == {"there:two": ("title", 1)}
