"""The built-in page in a real browser: it proves the wire (docs/protocol.md) to the last character."""

import re
from typing import Literal

import pytest
from anyio.to_thread import run_sync
from playwright.async_api import expect

from tests.browser.visitor import Visitor
from tests.support.server import ServerProcess
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio

MARKUP = '<img src="nowhere" onerror="document.title=1"><script>document.title=2</script><b>bold</b> &amp;'


def numbered(count: int) -> str:
    """What the demo agent answers to ``/long <count>``."""
    return "".join(f"w{number}" + (" " if number % 10 else "\n") for number in range(1, count + 1))


@pytest.mark.promise("R-01", "E-03")
async def test_a_reload_in_mid_answer_changes_nothing(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 200 80")
    await chat.see("w40 ")
    await chat.page.reload()
    await chat.ended("completed", 1)
    assert await chat.texts() == [numbered(200)]
    await chat.matches_the_journal()


@pytest.mark.promise("E-04")
async def test_usage_and_the_demo_label_are_shown(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await expect(chat.page.locator("#demo")).to_be_visible()
    await chat.say("Hello")
    await chat.ended("completed", 1)
    await expect(chat.page.locator("#usage")).to_contain_text("tokens")
    await chat.matches_the_journal()


@pytest.mark.promise("R-06", "E-02", "E-05")
async def test_a_killed_server_loses_and_doubles_nothing(witness: Visitor, mortal_server: ServerProcess) -> None:
    chat = await (await witness.tab()).open()
    loaded = await chat.page.evaluate("performance.timeOrigin")
    await chat.say("/long 600 100")
    await chat.see("w60\n")
    await run_sync(mortal_server.kill)
    await expect(chat.link).to_have_attribute("data-state", "reconnecting")
    [seen] = await chat.texts()
    await run_sync(mortal_server.start)
    await chat.ended("incomplete", 1)
    await expect(chat.answers.last).to_contain_text("Incomplete")
    await chat.screenshot("killed")
    [kept] = await chat.texts()
    assert kept.startswith(seen)
    assert numbered(600).startswith(kept)
    await chat.matches_the_journal()

    await chat.press("Continue")
    await chat.ended("completed", 2)
    assert (await chat.texts())[0] == kept
    await chat.matches_the_journal()
    assert await chat.page.evaluate("performance.timeOrigin") == loaded, "the page was loaded again"


@pytest.mark.promise("R-06", "A-03")
async def test_a_killed_server_in_front_of_another_that_streams_loses_nothing_either(
    witness: Visitor, mortal_server: ServerProcess
) -> None:
    async with Upstream() as upstream:
        mortal_server.env = {"OPENAI_BASE_URL": upstream.url}
        await run_sync(mortal_server.restart)
        chat = await (await witness.tab()).open()
        await chat.say("count 600 at 100/s")
        await chat.see("40 41 ")
        await run_sync(mortal_server.kill)
        await run_sync(mortal_server.start)
        await chat.ended("incomplete", 1)
        await chat.matches_the_journal()
        await chat.press("Continue")
        await chat.ended("completed", 2)
        await chat.matches_the_journal()


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


@pytest.mark.promise("R-04")
async def test_stop_keeps_what_was_said(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/stall")
    await chat.see("until you stop me.")
    await chat.press("Stop")
    await chat.ended("cancelled", 1)
    await expect(chat.answers.last).to_contain_text("Stopped")
    await chat.matches_the_journal()


@pytest.mark.promise("R-03")
async def test_the_next_message_queues_or_interrupts(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5000 50")
    await chat.see("w10\n")
    await chat.say("/long 5 50")
    await expect(chat.questions.last).to_have_attribute("data-status", "queued")
    await chat.press("Withdraw")
    await expect(chat.questions).to_have_count(1)
    await chat.page.select_option("#mode", "interrupt")
    await chat.say("/long 30 100")
    await chat.ended("completed", 2)
    first, second = await chat.texts()
    assert numbered(5000).startswith(first)
    assert second == numbered(30)
    await expect(chat.answers.first).to_have_attribute("data-status", "cancelled")
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
async def test_two_tabs_show_the_same(visitor: Visitor) -> None:
    one = await (await visitor.tab()).open()
    other = await (await visitor.tab()).open()
    await one.say("/long 150 80")
    await one.see("w20\n")
    entry = other.page.locator("nav a").first
    await expect(entry).to_contain_text("/long 150 80")
    await expect(entry.locator(".mark")).to_be_visible()
    await entry.click()
    for chat in (one, other):
        await chat.ended("completed", 1)
        assert await chat.texts() == [numbered(150)]
    await other.say("Hello from here")
    for chat in (one, other):
        await chat.ended("completed", 2)
        await expect(chat.questions.last).to_contain_text("Hello from here")
    assert await one.texts() == await other.texts()
    await one.matches_the_journal()


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
    await expect(chat.answers.locator(".text")).to_have_text([numbered(5)])
    await chat.page.reload()
    await expect(chat.answers.locator(".text")).to_have_text([numbered(5)])
    await chat.matches_the_journal()


async def test_an_unknown_conversation_is_gone(visitor: Visitor) -> None:
    chat = await visitor.tab()
    await chat.page.goto(f"{chat.url}/plain#ses_00000000000000000000000000")
    await expect(chat.page.locator("#blank")).to_contain_text("Nothing here")
    await expect(chat.page.locator("#send")).to_be_disabled()
    [failure] = visitor.network_failures
    assert "404" in failure
    visitor.network_failures.clear()


async def test_markup_is_text(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say(MARKUP)
    await chat.ended("completed", 1)
    await chat.say("again")
    await chat.ended("completed", 2)
    await expect(chat.questions.first.locator(".text")).to_have_text(MARKUP)
    await expect(chat.answers.last).to_contain_text("<img src=")
    await expect(chat.page.locator("img, #log script, #log b")).to_have_count(0)
    assert "<img" in await chat.page.title()
    await chat.page.reload()
    await expect(chat.questions.first.locator(".text")).to_have_text(MARKUP)
    await chat.matches_the_journal()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
async def test_it_fits(visitor: Visitor, width: int, scheme: Literal["light", "dark"]) -> None:
    chat = await visitor.tab()
    await chat.page.set_viewport_size({"width": width, "height": 780})
    await chat.page.emulate_media(color_scheme=scheme)
    await chat.open()
    await chat.screenshot(f"empty-{scheme}-{width}")
    await chat.say("/reason")
    await chat.ended("completed", 1)
    await chat.say("/tool " + "unbroken" * 40)
    await chat.ended("completed", 2)
    await chat.screenshot(f"answers-{scheme}-{width}")
    assert await chat.page.evaluate("document.documentElement.scrollWidth") <= width


async def test_only_its_own_script_may_run(visitor: Visitor) -> None:
    chat = await visitor.tab()
    response = await chat.page.goto(f"{chat.url}/plain")
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
