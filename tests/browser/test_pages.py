"""The pages beside the chats: what is remembered, what is set, and what the server has measured of itself."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Literal

import anyio.lowlevel
import pytest
from anyio.to_thread import run_sync
from playwright.async_api import Browser, Page, Route, expect

from tests.browser.visitor import COMPOSING_ESCAPE, Chat, Visitor
from tests.support.server import ServerProcess

pytestmark = pytest.mark.anyio

_AXE: Final = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_PAGES: Final = ("memory", "settings", "diagnostics")
_TITLES: Final = {
    "en": ("Memory", "Settings", "Diagnostics"),
    "sv": ("Minne", "Inställningar", "Diagnostik"),
    "ru": ("Память", "Настройки", "Диагностика"),
}


async def goto(chat: Chat, name: str) -> Page:
    """A page's own sections, not only its head."""
    await chat.page.goto(f"{chat.url}/#{name}")
    await expect(chat.page.locator(".sheet-section h2").last).to_be_visible()
    return chat.page


async def api(chat: Chat, method: str, path: str, **options: Any) -> Any:
    response = await chat.page.request.fetch(f"{chat.url}/v1/{path}", method=method, **options)
    assert response.ok, await response.text()
    return await response.json() if response.status != 204 else None


async def tell(chat: Chat, text: str, memories: int) -> str:
    """A chat in which this is said, closed, so that facts are drawn from it; until so many are remembered in all."""
    await chat.open()
    await chat.say(text)
    await chat.ended("completed", 1)
    session_id = chat.session_id
    await api(chat, "POST", f"sessions/{session_id}/close")
    while len((await api(chat, "GET", "memories"))["data"]) < memories:
        await anyio.lowlevel.checkpoint()
    return session_id


@pytest.fixture
async def resident(chromium: Browser, mortal_server: ServerProcess) -> AsyncIterator[Chat]:
    """Someone with a server of their own; nothing may fail."""
    context = await chromium.new_context(locale="en-GB")
    visitor = Visitor(context, mortal_server.url)
    yield await visitor.tab()
    await context.close()
    assert visitor.complaints + visitor.network_failures == []


@pytest.mark.promise("U-08", "E-09")
async def test_a_killed_stream_shows_its_reason(witness: Visitor, mortal_server: ServerProcess) -> None:
    chat = await (await witness.tab()).open()
    await chat.say("/long 1500 100")
    await chat.see("w60")
    await run_sync(mortal_server.kill)
    await expect(chat.link).to_have_attribute("data-state", "lost")
    await run_sync(mortal_server.start)
    await chat.ended("incomplete", 1)
    session_id = chat.session_id
    await chat.page.evaluate("location.hash = 'diagnostics'")
    rescued = chat.page.locator('tr[data-code="stream.reconciled"]')
    await expect(rescued).to_contain_text("worker_lost")
    lost = chat.page.locator('tr[data-code="client.stream.reader-error"]')
    await expect(lost.first).to_be_visible()  # which the page has told the server when that was there again
    await expect(chat.page.locator(".reasons")).to_contain_text("the server went away in the middle")
    await chat.screenshot("diagnostics-after-a-kill")
    await chat.page.get_by_role("radio", name="This tab").check()
    await expect(rescued).to_have_count(0)
    await expect(lost.first).to_be_visible()
    await chat.page.get_by_role("radio", name="Server").check()
    await rescued.get_by_role("link").click()
    await chat.ended("incomplete", 1)
    assert chat.session_id == session_id


@pytest.mark.promise("U-08")
async def test_what_is_measured_is_drawn_and_told_in_tables(resident: Chat) -> None:
    chat = await resident.open()
    await chat.say("/long 20 100")
    await chat.ended("completed", 1)
    await chat.say("/stall")
    await chat.see("until you stop me.")
    session_id = chat.session_id
    page = await goto(chat, "diagnostics")
    await expect(page.locator('[data-number="diagRunning"] dd')).to_have_text("1")
    for title in ("Live streams", "How streams ended", "Time to the first word", "Time to disk"):
        figure = page.get_by_role("figure", name=title)
        await expect(figure.locator("canvas")).to_be_visible()
        await figure.get_by_text("As a table").click()
        await expect(figure.locator("tbody tr").first).to_be_visible()
    await expect(page.get_by_role("figure", name="Rescue after a crash")).to_contain_text("No crash in the last hour.")
    await expect(page.get_by_role("figure", name="Cost by day")).to_contain_text("Nothing was spent.")
    await expect(page.locator(".reasons")).to_contain_text("finished")
    state = (await api(chat, "GET", f"sessions/{session_id}"))["state"]
    running = next(turn for turn in state["turns"] if turn["status"] == "in_progress")
    await api(chat, "POST", f"sessions/{session_id}/turns/{running['id']}/cancel")
    stopped = page.locator('tr[data-code="stream.cancelled"]')  # by itself, a few seconds later
    await expect(stopped).to_contain_text("An answer was stopped")
    await expect(page.locator('[data-number="diagRunning"] dd')).to_have_text("0")
    await chat.screenshot("diagnostics")


@pytest.mark.promise("U-08")
async def test_what_the_server_tells_is_kept_while_it_is_away(witness: Visitor, mortal_server: ServerProcess) -> None:
    chat = await (await witness.tab()).open()
    page = await goto(chat, "diagnostics")
    await expect(page.locator(".tiles")).to_be_visible()
    await run_sync(mortal_server.kill)
    await expect(page.get_by_text("The server does not answer.")).to_be_visible()
    await expect(page.locator(".tiles")).to_be_visible()
    await run_sync(mortal_server.start)
    await expect(page.get_by_text("The server does not answer.")).to_have_count(0)


@pytest.mark.promise("E-09")
async def test_a_page_that_is_left_says_what_it_had_not_said_yet(resident: Chat) -> None:
    chat = await resident.open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    await chat.page.evaluate("location.reload()")
    await chat.connected()
    while True:
        ends = (await api(chat, "GET", "diagnostics/streams"))["data"]
        told = [end.get("session_id") for end in ends if end["code"] == "client.stream.done"]
        if told:
            break
    assert told == [chat.session_id]


@pytest.mark.promise("U-08", "T-02")
async def test_a_memory_is_corrected_forgotten_and_found(resident: Chat) -> None:
    page = await goto(resident, "memory")
    await expect(page.get_by_text("Nothing is remembered yet.")).to_be_visible()
    session_id = await tell(resident, "My name is Astrid. I love cherries. I hate coriander.", 3)
    page = await goto(resident, "memory")
    items = page.locator(".memory")
    await expect(items).to_have_count(3)

    await page.get_by_role("button", name="Edit “cherries”").click()
    field = page.get_by_role("textbox", name="What is remembered")
    await field.fill("sour cherries")
    await field.evaluate(COMPOSING_ESCAPE)
    await expect(field).to_have_value("sour cherries")
    await field.press("Enter")
    await expect(items.filter(has_text="sour cherries")).to_contain_text("in your words")
    await expect(page.get_by_role("button", name="Edit “sour cherries”")).to_be_focused()
    await page.get_by_role("button", name="Forget “coriander”").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(items).to_have_count(3)
    await page.get_by_role("button", name="Forget “coriander”").click()
    await page.get_by_role("dialog").get_by_role("button", name="Forget").press("Enter")
    await expect(items).to_have_count(2)
    await expect(items.get_by_role("button", name="Forget").and_(page.locator(":focus"))).to_have_count(1)

    await page.get_by_role("searchbox", name="Search what is remembered").fill("SOUR")
    await expect(items).to_have_count(1)
    await page.reload()
    await expect(items).to_have_count(2)
    await expect(items.filter(has_text="coriander")).to_have_count(0)
    await page.get_by_role("combobox", name="Kind").select_option("names")
    await expect(items).to_have_count(1)
    await items.get_by_role("link", name="Where you said it").click()
    await resident.ended("completed", 1)
    assert resident.session_id.startswith(session_id)

    await resident.open()
    await resident.say("What do you know of me?")
    await resident.ended("completed", 1)
    await resident.see("you like sour cherries")
    await expect(resident.answers.last).not_to_contain_text("coriander")


@pytest.mark.promise("U-08", "T-02")
async def test_memory_is_switched_off_and_emptied(resident: Chat) -> None:
    await tell(resident, "I love cherries.", 1)
    page = await goto(resident, "memory")
    switch = page.get_by_role("switch", name="Remember things about me")
    await switch.uncheck()
    await expect(page.get_by_text("Memory is off:")).to_be_visible()
    page = await goto(resident, "settings")
    await expect(switch).not_to_be_checked()
    assert (await api(resident, "GET", "memories/settings"))["enabled"] is False
    page = await goto(resident, "memory")
    await page.get_by_role("button", name="Forget everything").click()
    await page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    await expect(page.get_by_text("Nothing is remembered yet.")).to_be_visible()
    assert (await api(resident, "GET", "memories"))["data"] == []


@pytest.mark.promise("U-08", "T-02")
async def test_memories_that_can_not_be_had_are_asked_for_once(visitor: Visitor) -> None:
    chat = await visitor.tab()
    told = {"id": "mem_1", "agent_id": "demo", "kind": "likes", "text": "cherries", "source": "user"}
    told |= {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}
    asked: list[str] = []

    async def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 2:
            await route.fulfill(json={"data": [], "has_more": False, "next": None})
        elif "cursor=" in route.request.url:
            await route.fulfill(status=500, json={"code": "internal_error", "detail": "Something broke."})
        else:
            await route.fulfill(json={"data": [told], "has_more": True, "next": "more"})

    await chat.page.route(re.compile(r"/v1/memories\?"), answer)
    page = await goto(chat, "memory")
    await page.get_by_role("searchbox", name="Search what is remembered").fill("cherr")
    await expect(page.get_by_role("alert")).to_contain_text("Something broke.")
    again = page.get_by_role("button", name="Show older ones")
    await expect(again).to_be_enabled()
    await page.wait_for_timeout(300)  # in which nothing may happen
    assert len(asked) == 2
    await again.click()
    await expect(again).to_have_count(0)
    visitor.network_failures.clear()  # the 500


@pytest.mark.promise("U-08")
async def test_settings_take_effect_at_once_and_are_remembered(visitor: Visitor) -> None:
    chat = await visitor.tab()
    page = await goto(chat, "settings")
    root = page.locator("html")
    before = await page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")
    await page.get_by_role("radio", name="Dark").check()
    await page.get_by_role("radio", name="Large").check()
    await page.get_by_role("radio", name="Ctrl + Enter").check()
    await page.get_by_role("radio", name="Svenska").check()
    for _ in range(2):
        await expect(page.get_by_role("heading", name="Utseende")).to_be_visible()
        await expect(root).to_have_attribute("data-theme", "dark")
        await expect(root).to_have_attribute("lang", "sv")
        assert await page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") > before
        await expect(page.get_by_role("radio", name="Ctrl + Enter")).to_be_checked()
        await page.reload()
    other = await goto(await visitor.tab(), "settings")
    await page.get_by_role("radio", name="Mörkt").press("ArrowLeft")
    await expect(other.locator("html")).to_have_attribute("data-theme", "light")
    await page.get_by_role("radio", name="English").check()
    await expect(other.locator("html")).to_have_attribute("lang", "en")
    await other.goto(f"{chat.url}/#")
    await other.locator("#text").press_sequentially("/long 5 100")
    await other.keyboard.press("Enter")
    await other.keyboard.type("more")
    await expect(other.locator("#text")).to_have_value("/long 5 100\nmore")
    await other.keyboard.press("Control+Enter")
    await expect(other.locator(".message.user")).to_have_count(1)


@pytest.mark.promise("U-08")
async def test_settings_show_what_there_is_and_take_it_back(resident: Chat) -> None:
    chat = await resident.open()
    await chat.say("/approve")
    await chat.press("Always allow")
    await chat.ended("completed", 1)
    for name in ("Fruit", "Vegetables"):
        await api(chat, "POST", "searches", data={"name": name, "query": "cherries"})
    page = await goto(chat, "settings")
    await expect(page.get_by_role("group", name="Agents and models")).to_contain_text("Demo")
    await expect(page.get_by_role("group", name="Used this month")).to_contain_text("Total")
    await expect(page.get_by_text("Legato 0.")).to_be_visible()
    await page.get_by_role("button", name="Take back: send_mail").press("Enter")
    await expect(page.get_by_text("None. Every tool that asks for leave asks each time.")).to_be_visible()
    assert (await api(chat, "GET", "grants"))["data"] == []
    # The focus goes on to the next one, and where there is none to the list.
    await expect(page.locator(".settings-list").first).to_be_focused()
    await page.get_by_role("button", name="Delete the search “Fruit”").press("Enter")
    await expect(page.get_by_role("button", name="Delete the search “Vegetables”")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("None yet.")).to_be_visible()
    assert (await api(chat, "GET", "searches"))["data"] == []
    await page.locator("main").get_by_role("button", name="Keyboard shortcuts").click()
    await expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.promise("U-07")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_where_there_is_something_to_see(
    chromium: Browser, mortal_server: ServerProcess, scheme: Literal["light", "dark"]
) -> None:
    # Axe itself is put into the page, which the policy would refuse.
    context = await chromium.new_context(locale="en-GB", bypass_csp=True, color_scheme=scheme, reduced_motion="reduce")
    chat = Chat(await context.new_page(), mortal_server.url)
    await tell(chat, "My name is Astrid. I love cherries.", 2)
    for name in _PAGES:
        page = await goto(chat, name)
        await chat.screenshot(f"{name}-{scheme}-full")
        await page.evaluate(_AXE.read_text())
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["target"] for node in each["nodes"]]) for each in serious] == [], name
    await context.close()


@pytest.mark.promise("U-07", "U-08")
@pytest.mark.parametrize("language", ["en", "sv", "ru"])
async def test_on_a_phone_and_in_every_language(visitor: Visitor, language: str) -> None:
    chat = await visitor.tab()
    await chat.page.set_viewport_size({"width": 390, "height": 780})
    await chat.page.add_init_script(f"localStorage.setItem('legato.language', '\"{language}\"')")
    await chat.open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    for name, title in zip(_PAGES, _TITLES[language], strict=True):
        page = await goto(chat, name)
        await expect(page.locator("h1")).to_have_text(title)
        await chat.screenshot(f"{name}-390-{language}")
        for element in ("document.documentElement", "document.querySelector('.sheet')"):
            assert await page.evaluate(f"{element}.scrollWidth <= {element}.clientWidth"), (name, element)
