"""The list of chats: found, marked, named, pinned, put away, deleted, searched, taken in and out."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import pytest
from anyio import run
from anyio.to_thread import run_sync
from playwright.async_api import Browser, Locator, expect

from bench import filling
from tests.browser.visitor import HANDING, Chat, Visitor
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.promise("U-02")]

_FIXTURES: Final = Path(__file__).parents[1] / "transfer" / "fixtures"
_MANY: Final = 2400  # half of them are this person's
_MOST_ROWS: Final = 80
_ALL_PX: Final = 36 * 1100  # rows are 36 pixels high; some are archived


@pytest.fixture
async def newcomer(chromium: Browser, mortal_server: ServerProcess) -> AsyncIterator[Visitor]:
    """Someone on a server that knows no chats yet."""
    context = await chromium.new_context(locale="en-GB")
    visitor = Visitor(context, mortal_server.url)
    yield visitor
    await context.close()
    assert visitor.complaints + visitor.network_failures == []


async def _session(chat: Chat, title: str, text: str = "") -> str:
    """A session of this title, made behind the page's back."""
    made = await chat.page.request.post(f"{chat.url}/v1/sessions", data={"title": title, "welcome": False})
    session_id: str = (await made.json())["id"]
    if text:
        await chat.page.request.post(f"{chat.url}/v1/sessions/{session_id}/turns", data={"text": text})
    return session_id


def _row(chat: Chat, title: str) -> Locator:
    return chat.page.locator(".sidebar .row").filter(has_text=title)


async def _choose(chat: Chat, title: str, item: str) -> None:
    row = _row(chat, title)
    await row.hover()
    await row.get_by_role("button").click()
    await chat.page.get_by_role("menuitem", name=item).click()


async def test_a_chat_is_renamed_pinned_and_put_away(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    bees = await _session(chat, "Bees")
    await _session(chat, "Birds")
    await _choose(chat, "Bees", "Rename")
    field = chat.page.get_by_role("textbox", name="Rename")
    await expect(field).to_be_focused()
    await field.fill("Wasps")
    await field.press("Escape")
    await expect(_row(chat, "Bees")).to_be_visible()
    await chat.open(bees)
    await expect(chat.page.locator("#text")).to_be_focused()
    await _row(chat, "Bees").get_by_role("link").dblclick()
    await field.fill("Bumblebees")
    await field.press("Enter")
    await expect(_row(chat, "Bumblebees")).to_be_visible()

    await expect(chat.page.locator(".sessions h2")).to_have_text(["Today"])
    await _choose(chat, "Bumblebees", "Pin")
    await expect(chat.page.locator(".sessions h2")).to_have_text(["Pinned", "Today"])
    await expect(chat.page.locator(".sessions .row-title")).to_have_text(["Bumblebees", "Birds"])

    # By keys: the next row takes the focus of the one that goes.
    await _row(chat, "Birds").get_by_role("button").press("Enter")
    await chat.page.get_by_role("menuitem", name="Archive").press("Enter")
    await expect(_row(chat, "Birds")).to_have_count(0)
    await expect(_row(chat, "Bumblebees").get_by_role("link")).to_be_focused()
    await chat.press("Archived chats")
    await expect(chat.page.locator(".sessions .row-title")).to_have_text(["Birds"])
    await _choose(chat, "Birds", "Restore")
    await expect(chat.page.get_by_text("Nothing is archived.")).to_be_visible()
    await chat.press("Back to chats")
    await expect(_row(chat, "Birds")).to_be_visible()


async def test_a_chat_is_deleted_after_a_question_that_names_it(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    other = await (await newcomer.tab()).open()
    session_id = await _session(chat, "To be gone")
    await _session(chat, "To be kept")
    await chat.open(session_id)
    await _choose(chat, "To be gone", "Delete")
    dialog = chat.page.get_by_role("dialog")
    await expect(dialog).to_contain_text("To be gone")
    await chat.screenshot("delete")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(_row(chat, "To be gone")).to_be_visible()
    await _choose(chat, "To be gone", "Delete")
    await dialog.get_by_role("button", name="Delete").click()
    for tab in (chat, other):
        await expect(tab.page.locator(".sessions .row-title")).to_have_text(["To be kept"])
    await expect(chat.page.locator(".welcome")).to_be_visible()
    assert chat.session_id == ""


@pytest.mark.promise("U-07")
async def test_the_list_is_driven_by_keys_alone(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    for title in ("Third", "Second", "First"):
        await _session(chat, title)
    await expect(chat.page.locator(".row")).to_have_count(3)
    await chat.page.locator("#search").focus()
    press = chat.page.keyboard.press
    await press("ArrowDown")
    await expect(chat.page.get_by_role("link", name="First")).to_be_focused()
    await press("End")
    await expect(chat.page.get_by_role("link", name="Third")).to_be_focused()
    await press("ArrowUp")
    await expect(chat.page.get_by_role("link", name="Second")).to_be_focused()
    await press("F2")
    await chat.page.get_by_role("textbox", name="Rename").fill("Middle")
    await press("Enter")
    await expect(chat.page.get_by_role("link", name="Middle")).to_be_focused()
    await press("Tab")
    await press("Enter")
    await expect(chat.page.get_by_role("menuitem", name="Pin")).to_be_focused()
    await press("End")
    await expect(chat.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    await press("Escape")
    await expect(chat.page.get_by_role("button", name="More about Middle")).to_be_focused()
    await press("Delete")
    await expect(chat.page.get_by_role("dialog")).to_contain_text("Middle")
    await chat.page.get_by_role("dialog").get_by_role("button", name="Delete").focus()
    await press("Enter")
    await expect(chat.page.locator(".row-title")).to_have_text(["First", "Third"])
    await expect(chat.page.get_by_role("link", name="Third")).to_be_focused()
    await press("Enter")
    await expect(chat.page.locator("h1")).to_have_text("Third")


async def test_what_runs_asks_and_has_ended_is_marked_in_every_tab(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    other = await (await newcomer.tab()).open()
    ended = await _session(chat, "Long", "/stall")
    await _session(chat, "Asking", "/approve")
    closed = await _session(chat, "Closed")
    await chat.page.request.post(f"{chat.url}/v1/sessions/{closed}/close")
    for tab in (chat, other):
        await expect(_row(tab, "Long").get_by_role("img", name="An answer is running")).to_be_visible()
        await expect(_row(tab, "Asking").get_by_role("img", name="Waiting for your approval")).to_be_visible()
        await expect(_row(tab, "Closed").get_by_role("img", name="Closed, read-only")).to_be_visible()
    view = await (await chat.page.request.get(f"{chat.url}/v1/sessions/{ended}")).json()
    turn = view["state"]["turns"][-1]["id"]
    await chat.page.request.post(f"{chat.url}/v1/sessions/{ended}/turns/{turn}/cancel")
    for tab in (chat, other):
        await expect(_row(tab, "Long").get_by_role("img", name="A new answer")).to_be_visible()
    await chat.page.reload()
    await expect(_row(chat, "Long").get_by_role("img", name="A new answer")).to_be_visible()
    await other.open(ended)
    for tab in (chat, other):
        await expect(_row(tab, "Long").get_by_role("img")).to_have_count(0)


async def test_what_is_looked_at_is_not_marked_as_new(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    await chat.say("/stall")
    await expect(chat.page.locator(".row .mark")).to_be_visible()
    await chat.press("Stop")
    await chat.ended("cancelled", 1)
    await expect(chat.page.locator(".row .mark")).to_have_count(0)
    await expect(chat.page.locator(".row [role=img]")).to_have_count(0)


async def test_a_search_leads_to_the_message_and_is_kept(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    session_id = await _session(chat, "Journeys", "tell of <b>lighthouses</b> & ships")
    await expect(_row(chat, "Journeys").get_by_role("img", name="A new answer")).to_be_visible()
    search = chat.page.get_by_role("searchbox", name="Search chats")
    await search.press_sequentially("lighth")
    hit = chat.page.locator(".hit").filter(has_text="tell of <b>lighthouses</b> & ships").first
    await expect(hit.locator("mark")).to_have_text("lighthouses")
    await chat.screenshot("search")
    await chat.press("Save this search")
    await expect(chat.page.get_by_role("button", name="Save this search")).to_have_count(0)
    await search.press("ArrowDown")
    await hit.click()
    await expect(chat.page.locator("h1")).to_have_text("Journeys")
    assert chat.session_id.startswith(f"{session_id}/msg_")

    await search.fill("Journ")
    titles = chat.page.locator(".hits section").filter(has=chat.page.get_by_role("heading", name="Chats"))
    await expect(titles.get_by_role("link", name="Journeys")).to_be_visible()
    await search.fill("")
    await chat.page.get_by_role("button", name="lighth", exact=True).click()
    await expect(hit).to_be_visible()
    await chat.page.select_option('select[aria-label="All chats"]', "archived")
    await expect(chat.page.get_by_text("Nothing found.")).to_be_visible()
    await search.press("Escape")
    await chat.press("Forget the search lighth")
    await expect(chat.page.locator(".saved")).to_have_count(0)
    await expect(_row(chat, "Journeys")).to_be_visible()


@pytest.mark.promise("P-05")
async def test_a_file_is_looked_through_and_then_taken_in(newcomer: Visitor, tmp_path: Path) -> None:
    chat = await (await newcomer.tab()).open()
    await chat.press("Import and export")
    dialog = chat.page.get_by_role("dialog")
    chooser = dialog.get_by_label("Choose a file")
    await expect(chooser).to_be_attached()
    # What is dropped here, or beside, is not for the next message.
    for target in (".drop", ".transfer h3"):
        await chat.page.evaluate(HANDING, [target, "dragover", "notes.txt"])
        await chat.page.evaluate(HANDING, [target, "drop", "notes.txt"])
    await expect(dialog.get_by_role("alert")).to_contain_text("Nothing was imported.")
    await expect(chat.page.locator(".chip, .drop-hint")).to_have_count(0)
    nonsense = tmp_path / "nonsense.json"
    nonsense.write_text("{}")
    await chooser.set_input_files(nonsense)
    await expect(dialog.get_by_role("alert")).to_contain_text("Nothing was imported.")
    assert all("422" in failure for failure in newcomer.network_failures)
    newcomer.network_failures.clear()
    await chooser.set_input_files(_FIXTURES / "chatgpt.json")
    await expect(dialog).to_contain_text("1 chat would come with 5 messages.")
    await dialog.get_by_text("8 things are left out or changed").click()
    await chat.screenshot("import")
    assert (await (await chat.page.request.get(f"{chat.url}/v1/sessions")).json())["data"] == []
    await dialog.get_by_role("button", name="Import now").click()
    await expect(dialog).to_contain_text("1 chat has come")
    await dialog.get_by_role("button", name="Import another file").click()
    await chooser.set_input_files(_FIXTURES / "chatgpt.json")
    await expect(dialog).to_contain_text("1 chat is here already")
    await expect(dialog.get_by_role("button", name="Import now")).to_be_disabled()
    await dialog.get_by_role("button", name="Close").click()
    await _row(chat, "Bees in winter").get_by_role("link").click()
    await expect(chat.page.locator("h1")).to_have_text("Bees in winter")


async def test_one_chat_and_all_are_taken_out(newcomer: Visitor) -> None:
    chat = await (await newcomer.tab()).open()
    await _session(chat, "Harbours", "/long 3 100")
    await _session(chat, "Hills")
    async with chat.page.expect_download() as saved:
        await _choose(chat, "Harbours", "Markdown")
    assert "Harbours" in await run_sync((await (await saved.value).path()).read_text)
    await chat.press("Import and export")
    async with chat.page.expect_download() as saved:
        await chat.page.get_by_role("dialog").get_by_role("link", name="JSONL").click()
    lines = (await run_sync((await (await saved.value).path()).read_text)).splitlines()
    assert [json.loads(lines[0])["type"], json.loads(lines[-1])["type"]] == ["header", "end"]
    assert "Harbours" in "\n".join(lines)
    assert "Hills" in "\n".join(lines)


@pytest.mark.promise("P-01")
async def test_a_thousand_chats_scroll_in_a_bounded_document(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "legato.db"
    await run_sync(run, filling.empty, path)
    await run_sync(filling.many_sessions, path, _MANY)
    server = ServerProcess(f"sqlite:///{path}")
    await run_sync(server.start)
    try:
        context = await chromium.new_context(locale="en-GB")
        chat = await (await Visitor(context, server.url).tab()).open()
        rows = chat.page.locator(".sessions .row")
        await expect(rows.first).to_be_visible()
        first = chat.page.locator(".sidebar .row a[tabindex='0']")
        await first.focus()
        height, pages = 0, 1
        while (height := await chat.page.locator(".sessions").evaluate("list => list.scrollHeight")) < _ALL_PX:
            await chat.page.keyboard.press("End")
            await expect(chat.page.locator(".row a:focus")).to_be_in_viewport()
            assert await rows.count() <= _MOST_ROWS
            await chat.page.wait_for_function(
                "height => document.querySelector('.sessions').scrollHeight > height", arg=height
            )
            pages += 1
        assert pages > 1, "the pages came one after the other"
        await chat.page.locator("#text").press_sequentially("typing goes on")
        await expect(chat.page.locator("#text")).to_have_value("typing goes on")
        await chat.screenshot("thousand")
        new = await _session(chat, "The newest of all")
        await chat.page.locator(".sessions").evaluate("list => list.scrollTo(0, 0)")
        await _row(chat, "The newest of all").get_by_role("link").click()
        assert chat.session_id == new
        assert await rows.count() <= _MOST_ROWS
        await context.close()
    finally:
        await run_sync(server.terminate)


@pytest.mark.promise("U-07")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
async def test_the_menu_is_never_cut_off(newcomer: Visitor, width: int, scheme: Literal["light", "dark"]) -> None:
    chat = await newcomer.tab()
    await chat.page.set_viewport_size({"width": width, "height": 700})
    await chat.page.emulate_media(color_scheme=scheme)
    await chat.open()
    for number in range(20):
        await _session(chat, f"A chat of a rather long title, number {number}")
    if width < 700:
        await chat.page.locator(".menu-button").click()
    last = chat.page.locator(".sessions .row").nth(11)
    await last.hover()
    await last.get_by_role("button").click()
    menu = chat.page.get_by_role("menu")
    for item in await menu.get_by_role("menuitem").all():
        await expect(item).to_be_in_viewport(ratio=1)
    await chat.screenshot(f"menu-{scheme}-{width}")
    assert await chat.page.evaluate("document.documentElement.scrollWidth") <= width
