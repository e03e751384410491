"""Welcomes, suggestions and titles over HTTP: what a client is told of them, and how it does without."""

from collections.abc import AsyncIterator

import anyio
import pytest

from legato import Legato, Turn
from legato.agents.demo import demo
from legato.agents.demo_side import demo_side
from legato.client import AsyncClient
from legato.core.events import SessionEvent
from legato.engine.settings import EngineSettings
from tests.http.puppets import echo
from tests.http.serving import serving

pytestmark = pytest.mark.anyio


async def hello(turn: Turn) -> AsyncIterator[str]:
    yield {"sv": "Hej", "ru": "Здравствуйте"}.get(turn.locale[:2], "Hello") + "!"


@pytest.fixture
async def client(own_database: str) -> AsyncIterator[AsyncClient]:
    chat = Legato(own_database, environment={}, settings=EngineSettings(grace_s=0.1))
    chat.agent("host", welcome=hello, suggestions=("A red?", "A white?"), titles=False)(echo)
    chat.agent("demo", side=demo_side)(demo)
    with anyio.fail_after(60):
        async with serving(chat) as url, AsyncClient(url, headers={"accept-language": "sv-SE,en;q=0.5"}) as client:
            yield client


@pytest.mark.promise("T-05")
async def test_a_client_sees_the_welcome_come_and_what_could_be_asked(client: AsyncClient) -> None:
    host, other = await client.agents()
    assert (host.id, host.default, host.welcomes, host.suggestions) == ("host", True, True, ("A red?", "A white?"))
    assert (other.default, other.welcomes, other.suggestions) == (False, False, ())

    session = await client.create_session()
    view = await client.session(session.id)
    (turn,) = view.state.turns
    assert (turn.kind, turn.source_turn_id) == ("welcome", None)
    async for _, event in client.follow(session.id, after="0", until=turn.id):
        assert event.event != "error"
    message = await client.watch(await client.retry(session.id, turn.id)).result()
    assert message is not None
    assert (message.message_type, message.parent_id) == ("welcome", None)
    answer = await client.answer(session.id, "Hello")
    await answer.result()
    assert [m.role for m in await client.messages(session.id)] == ["assistant", "user", "assistant"]
    (welcome, *_) = await client.messages(session.id)
    assert [getattr(part, "text", "") for part in welcome.parts] == ["Hej!"]


@pytest.mark.promise("T-05")
async def test_a_client_that_has_a_question_does_without(client: AsyncClient) -> None:
    session = await client.create_session(welcome=False)
    assert (await client.session(session.id)).state.turns == ()


@pytest.mark.promise("T-01")
async def test_the_demo_agents_sessions_get_titles_that_their_readers_see_come(client: AsyncClient) -> None:
    session = await client.create_session("demo")
    assert (session.title, session.title_source) == (None, None)
    answer = await client.answer(session.id, "What wine goes with grilled salmon?")
    await answer.result()
    async for _, event in client.follow(session.id, after="0"):
        if isinstance(event, SessionEvent) and event.session.title is not None:
            break
    titled = (await client.session(session.id)).state.session
    assert (titled.title, titled.title_source) == ("Wine Grilled Salmon", "model")
    page = await client.sessions_page()
    assert page.data[0].title == "Wine Grilled Salmon"
