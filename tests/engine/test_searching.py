"""A search is nobody else's wait: what it counts and cuts is little, and is done aside, whatever was said."""

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from legato import Turn
from legato.agents.registry import AgentSpec
from legato.core import snippet as snippets
from legato.core.events import Token
from legato.core.search import MOST_COUNTED, Term
from legato.core.words import Word
from legato.engine.searching import find
from legato.store import finding, hits
from tests.engine.talking import Talk
from tests.engine.wiring import FaultyStore, opened, working
from tests.suites.store.searching import telling

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-14")]

LONG = 96_000
MANY = 10
QUESTION = " ".join(f"w{number}" for number in range(32))


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(url: str) -> AsyncIterator[FaultyStore]:
    async with opened(url) as store:
        yield store


class Watched:
    """What a search goes through, and in which threads. Whole threads of the store are held up by what is done in them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.threads: set[threading.Thread] = set()
        self.counted: list[int] = []
        self.words = 0
        self._watch(monkeypatch, hits, "score", self._score)
        self._watch(monkeypatch, hits, "snippet", self._snippet)
        self._watch(monkeypatch, hits, "to_message", self._message)
        self._watch(monkeypatch, snippets, "places", self._places)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, watch: Callable[..., Any]) -> None:
        done = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **kwargs: watch(done, *args, **kwargs))

    def _score(self, score: Callable[..., int], terms: tuple[Term, ...], said: str, **kwargs: Any) -> int:
        self.threads.add(threading.current_thread())
        self.counted.append(len(said))
        return score(terms, said, **kwargs)

    def _snippet(self, snippet: Callable[..., str], *args: Any, **kwargs: Any) -> str:
        self.threads.add(threading.current_thread())
        return snippet(*args, **kwargs)

    def _message(self, to_message: Callable[..., Any], row: Any) -> Any:
        self.threads.add(threading.current_thread())
        return to_message(row)

    def _places(self, places: Callable[[str], list[Word]], text: str) -> list[Word]:
        found = list(places(text))
        self.words += len(found)
        return found


async def test_long_messages_cost_a_search_little(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{'filler ' * (LONG // 14)}{QUESTION} {'filler ' * (LONG // 14)}"
    await telling(store, *(text for _ in range(MANY)))
    watched = Watched(monkeypatch)

    page = await find(store, "ann", QUESTION)

    assert [hit.snippet.count("<mark>") for hit in page.data] == [32] * MANY
    assert len(watched.counted) == MANY
    assert max(watched.counted) == MOST_COUNTED
    assert watched.words < MANY * 1_500, "of 14,000 words in each the 32 stand in the middle"
    assert not [each.name for each in watched.threads if each is threading.main_thread()]
    assert not [each.name for each in watched.threads if each.name.startswith("legato-read")]


async def test_pages_go_on_below_what_is_ranked(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "RANKED", 2)
    await telling(store, *(f"harbour {number}" for number in range(5)))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await find(store, "ann", "harbour", limit=3, cursor=cursor)
        seen += [hit.snippet[-1] for hit in page.data]
        if (cursor := page.next) is None:
            break
    assert seen == ["4", "3", "2", "1", "0"]


@pytest.mark.promise("R-05")
async def test_an_answer_of_too_many_long_words_ends_and_is_found(store: FaultyStore) -> None:
    """It was refused by the index of PostgreSQL, again and again, and its turn never ended."""
    async with working(store, AgentSpec(id="wordy", name="Wordy", run=wordy)) as wired:
        talk = await Talk.begin(wired.engine)
        assert (await talk.ask("Count!")).status == "completed"
        turn = await talk.send("Again, and stay!")
        await talk.until(lambda event: isinstance(event, Token) and event.turn_id == turn.id and "15999" in event.text)
        assert (await talk.cancel(turn.id)).status == "cancelled"
    page = await find(store, "ann", f"{7:064}")
    assert [hit.role for hit in page.data] == ["assistant", "assistant"]


async def wordy(turn: Turn) -> AsyncIterator[str]:
    for start in range(0, 16_000, 100):
        yield "".join(f"{number:064} " for number in range(start, start + 100))
    if "stay" in turn.text:
        await anyio.sleep_forever()
