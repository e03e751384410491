"""Background work never starves people (R-15): how long a person waits for first words, with five busy agents and without.

The promise is twice as long, in the median. Machines that run tests are busy with other things too, so what fails here is
only what no noise explains; the number is printed. Without precedence it is far beyond that.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery

pytestmark = [pytest.mark.promise("R-15"), pytest.mark.timeout(240)]

AGENTS: Final = 5
ROUNDS: Final = 4
TIMES: Final = 8  # in each half of a round
STEADY: Final = "count 100000000 at 200/s"  # as fast as models speak
ENDLESS: Final = "count 100000000 at 1000000/s"  # a token a write, as fast as it can
FLOOD: Final = "pour"  # far more than a core can take
AT_MOST: Final = {STEADY: 6.0, ENDLESS: 6.0, FLOOD: 10.0}  # promised are two
PATIENCE_S: Final = 60.0
BRIEF: Final = "count 3"

CONFIGURATION: Final = """
default_agent = "person"

[[agents]]
id = "person"
model = "{person}:m"

[providers.quick]
base_url = "{quick}"

[providers.busy]
base_url = "{busy}"
{places}
"""
AGENT: Final = """
[[agents]]
id = "clerk{number}"
model = "busy:m"
max_running = 1
"""


class Visitor:
    """Somebody who asks the server, each time through a connection of its own."""

    def __init__(self, server: ForkedServer) -> None:
        self._port = server.port

    def ask(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        with self._asked(method, f"/v1{path}", body) as response:
            said = response.read()
        assert response.status == status, said
        return json.loads(said) if said else None

    def session(self, agent_id: str = "person") -> str:
        return str(self.ask("POST", "/sessions", {"agent_id": agent_id}, 201)["id"])

    def send(self, session_id: str, text: str, **fields: object) -> dict[str, Any]:
        sent: dict[str, Any] = self.ask("POST", f"/sessions/{session_id}/turns", {"text": text, **fields}, 202)["turn"]
        return sent

    def status(self, session_id: str, turn_id: str) -> str:
        return str(self.ask("GET", f"/sessions/{session_id}/turns/{turn_id}")["status"])

    def head(self, session_id: str) -> int:
        cursor: str = self.ask("GET", f"/sessions/{session_id}?limit=1")["cursor"]
        return int(cursor.partition(".")[2])

    def first_words_after_s(self) -> float:
        """From the request to the first token of its answer; the rest of it is waited for too."""
        path = f"/v1/sessions/{self.session()}/turns"
        began = time.perf_counter()
        with self._asked("POST", path, {"text": BRIEF}, Accept="text/event-stream") as response:
            lines = iter(response.readline, b"")
            assert any(line == b"event: token\n" for line in lines)
            took_s = time.perf_counter() - began
            assert any(line == b"event: done\n" for line in lines)
            response.read()
        return took_s

    @contextmanager
    def _asked(self, method: str, path: str, body: object, **headers: str) -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)) as connection:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **headers})
            with connection.getresponse() as response:
                yield response


class Clerks:
    """The busy agents, each with a session of its own."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self.sessions = [visitor.session(f"clerk{number}") for number in range(AGENTS)]

    @contextmanager
    def busy(self, work: str, speaking: int) -> Iterator[None]:
        """They all have a turn, and so many of them speak."""
        sent = {session: self._visitor.send(session, work, priority="background") for session in self.sessions}
        heads = {session: self._visitor.head(session) for session in self.sessions}
        until(lambda: self.spoken(heads, 10) >= speaking)
        yield
        for session, turn in sent.items():
            assert self._visitor.ask("POST", f"/sessions/{session}/turns/{turn['id']}/cancel")["status"] == "cancelled"

    def heads(self) -> dict[str, int]:
        return {session: self._visitor.head(session) for session in self.sessions}

    def spoken(self, before: dict[str, int], events: int) -> int:
        """How many have said so much more."""
        return sum(head - before[session] >= events for session, head in self.heads().items())


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def quick() -> Iterator[ModelServer]:
    with ModelServer() as quick:
        yield quick


@pytest.fixture(params=["plenty", "two"])
def places(request: pytest.FixtureRequest) -> str:
    """How many answers the clerks' provider gives at once. Where they are two, people ask it too."""
    return str(request.param)


@pytest.fixture
def server(
    nursery: Nursery, model: ModelServer, quick: ModelServer, places: str, tmp_path: Path
) -> Iterator[ForkedServer]:
    two = places == "two"
    text = CONFIGURATION.format(
        person="busy" if two else "quick", quick=quick.url, busy=model.url, places="max_concurrent = 2" if two else ""
    )
    file = tmp_path / "legato.toml"
    file.write_text(text + "".join(AGENT.format(number=number) for number in range(AGENTS)))
    database = f"sqlite:///{tmp_path / 'legato.db'}"
    with ForkedServer(nursery, database, {"LEGATO_CONFIG": str(file)}, log=tmp_path / "server.log") as server:
        yield server


@pytest.fixture
def person(server: ForkedServer) -> Visitor:
    return Visitor(server)


@pytest.fixture
def clerks(person: Visitor) -> Clerks:
    return Clerks(person)


@pytest.mark.parametrize("work", [STEADY, ENDLESS, FLOOD], ids=["steady", "fast", "flood"])
def test_first_words_come_at_most_twice_as_late_beside_five_busy_agents(
    person: Visitor, clerks: Clerks, places: str, work: str
) -> None:
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(3):
        person.first_words_after_s()
    for _ in range(ROUNDS):
        alone += [person.first_words_after_s() for _ in range(TIMES)]
        with clerks.busy(work, 1 if places == "two" else AGENTS):
            before = clerks.heads()
            beside += [person.first_words_after_s() for _ in range(TIMES)]
            until(partial(_more_than, clerks, before, 0 if places == "two" else AGENTS - 1))
    ratio = median(beside) / median(alone)
    print(
        f"\nfirst words, {places} of places, {work!r}, medians of {len(alone)}: alone {median(alone) * 1000:.1f} ms,"
        f" beside {AGENTS} busy agents {median(beside) * 1000:.1f} ms, ratio {ratio:.2f} (promised: 2)"
    )
    assert ratio <= AT_MOST[work]


def _more_than(clerks: Clerks, before: dict[str, int], count: int) -> bool:
    return clerks.spoken(before, 1) > count


def test_a_slow_model_of_a_persons_does_not_silence_them(person: Visitor, clerks: Clerks, places: str) -> None:
    speaking = 1 if places == "two" else AGENTS
    with clerks.busy(ENDLESS, speaking):
        session = person.session()
        turn = person.send(session, "silence")
        until(lambda: person.status(session, turn["id"]) == "in_progress")
        for _ in range(3):
            before = clerks.heads()
            until(lambda before=before: clerks.spoken(before, 5) >= speaking)  # type: ignore[misc]
        assert person.status(session, turn["id"]) == "in_progress"


def test_who_meets_the_limit_of_an_agent_waits_and_is_not_refused(person: Visitor) -> None:
    one, two = person.session("clerk0"), person.session("clerk0")
    running, waiting = person.send(one, ENDLESS), person.send(two, BRIEF, priority="background")
    until(lambda: person.status(one, running["id"]) == "in_progress")
    assert person.status(two, waiting["id"]) == "queued"
    withdrawn = person.send(two, BRIEF)
    assert person.ask("DELETE", f"/sessions/{two}/turns/{withdrawn['id']}")["reason"] == "withdrawn"
    person.ask("POST", f"/sessions/{one}/turns/{running['id']}/cancel")
    until(lambda: person.status(two, waiting["id"]) == "completed")
