"""A session of a store under any sequence of what may happen to it, checked against a small model.

The model knows who owns the running turn, who waits, and what was sent; the journal is watched as it grows. No sequence may
break: one ending for each turn and nothing after it (G4), one live epoch (G6), one turn for each message (G7), and readers
who resume from wherever they stopped hold what the store has (G17), on whatever branch; a fork holds what it was made from.
"""

import hashlib
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from sqlalchemy import Connection, func, select

from legato.core.errors import (
    Conflict,
    Invalid,
    MessageIdReused,
    MessageNotFound,
    QueueFull,
    SessionClosed,
    TurnInProgress,
    TurnNotFinished,
    TurnNotQueued,
)
from legato.core.events import (
    ApprovalEvent,
    Event,
    MessageEvent,
    Reset,
    StatusUpdate,
    Token,
    ToolCall,
    ToolResult,
    decode_lines,
)
from legato.core.fold import Fold
from legato.core.model import ErrorInfo, FilePart, Message, TextPart, Turn
from legato.core.states import TERMINAL
from legato.engine.hub import after
from legato.store import (
    accepting,
    branching,
    claiming,
    clearing,
    compaction,
    ending,
    files,
    journal,
    messages,
    queueing,
    rescuing,
    schema,
    sessions,
    snapshots,
    steering,
    trimming,
)
from legato.store.accepting import Accepted
from legato.store.claiming import Claimant
from legato.store.ending import Ending
from legato.store.port import Store
from legato.store.queueing import Amend, Last
from legato.store.welcoming import Welcome
from tests.suites.acting import Acting
from tests.suites.watching import Draw, Ownership, Reader
from tests.support.conversation import EVERYTHING, meter, new_session
from tests.support.search_index import check_index
from tests.support.spent import by_days, by_turns, difference
from tests.support.transferring import Ferry

QUEUE_LIMIT = 3

modes: Any = st.sampled_from(["queue", "queue", "reject", "interrupt", "rollback", "steer", "steer"])
endings: Any = st.sampled_from(["completed", "failed", "incomplete"])
kinds: Any = st.sampled_from(["retry", "retry", "continue"])
workers = st.sampled_from(["wrk_1", "wrk_2"])
policies: Any = st.sampled_from(["incomplete", "restart", "continue", "continue"])
texts = st.sampled_from(["a", "é", "🎼", "\n\ndata: x", "word "])


class StoreMachine(Acting):
    """``run`` is the event loop that the store lives in."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], store: Store) -> None:
        super().__init__(run, store)
        self.sent: dict[str, tuple[str, str]] = {}  # client's message id → body, turn
        self.waiting: list[str] = []  # turns, in the order in which they will run
        self.steers: set[str] = set()
        self.welcomes: set[str] = set()
        self.opened = 0  # turns that nobody has sent
        self.often = 1  # how much more than by themselves turns do things
        self.readers: list[Reader] = []
        self.message_of: dict[str, str] = {}
        self.kind_of: dict[str, str] = {}
        self.closed = False
        self.trimmed: set[str] = set()
        self.plans: list[trimming.Plan] = []
        self.switches: list[branching.Plan] = []
        self.forks = 0
        self._looked_at = 0

    # What may happen

    @initialize(welcome=st.booleans(), busy=st.booleans(), data=st.data())
    def begin(self, welcome: bool, busy: bool, data: st.DataObject) -> None:
        self.often = 4 if busy else 1
        self.spent_before = self.run(self.store.read(by_days, "ann"))
        self.run(self.forget_grants())
        created = self.run(new_session(self.store, welcome=Welcome() if welcome else None))
        self.id = created.session.id
        self.see(created.rows)
        for turn in self.watcher.fold.turns.values():
            self.waiting.append(turn.id)
            self._knows(turn)
        self.opened = len(self.waiting)
        if busy:
            self._send("message 0", "a")
            self.claim(data.draw)
            self.lose(data.draw)

    @rule(data=st.data())
    def happens(self, data: st.DataObject) -> None:
        """One rule for all, so that each example has all of them, the usual ones oftener."""
        ended = any(status in TERMINAL for status in self.watcher.status.values())
        actions: list[tuple[Callable[[Draw], None], int, bool]] = [
            (self.send, 7, len(self.waiting) < QUEUE_LIMIT),
            (self.send, 1, True),
            (self.repeat, 1, bool(self.sent)),
            (self.again, 3, ended),
            (self.edit, 4, len(self.sent) > 1),
            (self.amend, 3, bool(self.waiting)),
            (self.amend, 1, bool(self.message_of)),
            (self.switch, 5, ended and not self.waiting and self.open_id is None),
            (self.switch, 1, ended),
            (self.switch_later, 1, bool(self.switches)),
            (self.fork, 1, ended and self.forks < 2),
            (self.claim, 8, bool(self.waiting) and self.open_id is None),
            (self.claim, 8 * self.often, self.is_claimable and self.open_id is not None),
            (self.claim, 1, self.open_id is not None),
            (self.say, 10, bool(self.claims)),
            (self.say_again, 1, any(one.entered for one in self.claims)),
            (self.steer, 6, self.owner is not None and not self.steers.isdisjoint(self.waiting)),
            (self.steer, 1, bool(self.claims)),
            (self.act, 12 * self.often, self.owner is not None),
            (self.act, 1, bool(self.claims)),
            (self.decide, 6 * self.often, self.asking is not None),
            (self.decide, 1, bool(self.approvals)),
            (self.expire, 2 * self.often, self.asking is not None),
            (self.revoke, 1, bool(self.grants)),
            (self.give_back, 1 + self.often, self.owner is not None),
            (self.give_back, 1, bool(self.claims)),
            (self.tidy, 1, self.open_id is not None or bool(self.waiting)),
            (self.finish, 3, bool(self.claims)),
            (self.cancel, 2, bool(self.sent)),
            (self.withdraw, 1, bool(self.sent)),
            (self.rescue, 2, bool(self.claims)),
            (self.crash, 1 + self.often, self.owner is not None),
            (self.lose, 4 * self.often, self.owner is not None),
            (self.change, 1, True),
            (self.clear, 1, len(self.sent) > 5),
            (self.compact, 2, ended),
            (self.trim, 2, ended),
            (self.plan, 1, ended),
            (self.cut, 2, bool(self.plans)),
            (self.follow, 2, len(self.readers) < 5),
            (self.read, 4, bool(self.readers)),
        ]
        choices = [action for action, weight, possible in actions if possible for _ in range(weight)]
        data.draw(st.sampled_from(choices), "action")(data.draw)

    def send(self, draw: Draw) -> None:
        self._send(f"message {len(self.sent)}", draw(texts), mode=draw(modes))

    def repeat(self, draw: Draw) -> None:
        """A client tries again, perhaps with something else under the same id."""
        message_id = draw(st.sampled_from(list(self.sent)))
        body, turn_id = self.sent[message_id]
        text, mode = draw(texts), draw(modes)
        if body != _body(text, mode=mode):
            self.refused(MessageIdReused, self._accept(message_id, text, mode=mode))
            return
        again = self.run(self._accept(message_id, text, mode=mode))
        assert (again.turn.id, again.fresh, again.rows) == (turn_id, False, ())

    def again(self, draw: Draw) -> None:
        """Continue or retry a turn, mostly one that has ended; mostly the last one is continued."""
        kind, source, key = draw(kinds), draw(st.sampled_from(list(self.message_of))), f"message {len(self.sent)}"
        last = self._answered_last()
        if kind == "continue" and last is not None and draw(st.integers(0, 3)):
            source = last
        work = partial(self._accept, key, "", kind=kind, source_turn_id=source)
        if not self.closed and len(self.waiting) < QUEUE_LIMIT:
            if self.watcher.status[source] not in TERMINAL:
                return self.refused(TurnNotFinished, work())
            if kind == "retry" and source not in self.welcomes and not self._is_there(source):
                return self.refused(MessageNotFound, work())
            if kind == "continue" and (self.waiting or source != last):
                return self.refused(Conflict, work())
        return self._send(key, "" if kind == "retry" else "Go on.", kind=kind, source_turn_id=source)

    def _answered_last(self) -> str | None:
        """The turn whose answer readers see at the end of the active branch, whether or not it has ended."""
        fold = self.watcher.fold
        last = fold.message(fold.leaf_id) if fold.leaf_id else None
        return last.turn_id if last is not None and last.role == "assistant" else None

    def edit(self, draw: Draw) -> None:
        """Say something else in the place of a message."""
        row = self._any_message(draw)
        if row is None:
            return None
        key, text, mode = f"message {len(self.sent)}", draw(texts), draw(modes)
        fields: dict[str, Any] = {"kind": "edit", "edits": row.id}
        admitted = not self.closed and len(self.waiting) < QUEUE_LIMIT
        if admitted and not (mode == "reject" and (self.open_id or self.waiting)):
            if row.role != "user":
                return self.refused(Invalid, self._accept(key, text, mode=mode, **fields))
            if row.status == "queued":
                return self.refused(Conflict, self._accept(key, text, mode=mode, **fields))
        return self._send(key, text, mode=mode, **fields)

    def amend(self, draw: Draw) -> None:
        """Change a turn that waits, or one that does no more."""
        turn_id = draw(st.sampled_from(self.waiting if draw(st.booleans()) and self.waiting else list(self.message_of)))
        before = draw(st.sampled_from([None, Last(), *self.waiting, *list(self.message_of)[:2]]))
        parts = draw(st.sampled_from([None, (TextPart("Rather this."),)]))
        work = self.store.write(queueing.amend, self.id, "ann", turn_id, Amend(parts=parts, before=before))
        if turn_id not in self.waiting:
            return self.refused(TurnNotQueued, work)
        if isinstance(before, str) and before not in self.waiting:
            return self.refused(TurnNotQueued, work)
        if parts is not None and self.kind_of[turn_id] not in ("send", "edit"):
            return self.refused(Invalid, work)
        if before is not None and before != turn_id:
            self.waiting.remove(turn_id)
            at = self.waiting.index(before) if isinstance(before, str) else len(self.waiting)
            self.waiting.insert(at, turn_id)
        amended = self.run(work)
        assert amended.turn.id == turn_id
        self.see(amended.rows)
        return None

    def switch(self, draw: Draw) -> None:
        """Go to the branch of any message, at once or later, when much may have happened."""
        row = self._any_message(draw)
        if row is None:
            return
        work = self.store.read(branching.plan, self.id, "ann", row.id)
        if row.status == "queued":
            self.refused(MessageNotFound, work)
            return
        plan = self.run(work)
        along = self.run(self.store.read(messages.branch_ids, plan.leaf_id))
        assert row.id in along
        if draw(st.integers(0, 3)) == 0:
            self.switches.append(plan)
        else:
            self._switch(plan, fresh=True)

    def switch_later(self, draw: Draw) -> None:
        self._switch(self.switches.pop(draw(st.integers(0, len(self.switches) - 1))), fresh=False)

    def _switch(self, plan: branching.Plan, *, fresh: bool) -> None:
        work = self.store.write(branching.switch, self.id, "ann", plan)
        if self.closed:
            return self.refused(SessionClosed, work)
        if self.open_id or self.waiting:
            return self.refused(TurnInProgress, work)
        before = self.run(self.moment())
        switched = self.run(work)
        assert switched is not None or not fresh
        if switched is None:
            assert self.run(self.moment()) == before
            return None
        self.see(switched.rows)
        assert self.run(self.moment())[0].leaf_id == plan.leaf_id
        return None

    def fork(self, draw: Draw) -> None:
        """Go on from a message in another session."""
        row = self._any_message(draw) if draw(st.booleans()) else None
        self.forks += 1
        self.run(self._fork(row))

    async def _fork(self, row: Any) -> None:
        ferry = Ferry(self.store)
        if row is not None and row.status in ("queued", "in_progress"):
            try:
                await ferry.forking.fork("ann", self.id, row.id)
            except TurnNotFinished:
                return
            raise AssertionError("what grows was forked")
        made = await ferry.forking.fork("ann", self.id, row.id if row else None)
        leaf_id = row.id if row else (await self.moment())[0].leaf_id
        source = await self.store.read(messages.branch, leaf_id, 0)
        if row is None and source and source[-1].status == "in_progress":
            source.pop()
        state, _ = await self.store.read(snapshots.snapshot, made.id, "ann", EVERYTHING)
        assert list(map(_said, state.messages)) == list(map(_said, source))
        for message in state.messages:
            for part in message.parts:
                if isinstance(part, FilePart):  # its own, with the same bytes
                    assert (await self.store.read(files.get, part.file_id, "ann")).message_id == message.id
        assert made.forked_from is not None
        assert (made.forked_from.session_id, made.forked_from.message_id) == (
            self.id,
            source[-1].id if source else None,
        )
        await ferry.agrees(made.id, "ann")
        await check_index(self.store, made.id)
        stats = await self.store.read(sessions.stats, made.id, "ann")
        assert (stats.message_count, stats.active_count, stats.usage.total_tokens) == (len(source), len(source), 0)

    def _any_message(self, draw: Draw) -> Any:
        """A row with id, role and status; None where there is none."""
        rows = self.run(self.store.read(_messages, self.id))
        return draw(st.sampled_from(rows)) if rows else None

    def claim(self, draw: Draw) -> None:
        policy = draw(policies)
        claimant = Claimant(worker_id=draw(workers), agents={"demo": None}, on_crash={"demo": policy})
        claimed = self.run(self.store.write(claiming.claim, self.id, claimant))
        if not self.is_claimable:
            assert claimed is None
            return
        assert claimed is not None
        assert all(claimed.epoch > earlier.claimed.epoch for earlier in self.claims)
        if self.open_id is None:
            assert claimed.turn.id == self.waiting.pop(0)
            assert claimed.resumed is None
            self.begins(claimed.turn.id, policy)
        else:
            assert claimed.turn.id == self.open_id
            self.resumes(claimed)
        self.owner = Ownership(claimed, claimed.turn.answer_id or "", self.attempt(claimed))
        self.claims.append(self.owner)
        self.see(claimed.rows)

    def say(self, draw: Draw) -> None:
        """An owner, or one who was replaced and does not know it, commits what it has."""
        one = self.ownership(draw)
        told = tuple(draw(st.lists(_events(one), min_size=1, max_size=3)))
        self.tell(one, told)

    def say_again(self, draw: Draw) -> None:
        """The outcome of a commit was unknown: it is tried again."""
        one = draw(st.sampled_from([one for one in self.claims if one.entered]))
        number = draw(st.sampled_from(list(one.entered)))
        found = self.append(one, number, one.entered[number], again=True)
        # After a clear nothing tells that it had entered; it is refused, as its epoch is not the session's.
        assert found is not None or one is not self.owner

    def steer(self, draw: Draw) -> None:
        one = self.ownership(draw)
        steered = self.run(self.store.write(steering.steer, self.id, one.claimed.turn.id, one.claimed.epoch))
        taken = [turn_id for turn_id in self.waiting if turn_id in self.steers]
        if one is not self.owner or not taken:
            assert steered is None
            return
        assert steered is not None
        assert [message.id for message in steered.messages] == [self.message_of[turn_id] for turn_id in taken]
        one.answer_id = steered.turn.answer_id or ""
        self.waiting = [turn_id for turn_id in self.waiting if turn_id not in taken]
        self.see(steered.rows)

    def finish(self, draw: Draw) -> None:
        one, status = self.ownership(draw), draw(endings)
        error = ErrorInfo("agent_error", "It failed.") if status == "failed" else None
        how = Ending(status=status, reason="stop", error=error)
        turn_id = one.claimed.turn.id
        ended = self.run(self.store.write(ending.finish, self.id, turn_id, one.claimed.epoch, how, meter))
        assert (ended is not None) == (one is self.owner)
        self._ended(turn_id, ended)

    def rescue(self, draw: Draw) -> None:
        """A worker was declared dead, rightly or not."""
        self._rescue(self.ownership(draw), draw(workers))

    def crash(self, draw: Draw) -> None:
        """The owner dies, often in the middle of something."""
        assert self.owner is not None
        self._rescue(self.owner, self.run(self.store.read(_worker, self.owner.claimed.turn.id)))

    def lose(self, draw: Draw) -> None:
        """The owner dies in the middle of a step, and another one goes on where it was."""
        assert self.owner is not None
        self.moments(self.owner, draw, until=lambda attempt: attempt.doing is not None and draw(st.booleans()))
        if self.owner is not None:
            self.crash(draw)
        if self.is_claimable and self.open_id is not None:
            self.claim(draw)
            self.moments(self.owner, draw, until=lambda attempt: not attempt.knows_what_follows)

    def _rescue(self, one: Ownership, worker: str) -> None:
        how = Ending(status="incomplete", reason="worker_lost")
        turn_id = one.claimed.turn.id
        open_now = self.owner is not None and self.owner.claimed.turn.id == turn_id  # under whichever epoch
        owned = open_now and worker == self.run(self.store.read(_worker, turn_id))
        ended = self.run(self.store.write(rescuing.rescue, self.id, turn_id, worker, how, meter))
        assert (ended is not None) == owned
        if owned and self.work[turn_id].may_go_on:
            self.work[turn_id].crashes += 1
            self.given_back(ended)
        else:
            self._ended(turn_id, ended)

    def cancel(self, draw: Draw) -> None:
        turn_id = draw(st.sampled_from(list(self.message_of)))
        before = self.watcher.status[turn_id]
        how = Ending(status="cancelled", reason="cancelled")
        ended = self.run(self.store.write(ending.cancel, self.id, "ann", turn_id, how, meter))
        assert ended.turn.status == (before if before in TERMINAL else "cancelled")
        assert bool(ended.rows) == (before not in TERMINAL)
        self._ended(turn_id, ended)

    def withdraw(self, draw: Draw) -> None:
        turn_id = draw(st.sampled_from(list(self.message_of)))
        work = self.store.write(ending.withdraw, self.id, "ann", turn_id, meter)
        if self.watcher.status[turn_id] == "queued":
            self._ended(turn_id, self.run(work))
        else:
            self.refused(TurnNotQueued, work)

    def clear(self, draw: Draw) -> None:
        cleared = self.run(self.store.write(ending.clear, self.id, "ann", meter))
        assert list(cleared.turn_ids) == ([self.open_id] if self.open_id else []) + self.waiting
        self.waiting = []
        self.see(cleared.rows)
        self.is_over(removed=True)
        self.gone |= set(self.approvals)
        assert self.run(self.moment())[0].messages == ()
        while draw(st.booleans()) and not self.run(self.store.write(clearing.remove, self.id)):
            pass  # or whoever cleared dies on the way

    def change(self, draw: Draw) -> None:
        self.closed = draw(st.booleans())
        values = {"title": draw(texts), "closed": self.closed}
        self.see(self.run(self.store.write(sessions.change, self.id, "ann", values)).rows)

    def compact(self, draw: Draw) -> None:
        ended = [turn_id for turn_id, status in self.watcher.status.items() if status in TERMINAL]
        assert self.run(self.store.write(compaction.compact, self.id, draw(st.sampled_from(ended))))

    def trim(self, draw: Draw) -> None:
        limit = draw(st.integers(0, 4))
        before = self.run(self.moment())[0].messages
        plan = self.run(self.store.read(trimming.plan, self.id, limit))
        for piece in plan.slices:
            assert self._cut(plan, piece)
        after = self.run(self.moment())[0].messages
        assert after == before[len(before) - len(after) :] or after[1:] == before[len(before) - len(after) + 1 :]
        placed = [message for message in after if message.status != "queued"]
        # What was steered into an answer that is given again stays with what that one answers.
        asked = {m.turn_id for m in placed if m.role == "user" and self.kind_of[m.turn_id] != "retry"}
        assert plan.blocked or len(placed) <= limit or len(asked) <= 1
        assert not self.run(self.store.read(trimming.plan, self.id, limit)).slices

    def plan(self, draw: Draw) -> None:
        """What is to be trimmed is looked up; much may happen before it is."""
        limit = draw(st.integers(0, 4))
        plan = self.run(self.store.read(trimming.plan, self.id, limit))
        self.plans += [plan] if plan.slices else []

    def cut(self, draw: Draw) -> None:
        plan = self.plans.pop(draw(st.integers(0, len(self.plans) - 1)))
        before = self.run(self.moment())
        if not self._cut(plan, plan.slices[0]):
            assert self.run(self.moment()) == before

    def _cut(self, plan: trimming.Plan, piece: trimming.Slice) -> bool:
        rows = self.run(self.store.write(trimming.cut, self.id, plan.epoch, piece)).rows
        self.see(rows)
        self.trimmed |= set(piece.gone) if rows else set()
        self.gone |= {apr for apr, one in self.approvals.items() if one.turn_id in piece.turns} if rows else set()
        return bool(rows)

    def follow(self, draw: Draw) -> None:
        """Somebody opens the page, or reads from the beginning."""
        state, head = self.run(self.moment())
        self.readers.append(draw(st.sampled_from([Reader(Fold(state), head), Reader(Fold(), 0)])))

    def read(self, draw: Draw) -> None:
        """A reader comes back with its cursor and is cut off again, in the middle of a row or not."""
        reader = draw(st.sampled_from(self.readers))
        self._read(reader, draw(st.integers(1, 12)), draw(st.sampled_from([1, 400, 100_000])))

    # What always holds

    @invariant()
    def snapshot_is_what_a_live_reader_holds(self) -> None:
        if self.watcher.head == self._looked_at:
            return
        self._looked_at = self.watcher.head
        state, head = self.run(self.moment())
        assert head == self.watcher.head
        assert state == self.watcher.fold.state()
        self.run(check_index(self.store, self.id))
        waiting = [turn.id for turn in state.turns if turn.status == "queued"]
        running = [turn.id for turn in state.turns if turn.status == "in_progress"]
        assert waiting == self.waiting
        assert running == ([self.open_id] if self.open_id else [])
        self.check_approvals(state)

    def teardown(self) -> None:
        if not hasattr(self, "id"):
            return
        state, head = self.run(self.moment())
        self.readers.append(Reader(Fold(), 0))
        for reader in self.readers:
            while reader.position < head:
                self._read(reader, 1_000, 100_000)
            assert reader.fold.state() == state
        rows = self.run(self.store.read(journal.read_rows, self.id, 0, 1 << 30))
        for event in journal.turn_events(rows):  # of what was trimmed nobody is told more than that it is gone
            of_trimmed = getattr(event, "message_id", None) in self.trimmed
            assert not of_trimmed or (isinstance(event, MessageEvent) and event.op == "removed"), event
            assert not (isinstance(event, ApprovalEvent) and event.approval.id in self.gone), event
        counts = self.run(self.store.read(_counts, self.id))
        assert counts == (self.opened + len(self.sent), len(self.sent))  # one turn for each message that was accepted
        assert len(self.watcher.status) == self.opened + len(self.sent)
        spent = self.run(self.store.read(by_days, "ann"))
        assert difference(spent, self.spent_before) == self.run(self.store.read(by_turns, "ann", self.id))
        shown = [message.client_message_id for message in state.messages if message.role == "user"]
        assert len(set(shown)) == len(shown)

    # How

    def _send(self, key: str, text: str, mode: Any = "queue", **fields: Any) -> None:
        work = self._accept(key, text, mode=mode, **fields)
        if self.closed:
            self.refused(SessionClosed, work)
            return self._reopen()
        if mode == "reject" and (self.open_id or self.waiting):
            return self.refused(TurnInProgress, work)
        if len(self.waiting) >= QUEUE_LIMIT:
            return self.refused(QueueFull, work)
        accepted = self.run(work)
        assert accepted.fresh
        assert accepted.cursor_seq == self.watcher.head
        self._accepted(key, _body(text, mode=mode, **fields), accepted, mode)
        return None

    def _reopen(self) -> None:
        self.closed = False
        self.see(self.run(self.store.write(sessions.change, self.id, "ann", {"closed": False})).rows)

    def _accepted(self, key: str, body: str, accepted: Accepted, mode: Any) -> None:
        turn = accepted.turn
        self.sent[key] = (body, turn.id)
        self._knows(turn)
        interrupts = mode in ("interrupt", "rollback")
        assert accepted.ended_turn_id == (self.open_id if interrupts else None)
        left = self.calls_left() if mode == "interrupt" else {}
        self.see(accepted.rows)
        if interrupts:
            self.is_over(removed=mode == "rollback", closed=left)
        # A rollback may take the message of a waiting retry with it, and ends that one as well.
        self.waiting = [turn_id for turn_id in self.waiting if self.watcher.status[turn_id] == "queued"]
        self.waiting.insert(0 if interrupts else len(self.waiting), turn.id)
        if mode == "steer" and turn.kind != "edit":
            self.steers.add(turn.id)

    def _knows(self, turn: Turn) -> None:
        self.message_of[turn.id] = turn.message_id
        self.kind_of[turn.id] = turn.kind
        if turn.kind == "welcome":
            self.welcomes.add(turn.id)

    def _accept(self, key: str, text: str, mode: Any = "queue", **fields: Any) -> Coroutine[Any, Any, Accepted]:
        send = accepting.Send(
            session_id=self.id,
            owner="ann",
            client_message_id=key,
            body_hash=hashlib.sha256(_body(text, mode=mode, **fields).encode()).hexdigest(),
            parts=(TextPart(text),) if text else (),
            mode=mode,
            queue_limit=QUEUE_LIMIT,
            **fields,
        )
        return self.store.write(accepting.accept, send, meter)

    def _ended(self, turn_id: str, ended: ending.Ended | None) -> None:
        if ended is None:
            return
        left = self.calls_left() if turn_id == self.open_id else {}
        self.see(ended.rows)
        assert self.watcher.status[turn_id] == ended.turn.status
        self.waiting = [waiting for waiting in self.waiting if waiting != turn_id]
        if turn_id == self.open_id:
            self.is_over(closed=left)

    def _is_there(self, turn_id: str) -> bool:
        return self.run(self.store.read(messages.get, self.message_of[turn_id])) is not None

    def _read(self, reader: Reader, how_many: int, limit_bytes: int) -> None:
        rows = self.run(self.store.read(journal.read_rows, self.id, reader.position, limit_bytes))
        for row in rows:
            rest = after(row, reader.position)
            for seq, event in decode_lines(rest.first_seq, rest.payload):
                if how_many == 0:
                    return
                assert seq > reader.position
                reader.fold.apply(event)
                reader.position = seq
                how_many -= 1
            reader.position = row.last_seq


def _body(text: str, **fields: Any) -> str:
    return repr((text, sorted(fields.items())))


def _events(one: Ownership) -> st.SearchStrategy[Event]:
    """What an agent says."""
    turn_id, answer_id = one.claimed.turn.id, one.answer_id
    parts = st.integers(0, 3)
    token = st.builds(Token, st.just(turn_id), st.just(answer_id), parts, st.just("text"), texts)
    return st.one_of(
        token,
        token,
        st.builds(Reset, st.just(turn_id), st.just(answer_id), parts),
        st.builds(StatusUpdate, st.just(turn_id), st.just("executing"), texts),
        st.builds(ToolCall, st.just(turn_id), st.just(answer_id), parts, st.just("call_1"), st.just("f"), texts),
        st.builds(ToolResult, st.just(turn_id), st.just(answer_id), parts, st.just("call_1"), texts),
    )


def _worker(conn: Connection, turn_id: str) -> str:
    return str(conn.execute(select(schema.turns.c.worker_id).where(schema.turns.c.id == turn_id)).scalar_one())


def _messages(conn: Connection, session_id: str) -> list[Any]:
    table = schema.messages
    mine = table.c.session_id == session_id, messages.NOT_CLEARED
    found = select(table.c.id, table.c.role, table.c.status).where(*mine)
    return list(conn.execute(found.order_by(table.c.created_at, table.c.role.desc(), table.c.id)).all())


def _counts(conn: Connection, session_id: str) -> tuple[int, int]:
    tables = (schema.turns, schema.sends)
    told, sent = [
        conn.execute(select(func.count()).select_from(table).where(table.c.session_id == session_id)).scalar_one()
        for table in tables
    ]
    return told, sent


def _said(message: Message) -> object:
    """What a copy of a message has in common with it."""
    parts = [
        msgspec.structs.replace(each, file_id="") if isinstance(each, FilePart) else each for each in message.parts
    ]
    return message.role, parts, message.status, message.error
