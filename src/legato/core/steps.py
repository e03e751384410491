"""Steps: what a turn has done that is not to be done twice, recorded so that a later attempt uses it (promise R-08).

An attempt that comes after another is given what was recorded of whatever asks for the same (``digest``), in the order in
which it was recorded, and each of it once. Where an attempt begins does not matter: one that comes after steering begins with
what stands in the history then. What a model had called before that is settled: the same call, made again, is another one.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgspec

from legato.core.errors import Misuse

StepKind = Literal["stream", "step", "ask"]

MAX_RESULT_BYTES: Final = 256 * 1024


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """``result`` is JSON text, None while it is not known; ``failed``: it is what went wrong. ``call_id``: whose step it is.

    A turn's steps are numbered in the order in which they began; one that another attempt is given keeps its number.
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


class Steps:
    """The steps of one attempt: what was recorded before it, and what comes anew. ``unsaved`` is to be saved, in this order."""

    def __init__(self, recorded: Sequence[Step] = ()) -> None:
        self._recorded = list(recorded)  # what this attempt has not come to yet
        self._next = max((step.number for step in recorded), default=-1) + 1
        self.unsaved: list[Step] = []

    def begin(self, kind: StepKind, name: str, asked: str, call_id: str | None = None) -> tuple[Step, bool]:
        """The next step, and whether it was recorded before; without a result then, its outcome is not known."""
        step = self._take(kind, name, asked)
        if call_id is not None:
            self._disown(call_id)
        if step is None:
            self._next += 1
            return Step(number=self._next - 1, kind=kind, name=name, digest=asked, call_id=call_id), False
        if step.call_id != call_id:
            step = msgspec.structs.replace(step, call_id=call_id)
            self.unsaved.append(step)
        return step, True

    def settle(self, call_ids: Collection[str]) -> None:
        """What came of these calls stands in the history."""
        self._recorded = [step for step in self._recorded if step.call_id not in call_ids]
        self.unsaved = [step for step in self.unsaved if step.call_id not in call_ids]

    def _take(self, kind: StepKind, name: str, asked: str) -> Step | None:
        wanted = kind, name, asked
        for at, step in enumerate(self._recorded):
            if (step.kind, step.name, step.digest) == wanted:
                return self._recorded.pop(at)
        return None

    def _disown(self, call_id: str) -> None:
        """A call of an earlier attempt that had this id was another one: what came of it is not this one's result."""
        for at, step in enumerate(self._recorded):
            if step.call_id == call_id:
                self._recorded[at] = msgspec.structs.replace(step, call_id=None)
                self.unsaved.append(self._recorded[at])
