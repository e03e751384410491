"""What a turn has done: what must be on disk of it, and what has really happened, however many attempts it took."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from legato.core.model import CrashPolicy
from legato.core.steps import Step, StepKind, Steps
from legato.store.rescuing import MAX_CRASHES

Asked = tuple[str, str]  # what kind of thing, and its name


@dataclass
class Work:
    """``recorded`` is what the store must have, by number; ``runs`` counts what was done in the world, by name.

    ``script`` is what the agent does, in order, as far as it is known; ``most`` how often one attempt has asked for the same.
    """

    policy: CrashPolicy
    attempts: int = 1
    crashes: int = 0
    recorded: dict[int, Step] = field(default_factory=dict)
    script: list[Asked] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)

    @property
    def may_go_on(self) -> bool:
        """Whether another attempt may follow a crash."""
        return self.policy != "incomplete" and self.crashes < MAX_CRASHES

    def saved(self, changes: Sequence[Step]) -> None:
        self.recorded |= {step.number: step for step in changes}

    def done(self, name: str) -> str:
        """It is done in the world; what came of it."""
        self.runs[name] += 1
        assert self.runs[name] <= self.most[name], f"{name} was done {self.runs[name]} times"
        return f"{name} {self.runs[name]}"

    def of_call(self, call_id: str) -> Step | None:
        return {self.recorded[number].call_id: self.recorded[number] for number in sorted(self.recorded)}.get(call_id)


class Attempt:
    """One attempt's own knowledge. ``doing`` has begun, and is on disk; ``result`` is what came of it, in memory only."""

    def __init__(self, work: Work) -> None:
        self.steps = Steps([work.recorded[number] for number in sorted(work.recorded)])
        self.doing: Step | None = None
        self.result: str | None = None
        self.asked: Counter[str] = Counter()
        self._work = work
        self._left = list(work.recorded.values())  # what it has not been given yet
        self._script = work.script.copy()
        self._at = 0

    def next(self, other: Asked | None) -> Asked:
        """What the agent does next: the same as before, or (where it says so) something else from here on."""
        if other is not None:
            self._script[self._at :] = [other]
            self._work.script = self._script.copy()
        self._at += 1
        return self._script[self._at - 1]

    @property
    def knows_what_follows(self) -> bool:
        return self._at < len(self._script)

    def begin(self, kind: StepKind, name: str, asked: str, call_id: str | None = None) -> tuple[Step, bool]:
        """The step, and whether it is not to be done: exactly where it was recorded before and not given yet."""
        self.asked[name] += 1
        self._work.most[name] = max(self._work.most[name], self.asked[name])
        step, known = self.steps.begin(kind, name, asked, call_id)
        same = [each for each in self._left if (each.kind, each.digest) == (kind, asked)]
        assert known == bool(same), f"{name} was {'' if same else 'not '}recorded"
        if known:
            given = next(each for each in same if each.result == step.result)
            self._left.remove(given)
        return step, known

    def unsaved(self) -> tuple[Step, ...]:
        changes, self.steps.unsaved = tuple(self.steps.unsaved), []
        return changes

    def keep(self, step: Step) -> None:
        self.steps.unsaved.append(step)


def given_up(before: Work, after: Sequence[Step]) -> None:
    """Who begins anew has forgotten what models said, and nothing else."""
    assert list(after) == [step for _, step in sorted(before.recorded.items()) if step.kind != "stream"]
