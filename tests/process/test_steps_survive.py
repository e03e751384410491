"""Agents that do things, in a server that is killed again and again: nothing is done twice, no answer is lost, forks are whole,
and a strict model takes whatever history comes of it."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio import to_thread

from legato.client import AsyncClient, Sent
from legato.core.errors import AlreadyDecided, LegatoError
from legato.core.events import ApprovalEvent
from legato.core.model import Message, TextPart
from tests.process.model_server import ModelServer
from tests.process.paying import STEPS
from tests.process.reader import nap
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

TALKS: Final = 6
KILLS: Final = {"sqlite": 8, "postgresql": 3}
# A turn is tried again after three crashes at most; on PostgreSQL ten seconds pass before anybody is taken for dead.
LIVES_S: Final = {"sqlite": (0.15, 0.6), "postgresql": (0.3, 1.0)}
CONFIG: Final = """
[[agents]]
id = "payer"
run = "tests.process.paying:payer"
on_crash = "{policy}"

[[agents]]
id = "weatherman"
model = "openai:m"
tools = ["tests.process.paying:weather"]
on_crash = "{policy}"
"""


@pytest.fixture(params=["continue", "restart"])
def server(
    request: pytest.FixtureRequest, database: str, model: ModelServer, tmp_path: Path
) -> Iterator[ServerProcess]:
    config = tmp_path / "legato.toml"
    config.write_text(CONFIG.format(policy=request.param))
    env = model.environment | {
        "LEGATO_CONFIG": str(config),
        "LEDGER": str(tmp_path / "ledger"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    server = ServerProcess(database, env=env, log=tmp_path / "server.log")
    yield server
    server.kill()


class World:
    """What people have seen while their server died and came back."""

    def __init__(self, server: ServerProcess, client: AsyncClient) -> None:
        self.server = server
        self.client = client
        self.decided: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.said: dict[str, str] = {}
        self.attempts: dict[str, int] = {}
        self.ended: dict[str, tuple[str, str | None]] = {}
        self.forks = 0
        self.told = 0
        self.over = False

    async def talk(self) -> None:
        while not self.over:
            session = await self.client.create_session("payer")
            await self.follow(await self.client.send(session.id, "Pay!"))
            fork = await self.client.fork(session.id)
            said, copied = [await self.client.messages(each.id) for each in (session, fork)]
            assert list(map(text_of, copied)) == list(map(text_of, said)) != []
            self.forks += 1
            await self.follow(await self.client.send(fork.id, "Pay!"))

    async def ask(self) -> None:
        """A model calls tools, in one session, whatever became of its earlier turns."""
        session = await self.client.create_session("weatherman")
        while not self.over:
            answer = self.client.watch(await self.client.send(session.id, "tool"))
            await answer.result()
            turn = answer.turn
            if turn.status == "completed":
                # Asked to go on from the last word, a model adds what it likes; this one repeats the question.
                assert answer.text.startswith("The tools have spoken.")
                assert answer.text.count("spoken") == 1
                self.told += 1
            else:
                assert (turn.status, turn.reason) == ("incomplete", "worker_lost"), "after three crashes"

    async def follow(self, sent: Sent) -> None:
        answer = self.client.watch(sent)
        async for event, _ in answer.updates():
            if isinstance(event, ApprovalEvent) and event.approval.status == "pending":
                self.asked[sent.turn.id] += 1
        turn_id = sent.turn.id
        self.said[turn_id] = answer.text
        self.attempts[turn_id] = answer.turn.attempt
        self.ended[turn_id] = (answer.turn.status, answer.turn.reason)
        state, _ = await self.client.session(sent.turn.session_id)
        assert text_of(state.messages[-1]) == answer.text, "who has followed everything has the final text"

    async def decide(self) -> None:
        """Answers whatever is asked, twice, until nobody needs it any more."""
        while True:
            with suppress(LegatoError):  # the server is away
                for approval in await self.client.approvals():
                    for decision in ("allow", "deny"):
                        with suppress(AlreadyDecided):
                            await self.client.decide(approval.id, decision)
                            self.decided[approval.turn_id] += 1
            await anyio.sleep(0.05)

    async def kill(self, kills: int, life_s: tuple[float, float]) -> None:
        dice = random.Random(kills)
        for _ in range(kills):
            await anyio.sleep(dice.uniform(*life_s))
            await to_thread.run_sync(self.server.kill)
            await to_thread.run_sync(self.server.start)
        self.over = True


def text_of(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


@pytest.mark.promise("R-07", "R-08", "R-10", "S-15", "C-05")
async def test_nothing_is_done_twice_and_no_answer_is_lost(
    server: ServerProcess, database: str, model: ModelServer, tmp_path: Path
) -> None:
    kind = "sqlite" if database.startswith("sqlite") else "postgresql"
    await to_thread.run_sync(server.start)
    async with AsyncClient(server.url, sleep=nap, random=lambda: 0.0, retry_for_s=60) as client:
        world = World(server, client)
        with anyio.fail_after(200):
            async with anyio.create_task_group() as background:
                background.start_soon(world.decide)
                async with anyio.create_task_group() as talks:
                    for _ in range(TALKS):
                        talks.start_soon(world.talk)
                    talks.start_soon(world.ask)
                    talks.start_soon(world.kill, KILLS[kind], LIVES_S[kind])
                background.cancel_scope.cancel()

    done = Counter((tmp_path / "ledger").read_text().splitlines())
    print(Counter(world.ended.values()), Counter(world.attempts.values()), len(done), "payments")
    assert len(world.said) >= TALKS
    assert ("completed", "stop") in world.ended.values()
    assert max(world.attempts.values()) > 1, "nobody was killed in mid-turn: that proves nothing"
    assert {line: count for line, count in done.items() if count > 1} == {}
    for turn_id, said in world.said.items():
        if world.ended[turn_id] != ("completed", "stop"):
            assert world.ended[turn_id] == ("incomplete", "worker_lost"), "after three crashes"
            continue
        assert world.asked[turn_id] >= 1
        assert said.count("Going on is allowed. ") == 1
        for number in range(1, STEPS + 1):
            (outcome,) = [word for word in ("paid", "unknown") if f"Payment number {number} is {word}. " in said]
            assert said.count(f"Payment number {number} ") == 1
            if outcome == "paid":
                assert done[f"{turn_id} {number}"] == 1
    assert max(world.decided.values()) == 1
    assert world.forks > 0
    assert world.told > 0
    assert model.with_outcome("refused") == (), "a strict model took every history"
