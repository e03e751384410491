"""What the machine's turns do besides talking: recorded steps, questions to a person, and being parked (R-07, R-08, R-10).

An attempt does again what earlier ones did, mostly in the same order. Whatever happens to its processes, a step whose result
was recorded is not done a second time, a question has one answer, and who waits for one is taken by nobody.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from legato.core.errors import ApprovalNotFound
from legato.core.model import ApprovalStatus
from legato.core.states import TERMINAL
from legato.core.steps import Step, Steps, encoded
from legato.store import approvals, claiming, rescuing, schema, steps
from legato.store.claiming import Claimed
from legato.store.port import Store

Draw = Callable[[st.SearchStrategy[Any]], Any]
HOUR_US = 3_600_000_000


@dataclass
class Record:
    """What is known of a turn: what it asked for, in order, and what came of it (None: it began, and nobody knows)."""

    script: list[tuple[str, str]] = field(default_factory=list)  # kind, digest
    results: dict[str, str | None] = field(default_factory=dict)
    crashes: int = 0


@dataclass
class Attempt:
    """How far an attempt is in the script."""

    steps: Steps
    at: int = 0


@dataclass
class Question:
    """An approval, as it should stand."""

    turn_id: str
    digest: str
    status: ApprovalStatus
    late: bool  # nobody can answer it in time


class Working:
    """Mixed into the machine, which has the rest."""

    store: Store
    id: str
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    see: Callable[[Any], None]
    watcher: Any
    owner: Any
    waiting: list[str]
    _ownership: Callable[[Draw], Any]

    def prepare(self, on_crash: Any) -> None:
        self.on_crash = on_crash
        self.records: dict[str, Record] = {}
        self.attempts: dict[int, Attempt] = {}  # by the epoch of their claim
        self.questions: dict[str, Question] = {}
        self.granted = False

    @property
    def tool(self) -> str:
        """Its own: what is allowed for always is the owner's, and outlives the session."""
        return f"pay {self.id}"

    @property
    def open(self) -> str | None:
        """The turn that is in progress, whoever has it."""
        return next((turn_id for turn_id, status in self.watcher.status.items() if status == "in_progress"), None)

    @property
    def asks(self) -> bool:
        """Whether it waits for a person."""
        return any(one.status == "pending" for one in self.questions.values())

    def began(self, claimed: Claimed) -> None:
        """An attempt is given all that was recorded, and nothing else."""
        record = self.records.setdefault(claimed.turn.id, Record())
        given = claimed.resumed.steps if claimed.resumed else ()
        assert (claimed.resumed is None) == (claimed.turn.attempt == 1)
        assert {step.digest: step.result for step in given} == record.results
        if claimed.resumed is not None:
            said = self.watcher.fold.message(claimed.turn.answer_id)
            assert claimed.resumed.parts == said.parts
        self.attempts[claimed.epoch] = Attempt(Steps(given))

    def step(self, draw: Draw) -> None:
        """Do something that must not be done twice."""
        one = self._ownership(draw)
        attempt, record = self.attempts[one.claimed.epoch], self.records[one.claimed.turn.id]
        digest = self._next(draw, attempt, record, "step")
        if digest is None:
            return
        step, known = attempt.steps.begin("step", self.tool, digest)
        if not self._saved(one, [] if known else [step]):
            return
        if known:
            assert step.result == record.results[digest]
        else:
            assert digest not in record.results, "done twice"
            self._did(record, "step", digest, None)
        if step.result is None and draw(st.booleans()):  # else its process dies before that is known
            result = encoded("unknown" if known else f"did {digest}")
            if self._saved(one, [msgspec.structs.replace(step, result=result)]):
                record.results[digest] = result

    def ask(self, draw: Draw) -> None:
        """Ask the person; whether it is answered is seen by the next attempt."""
        one = self._ownership(draw)
        attempt, record = self.attempts[one.claimed.epoch], self.records[one.claimed.turn.id]
        digest = self._next(draw, attempt, record, "ask")
        if digest is None:
            return
        step, known = attempt.steps.begin("ask", self.tool, digest)
        if not self._saved(one, []):
            return
        if known and step.result is not None:
            assert step.result == record.results[digest]
            return
        late = draw(st.integers(0, 3)) == 0
        key = self.id, one.claimed.turn.id, one.claimed.epoch
        expires_us = 0 if late else HOUR_US
        asked = self.run(self.store.write(approvals.ask, *key, step, "Pay?", self.tool, expires_us))
        assert asked is not None
        assert asked.waits == (not self.granted)
        self._did(record, "ask", digest, encoded("allowed") if self.granted else None)
        self.questions[asked.approval.id] = Question(one.claimed.turn.id, digest, asked.approval.status, late)
        if asked.waits:
            self.owner = None
        self.see(asked.rows)

    def decide(self, draw: Draw) -> None:
        """Somebody answers, perhaps a second time, too late, or what is not his."""
        approval_id = draw(st.sampled_from(list(self.questions)))
        question, decision = self.questions[approval_id], draw(st.sampled_from(["allow", "deny", "always"]))
        if draw(st.integers(0, 5)) == 0:
            return self._not_there(approvals.decide, approval_id, "bob", decision)
        if not self._is_kept(question):
            return self._not_there(approvals.decide, approval_id, "ann", decision)
        decided = self.run(self.store.write(approvals.decide, approval_id, "ann", decision))
        pending = question.status == "pending"
        assert decided.fresh == (pending and not question.late)
        assert bool(decided.rows) == pending
        if pending:
            status: ApprovalStatus = "expired" if question.late else "denied" if decision == "deny" else "allowed"
            self.granted = self.granted or (decision == "always" and not question.late)
            self._decided(question, status)
        assert decided.approval.status == question.status
        self.see(decided.rows)
        return None

    def expire(self, draw: Draw) -> None:
        approval_id = draw(st.sampled_from(list(self.questions)))
        question = self.questions[approval_id]
        expired = self.run(self.store.write(approvals.expire, approval_id))
        assert (expired is not None) == (question.status == "pending" and question.late)
        if expired is not None:
            self._decided(question, "expired")
            self.see(expired.rows)

    def park(self, draw: Draw) -> None:
        """A process stops, and gives back what it may."""
        one = self._ownership(draw)
        parked = self.run(self.store.write(rescuing.park, self.id, one.claimed.turn.id, one.claimed.epoch))
        assert parked is None or one is self.owner
        assert parked is not None or one is not self.owner or self.on_crash == "incomplete"
        if parked is not None:
            self.owner = None
            self.see(parked.rows)

    def ended_turn(self, turn_id: str) -> None:
        """What it asked is not open any more, and nobody will do its steps again."""
        for question in self.questions.values():
            if question.turn_id == turn_id and question.status == "pending":
                question.status = "expired"
        assert self.run(self.store.read(steps.of_turn, turn_id)) == []

    def _next(self, draw: Draw, attempt: Attempt, record: Record, kind: str) -> str | None:
        """What the agent asks for now: mostly what it asked for the time before. None: that is of another kind."""
        if attempt.at < len(record.script) and draw(st.integers(0, 5)):
            before, digest = record.script[attempt.at]
            if before != kind:
                return None
            attempt.at += 1
            return digest
        attempt.at = len(record.script) + 1  # it takes another way
        return f"{kind} {len(record.script)}"

    def _did(self, record: Record, kind: str, digest: str, result: str | None) -> None:
        if digest not in record.results:
            record.script.append((kind, digest))
        record.results[digest] = result

    def _saved(self, one: Any, changes: list[Step]) -> bool:
        """Save what is unsaved, and this; whether the attempt still owns the turn."""
        unsaved, attempt = [*self.attempts[one.claimed.epoch].steps.unsaved, *changes], self.attempts[one.claimed.epoch]
        attempt.steps.unsaved = []
        saved = self.run(self.store.write(steps.save, self.id, one.claimed.turn.id, one.claimed.epoch, unsaved))
        assert saved == (one is self.owner)
        return bool(saved)

    def _decided(self, question: Question, status: ApprovalStatus) -> None:
        question.status = status
        self.records[question.turn_id].results[question.digest] = encoded(status)

    def _is_kept(self, question: Question) -> bool:
        """Of what was cleared, rolled back or trimmed nothing is left that was asked in it."""
        if self.watcher.status[question.turn_id] not in TERMINAL:
            return True
        kept: list[str] = self.run(self.store.read(_asked_in, question.turn_id))
        return bool(kept)

    def _not_there(self, work: Any, *args: Any) -> None:
        try:
            self.run(self.store.write(work, *args))
        except ApprovalNotFound:
            return
        raise AssertionError("ApprovalNotFound was expected")


def claimant(worker_id: str, on_crash: Any) -> claiming.Claimant:
    return claiming.Claimant(worker_id=worker_id, agents={"demo": None}, on_crash={"demo": on_crash})


def _asked_in(conn: Connection, turn_id: str) -> list[str]:
    return list(conn.execute(select(schema.approvals.c.id).where(schema.approvals.c.turn_id == turn_id)).scalars())
