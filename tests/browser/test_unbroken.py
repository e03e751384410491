"""What breaks a chat elsewhere, done to this one: nothing lost, nothing doubled, nothing stuck, on any screen."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from anyio import fail_after, sleep
from anyio.to_thread import run_sync
from playwright.async_api import Browser, BrowserContext, ViewportSize, expect

from tests.browser.visitor import Chat, Visitor
from tests.support.server import ServerProcess
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300), pytest.mark.promise("U-04", "E-09")]

PHONE: Final[ViewportSize] = {"width": 390, "height": 780}
AWAY_S: Final = 10
ASLEEP_S: Final = 60
PATIENCE_S: Final = 90  # a report that met no server waits, longer each time, before it is tried again


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

    async def settled(self, status: str, *chats: Chat, name: str, codes: set[str]) -> None:
        """Every screen shows the journal's words once, nothing says "running", and why streams ended is recorded."""
        for chat in chats:
            await chat.ended(status, 1)
            await expect(chat.page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
            await expect(chat.page.locator(".mark")).to_have_count(0)
            await expect(chat.page.locator('[aria-busy="true"]')).to_have_count(0)
            assert "●" not in await chat.page.title()
            await chat.connected()
            await chat.matches_the_journal()
        await chats[0].screenshot(f"unbroken-{name}-{self.name}")
        told: set[str] = set()
        with fail_after(PATIENCE_S):  # a page gathers its reports for some seconds
            while not codes <= told:
                record = await chats[0].page.request.get(f"{self.server.url}/v1/diagnostics/streams?limit=500")
                told |= {end["code"] for end in (await record.json())["data"]}
                await sleep(0.2)


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
    await world.settled("completed", chat, name="reload", codes={"stream.abandoned", "stream.completed"})


async def test_ten_seconds_elsewhere_and_back(world: World) -> None:
    chat = await world.ask(2_600)
    session = chat.page.url
    await chat.page.goto("about:blank")
    await sleep(AWAY_S)
    await chat.page.goto(session)
    await world.settled("completed", chat, name="back", codes={"stream.abandoned", "stream.completed"})


async def test_five_quick_switches(world: World) -> None:
    chat = await world.ask(800)
    session_id = chat.session_id
    for _ in range(5):
        await chat.page.evaluate("location.hash = ''")
        await chat.page.evaluate("id => location.hash = id", session_id)
    await world.settled("completed", chat, name="switches", codes={"stream.completed", "client.stream.done"})


async def test_two_tabs_and_a_phone(world: World) -> None:
    one = await world.ask(1_200)
    other, phone = await world.another(one), await world.another(one)
    await phone.page.set_viewport_size(PHONE)
    await phone.screenshot(f"unbroken-phone-running-{world.name}")
    await world.settled("completed", phone, one, other, name="three", codes={"stream.completed", "client.stream.done"})


async def test_offline_and_online(world: World) -> None:
    chat = await world.ask(1_500)
    await world.context.set_offline(True)
    await expect(chat.link).to_have_attribute("data-state", "offline")
    await chat.screenshot(f"unbroken-offline-{world.name}")
    await world.context.set_offline(False)
    await world.settled("completed", chat, name="online", codes={"stream.completed", "stream.abandoned"})


async def test_a_machine_that_sleeps_for_a_minute(world: World) -> None:
    """All of the browser stands still, as when a lid is closed; meanwhile the server has given its readers up."""
    one = await world.ask(2_600)
    other = await world.another(one)
    processes = _browsers()
    assert processes, "there is a browser"
    _signal(processes, signal.SIGSTOP)
    try:
        await sleep(ASLEEP_S)
    finally:
        _signal(processes, signal.SIGCONT)
    await world.settled("completed", one, other, name="asleep", codes={"stream.completed", "client.stream.done"})


@pytest.mark.parametrize(
    ("how", "codes"),
    [
        pytest.param(ServerProcess.kill, {"stream.reconciled", "client.stream.reader-error"}, id="SIGKILL"),
        pytest.param(ServerProcess.terminate, {"client.stream.reader-error"}, id="SIGTERM"),
    ],
)
async def test_a_server_that_goes_and_comes(
    world: World, how: Callable[[ServerProcess], object], codes: set[str]
) -> None:
    one = await world.ask(3_000)
    other = await world.another(one)
    await run_sync(how, world.server)
    await expect(one.link).to_have_attribute("data-state", "lost")
    await expect(one.page.get_by_role("button", name="Try now")).to_be_visible()
    await one.screenshot(f"unbroken-lost-{world.name}")
    await run_sync(world.server.start)
    # Pressed as a person would, unless the page was faster.
    await one.page.evaluate(
        "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Try now')?.click()"
    )
    await world.settled("incomplete", one, other, name=how.__name__, codes=codes)


async def test_stop_from_the_other_tab(world: World) -> None:
    one = await world.ask(3_000)
    other = await world.another(one)
    await other.press("Stop")
    await world.settled("cancelled", one, other, name="stopped", codes={"stream.cancelled", "client.stream.done"})


def _browsers() -> list[int]:
    """Every process of the browsers that this test's process has started, renderers among them."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            name, _, rest = (folder / "stat").read_text().partition(" (")[2].rpartition(") ")
            parents[int(folder.name)], names[int(folder.name)] = int(rest.split()[1]), name
    found = []
    for pid, name in names.items():
        above = pid
        while (above := parents.get(above, 0)) not in (0, os.getpid()):
            pass
        if above == os.getpid() and name.startswith("chrom"):
            found.append(pid)
    return found


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
