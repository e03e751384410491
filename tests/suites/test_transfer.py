"""import(export(S)) = S, for whatever may happen to a session (guarantee G18), and the session that comes in is a whole one."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from legato.core.model import State
from legato.store import snapshots
from legato.store.diagnosis import diagnose
from tests.suites.machine import StoreMachine
from tests.suites.test_machine import EXAMPLES, Loop, postgres_loop, runner, sqlite_loop
from tests.support.transferring import EVERYTHING, Ferry, document, without_ids

__all__ = ["postgres_loop", "runner", "sqlite_loop"]  # fixtures

pytestmark = [pytest.mark.promise("S-13"), pytest.mark.timeout(7200 if EXAMPLES else 120)]


class TransferMachine(StoreMachine):
    """A session that anything may have happened to, at whatever moment it is exported."""

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "id"):
            self.run(self._there_and_back())

    async def _there_and_back(self) -> None:
        ferry = Ferry(self.store)
        there = await ferry.out(self.id)
        state, _ = await self.store.read(snapshots.snapshot, self.id, "ann", EVERYTHING)
        told = document(there)
        finished = all(turn.finished_at is not None for turn in state.turns)
        if finished:
            assert _branch(told) == [(each.role, each.parts, each.status) for each in state.messages]
        report = await ferry.into(there)
        assert (report.sessions, report.skipped_count) == (1, 0), report
        session_id = report.imported[0].id
        assert session_id is not None
        await ferry.agrees(session_id, "bob")
        assert (whole := await self.store.read(diagnose, session_id)) is not None
        assert whole.findings == (), whole.findings
        back, _ = await self.store.read(snapshots.snapshot, session_id, "bob", EVERYTHING)
        assert without_ids(document(await ferry.out(session_id, owner="bob"))) == without_ids(told)
        if finished:
            assert _seen(back) == _seen(state)
        again = await ferry.into(there)
        assert (again.sessions, again.known, again.known_sessions[0].id) == (0, 1, session_id)
        lines = await ferry.into(await ferry.out(self.id, "jsonl"), owner="carl")
        assert lines.imported[0].id is not None
        by_lines = document(await ferry.out(lines.imported[0].id, owner="carl"))
        assert without_ids(by_lines)["messages"] == without_ids(told)["messages"]


def _branch(told: Any) -> list[Any]:
    by_id = {message.id: message for message in told.messages}
    branch, at = [], told.session.leaf_id
    while at is not None:
        branch.append((by_id[at].role, by_id[at].parts, by_id[at].status))
        at = by_id[at].parent_id
    return branch[::-1]


def _seen(state: State) -> Any:
    """What a person sees of it, ids apart."""
    session = state.session
    return (
        (session.title, session.pinned, session.metadata, session.created_at, session.last_activity, session.read_only),
        [(each.role, each.parts, each.status, each.usage, each.error, each.created_at) for each in state.messages],
        [(each.status, each.reason, each.usage, each.error, each.kind, each.finished_at) for each in state.turns],
    )


def look(loop: Loop, examples: int, steps: int) -> None:
    found = settings(
        max_examples=EXAMPLES or examples,
        stateful_step_count=steps,
        derandomize=not EXAMPLES,
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )

    class Machine(TransferMachine):
        def __init__(self) -> None:
            super().__init__(loop.run, loop.store)

    run_state_machine_as_test(Machine, settings=found)


def test_any_session_comes_back_on_sqlite(sqlite_loop: Loop) -> None:
    look(sqlite_loop, examples=30, steps=40)


@pytest.mark.promise("X-09")
def test_any_session_comes_back_on_postgresql(postgres_loop: Loop) -> None:
    look(postgres_loop, examples=6, steps=25)
