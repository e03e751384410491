"""What a running turn does beside talking: it records steps, calls tools, asks people and waits (promises R-07, R-08, R-10).

Each step has three moments (it is on disk that it begins; it is done; it is on disk what came of it), and anything may happen
between them: its process dies or stops, somebody else goes on, the turn ends. Whoever was replaced does not know it.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import strategies as st

from legato.core.errors import ApprovalNotFound
from legato.core.events import ToolCall
from legato.core.model import Message, State, ToolCallPart, ToolResultPart
from legato.core.prompt import NOT_STARTED, OUTCOME_UNKNOWN
from legato.core.steps import Step, StepKind, call_digest, digest, encoded
from legato.store import approvals, claiming, lifecycle, rescuing, retention, steps, workers
from legato.store.claiming import Claimed
from legato.store.lifecycle import Policy
from legato.store.port import Store
from legato.store.ticks import this_boot
from tests.suites.watching import Draw, Ownership, Watching
from tests.suites.work import Attempt, Work, given_up
from tests.support.conversation import claimant, meter

_HOUR_US = 3_600_000_000
_MANY = 10_000
_MOMENTS = 30

#: What an agent may do: a few things, so that it does the same again.
doings: Any = st.sampled_from(
    [
        ("step", "pay"),
        ("step", "pay"),
        ("step", "book"),
        ("call", "pay"),
        ("call", "mail"),
        ("stream", "model"),
        ("ask", "Sure?"),
        ("ask", "pay"),
        ("ask", "mail"),
    ]
)
decisions: Any = st.sampled_from(["allow", "allow", "deny", "always"])
_STATUS = {"allow": "allowed", "always": "allowed", "deny": "denied"}
_ARGUMENTS = "{}"


@dataclass
class Question:
    """What was asked, and what must be known of it."""

    turn_id: str
    step: Step
    tool: str | None
    too_late: bool
    status: str = "pending"


class Acting(Watching):
    """``work`` of each turn, what was asked in the session, and which tools its owner has allowed for always.

    ``seen`` counts what has happened in all sequences: what has not, was not proved.
    """

    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], store: Store) -> None:
        super().__init__(run, store)
        self.approvals: dict[str, Question] = {}
        self.gone: set[str] = set()  # approvals that went with their turns
        self.grants: set[str] = set()

    # What may happen

    def act(self, draw: Draw) -> None:
        """The next moments of whoever runs a turn, or believes so."""
        left = iter(range(draw(st.integers(1, 9))))
        self.moments(self.ownership(draw), draw, until=lambda _: next(left, None) is None)

    def moments(self, one: Ownership, draw: Draw, *, until: Callable[[Attempt], bool]) -> None:
        """A few, unless it waits for a person before."""
        was_owner = one is self.owner
        for _ in range(_MOMENTS):
            if until(one.attempt) or (was_owner and one is not self.owner):
                break
            self._moment(one, draw)
        self.check_steps()

    def _moment(self, one: Ownership, draw: Draw) -> None:
        attempt = one.attempt
        if attempt.doing is None:
            self._begin(one, draw)
        elif attempt.result is None:
            attempt.result = encoded(self._work(one).done(attempt.doing.name))
        else:
            self._record(one)

    def decide(self, draw: Draw) -> None:
        """A person answers, perhaps too late, once more, or what is not his to answer."""
        mine = self.asking if self.asking and draw(st.booleans()) else draw(st.sampled_from(list(self.approvals)))
        decision, owner = draw(decisions), draw(st.sampled_from(["ann"] * 7 + ["bob"]))
        work = self.store.write(approvals.decide, mine, owner, decision)
        if mine in self.gone or owner != "ann":
            return self.refused(ApprovalNotFound, work)
        question = self.approvals[mine]
        before = question.status
        decided = self.run(work)
        in_time = before == "pending" and not question.too_late
        assert decided.fresh == in_time
        assert bool(decided.rows) == (before == "pending")
        if in_time and decision == "always" and question.tool is not None:
            self.grants.add(question.tool)
        if before == "pending":
            self._settled(mine, _STATUS[decision] if in_time else "expired")
        self.see(decided.rows)
        assert decided.approval.status == question.status
        return None

    def expire(self, draw: Draw) -> None:
        """Nobody has answered in time."""
        due = set(self.run(self.store.read(approvals.expired, _MANY))) & set(self.approvals)
        mine = self.asking
        assert mine is not None
        assert due == ({mine} if self.approvals[mine].too_late else set())
        decided = self.run(self.store.write(approvals.expire, mine))
        assert (decided is not None) == bool(due)
        if decided is not None:
            self._settled(mine, "expired")
            self.see(decided.rows)
        assert self.run(self.store.write(approvals.expire, mine)) is None

    def revoke(self, draw: Draw) -> None:
        tool = draw(st.sampled_from(sorted(self.grants)))
        (grant,) = [each for each in self.run(self.store.read(approvals.grants, "ann")) if each.tool == tool]
        self.run(self.store.write(approvals.revoke, "ann", grant.id))
        self.grants.discard(tool)

    def give_back(self, draw: Draw) -> None:
        """A process stops, and hands its turn over, where it may be said again."""
        one = self.ownership(draw)
        turn_id = one.claimed.turn.id
        may = one is self.owner and (self._work(one).policy != "incomplete" or self._is_silent())
        parked = self.run(self.store.write(rescuing.park, self.id, turn_id, one.claimed.epoch))
        assert (parked is not None) == may
        if parked is not None:
            self.given_back(parked)

    def tidy(self, draw: Draw) -> None:
        """Whatever goes by a rule leaves alone what runs, waits, or waits for a person."""
        everything = Policy(idle_us=0, retention_us=0)
        window_us, boot = _HOUR_US, this_boot()
        assert self.run(self.store.write(lifecycle.close_if_idle, self.id, everything, boot, window_us)) is None
        work = self.store.write(retention.prune, self.id, {"demo": 0}, boot, window_us, meter, vouched=True)
        assert self.run(work) is None
        assert self.id in self.run(self.store.read(claiming.claimable, claimant(), _MANY)) or not self.is_claimable
        orphans = {row.id for row in self.run(self.store.read(workers.orphans))}
        assert (self.open_id in orphans) == (self.owner is not None)

    # What becomes of a turn

    def begins(self, turn_id: str, policy: Any) -> None:
        self.open_id = turn_id
        self.work[turn_id] = Work(policy)

    def resumes(self, claimed: Claimed) -> None:
        """Another attempt is given what was said and done."""
        work = self.work[claimed.turn.id]
        work.attempts += 1
        answer = self.watcher.fold.message(claimed.turn.answer_id or "")
        assert claimed.turn.attempt == work.attempts
        assert claimed.resumed is not None
        assert answer is not None
        assert claimed.resumed.parts == answer.parts
        assert list(claimed.resumed.steps) == [work.recorded[number] for number in sorted(work.recorded)]

    def attempt(self, claimed: Claimed) -> Attempt:
        return Attempt(self.work[claimed.turn.id])

    def given_back(self, ended: Any) -> None:
        """The open turn is nobody's, for another attempt."""
        assert self.open_id is not None
        assert ended.turn.status == "in_progress"
        self.see(ended.rows)
        self.owner = None
        work = self.work[self.open_id]
        self.seen[work.policy] += bool(work.recorded)
        if work.policy == "restart":
            now = self.run(self.store.read(steps.of_turn, self.open_id))
            given_up(work, now)
            work.recorded = {step.number: step for step in now}
            assert self._parts() == ()
        self.check_steps()

    def is_over(self, *, removed: bool = False, closed: dict[str, tuple[str, bool]] | None = None) -> None:
        """The open turn has ended; ``removed``: it left the history; ``closed`` is what its open calls must have come to."""
        turn_id, asking = self.open_id, self.asking
        self.open_id = self.owner = self.asking = None
        if turn_id is None:
            return
        if removed:
            self.gone |= {approval_id for approval_id, one in self.approvals.items() if one.turn_id == turn_id}
        elif asking is not None:
            self.approvals[asking].status = "expired"
        if closed:
            turn = self.watcher.fold.turns[turn_id]
            self.seen.update(output.partition(":")[0] for output, _ in closed.values())
            assert closed.items() <= _results(self.watcher.fold.message(turn.answer_id or "")).items()
        self.work[turn_id].recorded.clear()
        assert self.run(self.store.read(steps.of_turn, turn_id)) == []

    def calls_left(self) -> dict[str, tuple[str, bool]]:
        """What the open turn's calls without a result would come to, if it ended now."""
        if self.open_id is None:
            return {}
        answer = self._answer()
        told = _results(answer)
        calls = {part.call_id for part in self._parts() if isinstance(part, ToolCallPart)} - told.keys()
        return {call_id: self._outcome(call_id) for call_id in calls}

    def _outcome(self, call_id: str) -> tuple[str, bool]:
        assert self.open_id is not None
        step = self.work[self.open_id].of_call(call_id)
        if step is None:
            return NOT_STARTED, True
        return (OUTCOME_UNKNOWN, True) if step.result is None else (str(step.value()), step.failed)

    async def forget_grants(self) -> None:
        """Of those who were here before."""
        for grant in await self.store.read(approvals.grants, "ann"):
            await self.store.write(approvals.revoke, "ann", grant.id)

    # What always holds

    def check_steps(self) -> None:
        """The open turn's recorded steps are what was saved."""
        if self.open_id is not None:
            recorded = self.work[self.open_id].recorded
            found = self.run(self.store.read(steps.of_turn, self.open_id))
            assert found == [recorded[number] for number in sorted(recorded)]

    def check_approvals(self, state: State) -> None:
        """None is lost, none is answered otherwise; what a turn asks waits as long as it does."""
        pending = [each.id for each in state.approvals]
        assert pending == ([self.asking] if self.asking else [])
        waiting = self.run(self.store.read(approvals.waiting, "ann", _MANY))
        assert [each.id for each in waiting if each.session_id == self.id] == pending
        for approval_id in self.approvals.keys() - self.gone:
            found = self.run(self.store.read(approvals.of_owner, "ann", approval_id))
            assert found.status == self.approvals[approval_id].status
            assert self.watcher.approvals[approval_id] == found.status

    # How

    def _work(self, one: Ownership) -> Work:
        return self.work[one.claimed.turn.id]

    def _begin(self, one: Ownership, draw: Draw) -> None:
        attempt = one.attempt
        goes_on = attempt.knows_what_follows and draw(st.integers(0, 5)) > 0
        kind, name = attempt.next(None if goes_on else draw(doings))
        match kind:
            case "ask":
                self._ask(one, name, too_late=draw(st.integers(0, 3)) == 0)
            case "stream":
                self._stream(one)
            case _:
                self._do(one, name, called=kind == "call", tells=draw(st.booleans()))

    def _do(self, one: Ownership, name: str, *, called: bool, tells: bool) -> None:
        """A step of the agent's own, or the tool that a model calls; ``tells``: what is not known is recorded as that."""
        attempt = one.attempt
        call_id = f"{name} {attempt.asked[f'call {name}']}" if called else None
        if call_id is not None:
            attempt.asked[f"call {name}"] += 1
            turn_id, part = one.claimed.turn.id, len(self._parts(one.answer_id))
            self.tell(one, (ToolCall(turn_id, one.answer_id, part, call_id, name, _ARGUMENTS),))
        step, known = attempt.begin("step", name, call_digest(name, _ARGUMENTS), call_id)
        if known:
            self.seen["unknown" if step.result is None else "given"] += 1
        if not known:
            attempt.keep(step)
            if self._save(one):
                attempt.doing = step
        elif step.result is None and tells:
            attempt.doing, attempt.result = step, encoded("outcome_unknown")

    def _record(self, one: Ownership) -> None:
        attempt = one.attempt
        assert attempt.doing is not None
        attempt.keep(_with(attempt.doing, attempt.result))
        self._save(one)
        attempt.doing = attempt.result = None

    def _stream(self, one: Ownership) -> None:
        step, known = one.attempt.begin("stream", "model", digest("model"))
        if not known:
            one.attempt.keep(_with(step, encoded(f"said {len(self.claims)} {step.number}")))
            if self._work(one).policy == "continue":
                self._save(one)

    def _ask(self, one: Ownership, name: str, *, too_late: bool) -> None:
        tool = None if name.endswith("?") else name
        kind: StepKind = "ask"
        step, known = one.attempt.begin(kind, tool or "", digest("ask", tool, name))
        if known:
            assert step.result is not None  # else it would wait for a person still
            return
        if not self._save(one):
            return
        turn_id, expires_us = one.claimed.turn.id, -1 if too_late else _HOUR_US
        work = self.store.write(approvals.ask, self.id, turn_id, one.claimed.epoch, step, name, tool, expires_us)
        asked = self.run(work)
        assert (asked is not None) == (one is self.owner)
        if asked is None:
            return
        assert asked.waits == (tool not in self.grants)
        self.approvals[asked.approval.id] = Question(turn_id, step, tool, too_late, asked.approval.status)
        self._work(one).saved([step if asked.waits else _with(step, encoded("allowed"))])
        if asked.waits:
            self.owner, self.asking = None, asked.approval.id
        else:
            self.seen["granted"] += 1
        self.see(asked.rows)

    def _settled(self, approval_id: str, status: str) -> None:
        question = self.approvals[approval_id]
        question.status = status
        self.seen[status] += 1
        self.asking = None
        self.work[question.turn_id].saved([_with(question.step, encoded(status))])

    def _save(self, one: Ownership) -> bool:
        """What has not been saved yet; only the owner's is taken."""
        changes = one.attempt.unsaved()
        if not changes:
            return one is self.owner
        turn_id, epoch = one.claimed.turn.id, one.claimed.epoch
        saved = self.run(self.store.write(steps.save, self.id, turn_id, epoch, changes))
        assert saved == (one is self.owner)
        if saved:
            self._work(one).saved(changes)
        return saved

    def _answer(self) -> Message | None:
        turn = self.watcher.fold.turns.get(self.open_id or "")
        return self.watcher.fold.message(turn.answer_id or "") if turn else None

    def _parts(self, answer_id: str | None = None) -> tuple[Any, ...]:
        answer = self._answer() if answer_id is None else self.watcher.fold.message(answer_id)
        return answer.parts if answer else ()

    def _is_silent(self) -> bool:
        """Whether nobody has heard anything of the open turn."""
        turn, answer = self.watcher.fold.turns[self.open_id or ""], self._answer()
        return answer is not None and not answer.parts and turn.message_id in (answer.id, answer.parent_id)


def _with(step: Step, result: str | None) -> Step:
    return Step(
        number=step.number, kind=step.kind, name=step.name, digest=step.digest, call_id=step.call_id, result=result
    )


def _results(answer: Message | None) -> dict[str, tuple[str, bool]]:
    parts = answer.parts if answer else ()
    return {part.call_id: (part.output, part.is_error) for part in parts if isinstance(part, ToolResultPart)}
