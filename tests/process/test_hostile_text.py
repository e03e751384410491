"""Whatever characters a model utters: one text, the same in every way of reading it, on both databases, after a restart too."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os.path import commonprefix
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import pytest
from anyio import to_thread

from legato.core.events import Token
from legato.core.model import Message, TextPart, Turn
from legato.core.text import normalise
from tests.process.history import Entry
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Access, Recorder, access, reading
from tests.support.upstream_scripts import HUGE, TORN, flooded

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

FAMILY: Final = "👩‍👩‍👧‍👦🏳️‍🌈"


def halves(character: str) -> Iterator[str]:
    """Its UTF-16 units, each as a character of its own."""
    units = character.encode("utf-16-be")
    for at in range(0, len(units), 2):
        yield units[at : at + 2].decode("utf-16-be", "surrogatepass")


TOKENS: Final[Mapping[str, Sequence[str]]] = {
    "a surrogate pair in two tokens": ["a \ud83c", "\udf77 b"],
    "one half of a character a token": [half for whole in FAMILY for half in halves(whole)],
    "surrogates alone": ["\ud800", "x", "\udc00", "\udc00\ud800 ", "\ud83c", "", "\udf77", "the end \ud83c"],
    "NUL": ["a\0b", "\0", "\0\0"],
    "ends of lines": ["\r", "\n", "\r\n", "\r", "\r\n\r\n", "a\u2028b\u2029c\x85d\x0b\x0ce", "\n\r"],
    "the words of the wire": [
        "\n\nevent: done\ndata: {}\n\n",
        "\r\revent: done\rdata: {}\r\r",
        "id: 1.999\n",
        "retry: 1\n\n",
        ":keep-alive\n\n",
        'data: [DONE]\n\n{"choices":[]}',
        "0\r\n\r\n",
    ],
    "byte order marks": ["\ufeff", "\ufeffHi\ufeff", "\ufffe"],
    "what is no character": [
        "\uffff\ufdd0\U0010ffff",
        "\x01\x1b[2J\x7f\x9b",
        "\u202e\u2066\u200b",
        "e\u0301",
        "\u1100\u1161",
    ],
    "what looks like an escape": ["\\u0000 \\ud800 \\", '"}', "\\n", "</script>", "%00 &#0; '; --"],
    "spaces": [" ", "\t", "between", "\u00a0", "\u3000", " \n "],
}
# By the upstream's script: the text, and how the turn ends.
SCRIPTS: Final[Mapping[str, tuple[str, str]]] = {
    "huge": (HUGE, "completed"),
    "flood 100000": (flooded(100_000), "completed"),
    "torn": ("".join(piece.decode("utf-8", "replace") for piece in TORN), "completed"),
    "deep": ("1 2 ", "provider_nonsense"),
    "control": ("1 2 ", "provider_nonsense"),
    "wordy": ("1 2 3 ", "completed"),
}


class Case(NamedTuple):
    """A message to send, and what its answer must be."""

    name: str
    message: str
    text: str
    ending: str


# At a pace: what arrives together is committed together, and the halves of a character must meet across commits.
CASES: Final = (
    *(
        Case(name, f"recite at 40/s {json.dumps(pieces)}", normalise("".join(pieces)), "completed")
        for name, pieces in TOKENS.items()
    ),
    *(Case(script, script, text, end) for script, (text, end) in SCRIPTS.items()),
)


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, database: str, tmp_path: Path) -> Iterator[ForkedServer]:
    with ForkedServer(nursery, database, model.environment, log=tmp_path / "server.log") as server:
        yield server


@pytest.mark.promise("E-01", "E-02", "E-03", "R-12", "C-05")
async def test_the_same_text_wherever_it_is_read(server: ForkedServer) -> None:
    told: dict[str, Told] = {}
    with anyio.fail_after(200):
        async with access(server.url) as to, anyio.create_task_group() as group:
            for case in CASES:
                group.start_soon(tell, to, case, told)
        await to_thread.run_sync(server.restart)
        async with access(server.url) as to, anyio.create_task_group() as group:
            for case in CASES:
                group.start_soon(tell_again, to, told[case.name])
    assert {case.name: wrong for case in CASES if (wrong := differences(case, told[case.name]))} == {}


class Told:
    """What was told of one answer, in every way: ``texts`` and ``journals`` by the way in which they came."""

    def __init__(self, session_id: str, turn_id: str) -> None:
        self.session_id = session_id
        self.turn_id = turn_id
        self.texts: dict[str, str] = {}
        self.journals: dict[str, list[tuple[str, str, str]]] = {}
        self.endings: dict[str, str] = {}
        self.afterwards = ""


async def tell(to: Access, case: Case, told: dict[str, Told]) -> None:
    """Asks for the answer, with somebody who follows live, and reads it in every way."""
    session = Recorder(to, (await to.client.create_session()).id)
    async with reading(session.reader("live stream")):
        answer = await to.client.answer(session.id, case.message)
        await answer.result()
        this = told[case.name] = Told(session.id, answer.turn.id)
        this.texts["client"] = answer.text
        await read_all(to, session, this)


async def tell_again(to: Access, this: Told) -> None:
    """Reads it in every way from a server that was not there when it was said; then the session must go on."""
    await read_all(to, Recorder(to, this.session_id), this, ", restarted")
    answer = await to.client.answer(this.session_id, "count 3")
    await answer.result()
    this.afterwards = answer.text


async def read_all(to: Access, session: Recorder, this: Told, when: str = "") -> None:
    async with reading(session.reader("replayed stream" + when)):
        history = await session.history()
    for reader in history.readers:
        this.journals[reader.name] = list(bare(reader.entries))
        this.texts[reader.name] = uttered(reader.entries)
    this.journals["JSON events" + when] = list(bare(history.journal))
    this.texts["JSON events" + when] = uttered(history.journal)
    this.texts["history" + when] = text_of(history.messages[-1])
    this.texts["session" + when] = text_of(history.final.state.messages[-1])
    this.endings["turn" + when] = ending(await to.client.turn(session.id, this.turn_id))
    this.endings["history" + when] = ending(history.messages[-1])
    this.endings["session" + when] = ending(history.final.state.messages[-1])


def ending(of: Turn | Message) -> str:
    """How it ended: its error's code, or else its status."""
    return of.error.code if of.error else of.status


def bare(entries: Iterable[Entry]) -> Iterator[tuple[str, str, str]]:
    """Without the time at which each came."""
    return ((entry.cursor, entry.type, entry.data) for entry in entries)


def uttered(entries: Iterable[Entry]) -> str:
    """What the tokens say."""
    events = (entry.event() for entry in entries if entry.type == Token.event)
    return "".join(event.text for event in events if isinstance(event, Token))


def text_of(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


def differences(case: Case, told: Told) -> list[str]:
    """In which ways the answer is not what it must be."""
    wrong = [f"{way}: {difference(text, case.text)}" for way, text in told.texts.items() if text != case.text]
    wrong += [f"{way} ended as {end}" for way, end in told.endings.items() if end != case.ending]
    live = told.journals["live stream"]
    wrong += [f"{way} differs from what was told live" for way, journal in told.journals.items() if journal != live]
    return wrong if told.afterwards == "1 2 3 " else [*wrong, f"afterwards: {told.afterwards[:100]!r}"]


def difference(one: str, other: str) -> str:
    """Where two texts part: of a megabyte nobody wants to see more."""
    at = len(commonprefix([one, other]))  # noqa: RUF071 (by characters is what is meant)
    return f"at {at} of {len(one)}: {one[at : at + 30]!r} instead of {other[at : at + 30]!r}"
