"""Steps: what a turn has done that is not to be done twice, recorded so that a later attempt uses it (promise R-08).

An attempt that comes after another does the same again, in the same order, and is given what was recorded: by the step's
number, if it asks for the same (``digest``). Where it asks for something else it has taken another way. Then what models said
and people answered counts no more, but what was done stays done: a step that asks for the same is given its result, once.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from legato.core.errors import Misuse

StepKind = Literal["stream", "step", "ask"]

MAX_RESULT_BYTES: Final = 256 * 1024


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """``result`` is JSON text, None while it is not known; ``failed``: it is what went wrong. ``call_id``: whose step it is.

    Steps have numbers from 0 in their order; below 0 stand those whose order counts no more.
    """

    number: int
    kind: StepKind
    name: str
    digest: str
    call_id: str | None = None
    result: str | None = None
    failed: bool = False

    def value(self) -> Any:
        """What was recorded. Raises Misuse: nothing was yet."""
        if self.result is None:
            raise Misuse("the step has no result")
        return msgspec.json.decode(self.result)


def digest(*asked: Any) -> str:
    """Tells whether the same is asked for. Raises Misuse: it can't be written as JSON."""
    return hashlib.sha256(encoded(asked).encode()).hexdigest()


def call_digest(name: str, arguments: str) -> str:
    """``digest`` of a call of a tool with ``arguments`` (JSON text, as a model writes it)."""
    try:
        return digest(name, msgspec.json.decode(arguments))
    except (ValueError, RecursionError):
        return digest(name, arguments)


def encoded(value: Any) -> str:
    """JSON text; keys are sorted, so that equal values have equal text. Raises Misuse: it can't be written as JSON."""
    try:
        text = msgspec.json.encode(value, order="sorted").decode()
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise Misuse(f"what a step takes and gives must be JSON: {error}") from error
    return text


class Move(msgspec.Struct, frozen=True):
    """A recorded step gets another number, or (None) is dropped."""

    number: int
    to: int | None


Change = Step | Move


class Steps:
    """The steps of one attempt: what was recorded of them, and what comes anew. ``unsaved`` is to be saved in this order."""

    def __init__(self, recorded: Sequence[Step] = ()) -> None:
        self._ordered = {step.number: step for step in recorded if step.number >= 0}
        self._loose = {step.number: step for step in recorded if step.number < 0}
        self._next = 0
        self.unsaved: list[Change] = []

    def begin(self, kind: StepKind, name: str, asked: str, call_id: str | None = None) -> tuple[Step, bool]:
        """The next step, and whether it was recorded before; without a result then, its outcome is not known."""
        step, known = self._begin(kind, name, asked)
        if step.call_id != call_id:
            step = msgspec.structs.replace(step, call_id=call_id)
            if known:
                self.unsaved.append(step)
        return step, known

    def _begin(self, kind: StepKind, name: str, asked: str) -> tuple[Step, bool]:
        number = self._next
        self._next += 1
        known = self._ordered.pop(number, None)
        if known is not None:
            if (known.kind, known.name, known.digest) == (kind, name, asked):
                return known, True
            self._part([known, *self._rest()])
        if kind != "stream" and (before := self._found(kind, name, asked)) is not None:
            del self._loose[before.number]
            self.unsaved.append(Move(before.number, number))
            return msgspec.structs.replace(before, number=number), True
        return Step(number=number, kind=kind, name=name, digest=asked), False

    def part(self) -> None:
        """Another way is taken from here on."""
        self._part(self._rest())

    def _rest(self) -> list[Step]:
        rest = [self._ordered[number] for number in sorted(self._ordered)]
        self._ordered = {}
        return rest

    def _found(self, kind: StepKind, name: str, asked: str) -> Step | None:
        wanted = kind, name, asked
        return next((step for step in self._loose.values() if (step.kind, step.name, step.digest) == wanted), None)

    def _part(self, rest: Sequence[Step]) -> None:
        for step in rest:
            to = None if step.kind == "stream" else min(self._loose, default=0) - 1
            self.unsaved.append(Move(step.number, to))
            if to is not None:
                self._loose[to] = msgspec.structs.replace(step, number=to)
