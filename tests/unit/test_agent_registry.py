"""The agents of a process."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from legato.agents.registry import AgentSpec, Registry
from legato.core.errors import AgentNotFound, Misuse

pytestmark = pytest.mark.promise("A-01")


async def echo(turn: Any) -> AsyncIterator[str]:
    yield turn.text


async def silent(turn: Any) -> None:
    """Not a generator: it would never yield."""


def spec(agent_id: str, **fields: Any) -> AgentSpec:
    return AgentSpec(id=agent_id, name=agent_id.title(), run=fields.pop("run", echo), **fields)


def test_agents_are_listed_in_the_order_they_were_registered() -> None:
    registry = Registry(spec("b"), spec("a"))
    registry.register(spec("c"))

    assert [agent.id for agent in registry.list()] == ["b", "a", "c"]
    assert registry.get("a").name == "A"


@pytest.mark.promise("S-17")
def test_an_unknown_agent_is_named() -> None:
    with pytest.raises(AgentNotFound, match="'nobody'"):
        Registry(spec("a")).get("nobody")


def test_the_defaults_are_the_documented_ones() -> None:
    agent = spec("a")

    assert (agent.tail, agent.reserve, agent.max_turn_s) == (60, 2048, 600.0)
    assert (agent.available, agent.demo) == (True, False)


def test_the_default_agent_is_the_first_that_can_answer() -> None:
    off, lacking, ready = spec("off", enabled=False), spec("lacking", unavailable="no key"), spec("ready")

    assert Registry(off, lacking, ready).default() is ready
    assert Registry(off, lacking).default() is off
    assert Registry(off, lacking, ready, default="lacking").default() is lacking


def test_there_is_no_default_without_agents() -> None:
    with pytest.raises(Misuse, match="No agent"):
        Registry().default()


@pytest.mark.parametrize(
    ("agent", "said"),
    [(spec("a"), "twice"), (spec(""), "id"), (spec("b", run=silent), "yield")],
)
def test_what_could_never_work_is_refused(agent: AgentSpec, said: str) -> None:
    registry = Registry(spec("a"))

    with pytest.raises(Misuse, match=said):
        registry.register(agent)
