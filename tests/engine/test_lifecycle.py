"""The rules that sessions live by: one current, closed for their silence, bound to a thing of the host's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import Connection, update

from legato import Legato
from legato.agents.registry import AgentSpec
from legato.core.errors import SessionClosed
from legato.core.model import Session
from legato.engine.engine import Engine
from legato.engine.lifecycle import Lifecycle
from legato.engine.settings import EngineSettings
from legato.store.chores import Chore
from legato.store.port import Store
from legato.store.schema import sessions
from tests.engine.talking import Talk
from tests.engine.wiring import opened, working
from tests.http.puppets import Puppets
from tests.support.brief import BRIEF

pytestmark = pytest.mark.anyio

MINUTE_S = 60


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


def legato(url: str, puppets: Puppets) -> Legato:
    """Agents with a rule each, and one without any."""
    chat = Legato(url, settings=BRIEF, environment={})
    chat.agent("free", titles=False)(puppets.answer)
    chat.agent("single", single_current=True, titles=False)(puppets.answer)
    chat.agent("brief", idle_close_s=30 * MINUTE_S, titles=False)(puppets.answer)
    chat.agent("both", idle_close_s=30 * MINUTE_S, single_current=True, titles=False)(puppets.answer)
    return chat


@pytest.fixture
async def chat(url: str, puppets: Puppets, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Legato]:
    """The duty that closes the silent comes past when a test says so."""

    async def never(_: Lifecycle) -> None: ...

    chat = legato(url, puppets)
    async with AsyncExitStack() as stack:
        with monkeypatch.context() as patched:
            patched.setattr(Lifecycle, "close_idle", never)
            await stack.enter_async_context(chat.lifespan())
        yield chat


@pytest.fixture
async def chats(url: str, puppets: Puppets) -> AsyncIterator[list[Legato]]:
    """As many processes as the database allows."""
    async with AsyncExitStack() as stack:
        started = [legato(url, puppets) for _ in range(1 if url.startswith("sqlite") else 3)]
        for chat in started:
            await stack.enter_async_context(chat.lifespan())
        yield started


async def aged(store: Store, session_id: str, seconds: float) -> None:
    """Nothing has happened in the session for so long."""
    await store.write(_age, session_id, int(seconds * 1_000_000))


def _age(conn: Connection, session_id: str, us: int) -> None:
    conn.execute(
        update(sessions).where(sessions.c.id == session_id).values(last_activity=sessions.c.last_activity - us)
    )


async def of(engine: Engine, session_id: str) -> Session:
    return await engine.get_session("ann", session_id)


@pytest.mark.promise("S-04")
async def test_the_current_session_is_found_or_begun_once_however_many_ask(chats: list[Legato]) -> None:
    asked = [
        chat.engine.current_session("ann", agent) for _ in range(8) for chat in chats for agent in ("free", "single")
    ]
    begun = await asyncio.gather(*asked)
    assert len({found.session.id for found in begun if found.session.agent_id == "free"}) == 1
    assert len({found.session.id for found in begun if found.session.agent_id == "single"}) == 1
    assert sum(found.created for found in begun) == 2
    other = await chats[0].engine.current_session("bob", "free")
    assert other.created


@pytest.mark.promise("S-04")
async def test_a_new_session_closes_the_one_before_and_keeps_it(chat: Legato) -> None:
    first = await chat.engine.create_session("ann", "single")
    bound = await chat.engine.create_session("ann", "single", context="ticket/7")
    free = await chat.engine.create_session("ann", "free")
    foreign = await chat.engine.create_session("bob", "single")
    second = await chat.engine.create_session("ann", "single")
    assert (await of(chat.engine, first.id)).read_only
    for open_one in (bound, free, second):
        assert not (await of(chat.engine, open_one.id)).read_only
    assert not (await chat.engine.get_session("bob", foreign.id)).read_only
    assert (await chat.engine.current_session("ann", "single")).session.id == second.id
    with pytest.raises(SessionClosed):
        await Talk(chat.engine, "ann", first.id).send()
    reopened = await chat.engine.lifecycle.reopen("ann", first.id)
    assert not reopened.read_only
    assert (await of(chat.engine, second.id)).read_only, "one is current, not two"
    assert (await chat.engine.current_session("ann", "single")).session.id == first.id


@pytest.mark.promise("S-04", "S-05")
async def test_one_in_which_something_runs_closes_when_that_is_over(chat: Legato, puppets: Puppets) -> None:
    first = await Talk.begin(chat.engine, "both")
    turn = await first.send("Go on")
    puppet = await puppets.of(turn.id)
    second = await chat.engine.create_session("ann", "both")
    await aged(chat.engine.store, first.id, 3 * 60 * MINUTE_S)
    await chat.engine.lifecycle.close_idle()
    await chat.engine.lifecycle.visit("ann", first.id)
    assert not (await of(chat.engine, first.id)).read_only, "nothing running is closed"
    assert (await chat.engine.current_session("ann", "both")).session.id == second.id
    puppet.say("Done")
    puppet.end()
    assert (await first.ended(turn.id)).status == "completed"
    assert await chat.engine.lifecycle.close(Chore(first.id, "close", 1, 1)) is None
    assert (await of(chat.engine, first.id)).read_only
    assert "Done" in await first.texts()


@pytest.mark.promise("S-05")
@pytest.mark.parametrize("agent_id", ["brief", "free"])
async def test_silence_closes_where_the_agent_says_so(chat: Legato, agent_id: str) -> None:
    talk = await Talk.begin(chat.engine, agent_id)
    recent = await Talk.begin(chat.engine, agent_id)
    await aged(chat.engine.store, talk.id, 31 * MINUTE_S)
    await aged(chat.engine.store, recent.id, 29 * MINUTE_S)
    await chat.engine.lifecycle.close_idle()
    assert (await of(chat.engine, talk.id)).read_only == (agent_id == "brief")
    assert not (await of(chat.engine, recent.id)).read_only
    told = [event for _, event in await talk.told() if getattr(event, "session", None) is not None]
    assert len(told) == (2 if agent_id == "brief" else 1), "readers are told, once"


@pytest.mark.promise("S-05")
async def test_who_comes_finds_it_closed_and_may_reopen_it_for_good(chat: Legato, puppets: Puppets) -> None:
    talk = await Talk.begin(chat.engine, "brief")
    await aged(chat.engine.store, talk.id, 31 * MINUTE_S)
    await chat.engine.lifecycle.visit("bob", talk.id)
    assert not (await of(chat.engine, talk.id)).read_only, "a stranger's visit is none"
    await chat.engine.lifecycle.visit("ann", talk.id)
    with pytest.raises(SessionClosed):
        await talk.send()
    await chat.engine.lifecycle.reopen("ann", talk.id)
    await chat.engine.lifecycle.visit("ann", talk.id)
    turn = await talk.send()
    (await puppets.of(turn.id)).end()


@pytest.mark.promise("S-05")
@pytest.mark.parametrize("refused", ["close_if_idle", "prune"])
async def test_who_comes_to_read_reads_also_while_the_store_takes_nothing(
    url: str, puppets: Puppets, refused: str
) -> None:
    """A full disk: what the rules say has to wait, and nobody's history with it."""
    settings = EngineSettings(retention_days=1 / 24)
    brief = AgentSpec(id="brief", name="Brief", run=puppets.answer, idle_close_s=30.0 * MINUTE_S)
    async with opened(url) as store, working(store, brief, settings=settings) as wired:
        talk = await Talk.begin(wired.engine, "brief")
        await aged(store, talk.id, (31 if refused == "close_if_idle" else 61) * MINUTE_S)
        store.broken = {refused}
        await wired.engine.lifecycle.visit("ann", talk.id)
        assert store.refused.is_set()
        assert (await wired.engine.snapshot("ann", talk.id))[0].session.id == talk.id


@pytest.mark.promise("S-05", "S-04")
async def test_the_current_session_is_never_one_that_is_too_silent(chat: Legato) -> None:
    first = (await chat.engine.current_session("ann", "brief")).session
    assert not (await chat.engine.current_session("ann", "brief")).created
    await aged(chat.engine.store, first.id, 31 * MINUTE_S)
    second = await chat.engine.current_session("ann", "brief")
    assert second.created
    assert (await of(chat.engine, first.id)).read_only


@pytest.mark.promise("S-09")
async def test_a_thing_has_one_thread_however_many_ask(chats: list[Legato]) -> None:
    def ask(chat: Legato, owner: str = "ann", agent: str = "free", **fields: Any) -> Any:
        return chat.engine.begin_session(owner, agent, context="ticket/7", **fields)

    begun = await asyncio.gather(*(ask(chat) for _ in range(8) for chat in chats))
    assert len({found.session.id for found in begun}) == 1
    assert sum(found.created for found in begun) == 1
    others = [await ask(chats[0], owner="bob"), await ask(chats[0], agent="single")]
    others.append(await chats[0].engine.begin_session("ann", "free", context="ticket/8"))
    assert all(other.created for other in others)
    assert len({begun[0].session.id, *(other.session.id for other in others)}) == 4
