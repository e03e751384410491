"""The façade: what a host application sees of starting, stopping and declaring agents."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import legato
from legato import Legato, Turn
from legato.agents.config import Config, ProviderEntry
from legato.core.errors import Misuse, NotStarted, SessionNotFound, StoreInUse, Unavailable
from legato.engine.settings import EngineSettings
from legato.store.opening import open_store
from tests.engine.talking import Talk, text_of
from tests.http.puppets import Puppets, echo
from tests.support.brief import BRIEF
from tests.support.server import free_port
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio


def make(url: str, **fields: EngineSettings) -> Legato:
    chat = Legato(url, environment={}, **({"settings": BRIEF} | fields))  # type: ignore[arg-type]
    chat.agent("echo")(echo)
    return chat


async def test_before_its_start_and_after_its_end_it_says_what_is_missing(sqlite: str) -> None:
    chat = make(sqlite)
    with pytest.raises(NotStarted, match=r"lifespan=chat\.lifespan"):
        _ = chat.engine
    await chat.stop()  # nothing to stop
    chat.drain()
    async with chat.lifespan():
        assert chat.engine.registry.default().id == "echo"
    with pytest.raises(NotStarted):
        _ = chat.engine


@pytest.mark.promise("A-01")
async def test_an_agent_is_declared_with_a_decorator_that_leaves_it_as_it_is(sqlite: str) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})

    @chat.agent("sommelier", name="The sommelier", role="advisor", parent_role="restaurant", tail=10)
    async def sommelier(turn: Turn) -> AsyncIterator[str]:
        yield f"With {turn.text}? A Chablis."

    assert [text async for text in echo(_Said("Hi"))] == ["You ", "said: ", "Hi"]
    async with chat.lifespan():
        (spec,) = chat.engine.registry.list()
        assert (spec.id, spec.name, spec.role, spec.tail, spec.run) == (
            "sommelier",
            "The sommelier",
            "advisor",
            10,
            sommelier,
        )
        talk = await Talk.begin(chat.engine)
        session = (await talk.state()).session
        assert (session.agent_id, session.agent_name, session.parent_role) == (
            "sommelier",
            "The sommelier",
            "restaurant",
        )
        await talk.ask("oysters")
        assert await talk.texts() == ["oysters", "With oysters? A Chablis."]


class _Said(Turn):
    def __init__(self, text: str) -> None:
        self._said = text

    @property
    def text(self) -> str:
        return self._said


@pytest.mark.promise("A-03")
async def test_without_any_agent_the_demo_answers(sqlite: str) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    async with chat.lifespan():
        (spec,) = chat.engine.registry.list()
        assert spec.demo
        assert (await (await Talk.begin(chat.engine)).ask("Hello")).status == "completed"


async def test_what_is_configured_stands_beside_what_is_declared(sqlite: str, upstream: Upstream) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url})
    chat.agent("echo")(echo)
    async with chat.lifespan():
        assert [spec.id for spec in chat.engine.registry.list()] == ["echo", "assistant"]
        talk = await Talk.begin(chat.engine, "assistant")
        await talk.ask("count 2")
        assert await talk.texts() == ["count 2", "1 2 "]


async def test_a_configuration_may_be_a_file(sqlite: str, tmp_path: Path) -> None:
    path = tmp_path / "legato.toml"
    path.write_text('[[agents]]\nid = "parrot"\nrun = "tests.http.puppets:echo"\n')
    chat = Legato(sqlite, settings=BRIEF, config=path, environment={})
    async with chat.lifespan():
        assert chat.engine.registry.default().id == "parrot"


async def test_one_file_is_served_once_and_the_second_says_so(sqlite: str) -> None:
    first, second = make(sqlite), make(sqlite)
    async with first.lifespan():
        with pytest.raises(StoreInUse, match="Another process serves this SQLite file"):
            await second.start()
        with pytest.raises(NotStarted):
            _ = second.engine
        assert (await (await Talk.begin(first.engine)).ask("Still there?")).status == "completed"
    async with second.lifespan():
        await Talk.begin(second.engine)


@pytest.mark.parametrize("url", ["mysql://localhost/chat", "sqlite://", "nonsense"])
async def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Misuse):
        await make(url).start()


async def test_a_database_that_is_away_is_said_so_at_start() -> None:
    with pytest.raises(Unavailable):
        await make(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/nothing").start()


async def test_a_start_that_fails_takes_down_what_stood_already(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from legato.doorbell.local import LocalDoorbell

    chat = make(sqlite)
    before = asyncio.all_tasks()

    async def fail(self: object, heard: object) -> None:
        raise Unavailable("no doorbell today")

    monkeypatch.setattr(LocalDoorbell, "start", fail)
    with pytest.raises(Unavailable, match="no doorbell today"):
        await chat.start()
    assert asyncio.all_tasks() == before
    with pytest.raises(NotStarted):
        _ = chat.engine
    monkeypatch.undo()
    async with chat.lifespan():  # the file is free again
        await Talk.begin(chat.engine)


@pytest.mark.parametrize(("model", "said"), [("openai", "provider:model"), ("nobody:m", r"\[providers.nobody\]")])
async def test_an_agent_with_a_model_of_nobody_is_a_mistake_at_start(sqlite: str, model: str, said: str) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("agent", model=model)(echo)
    with pytest.raises(Misuse, match=said):
        await chat.start()


async def test_an_agent_may_use_a_configured_provider(sqlite: str, upstream: Upstream) -> None:
    config = Config(providers={"mine": ProviderEntry(base_url=upstream.url)})
    chat = Legato(sqlite, settings=BRIEF, config=config, environment={})

    @chat.agent("agent", model="mine:m")
    async def agent(turn: Turn) -> AsyncIterator[str]:
        async for text in turn.stream():
            yield text

    async with chat.lifespan():
        assert (await (await Talk.begin(chat.engine)).ask("count 2")).status == "completed"
    assert upstream.exchanges[0].body["model"] == "m"


@pytest.mark.promise("R-02")
async def test_a_repeat_finds_its_answer_however_much_was_said_since(sqlite: str) -> None:
    chat = make(sqlite)
    async with chat.lifespan():
        me = chat.of("ann")
        session = await me.create_session("echo")
        first, answer = await me.answered(await me.send(session.id, "zero", message_id="m0"))
        assert text_of(answer) == "You said: zero"
        for n in range(1, 8):
            await me.answered(await me.send(session.id, f"{n}", message_id=f"m{n}"))
        assert await me.answered(await me.send(session.id, "zero", message_id="m0")) == (first, answer)

        again = await me.retry(session.id, first.id)  # from now on the first answer stands on another branch
        assert (await me.answered(again))[0].answer_id != first.answer_id
        assert await me.answered(await me.send(session.id, "zero", message_id="m0")) == (first, answer)

        with pytest.raises(SessionNotFound):
            await chat.of("bob").answered(again)
        await me.clear(session.id)
        assert (await me.answered(again))[1] is None, "it was removed"


@pytest.mark.promise("R-05")
async def test_drained_it_takes_up_nothing_and_ends_what_runs_when_it_stops(sqlite: str, puppets: Puppets) -> None:
    chat = Legato(sqlite, settings=BRIEF, environment={})
    chat.agent("puppet")(puppets.answer)
    async with chat.lifespan():
        talk = await Talk.begin(chat.engine)
        running = await talk.send()
        puppet = await puppets.of(running.id)
        chat.drain()
        assert chat.draining
        waiting = await (await Talk.begin(chat.engine)).send()
        with chat.engine.hub.reader(talk.id, 0) as reader:
            assert await reader.next(10) is None
        puppet.say("On and on")
    assert not puppets.plays(waiting.id)
    async with chat.lifespan():
        assert (await talk.on(chat.engine).ended(running.id)).reason == "shutdown"
        await puppets.of(waiting.id)


async def test_the_package_names_two_things_and_no_other() -> None:
    assert (legato.Legato, legato.Turn) == (Legato, Turn)
    assert not hasattr(legato, "nothing")


async def test_the_file_is_for_its_owner_only(sqlite: str) -> None:
    async with make(sqlite).lifespan():
        path = Path(sqlite.removeprefix("sqlite:///"))
        assert {file.stat().st_mode & 0o077 for file in path.parent.glob("legato.db*")} == {0}
    store = open_store(sqlite)
    await store.start()
    await store.stop()
