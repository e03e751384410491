"""Words that a person has written, and wishes: neither lost nor doubled, whatever refuses, hurries or goes away."""

import asyncio
import re

import pytest
from anyio.to_thread import run_sync
from playwright.async_api import Browser, FilePayload, Route, ViewportSize, expect

from tests.browser.test_commands import command
from tests.browser.test_conversation import imported
from tests.browser.visitor import COMPOSING_ESCAPE, Visitor
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.promise("U-04")]


async def test_a_refused_edit_is_seen_and_its_words_go_back(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    path = f"{chat.url}/v1/sessions/{chat.session_id}/turns"
    refusal = {"code": "context_overflow", "detail": "It is longer than the model's window."}
    await chat.page.route(path, lambda route: route.fulfill(status=422, json=refusal))
    await chat.questions.first.hover()
    await chat.questions.first.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit").fill("/long 6 100")
    await chat.press("Send again")
    pending = chat.page.locator(".message.pending")
    await expect(pending).to_contain_text("Not sent: It is longer than the model's window.")
    await chat.page.unroute(path)
    # What is being written meanwhile waits aside, and the file with it stays.
    await chat.page.fill("#text", "a new thought")
    notes: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Tuesday."}
    await chat.page.set_input_files("#attach", [notes])
    await expect(chat.page.locator(".chip[data-state='done']")).to_contain_text("notes.txt")
    await pending.get_by_role("button", name="Take back").click()
    await expect(chat.page.locator("#text")).to_have_value("/long 6 100")
    await expect(chat.page.locator(".editing")).to_contain_text("comes back afterwards")
    await expect(chat.page.locator(".chip")).to_contain_text("notes.txt")
    await chat.press("Remove notes.txt")
    await expect(chat.page.locator("#text")).to_be_focused()
    await chat.page.press("#text", "Enter")
    await expect(chat.page.locator("#text")).to_have_value("a new thought")
    await expect(chat.questions.first).to_contain_text("2 of 2")
    await chat.ended("completed", 1)
    visitor.network_failures.clear()  # the 422


async def test_what_was_not_sent_outlives_its_tab(witness: Visitor, mortal_server: ServerProcess) -> None:
    chat = await (await witness.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    session_id = chat.session_id
    await run_sync(mortal_server.kill)
    await chat.say("/long 6 100")
    await expect(chat.page.locator(".message.pending")).to_contain_text("6 100")
    await chat.page.close()
    await run_sync(mortal_server.start)
    later = await (await witness.tab()).open(session_id)
    await later.ended("completed", 2)
    await expect(later.questions.locator(".text")).to_have_text(["/long 5 100", "/long 6 100"])
    await later.matches_the_journal()


async def test_an_impatient_click_asks_once(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    await chat.page.get_by_role("button", name="Regenerate", exact=True).dblclick()
    await expect(chat.answers.first).to_contain_text("2 of 2")
    await chat.ended("completed", 1)
    turns = f"{chat.url}/v1/sessions/{chat.session_id}/stats"
    assert (await (await chat.page.request.get(turns)).json())["turn_count"] == 2


async def test_what_was_being_changed_when_its_turn_came_is_kept(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/stall")
    await chat.see("until you stop me.")
    await chat.say("/long 5 100")
    await chat.waiting.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit").fill("/long 5 100, and more")
    await chat.page.get_by_role("button", name="Stop and ask now").click()
    await chat.ended("completed", 2)
    await expect(chat.page.locator("#text")).to_have_value("/long 5 100, and more")


async def test_what_is_changed_in_its_place_outlives_the_page(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    text, changed = chat.page.locator("#text"), chat.page.get_by_role("textbox", name="Edit")
    edit = chat.questions.first.get_by_role("button", name="Edit")
    await text.fill("half a thought")
    await edit.press("Enter")
    await changed.evaluate(COMPOSING_ESCAPE)
    await changed.press("Escape")
    await expect(edit).to_be_focused()
    await edit.press("Enter")
    await changed.fill("/long 6 100")
    await changed.evaluate(COMPOSING_ESCAPE)
    await expect(changed).to_have_value("/long 6 100")
    # Another tab, where somebody writes, has nothing to do with it.
    other = await (await visitor.tab()).open(chat.session_id)
    await expect(other.page.locator("#text")).to_have_value("half a thought")
    await other.page.locator("#text").press_sequentially(", and more")
    await expect(text).to_have_value("half a thought, and more")
    await other.page.close()
    await chat.page.reload()
    await expect(text).to_have_value("/long 6 100")
    # An edit in its place while another one is under way: neither it nor what waits aside is lost.
    await edit.press("Enter")
    await changed.fill("/long 7 100")
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(changed).to_have_count(0)
    await chat.page.go_back()
    await expect(text).to_have_value("/long 7 100")
    await text.press("Escape")
    await expect(text).to_have_value("half a thought, and more\n/long 6 100")
    # What is sent from its place is not kept, and one goes on where one writes.
    await edit.press("Enter")
    await changed.fill("/long 8 100")
    await changed.press("Enter")
    await expect(text).to_be_focused()
    await expect(chat.questions.first).to_contain_text("2 of 2")
    await chat.ended("completed", 1)
    await expect(text).to_be_focused()
    await chat.page.reload()
    await expect(text).to_have_value("half a thought, and more\n/long 6 100")


async def test_a_proxys_own_words_end_nothing(witness: Visitor) -> None:
    """While it is deployed, something in between says 404, or shows a page for signing in."""
    chat = await (await witness.tab()).open()
    await chat.say("/long 300 100")
    await chat.see("w20")
    answers = iter([404, 200])

    async def between(route: Route) -> None:
        status = next(answers, None)
        if status is None:
            await route.continue_()
        else:
            await route.fulfill(status=status, body="<h1>Elsewhere</h1>", content_type="text/html")

    await chat.page.route(re.compile(r"/events"), between)
    await chat.page.reload()
    await expect(chat.link).to_have_attribute("data-state", "lost")
    await chat.ended("completed", 1)
    await chat.matches_the_journal()


@pytest.mark.parametrize("size", [{"width": 1_200, "height": 6_000}])
async def test_an_address_leads_to_an_old_message_in_a_high_window(visitor: Visitor, size: ViewportSize) -> None:
    """So high that older messages are fetched to fill it, while they are fetched to be found."""
    chat = await (await visitor.tab()).open()
    session_id = await imported(chat, 400)
    path = f"{chat.url}/v1/sessions/{session_id}/messages?limit=200"
    page = await (await chat.page.request.get(path)).json()
    page = await (await chat.page.request.get(f"{path}&cursor={page['next']}")).json()
    wanted = page["data"][3]["id"]
    await chat.page.set_viewport_size(size)
    await chat.page.goto(f"{chat.url}/#{session_id}/{wanted}")
    await expect(chat.page.locator(f'.line[data-found] [data-key="{wanted}"]')).to_be_in_viewport()


async def test_a_first_message_that_is_refused_leaves_a_chat_that_can_be_used(
    chromium: Browser, mortal_server: ServerProcess
) -> None:
    context = await chromium.new_context(locale="en-GB")
    chat = await (await Visitor(context, mortal_server.url).tab()).open()
    refusal = {"code": "agent_not_found", "detail": "There is no such agent."}
    path = f"{chat.url}/v1/sessions"
    await chat.page.route(path, lambda route: route.fulfill(status=404, json=refusal))
    await chat.say("/long 5 100")
    await chat.page.get_by_role("button", name="Take back").click()
    await expect(chat.page.locator("#text")).to_have_value("/long 5 100")
    assert chat.session_id == ""
    await chat.page.unroute(path)
    await chat.page.press("#text", "Enter")
    await chat.ended("completed", 1)
    await context.close()


async def test_what_was_refused_in_another_chat_is_told_wherever_one_is(visitor: Visitor) -> None:
    """Its session was never made: no list leads there."""
    chat = await (await visitor.tab()).open()
    page = chat.page
    path = re.compile(r"/v1/sessions$")
    refusal = {"code": "agent_unavailable", "detail": "This agent is not available."}
    held = asyncio.Queue[Route]()
    await page.route(path, held.put_nowait)
    await chat.say("Words that nobody else has")
    await expect(page.locator(".message.pending")).to_be_visible()
    refused = await held.get()
    await page.evaluate("location.hash = 'settings'")
    await refused.fulfill(status=409, json=refusal)
    notice = page.get_by_role("status").filter(has_text="A message was not sent: “Words that nobody else has”")
    await expect(notice).to_be_visible()
    await page.unroute(path)
    await page.goto(f"{chat.url}/")
    await chat.connected()
    await chat.screenshot("refused-elsewhere")
    await notice.get_by_role("link", name="Show it").click()
    await expect(page.locator(".message.pending")).to_contain_text("Not sent: This agent is not available.")
    await expect(notice).to_have_count(0)
    await page.get_by_role("button", name="Try again").click()
    await chat.ended("completed", 1)
    visitor.network_failures.clear()  # the 409


async def test_who_has_gone_elsewhere_meanwhile_stays_there(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    page = chat.page
    await chat.say("/long 3 200")
    await chat.ended("completed", 1)
    first = chat.session_id
    held = asyncio.Queue[Route]()
    await page.route(re.compile(rf"{first}(/fork)?$"), held.put_nowait)
    await command(page, "fork")
    forking = await held.get()
    await command(page, "new chat")
    await expect(page.locator(".welcome")).to_be_visible()
    await chat.say("/long 4 200")
    await chat.ended("completed", 1)
    second = chat.session_id
    async with page.expect_response(re.compile("/fork$")):
        await forking.continue_()
    await page.locator("#text").press_sequentially("half a sen")
    # Nor does a deletion that takes its time take anybody along.
    await page.evaluate("id => location.hash = id", first)
    await chat.ended("completed", 1)
    await page.keyboard.press("Control+Shift+Backspace")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    deleting = await held.get()
    await page.evaluate("id => location.hash = id", second)
    await expect(page.locator("#text")).to_have_value("half a sen")
    async with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        await deleting.continue_()
    await expect(page.locator(f'[data-session="{first}"]')).to_have_count(0)
    await page.locator("#text").press_sequentially("tence")
    await expect(page.locator("#text")).to_have_value("half a sentence")
    assert chat.session_id == second
    # One that is refused leaves the person where they are.
    await page.route(
        re.compile(f"{second}$"), lambda route: route.fulfill(status=403, json={"code": "no", "detail": "No."})
    )
    await page.keyboard.press("Control+Shift+Backspace")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("alert")).to_contain_text("No.")
    assert chat.session_id == second
    visitor.network_failures.clear()  # the 403


async def test_a_chat_that_was_left_long_ago_is_shown_whole_again(visitor: Visitor) -> None:
    """Twenty others were looked at since: its words are not kept any more, and come anew."""
    chat = await (await visitor.tab()).open()
    page = chat.page
    await chat.say("/long 4 200")
    await chat.ended("completed", 1)
    first = chat.session_id
    for number in range(20):
        made = await page.request.post(f"{chat.url}/v1/sessions", data={"title": f"Number {number}"})
        await page.evaluate("id => location.hash = id", (await made.json())["id"])
        await expect(page.locator("h1")).to_have_text(f"Number {number}")
        await chat.connected()
    async with page.expect_request(lambda asked: f"{first}/events" in asked.url and "after=" not in asked.url):
        await page.evaluate("id => location.hash = id", first)
    await chat.ended("completed", 1)
    await chat.matches_the_journal()


async def test_a_browser_that_stores_nothing_and_copies_nothing_has_a_chat(
    chromium: Browser, steady_server: ServerProcess
) -> None:
    context = await chromium.new_context(locale="en-GB")
    refusing = "get() { throw new DOMException('', 'SecurityError'); }"
    await context.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ {refusing} }})")
    await context.add_init_script(
        "if (navigator.clipboard) navigator.clipboard.writeText = () => Promise.reject(new DOMException())"
    )
    visitor = Visitor(context, steady_server.url)
    chat = await (await visitor.tab(first_visit=True)).open()
    await chat.say("/long 4 200")
    await chat.ended("completed", 1)
    await chat.answers.first.get_by_role("button", name="Copy", exact=True).click()
    await expect(chat.page.get_by_role("alert")).to_contain_text("The browser did not allow copying.")
    await context.close()
    assert visitor.complaints == []


async def test_a_page_that_is_refused_says_why_and_goes_on_when_it_is_not(visitor: Visitor) -> None:
    chat = await visitor.tab()
    page = chat.page
    refusal = {"code": "unauthenticated", "detail": "Who are you?"}
    await page.route("**/v1/**", lambda route: route.fulfill(status=401, json=refusal))
    await page.goto(chat.url)
    await expect(chat.link).to_have_text("Not connected")
    await expect(page.locator(".status")).to_contain_text("Who are you?")
    await chat.screenshot("not-connected")
    await expect(page.get_by_role("button", name="Agent: Demo")).to_have_count(0)
    await page.unroute("**/v1/**")
    await chat.press("Try now")
    await chat.connected()
    await expect(page.get_by_role("button", name=re.compile("^Agent: "))).to_be_visible()
    await chat.say("/long 3 200")
    await chat.ended("completed", 1)
    visitor.network_failures.clear()  # the 401s
