"""Whatever row of the projections rots, after whatever sequence: the doctor finds it, and rebuilds what was there (X-06)."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from sqlalchemy import Connection, delete, update

from legato.store import schema
from legato.store.diagnosis import Diagnosis, diagnose
from legato.store.rebuilding import Rebuilt, rebuild
from legato.store.replay import replay
from tests.suites.damaging import choose, hanging, happen, put_policy_back, rows, said
from tests.suites.machine import StoreMachine
from tests.suites.test_machine import EXAMPLES, Loop, postgres_loop, runner, sqlite_loop

__all__ = ["postgres_loop", "runner", "sqlite_loop"]

pytestmark = [pytest.mark.timeout(7200 if EXAMPLES else 240), pytest.mark.promise("X-06")]


class RottingMachine(StoreMachine):
    """A session to which anything happens, and whose rows rot now and then."""

    @rule(data=st.data())
    def rots(self, data: st.DataObject) -> None:
        if data.draw(st.integers(0, 2)):
            return
        assert self.diagnosis().findings == (), "nothing is damaged yet"
        stored = self.run(self.store.read(rows, self.id))
        before, moment = said(stored), self.run(self.moment())
        what = choose(stored, data.draw, self.run(self.store.read(_known_turns, self.id)))
        if what is None or not self.run(self.store.write(happen, what)):
            return
        found = self.diagnosis()
        assert found.findings, f"{what} was not found"
        hung = self.run(self.store.read(hanging, self.id))
        done = self.rebuilt()
        assert self.run(self.store.read(hanging, self.id)) == hung, what
        if found.restorable:
            assert done.after.findings == (), what
            assert said(self.run(self.store.read(rows, self.id))) == before, what
            assert self.run(self.moment()) == moment, what
        else:
            # Only where nobody can tell: events of a running turn may be missing at the journal's end.
            assert what.column == "head", f"{what}: {found.findings}"
            self.run(self.store.write(_put_right, self.id, before["sessions"][self.id]["head"]))
            assert self.rebuilt().after.findings == ()
        self.run(self.store.write(put_policy_back, stored["turns"]))

    def rebuilt(self) -> Rebuilt:
        done = self.run(self.store.write(rebuild, self.id))
        assert done is not None
        return done

    def diagnosis(self) -> Diagnosis:
        found = self.run(self.store.read(diagnose, self.id))
        assert found is not None
        return found


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

    class Machine(RottingMachine):
        def __init__(self) -> None:
            super().__init__(loop.run, loop.store)

    run_state_machine_as_test(Machine, settings=found)


def test_any_row_that_rots_on_sqlite(sqlite_loop: Loop) -> None:
    look(sqlite_loop, examples=30, steps=60)


def test_any_row_that_rots_on_postgresql(postgres_loop: Loop) -> None:
    look(postgres_loop, examples=6, steps=40)


def _known_turns(conn: Connection, session_id: str) -> set[str]:
    return set(replay(conn, session_id).turns())


def _put_right(conn: Connection, session_id: str, head: int) -> None:
    """The head, and what came after it: somebody has found the backup."""
    journal, sessions = schema.journal, schema.sessions
    conn.execute(delete(journal).where(journal.c.session_id == session_id, journal.c.last_seq > head))
    known = {"head": head, "quarantined_at": None, "quarantine_reason": None}
    conn.execute(update(sessions).where(sessions.c.id == session_id).values(known))
