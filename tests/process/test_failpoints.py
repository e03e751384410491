"""The server kills itself at a named point, is started again, and nobody notices more than an answer that ended early."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import time
from typing import Any, Final

import anyio
import pytest
from anyio import to_thread

from legato.core.ids import new_id
from legato.core.model import Turn
from tests.process.checker import violations
from tests.process.history import History, Life, Numbers
from tests.process.model_server import ModelServer
from tests.process.nursery import FAILPOINT, ForkedServer, Nursery
from tests.process.recorder import Access, Recorder, access, reading
from tests.support.server import ServerProcess

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.timeout(240),
    pytest.mark.promise("R-02", "R-05", "R-06", "E-01", "E-02", "E-03", "C-05", "X-09"),
]

# The point, and how the turn ends that met it.
POINTS: Final = {
    "before_claim": "completed",
    "after_claim": "incomplete",
    "after_first_token": "incomplete",
    "after_first_token:3": "incomplete",
    "after_commit:1": "completed",  # of the session
    "after_commit:2": "incomplete",  # of the turn and its claim: nobody was told that it is accepted
    "after_commit:4": "incomplete",  # of words
    "in_finish": "incomplete",
}
ON_POSTGRESQL: Final = ("before_claim", "after_claim", "after_first_token:3", "after_commit:4", "in_finish")


class Survival:
    """One server with a failure point, one session, one question that meets it and one after that."""

    def __init__(self, *, point: str, server: ServerProcess, model: ModelServer, shared: bool = False) -> None:
        self._point = point
        self._server = server
        self._model = model
        self._shared = shared
        self._lives: list[Life] = []
        first = 1 + 1000 * (2 * list(POINTS).index(point) + shared)
        self._asked = Numbers(first, first + 59)
        self._asked_next = Numbers(first + 100, first + 102)

    async def go(self) -> None:
        """Raises AssertionError."""
        self._server.env[FAILPOINT] = self._point
        await to_thread.run_sync(self._server.start)
        ready_at = time()
        try:
            async with access(self._server.url) as to, anyio.create_task_group() as group:
                group.start_soon(self._restart, ready_at)
                await self._talk(to)
        finally:
            self._server.kill()

    async def _restart(self, ready_at: float) -> None:
        code = await to_thread.run_sync(partial(self._server.wait, 60))
        killed_at = time()
        assert code == -9, f"{self._point}: exited with {code}"
        del self._server.env[FAILPOINT]
        await to_thread.run_sync(self._server.start)
        self._lives = [Life(ready_at, killed_at), Life(time(), None)]

    async def _talk(self, to: Access) -> None:
        recorder = Recorder(to, (await to.client.create_session()).id)
        message_id = new_id("msg")
        async with reading(recorder.reader("resumed")):
            sent = await recorder.send(self._asked, per_second=40, message_id=message_id)
            met = await recorder.ended(sent.turn.id)
            again = await recorder.send(self._asked, per_second=40, message_id=message_id)
            assert again.turn.id == sent.turn.id
            after = await recorder.ended((await recorder.send(self._asked_next)).turn.id)
            session = await recorder.history()
        assert self._lives, f"{self._point} was never reached"
        assert violations(History(sessions=(session,), lives=tuple(self._lives), shared=self._shared)) == []
        assert (met.status, after.status) == (POINTS[self._point], "completed")
        self._check_request(met, session.answers[0].text)

    def _check_request(self, met: Turn, said: str) -> None:
        """What was said before the death is part of the next question, in a request that the strict provider takes."""
        exchanges = [e for e in self._model.exchanges() if e["asked"].startswith(f"count {self._asked_next.last} ")]
        assert [exchange["outcome"] for exchange in exchanges] == ["completed"]
        known = _assistant(exchanges[0]["body"])
        assert len(known) == bool(said)
        assert all(content.startswith(said) for content in known)
        if met.reason == "worker_lost" and self._point.startswith(("after_first", "in_finish")):
            assert said
        if self._point == "in_finish":
            assert said == self._asked.text


def _assistant(body: dict[str, Any]) -> list[str]:
    return [message["content"] for message in body["messages"] if message["role"] == "assistant"]


@pytest.mark.parametrize("point", POINTS)
async def test_on_sqlite(point: str, nursery: Nursery, model: ModelServer, tmp_path: Path) -> None:
    server = ForkedServer(nursery, f"sqlite:///{tmp_path / 'legato.db'}", model.environment)
    await Survival(point=point, server=server, model=model).go()


async def test_on_postgresql(
    nursery: Nursery, model: ModelServer, new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    """All points at once, each with its own database: another process must watch the dead one for a while."""
    async with anyio.create_task_group() as group:
        for point in ON_POSTGRESQL:
            server = ForkedServer(nursery, new_postgresql(), model.environment, log=tmp_path / f"{point}.log")
            group.start_soon(Survival(point=point, server=server, model=model, shared=True).go)
