"""Everything that can be done is a command: in the palette, after a slash, by key; and the page is the conversation."""

import re

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.visitor import Chat, Visitor

pytestmark = pytest.mark.anyio


async def command(page: Page, typed: str) -> None:
    """Runs the first command that the palette finds."""
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("dialog", name="Command palette")).to_be_visible()
    await page.keyboard.type(typed)
    await page.keyboard.press("Enter")


async def titled(chat: Chat, title: str) -> None:
    """Begins a chat of that name, with one question and its answer."""
    await command(chat.page, "New chat")
    await expect(chat.answers).to_have_count(0)
    await chat.say("/long 3 200")
    await chat.ended("completed", 1)
    await chat.page.keyboard.press("F2")
    await expect(chat.page.get_by_role("textbox", name="Name of the chat")).to_be_focused()
    await chat.page.keyboard.type(title)
    await chat.page.keyboard.press("Enter")
    await expect(heading(chat)).to_have_text(title)


def heading(chat: Chat) -> Locator:
    return chat.page.locator(".top h1")


@pytest.mark.promise("U-06", "U-07")
async def test_with_the_keyboard_alone_from_opening_to_deleting(visitor: Visitor) -> None:
    chat = await (await visitor.tab(first_visit=True)).open()
    page, keys, field = chat.page, chat.page.keyboard, chat.page.locator("#text")
    await expect(field).to_be_focused()
    await keys.type("/long 4 200")
    await keys.press("Enter")
    await chat.ended("completed", 1)
    await expect(field).to_be_focused()
    await keys.type("/stall")
    await keys.press("Enter")
    await chat.see("until you stop me.")
    await keys.press("Escape")
    await chat.ended("cancelled", 2)
    # The last message comes back to be changed, and its answer with it.
    await keys.press("ArrowUp")
    await expect(field).to_have_value("/stall")
    await expect(page.get_by_text("You are changing your last message.")).to_be_visible()
    await keys.press("Control+a")
    await keys.type("/long 6 200")
    await keys.press("Enter")
    await chat.ended("completed", 2)
    await expect(chat.questions.last).to_contain_text("/long 6 200")
    await chat.see("w6")
    await keys.press("F2")
    await keys.type("First of two")
    await keys.press("Enter")
    await expect(heading(chat)).to_have_text("First of two")
    await expect(field).to_be_focused()
    await keys.press("Control+Shift+O")
    await expect(chat.answers).to_have_count(0)
    await keys.type("/long 3 200")
    await keys.press("Enter")
    await chat.ended("completed", 1)
    second = chat.session_id
    # Through the palette to the first one, and back by the arrow.
    await command(page, "first two")
    await expect(heading(chat)).to_have_text("First of two")
    await expect(field).to_be_focused()
    await keys.press("Alt+ArrowUp")
    await expect(page).to_have_url(re.compile(second))
    await keys.press("Alt+ArrowDown")
    await expect(heading(chat)).to_have_text("First of two")
    await keys.press("Control+Shift+Backspace")
    dialog = page.get_by_role("dialog", name="Delete this chat?")
    await expect(dialog).to_contain_text("First of two")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await keys.press("Tab")
    await keys.press("Enter")
    await expect(page.locator(".welcome")).to_be_visible()
    await expect(field).to_be_focused()
    await command(page, "go to chat")
    await expect(page.get_by_role("option", name="First of two")).to_have_count(0)
    # Tab alone reaches the same.
    await keys.press("Escape")
    await page.reload()
    await chat.connected()
    await expect(field).to_be_focused()
    for _ in range(20):
        await keys.press("Shift+Tab")
        if await page.evaluate("document.activeElement.className") == "skip":
            break
    await chat.screenshot("skip-link")
    await keys.press("Enter")
    await expect(field).to_be_focused()


@pytest.mark.promise("U-06")
async def test_the_palette_finds_by_some_letters_and_runs_what_can_be_done(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    page = chat.page
    # What is typed right after a command goes where that leads, however slowly the page is drawn.
    await page.evaluate("window.requestAnimationFrame = (draw) => setTimeout(() => draw?.(performance.now()), 700)")
    await command(page, "New chat")
    await chat.say("/long 4 200")
    await chat.ended("completed", 1)
    await page.reload()
    await chat.connected()
    await titled(chat, "Alpenglow")
    await page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Find a command or a chat")
    await expect(field).to_be_focused()
    await chat.screenshot("palette")
    await field.fill("unp")
    await expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(0)
    await expect(page.get_by_text("Nothing of that name.")).to_be_visible()
    await field.fill("pnch")
    await expect(page.get_by_role("dialog").get_by_role("option").first).to_contain_text("Pin chat")
    await expect(field).to_have_attribute("aria-activedescendant", "palette-list-0")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Pinned")).to_be_visible()
    await command(page, "close chat")
    await expect(page.locator(".read-only")).to_be_visible()
    await command(page, "reopen")
    await expect(page.locator("#text")).to_be_visible()
    first = chat.session_id
    await command(page, "fork")
    await expect(page).not_to_have_url(re.compile(first))
    await chat.ended("completed", 1)
    await command(page, "theme dark")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await command(page, "svenska")
    await page.keyboard.press("Control+k")
    await page.keyboard.type("inställningar")
    await page.keyboard.press("Enter")
    await expect(heading(chat)).to_have_text("Inställningar")
    await expect(page).to_have_title("Inställningar · Legato")
    await expect(heading(chat)).to_be_focused()


@pytest.mark.promise("U-06")
async def test_a_slash_runs_the_pages_command_and_all_else_goes_to_the_agent(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    page, field = chat.page, chat.page.locator("#text")
    await field.fill("/help")
    await expect(page.get_by_role("listbox", name="Commands")).to_have_count(0)
    await field.press("Enter")
    await chat.ended("completed", 1)
    await chat.see("/stall")
    await field.press_sequentially("/")
    listed = page.get_by_role("listbox", name="Commands")
    await expect(listed).to_be_visible()
    await chat.screenshot("slash")
    await field.press_sequentially("ren")
    await expect(listed.get_by_role("option")).to_have_text(["/renameRename chat"])
    await field.press("Tab")
    await expect(page.get_by_role("dialog", name="Rename chat")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(field).to_be_focused()
    await expect(field).to_have_value("")
    # An agent may have a command of the same name: Escape, and it is sent as typed.
    await field.press_sequentially("/clear")
    await field.press("Escape")
    await field.press("Enter")
    await chat.ended("completed", 2)
    await expect(chat.questions.last).to_contain_text("/clear")
    await field.press_sequentially("/clear")
    await field.press("Enter")
    dialog = page.get_by_role("dialog", name="Clear this chat?")
    await dialog.get_by_role("button", name="Clear").click()
    await expect(chat.questions).to_have_count(0)
    await expect(field).to_be_focused()


@pytest.mark.promise("U-06")
async def test_the_map_of_the_keys_is_behind_the_question_mark(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.page.locator("#text").fill("why?")
    await expect(chat.page.get_by_role("dialog")).to_have_count(0)
    await chat.page.locator("#text").blur()
    await chat.page.keyboard.press("?")
    keys = chat.page.get_by_role("dialog", name="Keyboard shortcuts")
    for text in ("Command palette", "Stop the answer", "Previous chat", "Mention a chat or a file"):
        await expect(keys).to_contain_text(text)
    await chat.screenshot("keys")
    box = await keys.bounding_box()
    assert box
    await chat.page.mouse.click(box["x"] + 4, box["y"] + 4)  # its padding
    await expect(keys).to_be_visible()
    await chat.page.keyboard.press("Escape")
    await expect(keys).to_have_count(0)
    await chat.page.locator("#text").blur()
    await chat.page.keyboard.press("?")
    await expect(keys).to_be_visible()
    await chat.page.mouse.click(box["x"] - 4, box["y"] - 4)
    await expect(keys).to_have_count(0)


@pytest.mark.promise("U-06")
async def test_focus_mode_is_on_by_default_and_what_one_chooses_is_remembered(visitor: Visitor) -> None:
    chat = await (await visitor.tab(first_visit=True)).open()
    page = chat.page
    rail, chats = page.get_by_role("navigation", name="Legato"), page.get_by_role("complementary", name="Chats")
    await expect(rail).to_be_visible()
    await expect(chats).to_have_count(0)
    await chat.screenshot("focus")
    # The focus goes along with what it was on.
    await rail.get_by_role("button", name="Open the list of chats").press("Enter")
    await expect(chats.get_by_role("link", name="New chat")).to_be_focused()
    await expect(rail).to_have_count(0)
    await page.get_by_role("button", name="Focus mode").press("Enter")
    await expect(rail.get_by_role("button", name="Open the list of chats")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(chats).to_be_visible()
    await page.reload()
    await expect(chats).to_be_visible()
    await page.keyboard.press("Control+Shift+F")
    await expect(chats).to_have_count(0)
    await page.reload()
    await expect(rail).to_be_visible()
    await rail.get_by_role("button", name="Search chats").click()
    await expect(page.get_by_role("searchbox", name="Search chats")).to_be_focused()
    await page.get_by_role("button", name="Focus mode").click()
    await expect(rail).to_be_visible()


@pytest.mark.promise("U-07")
async def test_on_a_phone_the_chats_lie_over_the_page_and_give_the_focus_back(visitor: Visitor) -> None:
    chat = await visitor.tab(first_visit=True)
    await chat.page.set_viewport_size({"width": 390, "height": 780})
    await chat.open()
    stops: list[str] = []
    chat.page.on("request", lambda request: stops.append(request.url) if "/cancel" in request.url else None)
    await chat.say("/stall")
    await chat.see("until you stop me.")
    button = chat.page.get_by_role("button", name="Open the list of chats")
    chats = chat.page.get_by_role("complementary", name="Chats")
    await expect(chats).to_have_count(0)
    await button.click()
    await expect(chats).to_be_visible()
    await expect(chats.get_by_role("link", name="New chat")).to_be_focused()
    await chat.page.keyboard.press("Escape")
    await expect(chats).to_have_count(0)
    await expect(button).to_be_focused()
    # That closed the list and nothing else; now there is nothing left to close.
    assert stops == []
    await chat.page.keyboard.press("Escape")
    await chat.ended("cancelled", 1)
    await command(chat.page, "diagnostics")
    await expect(heading(chat)).to_be_focused()
    assert await chat.page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_what_goes_wrong_is_told_until_it_is_put_away(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await titled(chat, "Refused")
    await chat.page.route(
        "**/v1/sessions/ses_*",
        lambda route: (
            route.fulfill(status=409, json={"code": "conflict", "detail": "Not now."})
            if route.request.method == "PATCH"
            else route.continue_()
        ),
    )
    await command(chat.page, "pin chat")
    alert = chat.page.get_by_role("alert").filter(has_text="Not now.")
    await expect(alert).to_be_visible()
    await alert.get_by_role("button", name="Close").click()
    await expect(chat.page.get_by_text("Not now.")).to_have_count(0)
    visitor.network_failures.clear()
