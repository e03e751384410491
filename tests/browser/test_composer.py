"""Where one writes: files, mentions, templates, drafts, models and agents, and one button that stops."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, FilePayload, Locator, Route, expect

from tests.browser.test_commands import command, titled
from tests.browser.visitor import HANDING, Chat, Visitor
from tests.support.server import ServerProcess

pytestmark = pytest.mark.anyio

_NOTES: Final[FilePayload] = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The meeting is on Tuesday."}
_FILM: Final[FilePayload] = {"name": "film.mp4", "mimeType": "video/mp4", "buffer": b"film"}
_CONFIG: Final = """
default_agent = "scribe"
[[agents]]
id = "scribe"
name = "Scribe"
role = "writes"
run = "legato.agents.demo:demo"
[[agents]]
id = "editor"
name = "Editor"
role = "edits texts"
description = "Says why."
run = "legato.agents.demo:demo"
welcome = "What shall we edit?"
[[agents]]
id = "far"
name = "Far away"
model = "openai:gpt-5-mini"
[providers.openai]
base_url = "https://api.openai.com/v1"
[providers.local]
base_url = "http://127.0.0.1:9/v1"
models = ["m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8"]
context_window = 32768
[[models]]
id = "local:m1"
cost_per_1m_input = 0.1
cost_per_1m_output = 0.4
"""


def field(chat: Chat) -> Locator:
    return chat.page.locator("#text")


def chips(chat: Chat) -> Locator:
    return chat.page.get_by_role("list", name="Attached files").get_by_role("listitem")


@pytest.mark.promise("U-06")
async def test_files_are_checked_kept_through_a_reload_and_sent(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.page.set_input_files("#attach", [_NOTES, _FILM])
    await expect(chips(chat)).to_have_text([re.compile("notes.txt.*26 B"), re.compile("Only images, PDF and text")])
    await chat.screenshot("files")
    await chat.page.get_by_role("button", name="Remove film.mp4").click()
    await expect(chips(chat)).to_have_count(1)
    await chat.page.reload()
    await expect(chips(chat)).to_have_text([re.compile("notes.txt.*26 B")])
    await chat.say("When is it?")
    await chat.ended("completed", 1)
    await expect(chips(chat)).to_have_count(0)
    await expect(chat.questions.last).to_contain_text("notes.txt")
    # It can be sent again from where it stands.
    await field(chat).press_sequentially("Again: @not")
    await chat.page.get_by_role("option", name="notes.txt").click()
    await expect(field(chat)).to_have_value("Again: ")
    await expect(chips(chat)).to_have_count(1)
    await field(chat).press("Enter")
    await chat.ended("completed", 2)
    await expect(chat.questions.last).to_contain_text("notes.txt")


@pytest.mark.promise("U-06")
async def test_an_upload_that_takes_its_time_shows_how_far_it_is(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    devtools = await chat.page.context.new_cdp_session(chat.page)
    await devtools.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 150_000}
    await devtools.send("Network.emulateNetworkConditions", slow)
    big: FilePayload = {"name": "long.txt", "mimeType": "text/plain", "buffer": b"All work and no play. " * 45_000}
    await chat.page.set_input_files("#attach", [big])
    progress = chips(chat).get_by_role("progressbar", name="Uploading…")
    await expect(progress).to_be_visible()
    await expect(progress).to_have_attribute("value", re.compile(r"^0\.[2-9]"))
    await chat.screenshot("uploading")
    await devtools.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    await expect(chips(chat)).to_have_text([re.compile("long.txt.*990 KB")])
    await expect(progress).to_have_count(0)


@pytest.mark.promise("U-06")
async def test_what_is_pasted_and_dropped_is_attached_and_a_failed_upload_can_be_repeated(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.page.route(
        "**/v1/files?*", lambda route: route.fulfill(status=409, json={"code": "files_full", "detail": "No room."})
    )
    await chat.page.evaluate(HANDING, ["#text", "paste", "pasted.txt"])
    await expect(chips(chat)).to_contain_text(["No room."])
    await chat.page.unroute("**/v1/files?*")
    await chips(chat).get_by_role("button", name="Retry").click()
    await expect(chips(chat)).to_have_text([re.compile("pasted.txt.*9 B")])
    await chat.page.evaluate(HANDING, [".welcome", "dragover", "dropped.txt"])
    await expect(chat.page.get_by_text("Drop the files to attach them")).to_be_visible()
    await chat.page.evaluate(HANDING, [".welcome", "drop", "dropped.txt"])
    await expect(chips(chat)).to_have_count(2)
    # Files alone are a message, too.
    await expect(chips(chat).last).to_contain_text("9 B")
    await field(chat).press("Enter")
    await chat.ended("completed", 1)
    await expect(chat.questions.last).to_contain_text("dropped.txt")
    visitor.network_failures.clear()


@pytest.mark.promise("U-06")
async def test_a_chat_is_mentioned_by_its_title_and_leads_there(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await titled(chat, "Garden plans")
    garden = chat.session_id
    await command(chat.page, "New chat")
    await expect(chat.answers).to_have_count(0)
    await field(chat).press_sequentially("As we said in @gard")
    listed = chat.page.get_by_role("listbox", name="Chats and files")
    await expect(listed.get_by_role("option").first).to_contain_text("Garden plans")
    await chat.screenshot("mention")
    await field(chat).press("Enter")
    await expect(field(chat)).to_have_value(f"As we said in [Garden plans](#{garden}) ")
    await field(chat).press("Enter")
    await chat.ended("completed", 1)
    await expect(chat.questions.last).to_contain_text("As we said in Garden plans")
    await chat.questions.last.get_by_role("link", name="Garden plans").click()
    await expect(chat.page).to_have_url(re.compile(garden))


@pytest.mark.promise("U-06")
async def test_a_template_is_kept_and_filled_in_by_tab(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    page = chat.page
    await command(page, "templates")
    dialog = page.get_by_role("dialog", name="Templates")
    await dialog.get_by_role("button", name="New template").click()
    await page.keyboard.type("Daily plan")
    text = dialog.get_by_role("textbox", name="Text")
    await text.fill("Plan {day} with {people}.")
    # Neither a click beside the form ends it, nor text that is selected as far as beyond it.
    inside = await text.bounding_box()
    assert inside
    await page.mouse.move(inside["x"] + 40, inside["y"] + 20)
    await page.mouse.down()
    await page.mouse.move(5, 5)
    await page.mouse.up()
    await page.mouse.click(5, 5)
    await expect(text).to_have_value("Plan {day} with {people}.")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("listitem")).to_contain_text(["Daily plan"])
    await chat.screenshot("templates")
    await dialog.get_by_role("button", name="Close").click()
    await page.reload()
    await chat.connected()
    await field(chat).press_sequentially("/dai")
    await field(chat).press("Enter")
    await expect(field(chat)).to_have_value("Plan {day} with {people}.")
    await page.keyboard.type("Monday")
    await page.keyboard.press("Tab")
    await page.keyboard.type("Ada")
    await expect(field(chat)).to_have_value("Plan Monday with Ada.")
    # With nothing left to fill in, Tab moves on as everywhere.
    await page.keyboard.press("Tab")
    await expect(field(chat)).not_to_be_focused()
    await field(chat).fill("")
    await command(page, "daily")
    await expect(field(chat)).to_have_value("Plan {day} with {people}.")
    await command(page, "templates")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(dialog.get_by_text("None yet.")).to_be_visible()


@pytest.mark.promise("U-06")
async def test_a_text_that_is_too_long_is_refused_before_it_is_sent(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await field(chat).fill("a" * 46_000)
    await expect(chat.page.locator("#count")).to_have_text("46,000 of 50,000 characters")
    await field(chat).fill("a" * 50_003)
    await expect(chat.page.get_by_role("alert").filter(has_text="3 characters too long to send.")).to_be_visible()
    await expect(chat.page.get_by_role("button", name="Send")).to_be_disabled()
    await field(chat).press("Enter")
    await expect(chat.questions).to_have_count(0)
    await chat.press("Attach it as a file")
    await expect(chips(chat)).to_have_text([re.compile("message.txt.*50 KB")])
    await expect(field(chat)).to_have_value("")


@pytest.mark.promise("U-04", "U-06")
async def test_an_edit_leaves_the_draft_alone_and_a_deleted_chat_takes_its_draft_along(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await titled(chat, "With a draft")
    await field(chat).fill("half a thought")
    await command(chat.page, "change my last")
    await expect(field(chat)).to_have_value("/long 3 200")
    await field(chat).fill("/long 4 200")
    await chat.page.reload()
    await expect(field(chat)).to_have_value("/long 4 200")
    await field(chat).press("Escape")
    await expect(field(chat)).to_have_value("half a thought")
    await chat.page.reload()
    await chat.connected()
    await expect(field(chat)).to_have_value("half a thought")
    drafts = "Object.keys(localStorage).filter((key) => key.startsWith('legato.draft.ses_')).length"
    assert await chat.page.evaluate(f"() => {drafts}") == 1
    await chat.page.keyboard.press("Control+Shift+Backspace")
    await chat.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(chat.page.locator(".welcome")).to_be_visible()
    await chat.page.wait_for_function(f"() => {drafts} === 0")


@pytest.mark.promise("U-01")
async def test_one_button_sends_and_stops(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    composer = chat.page.locator("#composer")
    stop, send = composer.get_by_role("button", name="Stop"), composer.get_by_role("button", name="Send")
    await expect(stop).to_have_count(0)
    await chat.say("/stall")
    await chat.see("until you stop me.")
    await expect(send).to_have_count(0)
    await field(chat).fill("/long 2 200")
    await expect(send).to_be_enabled()
    await expect(stop).to_be_enabled()
    await field(chat).press("Enter")
    await expect(chat.waiting).to_contain_text("/long 2 200")
    await field(chat).press("Escape")
    await chat.ended("completed", 2)
    await expect(chat.answers.first).to_have_attribute("data-status", "cancelled")
    await expect(stop).to_have_count(0)
    await chat.say("/stall")
    await stop.press("Enter")
    await chat.ended("cancelled", 3)
    await expect(field(chat)).to_be_focused()


@pytest.fixture(scope="module")
def choosy_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with three agents and nine models, none of which answers."""
    folder: Path = tmp_path_factory.mktemp("choosy")
    (folder / "legato.toml").write_text(_CONFIG, encoding="utf-8")
    with ServerProcess(f"sqlite:///{folder / 'legato.db'}", args=["--config", str(folder / "legato.toml")]) as server:
        yield server


@pytest.fixture
async def chooser(chromium: Browser, choosy_server: ServerProcess) -> AsyncIterator[Chat]:
    context = await chromium.new_context(locale="en-GB")
    visitor = Visitor(context, choosy_server.url)
    yield await (await visitor.tab()).open()
    await context.close()
    assert visitor.complaints + visitor.network_failures == []


@pytest.mark.promise("U-03")
async def test_an_agent_is_chosen_by_what_it_is_and_may_begin(chooser: Chat) -> None:
    page = chooser.page
    await page.get_by_role("button", name="Agent: Scribe").click()
    listed = page.get_by_role("listbox", name="Agent")
    await expect(listed.get_by_role("option")).to_contain_text(["writes", "edits texts · Says why.", "unavailable"])
    await expect(listed.get_by_role("option").nth(1)).to_contain_text("Demo, no model")
    await chooser.screenshot("agents")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    # The unavailable one can't be taken.
    await expect(listed).to_be_visible()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(listed).not_to_be_visible()
    await expect(page.get_by_role("button", name="Agent: Editor")).to_be_focused()
    await chooser.press("Let Editor begin")
    await chooser.see("What shall we edit?")
    # A chat stays with its agent; another one begins another chat.
    await page.get_by_role("button", name="Agent: Editor").click()
    await expect(page.get_by_text("This chat stays with Editor. Another agent begins a new chat.")).to_be_visible()
    await page.get_by_role("option", name="Scribe").click()
    await expect(page.locator(".welcome")).to_be_visible()
    await chooser.say("/long 2 200")
    await chooser.ended("completed", 1)
    await expect(page.get_by_role("button", name="Agent: Scribe")).to_be_visible()


@pytest.mark.promise("U-03")
async def test_what_was_chosen_before_counts_before_the_server_has_told_what_there_is(chooser: Chat) -> None:
    page = chooser.page
    await page.get_by_role("button", name="Agent: Scribe").click()
    await page.get_by_role("option", name="Editor").click()
    await command(page, "choose the model")
    await expect(page.get_by_role("listbox", name="Model")).to_be_visible()
    await page.keyboard.type("m3")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Model: m3")).to_be_visible()
    held = asyncio.Queue[Route]()
    await page.route(re.compile(r"/v1/(agents|models)$"), held.put_nowait)
    await page.reload()
    await chooser.connected()
    async with page.expect_request(lambda asked: asked.method == "POST" and asked.url.endswith("/sessions")) as made:
        await chooser.say("/long 2 200")
    assert '"agent_id":"editor","model_id":"local:m3"' in str((await made.value).post_data)
    await chooser.ended("completed", 1)
    assert held.qsize() == 2, "it is asked for once, also where the list is there first"
    for _ in range(2):
        await (await held.get()).continue_()
    await expect(page.get_by_role("button", name="Agent: Editor")).to_be_visible()


@pytest.mark.promise("U-03")
async def test_a_model_is_chosen_by_window_and_price_for_what_is_sent_next(chooser: Chat) -> None:
    page = chooser.page
    await chooser.say("/long 2 200")
    await chooser.ended("completed", 1)
    await command(page, "choose the model")
    listed = page.get_by_role("listbox", name="Model")
    await expect(listed.get_by_role("option").first).to_contain_text("The agent's own")
    await expect(listed.get_by_role("option", name="m1")).to_contain_text(
        "32,768 tokens window · $0.1 in · $0.4 out per million"
    )
    await chooser.screenshot("models")
    await page.keyboard.type("m1")
    await expect(listed.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Model: m1")).to_be_visible()
    async with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/turns")) as sent:
        await chooser.questions.last.hover()
        await chooser.questions.last.get_by_role("button", name="Edit").click()
        await page.keyboard.press("Enter")
    assert '"model_id":"local:m1"' in str((await sent.value).post_data)
    await expect(chooser.questions.last).to_contain_text("2 of 2")
    await chooser.ended("completed", 1)
    await page.reload()
    await expect(page.get_by_role("button", name="Model: m1")).to_be_visible()
    async with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/turns")) as sent:
        await chooser.say("/long 3 200")
    assert '"model_id":"local:m1"' in str((await sent.value).post_data)
    await chooser.ended("completed", 2)
    # Another one may answer the same question: the question stays, and has two answers.
    await chooser.answers.last.get_by_role("button", name="Regenerate with another model").click()
    async with page.expect_request(lambda request: request.url.endswith("/retry")) as sent:
        await page.get_by_role("menuitem", name="m2").click()
    assert '"model_id":"local:m2"' in str((await sent.value).post_data)
    await expect(chooser.answers.last).to_contain_text("2 of 2")
    await chooser.ended("completed", 2)
    await expect(chooser.questions).to_have_count(2)
    await expect(chooser.questions.last).not_to_contain_text("2 of 2")
    await page.evaluate("location.hash = ''")
    await expect(page.get_by_role("button", name=re.compile("Model: The agent's own"))).to_be_visible()
