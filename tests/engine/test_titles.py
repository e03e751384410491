"""Titles in the background (promise T-01), and that no small model, however it behaves, is felt by a turn (guarantee G19)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, delete, select, update

from legato import Legato
from legato.agents.config import Config, ProviderEntry
from legato.agents.registry import AgentSpec, Registry
from legato.app import Models
from legato.core.events import Done, SessionEvent
from legato.core.model import Session
from legato.core.titles import SYSTEM
from legato.engine.chores import Chores, Duty
from legato.engine.settings import EngineSettings
from legato.engine.side import SideModel
from legato.engine.titles import Titles
from legato.providers.catalog import Catalog
from legato.store import chores, schema
from legato.store.rows import to_time
from tests.engine.talking import Talk
from tests.engine.wiring import FaultyStore, Wired, opened, working
from tests.http.puppets import echo
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio

CREATED = 1_795_564_800_000_000  # 25 November 2026
QUESTION = "Which wine goes with grilled salmon?"
Side = Callable[[str, str], Awaitable[Any]]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


class Entitled:
    """A worker with the duty of titles, on its own steps, and a session with an agent whose small model is ``side``."""

    def __init__(self, wired: Wired, talk: Talk, chores: Chores) -> None:
        self.wired = wired
        self.talk = talk
        self.chores = chores

    async def settled(self) -> Session:
        """Do what is due to its end; the session then."""
        await self.chores.step()
        while side := [task for task in asyncio.all_tasks() if task.get_name().startswith("title ")]:
            await asyncio.wait(side)
        return (await self.talk.state()).session

    async def due(self) -> list[str]:
        found: list[str] = await self.wired.store.read(chores.due, "title", "wrk_other", 10)
        return found


@asynccontextmanager
async def entitled(
    store: FaultyStore, side: Side | None, *, timeout_s: float = 20.0, here: bool = True, **fields: Any
) -> AsyncIterator[Entitled]:
    spec = AgentSpec(id="echo", name="Echo", run=echo, side=side, **fields)
    async with working(store, spec) as wired:
        titles = Titles(
            store=store,
            publisher=wired.publisher,
            registry=Registry(spec) if here else Registry(),
            side=SideModel(
                store=store,
                models=Models(catalog=Catalog(providers={}), providers={}),
                tasks=wired.tasks,
                timeout_s=timeout_s,
            ),
        )
        duties = (Duty(kind="title", work=titles.title, most_tries=0),)
        side_work = Chores(store=store, tasks=wired.tasks, worker=lambda: wired.dispatcher.worker_id, duties=duties)
        talk = await Talk.begin(wired.engine)
        await store.write(_created_at, talk.id, CREATED)
        yield Entitled(wired, talk, side_work)
        await side_work.stop()


def saying(text: Any) -> Side:
    async def side(system: str, asked: str) -> Any:
        return text

    return side


@pytest.mark.promise("T-01")
async def test_after_the_first_answer_a_session_gets_a_title(store: FaultyStore) -> None:
    asked: list[tuple[str, str]] = []

    async def side(system: str, text: str) -> str:
        asked.append((system, text))
        return '"Salmon Wine."'

    async with entitled(store, side) as it:
        assert await it.due() == []
        await it.talk.ask(QUESTION)
        before = (await it.talk.state()).session

        session = await it.settled()

        assert (session.title, session.title_source) == ("Salmon Wine", "model")
        assert session.last_activity == before.last_activity
        assert asked == [(SYSTEM, '{"question":"' + QUESTION + '","answer":"You said: ' + QUESTION + '"}')]
        await it.talk.until(lambda event: isinstance(event, SessionEvent) and event.session.title == "Salmon Wine")
        await it.talk.ask("And then?")
        assert await it.due() == []
        assert (await it.settled()).title == "Salmon Wine"


async def nothing_ever(system: str, text: str) -> str:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def raising(system: str, text: str) -> str:
    raise ValueError(text)


async def cancelled_inside(system: str, text: str) -> str:
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    await inner
    raise AssertionError


@pytest.mark.promise("T-01")
@pytest.mark.parametrize(
    "side",
    [
        pytest.param(None, id="no model"),
        pytest.param(saying(""), id="nothing"),
        pytest.param(saying("I am sorry, but I can't name that."), id="a sentence"),
        pytest.param(saying("w " * 500_000), id="1 MB"),
        pytest.param(saying("\x1b[2J\u202e"), id="control characters"),
        pytest.param(saying("Лосось"), id="another script"),
        pytest.param(saying(None), id="no text"),
        pytest.param(saying(b"bytes"), id="not even text"),
        pytest.param(raising, id="a failure"),
        pytest.param(cancelled_inside, id="a cancellation of its own"),
    ],
)
async def test_on_failure_and_nonsense_the_day_is_the_title_at_once(store: FaultyStore, side: Side | None) -> None:
    async with entitled(store, side) as it:
        await it.talk.ask(QUESTION, locale="sv-SE")
        session = await it.settled()
        assert (session.title, session.title_source) == ("25 november 2026", "date")
        assert await it.due() == []


@pytest.mark.promise("T-01")
async def test_a_model_that_hangs_is_left_after_its_time(store: FaultyStore) -> None:
    async with entitled(store, nothing_ever, timeout_s=0.05) as it:
        await it.talk.ask(QUESTION)
        session = await it.settled()
        assert (session.title, session.title_source) == ("25 November 2026", "date")


@pytest.mark.promise("T-01")
async def test_a_model_that_does_not_even_take_a_cancellation_is_left_too(store: FaultyStore) -> None:
    may_end = asyncio.Event()

    async def stubborn(system: str, text: str) -> str:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue
        return "Too Late"

    async with entitled(store, stubborn, timeout_s=0.05) as it:
        await it.talk.ask(QUESTION)
        session = await it.settled()
        assert (session.title, session.title_source) == ("25 November 2026", "date")
        may_end.set()
        await it.wired.tasks.settle(5)
        assert (await it.talk.state()).session.title == "25 November 2026"


@pytest.mark.promise("T-01")
async def test_a_persons_title_is_not_overwritten_whenever_it_comes(store: FaultyStore) -> None:
    thinks, may_say = anyio.Event(), anyio.Event()

    async def side(system: str, text: str) -> str:
        thinks.set()
        await may_say.wait()
        return "Salmon Wine"

    async with entitled(store, side) as it:
        await it.talk.ask(QUESTION)
        await it.chores.step()
        await thinks.wait()
        await it.wired.engine.change_session("ann", it.talk.id, {"title": "Mine"})
        may_say.set()
        session = await it.settled()
        assert (session.title, session.title_source) == ("Mine", "person")

        await it.wired.engine.change_session("ann", it.talk.id, {"title": None})
        assert (await it.settled()).title is None, "until the next answer"
        await it.talk.ask("And then?")
        session = await it.settled()
        assert (session.title, session.title_source) == ("Salmon Wine", "model")


@pytest.mark.promise("T-01")
async def test_who_does_not_want_titles_gets_none(store: FaultyStore) -> None:
    async with entitled(store, saying("Salmon Wine"), titles=False) as it:
        await it.talk.ask(QUESTION)
        assert await it.due() == []
        await store.write(chores.ask, it.talk.id, "title")  # asked for before that was said
        assert (await it.settled()).title is None
        assert await it.due() == []


@pytest.mark.promise("T-01", "T-05")
async def test_a_welcome_is_no_first_answer(store: FaultyStore) -> None:
    async with entitled(store, saying("Salmon Wine"), welcome="What may I recommend?") as it:
        await it.talk.until(lambda event: isinstance(event, Done))
        assert await it.due() == []
        assert (await it.settled()).title is None
        await it.talk.ask(QUESTION)
        assert (await it.settled()).title == "Salmon Wine"


@pytest.mark.promise("T-01")
async def test_a_turn_that_did_not_complete_asks_for_none(store: FaultyStore) -> None:
    async with entitled(store, saying("Salmon Wine"), max_turn_s=0.0) as it:
        assert (await it.talk.ask(QUESTION)).status == "failed"
        assert await it.due() == []


@pytest.mark.promise("T-01")
async def test_a_session_that_was_deleted_meanwhile_is_no_failure(
    store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    thinks, may_say = anyio.Event(), anyio.Event()

    async def side(system: str, text: str) -> str:
        thinks.set()
        await may_say.wait()
        return "Salmon Wine"

    async with entitled(store, side) as it:
        await it.talk.ask(QUESTION)
        await it.chores.step()
        await thinks.wait()
        await store.write(_deleted, it.talk.id)
        may_say.set()
        await it.wired.tasks.settle(5)
        assert await it.due() == []
        assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.promise("T-01")
async def test_while_the_store_is_away_it_waits_and_is_done_afterwards(store: FaultyStore) -> None:
    async with entitled(store, saying("Salmon Wine")) as it:
        turn = await it.talk.ask(QUESTION)
        store.broken = {"entitle"}
        assert (await it.settled()).title is None
        assert turn.status == "completed"
        store.broken = set()
        assert await it.due() == [], "not at once"
        await store.write(_soon, it.talk.id)
        assert (await it.settled()).title == "Salmon Wine"


@pytest.mark.promise("T-01")
async def test_where_its_agent_is_not_it_is_put_off_and_in_the_end_the_day_has_to_do(store: FaultyStore) -> None:
    async with entitled(store, saying("Salmon Wine"), here=False) as it:
        await it.talk.ask(QUESTION)
        for _ in range(2):
            assert (await it.settled()).title is None
            assert await it.due() == []
            await store.write(_soon, it.talk.id)
        session = await it.settled()
        assert (session.title, session.title_source) == ("25 November 2026", "date")


@pytest.mark.promise("T-01")
async def test_what_kills_the_process_again_and_again_is_not_asked_for_ever(store: FaultyStore) -> None:
    async with entitled(store, saying("Salmon Wine")) as it:
        await it.talk.ask(QUESTION)
        for worker in ("wrk_1", "wrk_2", "wrk_3"):  # none of them lives
            assert await store.write(chores.take, it.talk.id, "title", worker) is not None
        assert (await it.settled()).title_source == "date"


SILENT: list[Any] = [
    pytest.param(nothing_ever, id="hangs"),
    pytest.param(saying("w " * 500_000), id="1 MB"),
    pytest.param(saying("# not\na title"), id="garbage"),
    pytest.param(raising, id="raises"),
]


@pytest.mark.promise("T-01")
@pytest.mark.parametrize("side", SILENT)
async def test_turns_and_shutdown_do_not_feel_it(sqlite: str, side: Side) -> None:
    """G19: journals are those of a server that makes no titles, but for the titles themselves."""
    with_it, without = [await _journals(sqlite, side, titles=titles) for titles in (True, False)]
    assert with_it == without
    assert set(with_it[0]) >= {"message", "turn", "token", "usage", "done"}


async def _journals(database: str, side: Side, *, titles: bool) -> list[list[str]]:
    """What 20 sessions of two turns are told, as types of events; tokens that were merged count as one."""
    chat = Legato(database, environment={}, settings=EngineSettings(grace_s=0.1, titles=titles))
    chat.agent("echo", side=side)(echo)
    await chat.start()
    talks = [await Talk.begin(chat.engine) for _ in range(20)]
    for talk in talks:
        for text in ("Hello", "Again"):
            turn = await talk.ask(text)
            assert (turn.status, turn.reason) == ("completed", "stop")
    told = [[event.event for _, event in await talk.told() if event.event != "session"] for talk in talks]
    with anyio.fail_after(5):
        await chat.stop()
    return [[kind for kind, _ in groupby(kinds)] for kinds in told]


@pytest.mark.promise("T-01")
async def test_a_stubborn_one_does_not_hold_up_the_shutdown(sqlite: str, caplog: pytest.LogCaptureFixture) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def side(system: str, text: str) -> str:
        begun.set()
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue
        return "Too Late"

    chat = Legato(sqlite, environment={}, settings=EngineSettings(grace_s=0.1))
    chat.agent("echo", side=side)(echo)
    await chat.start()
    talk = await Talk.begin(chat.engine)
    assert (await talk.ask()).status == "completed"
    await begun.wait()
    with anyio.fail_after(5):
        await chat.stop()
    may_end.set()
    assert "is left behind" in caplog.text


@pytest.mark.promise("T-01", "R-11")
async def test_the_small_model_is_asked_as_the_agent_says_and_its_cost_is_told(sqlite: str, upstream: Upstream) -> None:
    provider = ProviderEntry(base_url=upstream.url)
    chat = Legato(
        sqlite, config=Config(providers={"local": provider}), environment={}, settings=EngineSettings(grace_s=0.1)
    )
    chat.agent("echo", side_model="local:small")(echo)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        await talk.ask("Hello", locale="ru")
        told = await talk.until(lambda event: isinstance(event, SessionEvent) and event.session.title is not None)
        event = told[-1][1]
        assert isinstance(event, SessionEvent)
        assert event.session.title_source == "date", "it says back what it was given, and that is JSON"
        body = upstream.exchanges[0].body
        assert body["model"] == "small"
        assert [message["role"] for message in body["messages"]] == ["system", "user"]
        assert body["messages"][0]["content"] == SYSTEM
        assert body["messages"][1]["content"] == '{"question":"Hello","answer":"You said: Hello"}'
        spent = await chat.engine.store.read(_spent)
        assert [(row.kind, row.model_id, row.calls, row.owner) for row in spent if row.kind != "turn"] == [
            ("title", "local:small", 1, "ann")
        ]


def test_the_day_of_the_tests() -> None:
    assert str(to_time(CREATED).date()) == "2026-11-25"


def _created_at(conn: Connection, session_id: str, at: int) -> None:
    conn.execute(update(schema.sessions).where(schema.sessions.c.id == session_id).values(created_at=at))


def _deleted(conn: Connection, session_id: str) -> None:
    conn.execute(delete(schema.chores).where(schema.chores.c.session_id == session_id))
    conn.execute(delete(schema.sessions).where(schema.sessions.c.id == session_id))


def _soon(conn: Connection, session_id: str) -> None:
    conn.execute(update(schema.chores).where(schema.chores.c.session_id == session_id).values(due_at=1))


def _spent(conn: Connection) -> Any:
    return conn.execute(select(schema.usage_days)).all()
