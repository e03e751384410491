"""What breaks a chat elsewhere, done to this one: nothing lost, nothing doubled, nothing stuck, on any screen."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from anyio import sleep
from anyio.to_thread import run_sync
from playwright.async_api import Browser, BrowserContext, ViewportSize, expect

from tests.browser.visitor import Chat, Visitor
from tests.support.server import ServerProcess
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("U-04")]

PHONE: Final[ViewportSize] = {"width": 390, "height": 780}
AWAY_S: Final = 10


@dataclass
class World:
    """A server, who answers there, and who looks."""

    name: str
    server: ServerProcess
    context: BrowserContext
    visitor: Visitor

    def question(self, count: int) -> str:
        return f"/long {count} 200" if self.name == "demo" else f"count {count} at 200/s"

    async def ask(self, count: int) -> Chat:
        """A tab in which an answer of so many words has begun."""
        chat = await (await self.visitor.tab()).open()
        await chat.say(self.question(count))
        await expect(chat.answers.last).to_contain_text("20")
        return chat

    async def another(self, chat: Chat) -> Chat:
        return await (await self.visitor.tab()).open(chat.session_id)

    async def settled(self, status: str, *chats: Chat, name: str) -> None:
        """Every screen shows the journal's words once, and nothing says "running"."""
        for chat in chats:
            await chat.ended(status, 1)
            await expect(chat.page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
            await expect(chat.page.locator(".mark")).to_have_count(0)
            await expect(chat.page.locator('[aria-busy="true"]')).to_have_count(0)
            assert "●" not in await chat.page.title()
            await chat.connected()
            await chat.matches_the_journal()
        await chats[0].screenshot(f"unbroken-{name}-{self.name}")


@pytest.fixture(params=["demo", "upstream"])
async def world(request: pytest.FixtureRequest, chromium: Browser, tmp_path: Path) -> AsyncIterator[World]:
    context = await chromium.new_context(locale="en-GB")
    url = f"sqlite:///{tmp_path / 'legato.db'}"
    async with Upstream() as upstream:
        env = {"OPENAI_BASE_URL": upstream.url} if request.param == "upstream" else {}
        with ServerProcess(url, env=env) as server:
            visitor = Visitor(context, server.url)
            yield World(request.param, server, context, visitor)
            await context.close()
    assert visitor.complaints == []


async def test_a_reload_in_mid_answer(world: World) -> None:
    chat = await world.ask(600)
    await chat.page.reload()
    await world.settled("completed", chat, name="reload")


async def test_ten_seconds_elsewhere_and_back(world: World) -> None:
    chat = await world.ask(2_600)
    session = chat.page.url
    await chat.page.goto("about:blank")
    await sleep(AWAY_S)
    await chat.page.goto(session)
    await world.settled("completed", chat, name="back")


async def test_five_quick_switches(world: World) -> None:
    chat = await world.ask(800)
    session_id = chat.session_id
    for _ in range(5):
        await chat.page.evaluate("location.hash = ''")
        await chat.page.evaluate("id => location.hash = id", session_id)
    await world.settled("completed", chat, name="switches")


async def test_two_tabs_and_a_phone(world: World) -> None:
    one = await world.ask(1_200)
    other, phone = await world.another(one), await world.another(one)
    await phone.page.set_viewport_size(PHONE)
    await phone.screenshot(f"unbroken-phone-running-{world.name}")
    await world.settled("completed", phone, one, other, name="three")


async def test_offline_and_online(world: World) -> None:
    chat = await world.ask(1_500)
    await world.context.set_offline(True)
    await expect(chat.link).to_have_attribute("data-state", "offline")
    await chat.screenshot(f"unbroken-offline-{world.name}")
    await world.context.set_offline(False)
    await world.settled("completed", chat, name="online")


@pytest.mark.parametrize("how", [ServerProcess.kill, ServerProcess.terminate], ids=["SIGKILL", "SIGTERM"])
async def test_a_server_that_goes_and_comes(world: World, how: Callable[[ServerProcess], object]) -> None:
    one = await world.ask(3_000)
    other = await world.another(one)
    await run_sync(how, world.server)
    await expect(one.link).to_have_attribute("data-state", "lost")
    await expect(one.page.get_by_role("button", name="Try now")).to_be_visible()
    await one.screenshot(f"unbroken-lost-{world.name}")
    await run_sync(world.server.start)
    await one.page.get_by_role("button", name="Try now").click()
    await world.settled("incomplete", one, other, name=how.__name__)


async def test_stop_from_the_other_tab(world: World) -> None:
    one = await world.ask(3_000)
    other = await world.another(one)
    await other.press("Stop")
    await world.settled("cancelled", one, other, name="stopped")
