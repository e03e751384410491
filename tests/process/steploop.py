"""The kill loop of what is done: agents pay, call tools and ask people, sessions are forked, and their server is killed all the
time.

Half of the people talk to an agent that pays by itself, half to one that does what its model says. Whatever they were told is
held against the ledger, the model's server and what stands in the store at the end: nothing is done twice, no answer is lost or
taken twice, a fork is whole or absent, and the model is never asked what it must refuse.
"""

import http.client
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Final

import anyio
from anyio import to_thread

from legato.client import AsyncClient, ImportReport, Sent
from legato.core.errors import AlreadyDecided, LegatoError, SessionNotFound
from legato.core.events import ApprovalEvent
from legato.core.ids import new_id
from legato.core.model import Message, Part, Session, TextPart, ToolResultPart
from tests.engine.test_transfer import long_session
from tests.process.model_server import ModelServer
from tests.process.paying import STEPS
from tests.process.reader import nap
from tests.support.server import ServerProcess
from tests.support.upstream_scripts import errand

CONFIG: Final = """
[[agents]]
id = "payer"
run = "tests.process.paying:payer"
on_crash = "{policy}"

[[agents]]
id = "clerk"
run = "tests.process.paying:clerk"
model = "openai:m"
on_crash = "{policy}"
"""

_AGENTS: Final = ("payer", "clerk")
_TALKS: Final = 6
_ERRANDS: Final = f"errands {STEPS} at 100/s"
_LONG: Final = 300  # turns: more than one slice of a fork
_COMPLETED: Final = ("completed", "stop")
_LOST: Final = ("incomplete", "worker_lost")  # after three crashes
# A turn is tried again after three crashes at most; on PostgreSQL ten seconds pass before anybody is taken for dead.
_LIVES_S: Final = {False: (0.15, 0.6), True: (0.3, 1.0)}


def environment(directory: Path, policy: str) -> dict[str, str]:
    """For a server whose agents go on after a crash as ``policy`` says; the ledger is in ``directory``."""
    config = directory / "legato.toml"
    config.write_text(CONFIG.format(policy=policy))
    return {
        "LEGATO_CONFIG": str(config),
        "LEDGER": str(directory / "ledger"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }


class Told:
    """A turn as the client saw it that followed it to its end."""

    def __init__(self, agent_id: str, turn_id: str, said: str) -> None:
        self.agent_id = agent_id
        self.turn_id = turn_id
        self.said = said
        self.attempts = 0
        self.ended: tuple[str, str | None] = ("", None)
        self.stored: Message | None = None


class StepLoop:
    """What people have seen while their server died and came back. ``shared``: the database may have other processes."""

    def __init__(self, *, server: ServerProcess, model: ModelServer, shared: bool, kills: int, seed: int) -> None:
        self.told: list[Told] = []
        self.decided: Counter[str] = Counter()
        self.asked: dict[str, set[str]] = {}  # approvals, by turn
        self.forks: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.violations: list[str] = []
        self._server = server
        self._model = model
        self._shared = shared
        self._kills = kills
        self._random = Random(seed)
        self._over = False
        self._absent: set[str] = set()
        self._ledger = Path(server.env["LEDGER"])

    async def run(self) -> None:
        """Kills, lets everything finish, and judges."""
        refused = len(self._model.with_outcome("refused"))
        if not self._server.running:
            await to_thread.run_sync(self._server.start)
        async with AsyncClient(self._server.url, sleep=nap, random=lambda: 0.0, retry_for_s=60) as client:
            long = await _imported(client)
            async with anyio.create_task_group() as background:
                background.start_soon(self._decide, client)
                async with anyio.create_task_group() as people:
                    for number in range(_TALKS):
                        people.start_soon(self._talk, client, _AGENTS[number % len(_AGENTS)])
                    people.start_soon(self._fork_the_long_one, client, long)
                    people.start_soon(self._kill)
                background.cancel_scope.cancel()
            self.violations += await self._left(client, long)
        self.done = Counter(self._ledger.read_text().splitlines())
        self.violations += self._judged()
        self.violations += [f"the upstream refused {asked}" for asked in self._model.with_outcome("refused")[refused:]]

    def table(self) -> str:
        attempts = Counter(told.attempts for told in self.told)
        rows = [
            ("kills", self._kills),
            ("turns", len(self.told)),
            ("… that took attempts", ", ".join(f"{count} × {number}" for number, count in sorted(attempts.items()))),
            (
                "… that ended as",
                ", ".join(f"{count} × {how[0]}" for how, count in Counter(t.ended for t in self.told).items()),
            ),
            ("done in the world", self.done.total()),
            ("answers taken", self.decided.total()),
            ("forks", ", ".join(f"{count} × {what}" for what, count in sorted(self.forks.items()))),
            ("violations", len(self.violations)),
        ]
        return "\n".join(f"{name:<20} {value}" for name, value in rows)

    # What people do

    async def _talk(self, client: AsyncClient, agent_id: str) -> None:
        while not self._over:
            session = await client.create_session(agent_id)
            await self._turn(client, session)
            fork = await client.fork(session.id)  # asked for until it is there
            await self._check_fork(client, fork.id, await client.messages(session.id))
            await self._turn(client, fork)
            await self._turn(client, session)  # whatever became of the first one, the next request is in order
        await self._turn(client, session)

    async def _turn(self, client: AsyncClient, session: Session) -> None:
        sent = await client.send(session.id, _ERRANDS)
        told = await self._followed(client, sent, session.agent_id)
        state, _ = await client.session(session.id)
        told.stored = state.messages[-1]
        self.told.append(told)

    async def _followed(self, client: AsyncClient, sent: Sent, agent_id: str) -> Told:
        answer = client.watch(sent)
        async for event, _ in answer.updates():
            if isinstance(event, ApprovalEvent) and event.approval.status == "pending":
                self.asked.setdefault(sent.turn.id, set()).add(event.approval.id)
        told = Told(agent_id, sent.turn.id, answer.text)
        told.attempts, told.ended = answer.turn.attempt, (answer.turn.status, answer.turn.reason)
        return told

    async def _decide(self, client: AsyncClient) -> None:
        """Answers whatever is asked, twice, until nobody needs it any more."""
        while True:
            with suppress(LegatoError):  # the server is away
                for approval in await client.approvals():
                    for decision in ("allow", "deny"):
                        with suppress(AlreadyDecided):
                            await client.decide(approval.id, decision)
                            self.decided[approval.id] += 1
            await anyio.sleep(0.05)

    async def _fork_the_long_one(self, client: AsyncClient, long: Session) -> None:
        while not self._over:
            await self._fork(client, long.id)
            await nap(1)

    async def _fork(self, client: AsyncClient, session_id: str) -> None:
        """Asked for once, whatever becomes of the server: it is whole, or it is not there."""
        before = await client.messages(session_id)
        new = new_id("ses")
        status = await to_thread.run_sync(_asked_to_fork, self._server.port, session_id, new)
        try:
            await client.session(new)
        except SessionNotFound:
            self.forks["absent"] += 1
            self._absent.add(new)
            if status == 201:
                self.violations.append(f"the fork {new} was told to be there and is not")
            return
        await self._check_fork(client, new, before)

    async def _check_fork(self, client: AsyncClient, fork_id: str, before: Sequence[Message]) -> None:
        self.forks["whole"] += 1
        if list(map(_content, await client.messages(fork_id))) != list(map(_content, before)):
            self.violations.append(f"the fork {fork_id} has not what it was made from")

    async def _kill(self) -> None:
        for _ in range(self._kills):
            await anyio.sleep(self._random.uniform(*_LIVES_S[self._shared]))
            await to_thread.run_sync(self._server.kill)
            await to_thread.run_sync(self._server.start)
        self._over = True

    # What must be so

    async def _left(self, client: AsyncClient, long: Session) -> list[str]:
        """What is wrong with what stands there when all is over."""
        found = [f"the approval {each.id} still waits" for each in await client.approvals()]
        asked = [await client.approval(approval_id) for approval_id in sorted(set().union(*self.asked.values()))]
        found += [
            f"the approval {each.id} was allowed and is {each.status}" for each in asked if each.status != "allowed"
        ]
        forks = [
            each.id async for each in client.sessions() if each.forked_from and each.forked_from.session_id == long.id
        ]
        for fork_id in forks:
            if (count := (await client.stats(fork_id)).message_count) != 2 * _LONG:
                found.append(f"the fork {fork_id} has {count} messages")
        return found + [f"the fork {fork_id} was absent and is there" for fork_id in self._absent & set(forks)]

    def _judged(self) -> Iterator[str]:
        for line, count in self.done.items():
            if count > 1:
                yield f"{line} was done {count} times"
        for approval_id, count in self.decided.items():
            if count > 1:
                yield f"the approval {approval_id} took {count} answers"
        for told in self.told:
            yield from (f"turn {told.turn_id} of {told.agent_id}: {what}" for what in self._of_turn(told))

    def _of_turn(self, told: Told) -> Iterator[str]:
        stored = told.stored
        if stored is None or _text(stored.parts) != told.said:
            yield f"who has followed everything has {told.said!r}, not the final text {stored and _text(stored.parts)!r}"
        if told.ended == _COMPLETED:
            if len(self.asked.get(told.turn_id, ())) != 1:
                yield f"it asked {len(self.asked.get(told.turn_id, ()))} times"
            yield from (self._of_payer if told.agent_id == "payer" else self._of_clerk)(told)
        elif told.ended != _LOST:
            yield f"it ended as {told.ended}"

    def _of_payer(self, told: Told) -> Iterator[str]:
        if told.said.count("Going on is allowed. ") != 1:
            yield f"its answer was lost: {told.said!r}"
        outcomes = []
        for number in range(1, STEPS + 1):
            said = [word for word in ("paid", "unknown") if f"Payment number {number} is {word}. " in told.said]
            outcomes.append(said[0] if said else "")
            if len(said) != 1 or told.said.count(f"Payment number {number} ") != 1:
                yield f"payment {number} was told otherwise than once: {told.said!r}"
        yield from self._of_ledger(told, outcomes)

    def _of_clerk(self, told: Told) -> Iterator[str]:
        parts = told.stored.parts if told.stored else ()
        results = [part.output for part in parts if isinstance(part, ToolResultPart)]
        if told.said != "".join(errand(number, STEPS, results) for number in range(1, STEPS + 2)):
            yield f"it should not have said {told.said!r} after {results}"
        yield from self._of_ledger(
            told, ["unknown" if each.startswith("outcome_unknown") else "paid" for each in results]
        )

    def _of_ledger(self, told: Told, outcomes: Sequence[str]) -> Iterator[str]:
        for number, outcome in enumerate(outcomes, 1):
            if outcome == "paid" and self.done[f"{told.turn_id} {number}"] != 1:
                yield f"number {number} is said to be done, and the ledger has it {self.done[f'{told.turn_id} {number}']} times"


async def _imported(client: AsyncClient) -> Session:
    """A session that is long enough to be killed in the middle of its fork."""
    *_, report = [each async for each in client.import_file(io.BytesIO(long_session(_LONG)), agent_id="payer")]
    assert isinstance(report, ImportReport)
    assert report.imported[0].id is not None
    state, _ = await client.session(report.imported[0].id)
    return state.session


def _asked_to_fork(port: int, session_id: str, new: str) -> int | None:
    """The answer's status; None where there was none."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        headers = {"Content-Type": "application/json"}
        with suppress(OSError, http.client.HTTPException):
            connection.request("POST", f"/v1/sessions/{session_id}/fork", json.dumps({"id": new}), headers)
            return connection.getresponse().status
    return None


def _content(message: Message) -> tuple[str, tuple[Part, ...]]:
    return message.role, message.parts


def _text(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))
