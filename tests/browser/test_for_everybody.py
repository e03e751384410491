"""The page for everybody: on a phone, enlarged, without motion, with a screen reader, in both themes."""

from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.visitor import Chat, Visitor
from tests.support.server import ServerProcess

pytestmark = pytest.mark.anyio

_AXE: Final = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_PAGES: Final = ("", "inbox", "memory", "settings", "diagnostics")
_SERIOUS: Final = ("serious", "critical")


async def _serious(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody out, as `rule: place`."""
    await page.evaluate(_AXE.read_text())
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]


async def _talk(chat: Chat) -> None:
    """A conversation with something of everything in it."""
    await chat.say("/markdown")
    await chat.ended("completed", 1)
    await chat.say("/tool")
    await chat.ended("completed", 2)
    await chat.say("/fail")
    await chat.ended("failed", 3)


@pytest.mark.promise("U-07")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(
    chromium: Browser, steady_server: ServerProcess, scheme: Literal["light", "dark"]
) -> None:
    # Axe itself is put into the page, which the policy would refuse.
    context = await chromium.new_context(locale="en-GB", bypass_csp=True, color_scheme=scheme, reduced_motion="reduce")
    chat = await Chat(await context.new_page(), steady_server.url).open()
    for name in _PAGES:
        await chat.page.goto(f"{chat.url}/#{name}")
        await expect(chat.page.locator("main h1").first).to_be_visible()
        await chat.screenshot(f"{name or 'new'}-{scheme}")
        assert await _serious(chat.page) == [], name or "a new conversation"
    await chat.open()
    await _talk(chat)
    assert await _serious(chat.page) == [], "a conversation"
    await chat.say("/approve")
    await expect(chat.page.locator(".approval")).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await chat.page.keyboard.press("Control+b")
    assert await _serious(chat.page) == [], "an approval, and the list of chats"
    await context.close()


@pytest.mark.promise("U-07")
@pytest.mark.parametrize("width", [390, 640, 1200])
async def test_nothing_stands_outside(visitor: Visitor, width: int) -> None:
    """390 is a phone; 640 is what a window of 1280 has room for when it is enlarged twice."""
    chat = await visitor.tab()
    await chat.page.set_viewport_size({"width": width, "height": 780})
    await chat.open()
    await _talk(chat)
    for name in (chat.session_id, *_PAGES):
        await chat.page.goto(f"{chat.url}/#{name}")
        await expect(chat.page.locator("main h1").first).to_be_visible()
        await chat.screenshot(f"{'chat' if name.startswith('ses') else name or 'new'}-{width}")
        root = "document.documentElement"
        assert await chat.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), name


@pytest.mark.promise("U-07")
async def test_nothing_moves_for_those_who_ask_for_that(chromium: Browser, steady_server: ServerProcess) -> None:
    context = await chromium.new_context(locale="en-GB", reduced_motion="reduce")
    chat = await Chat(await context.new_page(), steady_server.url).open()
    await chat.say("/long 300 100")
    await chat.see("w20")
    moving = await chat.page.evaluate("document.getAnimations().filter(each => each.playState === 'running').length")
    assert moving == 0
    await context.close()
