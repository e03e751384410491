"""What a test needs from the machine: missing means skipped, or failed where all is said to be there."""

import os
import shutil
from typing import NoReturn

import pytest


def require_program(name: str, *alternatives: str) -> str:
    """The path of the program ``name``, or of the first of ``alternatives`` that is installed.

    Without any of them the test is skipped with the reason; with ``LEGATO_REQUIRE_ALL=1`` (set by ``.ci/run``
    after it has installed everything) it fails, so that a suite can't turn green by testing nothing.
    """
    path = next(filter(None, map(shutil.which, (name, *alternatives))), None)
    return path or unavailable(f"{name} is not installed")


def unavailable(reason: str) -> NoReturn:
    """Skips the test, or fails it where all is said to be there."""
    if os.environ.get("LEGATO_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason}, and LEGATO_REQUIRE_ALL=1 forbids skipping")
    pytest.skip(reason)
