"""Whatever an agent or its provider says of itself, its turn ends, and the session can be read; on both stores."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from legato import Legato
from legato.agents.registry import Run
from legato.agents.turn import Turn
from legato.core.errors import Invalid, ProviderError, TurnError
from legato.core.model import Turn as TurnState
from legato.store import journal, sessions
from legato.store.port import Store
from tests.engine.talking import Talk
from tests.support.brief import BRIEF
from tests.support.conversation import new_session

pytestmark = pytest.mark.anyio
PATIENCE_S = 30


class LongCode(TurnError):
    """A host's own error."""

    code = "x" * 200


async def stops_oddly(turn: Turn) -> AsyncIterator[str]:
    turn._stage.stopped("because\x00 " * 50)  # as StopDelta does, with a provider's word
    yield "Hi"


async def fails_oddly(turn: Turn) -> AsyncIterator[str]:
    yield "Hi"
    raise LongCode("no")


async def quotes_a_nul(turn: Turn) -> AsyncIterator[str]:
    yield "Hi"
    raise ProviderError("The server said: \x00\ud800")


async def invents_a_phase(turn: Turn) -> AsyncIterator[str]:
    phase: Any = "dreaming"
    yield "Hi"
    await turn.status(phase)


@asynccontextmanager
async def talking(url: str, run: Run) -> AsyncIterator[Talk]:
    chat = Legato(url, settings=BRIEF, environment={})
    chat.agent("odd")(run)
    async with chat.lifespan():
        with anyio.fail_after(PATIENCE_S):
            yield await Talk.begin(chat.engine)


async def answered(talk: Talk) -> TurnState:
    turn = await talk.ask()
    assert await talk.texts() == ["Hello", "Hi"]
    rows = await talk.engine.rows(talk.id, 0, 0.0)
    assert list(journal.turn_events(rows))  # whoever follows can read all of it
    return turn


@pytest.fixture
def url(store_url: str) -> str:
    return store_url


@pytest.mark.promise("R-05")
async def test_a_reason_of_any_length(url: str) -> None:
    async with talking(url, stops_oddly) as talk:
        turn = await answered(talk)
    assert turn.status == "completed"
    assert turn.reason is not None
    assert turn.reason.startswith("because\ufffd because")


@pytest.mark.promise("R-05", "R-12")
async def test_a_code_of_any_length(url: str) -> None:
    async with talking(url, fails_oddly) as talk:
        turn = await answered(talk)
    assert turn.status == "failed"
    assert turn.error is not None
    assert turn.error.code.startswith("xxx")


@pytest.mark.promise("R-12")
async def test_an_error_that_quotes_what_no_database_can_hold(url: str) -> None:
    async with talking(url, quotes_a_nul) as talk:
        turn = await answered(talk)
    assert turn.error is not None
    assert turn.error.message == "The server said: \ufffd\ufffd"


@pytest.mark.promise("R-05", "R-12")
@pytest.mark.parametrize("run", [invents_a_phase])
async def test_a_word_that_does_not_exist_fails_the_turn_and_poisons_no_journal(url: str, run: Run) -> None:
    async with talking(url, run) as talk:
        turn = await answered(talk)
    assert turn.status == "failed"
    assert turn.error is not None
    assert turn.error.code == "agent_error"


async def test_what_is_too_long_for_its_column_is_refused_and_not_tried_again(store: Store) -> None:
    """SQLite has no limits of this kind; PostgreSQL says no, and does not pretend to be away."""
    try:
        created = await new_session(store, owner="x" * 300)
    except Invalid:
        assert store.shared
    else:
        assert (await store.read(sessions.get, created.session.id, "x" * 300)) == created.session
