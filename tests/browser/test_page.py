"""The page in a real browser, against a real server: nothing lost, nothing doubled, nothing stuck."""

import re
from typing import Literal

import pytest
from anyio.to_thread import run_sync
from playwright.async_api import Browser, expect

from tests.browser.visitor import Chat, Visitor, numbered, words
from tests.support.server import ServerProcess

pytestmark = pytest.mark.anyio


@pytest.mark.promise("U-04", "R-01", "E-03")
async def test_a_reload_in_mid_answer_changes_nothing(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 200 80")
    await chat.see("w40 ")
    await chat.page.reload()
    await chat.ended("completed", 1)
    assert [words(text) for text in await chat.texts()] == [words(numbered(200))]
    await chat.matches_the_journal()


@pytest.mark.promise("U-04", "R-06", "E-02", "E-05")
async def test_a_killed_server_loses_and_doubles_nothing(witness: Visitor, mortal_server: ServerProcess) -> None:
    chat = await (await witness.tab()).open()
    loaded = await chat.page.evaluate("performance.timeOrigin")
    await chat.say("/long 1500 100")
    await chat.see("w60")
    await run_sync(mortal_server.kill)
    await expect(chat.link).to_have_attribute("data-state", "lost")
    await run_sync(mortal_server.start)
    await chat.ended("incomplete", 1)
    await expect(chat.answers.last).to_contain_text("Incomplete")
    await chat.screenshot("killed")
    await chat.matches_the_journal()
    await chat.press("Continue")
    await chat.ended("completed", 2)
    await chat.matches_the_journal()
    assert await chat.page.evaluate("performance.timeOrigin") == loaded, "the page was loaded again"


@pytest.mark.promise("R-02")
async def test_what_is_sent_to_a_dead_server_arrives_once(witness: Visitor, mortal_server: ServerProcess) -> None:
    chat = await (await witness.tab()).open()
    await run_sync(mortal_server.kill)
    await chat.say("the first")
    await chat.say("the second")
    await expect(chat.questions).to_have_text([re.compile("the first"), re.compile("the second")])
    await run_sync(mortal_server.start)
    await chat.ended("completed", 2)
    await expect(chat.questions.locator(".text")).to_have_text(["the first", "the second"])
    await chat.matches_the_journal()


@pytest.mark.promise("U-04", "E-06")
async def test_five_quick_switches_and_two_tabs_show_the_same(visitor: Visitor) -> None:
    one = await (await visitor.tab()).open()
    await one.say("/long 200 80")
    await one.see("w20")
    session_id = one.session_id
    other = await (await visitor.tab()).open(session_id)
    for _ in range(5):
        await one.page.evaluate("location.hash = ''")
        await expect(one.page.locator(".welcome")).to_be_visible()
        await one.page.evaluate("id => location.hash = id", session_id)
        await expect(one.answers).to_have_count(1)
    for chat in (one, other):
        await chat.ended("completed", 1)
        await chat.matches_the_journal()


@pytest.mark.promise("U-01", "R-04")
async def test_stop_from_another_tab_keeps_what_was_said(visitor: Visitor) -> None:
    one = await (await visitor.tab()).open()
    await one.say("/stall")
    await one.see("until you stop me.")
    other = await (await visitor.tab()).open(one.session_id)
    await other.press("Stop")
    for chat in (one, other):
        await chat.ended("cancelled", 1)
        await expect(chat.answers.last).to_contain_text("Stopped")
        await expect(chat.page.locator(".mark")).to_have_count(0)
        await chat.matches_the_journal()


@pytest.mark.promise("U-01", "R-03")
async def test_what_waits_can_be_changed_and_withdrawn(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5000 50")
    await chat.see("w10")
    await chat.say("first thought")
    await chat.waiting.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit").fill("second thought")
    await chat.page.get_by_role("textbox", name="Edit").press("Enter")
    await expect(chat.waiting).to_contain_text("second thought")
    await chat.waiting.get_by_role("button", name="Withdraw").click()
    await expect(chat.waiting).to_have_count(0)
    await chat.page.select_option("#mode", "interrupt")
    await chat.say("/long 30 100")
    await chat.ended("completed", 2)
    await expect(chat.answers.first).to_have_attribute("data-status", "cancelled")
    await chat.matches_the_journal()


@pytest.mark.promise("U-01")
async def test_an_edit_makes_a_branch_that_can_be_left(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    await chat.questions.first.hover()
    await chat.questions.first.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit").fill("/long 7 100")
    await chat.press("Send again")
    await chat.see("w7")
    await chat.ended("completed", 1)
    await expect(chat.questions.first).to_contain_text("2 of 2")
    await chat.press("Previous version")
    await expect(chat.answers.locator(".text")).to_have_text([numbered(5).strip()])
    await chat.page.reload()
    await expect(chat.questions.first).to_contain_text("1 of 2")


@pytest.mark.promise("U-05")
async def test_an_approval_is_asked_and_given_inline(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/approve")
    await expect(chat.page.locator(".approval")).to_be_visible()
    await chat.screenshot("approval")
    await chat.page.locator(".approval").get_by_role("button", name="Allow", exact=True).click()
    await chat.ended("completed", 1)
    await expect(chat.page.locator(".approval")).to_have_count(0)


@pytest.mark.promise("U-04")
async def test_a_draft_stays_with_its_session(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 3 100")
    await chat.ended("completed", 1)
    await chat.page.fill("#text", "half a thought")
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(chat.page.locator("#text")).to_have_value("")
    await chat.page.go_back()
    await expect(chat.page.locator("#text")).to_have_value("half a thought")
    await chat.page.reload()
    await expect(chat.page.locator("#text")).to_have_value("half a thought")


@pytest.mark.promise("U-07")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
async def test_it_fits(visitor: Visitor, width: int, scheme: Literal["light", "dark"]) -> None:
    chat = await visitor.tab()
    await chat.page.set_viewport_size({"width": width, "height": 780})
    await chat.page.emulate_media(color_scheme=scheme)
    await chat.open()
    await chat.screenshot(f"empty-{scheme}-{width}")
    await chat.say("/markdown")
    await chat.ended("completed", 1)
    await chat.say("/tool " + "unbroken" * 40)
    await chat.ended("completed", 2)
    await chat.screenshot(f"answers-{scheme}-{width}")
    assert await chat.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.promise("U-07")
@pytest.mark.parametrize(("locale", "word"), [("sv-SE", "Ny chatt"), ("ru-RU", "Новый чат"), ("fi-FI", "New chat")])
async def test_it_speaks_the_browsers_language(
    chromium: Browser, steady_server: ServerProcess, locale: str, word: str
) -> None:
    context = await chromium.new_context(locale=locale)
    chat = Chat(await context.new_page(), steady_server.url)
    await chat.open()
    await expect(chat.page.get_by_role("heading", name=word)).to_be_visible()
    await context.close()


@pytest.mark.promise("P-01")
async def test_the_first_load_is_small_and_stays_at_home(visitor: Visitor) -> None:
    chat = await visitor.tab()
    await chat.open()
    sizes = await chat.page.evaluate(
        "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
        ".filter(e => !e.name.includes('/v1/')).map(e => e.transferSize)"
    )
    assert 0 < sum(sizes) <= 350 * 1024


@pytest.mark.promise("E-04")
async def test_usage_and_the_demo_label_are_shown(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await expect(chat.page.locator(".badge")).to_be_visible()
    await chat.say("Hello")
    await chat.ended("completed", 1)
    await expect(chat.page.locator("#usage")).to_contain_text("tokens")
    await chat.matches_the_journal()


@pytest.mark.promise("R-12")
async def test_a_failure_says_why_and_can_be_retried(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/fail")
    await chat.ended("failed", 1)
    await expect(chat.answers.last).to_contain_text("Failed: The demo agent failed")
    failed = await chat.answers.last.get_attribute("data-key")
    await chat.press("Retry")
    await expect(chat.answers.last).not_to_have_attribute("data-key", failed or "")
    await chat.ended("failed", 1)


@pytest.mark.promise("E-06")
async def test_the_list_is_live_in_every_tab(visitor: Visitor) -> None:
    one = await (await visitor.tab()).open()
    other = await (await visitor.tab()).open()
    await one.say("/long 600 80")
    await one.see("w20")
    entry = other.page.locator("nav a").first
    await expect(entry.locator(".mark")).to_be_visible()
    await entry.click()
    for chat in (one, other):
        await chat.ended("completed", 1)
        await chat.matches_the_journal()
    await other.say("Hello from here")
    for chat in (one, other):
        await chat.ended("completed", 2)
        await expect(chat.questions.last).to_contain_text("Hello from here")
        await chat.matches_the_journal()


async def test_the_address_names_the_conversation(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    assert chat.session_id == ""
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    first = chat.session_id
    await chat.page.get_by_role("link", name="New chat").click()
    await expect(chat.answers).to_have_count(0)
    await chat.say("/long 7 100")
    await chat.ended("completed", 1)
    assert chat.session_id not in ("", first)

    await chat.page.go_back()
    await chat.page.go_back()
    assert chat.session_id == first
    await expect(chat.answers.locator(".text")).to_have_text([words(numbered(5))])
    await chat.page.reload()
    await expect(chat.answers.locator(".text")).to_have_text([words(numbered(5))])
    await chat.matches_the_journal()


async def test_an_unknown_conversation_is_gone(visitor: Visitor) -> None:
    chat = await visitor.tab()
    await chat.page.goto(f"{chat.url}/#ses_00000000000000000000000000")
    await expect(chat.page.get_by_role("heading", name="Nothing here")).to_be_visible()
    await expect(chat.page.locator("#text")).to_be_disabled()
    assert all("404" in failure for failure in visitor.network_failures)
    visitor.network_failures.clear()


@pytest.mark.promise("P-01")
async def test_a_hosts_own_page_has_one_conversation_in_a_drawer(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 30 100")
    await chat.ended("completed", 1)
    drawer = f'<!doctype html><iframe src="/?surface#{chat.session_id}" width="400" height="600"></iframe>'
    await chat.page.route(f"{chat.url}/host", lambda route: route.fulfill(body=drawer, content_type="text/html"))
    await chat.page.goto(f"{chat.url}/host")
    frame = chat.page.frame_locator("iframe")
    await expect(frame.locator(".message.assistant")).to_have_attribute("data-status", "completed")
    await expect(frame.locator(":is(.sidebar, .rail, .menu-button:visible)")).to_have_count(0)
    await frame.locator("#text").fill("/long 5 100")
    await frame.locator("#text").press("Enter")
    await expect(frame.locator(".message.assistant[data-status=completed]")).to_have_count(2)
    await chat.screenshot("drawer")


@pytest.mark.promise("U-01")
async def test_headings_of_an_answer_stand_below_the_pages_own(visitor: Visitor) -> None:
    chat = await visitor.tab()
    await chat.show(["# One\n\n## Two", "[another chat](#ses_00000000000000000000000009)"])
    await expect(chat.page.locator("h1")).to_have_count(1)
    await expect(chat.answers.first.locator("h2")).to_have_text("One")
    await chat.answers.last.get_by_role("link", name="another chat", exact=True).click()
    assert chat.session_id == "ses_00000000000000000000000009"
    await expect(chat.page.get_by_role("heading", name="Nothing here")).to_be_visible()
    visitor.network_failures.clear()  # there is no such chat
