"""A real Chromium in front of a real server.

Playwright's asynchronous API, because its synchronous one keeps an event loop running in the main thread, in
which no other asynchronous test of the same process could start.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, async_playwright, expect

from tests.browser.visitor import Visitor
from tests.support.require import require_program
from tests.support.server import ServerProcess

_ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE_MS: Final = 20_000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As long as the browser lives, which is started once a module."""
    return "asyncio"


@pytest.fixture(scope="module")
async def chromium(anyio_backend: str) -> AsyncIterator[Browser]:
    program = require_program("chromium", "chromium-browser", "google-chrome")
    expect.set_options(timeout=_PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="module")
def steady_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for those who don't hurt it."""
    with ServerProcess(f"sqlite:///{tmp_path_factory.mktemp('steady') / 'legato.db'}") as server:
        yield server


@pytest.fixture
def mortal_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that the test kills."""
    with ServerProcess(f"sqlite:///{tmp_path / 'legato.db'}") as server:
        yield server


@pytest.fixture
async def visitor(chromium: Browser, steady_server: ServerProcess) -> AsyncIterator[Visitor]:
    """Someone on the steady server; nothing may fail in the network, in the console, or go elsewhere."""
    context = await chromium.new_context(locale="en-GB")
    visitor = Visitor(context, steady_server.url)
    yield visitor
    await context.close()
    assert visitor.complaints + visitor.network_failures == []


@pytest.fixture
async def witness(chromium: Browser, mortal_server: ServerProcess) -> AsyncIterator[Visitor]:
    """Someone on the mortal server: the network fails, the page must not."""
    context = await chromium.new_context(locale="en-GB")
    visitor = Visitor(context, mortal_server.url)
    yield visitor
    await context.close()
    assert visitor.complaints == []
