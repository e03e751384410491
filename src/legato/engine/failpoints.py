"""Named points where a test kills the process: ``LEGATO_FAILPOINT=after_claim`` or ``after_claim:3`` for the third time.

Points, each counted over the whole process: before_claim, after_claim, after_first_token (a turn's first words are
committed and on their way to readers; the second time, one commit later), after_commit (before readers are told: of a
session, its turn and claim, the context, words …), in_finish, in_erase (a slice of a deleted session is gone). Unset,
``reached`` is a function that does nothing.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Final


def _arm(spec: str) -> Callable[[str], None]:
    name, _, nth = spec.partition(":")
    wanted, seen = int(nth or 1), Counter[str]()

    def reached(point: str) -> None:
        seen[point] += 1
        if point == name and seen[point] == wanted:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _ignore(point: str) -> None:
    pass


_spec: Final = os.environ.get("LEGATO_FAILPOINT", "")
reached: Final = _arm(_spec) if _spec else _ignore
