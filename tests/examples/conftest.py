"""Each test starts an application of its own, which is gone afterwards."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.examples.applications import Application, running

Start = Callable[..., Application]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts an application by its name, with these settings."""
    with ExitStack() as stack:
        yield lambda name, **env: stack.enter_context(running(name, tmp_path, **env))
