"""Who watches a session of a store, and what any sequence of its steps needs: the journal as it grows, claims, readers."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from legato.core.events import ApprovalEvent, Done, Event, TurnEvent, UsageEvent, decode_lines
from legato.core.fold import Fold
from legato.core.states import TERMINAL, may_follow
from legato.store import snapshots
from legato.store.claiming import Claimed
from legato.store.port import Row, Store
from tests.suites.work import Attempt, Work
from tests.support.conversation import EVERYTHING, batch

T = TypeVar("T")
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass
class Ownership:
    """A claim and what its owner has said, whether or not it still owns the turn."""

    claimed: Claimed
    answer_id: str
    attempt: Attempt
    entered: dict[int, tuple[Event, ...]] = field(default_factory=dict)


@dataclass
class Reader:
    """Somebody who follows with interruptions; ``position`` is the last seq that it has seen."""

    fold: Fold
    position: int


class Watcher:
    """The journal as it grows: what is committed, in order, and what may never follow what."""

    def __init__(self) -> None:
        self.fold = Fold()
        self.head = 0
        self.status: dict[str, str] = {}
        self.approvals: dict[str, str] = {}
        self._metered: set[str] = set()
        self._last: Event | None = None

    def see(self, row: Row) -> None:
        assert row.first_seq == self.head + 1
        for seq, event in decode_lines(row.first_seq, row.payload):
            self.head = seq
            self._check(event)
            self.fold.apply(event)
            self._last = event
        assert self.head == row.last_seq

    def _check(self, event: Event) -> None:
        if isinstance(event, TurnEvent):
            before = self.status.get(event.turn.id)
            assert before in (None, event.turn.status) or may_follow(before, event.turn.status)  # type: ignore[arg-type]
            self.status[event.turn.id] = event.turn.status
        elif (turn_id := getattr(event, "turn_id", None)) is not None:
            assert self.status[turn_id] not in TERMINAL, f"{event} after the end"
        if isinstance(self._last, UsageEvent):
            assert isinstance(event, Done)
            assert event.turn_id == self._last.turn_id
        if isinstance(event, UsageEvent):
            assert event.turn_id not in self._metered
            self._metered.add(event.turn_id)
        if isinstance(event, ApprovalEvent):
            assert self.approvals.get(event.approval.id, "pending") == "pending", f"{event} was decided before"
            self.approvals[event.approval.id] = event.approval.status
        if isinstance(event, Done):
            self.status[event.turn_id] = event.status
        open_turns = [turn_id for turn_id, status in self.status.items() if status == "in_progress"]
        assert len(open_turns) <= 1


class Watching(RuleBasedStateMachine):
    """A session, who owns its open turn (``open_id``), and everybody who ever did. ``run`` is the store's event loop."""

    id: str

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], store: Store) -> None:
        super().__init__()
        self._run = run
        self.store = store
        self.watcher = Watcher()
        self.waiting: list[str] = []  # turns, in the order in which they will run
        self.open_id: str | None = None
        self.owner: Ownership | None = None  # nobody's: it was given back, or waits for a person (``asking``)
        self.asking: str | None = None
        self.claims: list[Ownership] = []
        self.work: dict[str, Work] = {}

    @property
    def is_claimable(self) -> bool:
        """Whether somebody may claim a turn here."""
        if self.open_id is not None:
            return self.owner is None and self.asking is None
        return bool(self.waiting)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        result: T = self._run(work)
        return result

    def refused(self, error: type[Exception], work: Coroutine[Any, Any, object]) -> None:
        try:
            self.run(work)
        except error:
            return
        raise AssertionError(f"{error.__name__} was expected")

    def see(self, rows: Any) -> None:
        for row in rows:
            self.watcher.see(row)

    def moment(self) -> Coroutine[Any, Any, Any]:
        return self.store.read(snapshots.snapshot, self.id, "ann", EVERYTHING)

    def append(self, one: Ownership, number: int, told: tuple[Event, ...], *, again: bool = False) -> Row | None:
        (row,) = self.run(self.store.append([batch(one.claimed, number, *told, again=again)]))
        return row

    def tell(self, one: Ownership, told: tuple[Event, ...]) -> None:
        """It enters if ``one`` is the owner."""
        number = len(one.entered) + 1
        row = self.append(one, number, told)
        assert (row is not None) == (one is self.owner)
        if row is not None:
            one.entered[number] = told
            self.see([row])

    def ownership(self, draw: Draw) -> Ownership:
        """Mostly the owner, sometimes one who was replaced."""
        if self.owner is not None and draw(st.integers(0, 9)) < 8:
            return self.owner
        one: Ownership = draw(st.sampled_from(self.claims))
        return one
