"""What there is to talk to: agents made by decorator or configuration, and models with their windows and prices."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from legato import Legato
from legato.agents.config import parse_config
from legato.agents.turn import Turn
from tests.http.conftest import PROVIDER_KEY, Served, by_header
from tests.http.serving import serving
from tests.http.speaking import Api, user_of
from tests.support.brief import BRIEF
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio


@pytest.mark.promise("A-02")
async def test_agents_are_listed_with_what_a_picker_needs(api: Api) -> None:
    agents = {agent["id"]: agent for agent in (await api.call("GET", "/v1/agents"))["data"]}
    assert list(agents) == ["puppet", "echo", "off", "model", "small", "assistant"]
    assert agents["puppet"] == {
        "id": "puppet",
        "name": "The puppet",
        "role": "toy",
        "parent_role": "toybox",
        "description": "Held by strings.",
        "model_id": None,
        "demo": False,
        "available": True,
        "default": True,
        "welcomes": False,
        "suggestions": [],
    }
    assert [name for name, agent in agents.items() if agent["default"]] == ["puppet"]
    assert (agents["off"]["available"], agents["model"]["model_id"]) == (False, "openai:m")
    assert await api.call("GET", "/v1/agents/puppet") == agents["puppet"]
    problem = await api.refused(404, "agent_not_found", "GET", "/v1/agents/nobody")
    assert "'nobody'" in problem["detail"]


@pytest.mark.promise("A-02")
async def test_models_are_listed_with_window_and_price(api: Api) -> None:
    models = {model["id"]: model for model in (await api.call("GET", "/v1/models"))["data"]}
    assert list(models) == ["openai:m", "openai:small", "openai:default"]
    assert models["openai:m"] == {
        "id": "openai:m",
        "name": "m",
        "provider": "openai",
        "context_window": 100_000,
        "max_output_tokens": None,
        "cost_per_1m_input": 1.0,
        "cost_per_1m_output": 2.0,
        "cost_per_1m_cached": None,
        "capabilities": ["text", "tools"],
    }
    assert await api.call("GET", "/v1/models/openai:m") == models["openai:m"]
    assert (await api.call("GET", "/v1/models/openai:org/name"))["name"] == "org/name"
    problem = await api.refused(404, "model_not_found", "GET", "/v1/models/elsewhere:m")
    assert "'elsewhere:m'" in problem["detail"]


@pytest.mark.promise("A-02")
async def test_neither_hosts_nor_keys_are_told(api: Api, served: Served) -> None:
    session = await api.session("model")
    await api.answered(session, "count 1")
    paths = ("/v1/agents", "/v1/models", "/v1/sessions", session, f"{session}/messages", "/openapi.json", "/docs", "/")
    told = [(await api.ask("GET", path)).text for path in paths]
    port = served.upstream.url.split(":")[2].partition("/")[0]
    assert not [text for text in told if PROVIDER_KEY in text or re.search(rf"\b{port}\b", text)]


@pytest.mark.promise("A-01")
async def test_an_agent_is_a_generator_with_a_decorator(sqlite: str) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    turns: list[Turn] = []

    @chat.agent("guide", name="The guide", role="guide")
    async def guide(turn: Turn) -> AsyncIterator[str]:
        turns.append(turn)
        yield f"{len(turn.history)} "
        yield f"{turn.text} ({turn.locale})"

    @chat.agent("broken")
    async def broken(turn: Turn) -> AsyncIterator[Any]:
        yield 7

    async with serving(chat, by_header) as url, user_of(url) as api:
        session = await api.session("guide", metadata={"a": 1})
        await api.answered(session, "One")
        turn = await api.call(
            "POST", f"{session}/turns", {"text": "Två"}, headers={"Accept-Language": "sv"}, status=202
        )
        await api.over(session, turn["turn"]["id"])
        assert await api.texts(session) == ["One", "1 One (en)", "Två", "3 Två (sv)"]
        assert (turns[1].id, turns[1].session.metadata) == (turn["turn"]["id"], {"a": 1})
        assert turns[1].history[-1] == turns[1].message
        failed = await api.answered(await api.session("broken"))
        assert (failed["status"], failed["error"]["code"]) == ("failed", "agent_error")
        assert guide.__name__ == "guide"  # the decorator leaves the function as it is


async def shout(turn: Turn) -> AsyncIterator[str]:
    """Named by a configuration below."""
    yield turn.text.upper()


@pytest.mark.promise("A-01", "A-03")
async def test_an_agent_is_an_entry_in_a_configuration(tmp_path: Path) -> None:
    async with Upstream(key="k-12345678") as upstream:
        text = f"""
            default_agent = "clerk"
            [providers.shop]
            base_url = "{upstream.url}"
            api_key_env = "SHOP_KEY"
            [[agents]]
            id = "clerk"
            name = "The clerk"
            role = "clerk"
            system = "Be brief."
            model = "shop:m"
            [[agents]]
            id = "shout"
            run = "{__name__}:shout"
            [[agents]]
            id = "keyless"
            model = "other:m"
            [providers.other]
            base_url = "{upstream.url}"
            api_key_env = "MISSING_KEY"
        """
        config = parse_config(text, source="test.toml")
        chat = Legato(f"sqlite:///{tmp_path}/x.db", config=config, environment={"SHOP_KEY": "k-12345678"})
        async with serving(chat, by_header) as url, user_of(url) as api:
            made = await api.call("POST", "/v1/sessions", {}, status=201)
            assert (made["agent_id"], made["agent_name"], made["model_id"]) == ("clerk", "The clerk", "shop:m")
            assert (await api.answered(f"/v1/sessions/{made['id']}", "count 1"))["status"] == "completed"
            assert upstream.exchanges[0].body["messages"][0] == {"role": "system", "content": "Be brief."}
            session = await api.session("shout")
            await api.answered(session, "hé")
            assert await api.texts(session) == ["hé", "HÉ"]
            assert not (await api.call("GET", "/v1/agents/keyless"))["available"]
            refused = await api.answered(await api.session("keyless"))
            assert (refused["status"], refused["reason"]) == ("failed", "agent_unavailable")


@pytest.mark.promise("A-03")
async def test_without_any_agent_or_key_the_demo_answers_and_says_what_it_is(sqlite: str) -> None:
    async with serving(Legato(sqlite, environment={}), by_header) as url, user_of(url) as api:
        (agent,) = (await api.call("GET", "/v1/agents"))["data"]
        assert (agent["id"], agent["demo"]) == ("demo", True)
        session = await api.session("demo")
        await api.answered(session, "/help")
        assert "demo" in (await api.texts(session))[1].lower()
