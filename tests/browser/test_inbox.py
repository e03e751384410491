"""What waits for a person's word, wherever they are."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.anyio, pytest.mark.promise("U-05")]


async def test_a_question_is_answered_in_another_tab(witness: Visitor) -> None:
    chat = await (await witness.tab()).open()
    await chat.say("/approve")
    await expect(chat.page.locator(".approval")).to_be_visible()
    other = await witness.tab()
    await other.page.goto(f"{other.url}/#inbox")
    badge = other.page.get_by_label("1 question waits for you")
    await expect(badge).to_be_visible()
    question = other.page.get_by_role("region", name="Send the (imaginary) mail?")
    await expect(question).to_contain_text("waits for 59 minutes")
    await expect(question).to_contain_text("send_mail")
    await other.screenshot("inbox")
    await question.get_by_role("button", name="Allow", exact=True).click()
    await expect(other.page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    await expect(badge).to_have_count(0)
    await chat.ended("completed", 1)
    await expect(chat.page.locator(".approval")).to_have_count(0)


async def test_a_question_that_comes_later_comes_by_itself(witness: Visitor) -> None:
    inbox = await witness.tab()
    await inbox.page.goto(f"{inbox.url}/#inbox")
    await expect(inbox.page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    await inbox.screenshot("inbox-empty")
    chat = await (await witness.tab()).open()
    await chat.say("/approve")
    question = inbox.page.get_by_role("region", name="Send the (imaginary) mail?")
    await expect(question).to_be_visible()
    await chat.page.locator(".approval").get_by_role("button", name="Deny").click()
    await expect(question).to_have_count(0)


async def test_what_was_decided_elsewhere_is_told_kindly(witness: Visitor) -> None:
    chat = await (await witness.tab()).open()
    await chat.say("/approve")
    await expect(chat.page.locator(".approval")).to_be_visible()
    waiting = (await (await chat.page.request.get(f"{chat.url}/v1/approvals")).json())["data"]
    inbox = await witness.tab()
    # A tab that has not heard yet: its list of what waits is an old one.
    await inbox.page.route(
        "**/v1/events*",
        lambda route: route.fulfill(body='event: list\ndata: {"what":"refetch"}\n\n', content_type="text/event-stream"),
    )
    await inbox.page.route("**/v1/approvals", lambda route: route.fulfill(json={"data": waiting}))
    await inbox.page.goto(f"{inbox.url}/#inbox")
    question = inbox.page.get_by_role("region", name="Send the (imaginary) mail?")
    await expect(question).to_be_visible()
    await chat.page.request.post(f"{chat.url}/v1/approvals/{waiting[0]['id']}", data={"decision": "deny"})
    await question.get_by_role("button", name="Allow", exact=True).click()
    await expect(inbox.page.get_by_role("status").filter(has_text="This was already denied")).to_be_visible()
    await expect(inbox.page.locator(".problem")).to_have_count(0)


async def test_what_is_always_allowed_can_be_asked_again(witness: Visitor) -> None:
    chat = await (await witness.tab()).open()
    await chat.say("/approve")
    inbox = await witness.tab()
    await inbox.page.goto(f"{inbox.url}/#inbox")
    question = inbox.page.get_by_role("region", name="Send the (imaginary) mail?")
    await question.get_by_role("button", name="Always allow").click()
    allowed = inbox.page.get_by_role("region", name="Always allowed")
    await expect(allowed).to_contain_text("send_mail")
    await chat.ended("completed", 1)
    await chat.say("/approve")
    await chat.ended("completed", 2)
    await allowed.get_by_role("button", name="Ask me again before send_mail").press("Enter")
    await expect(allowed).to_have_count(0)
    await expect(inbox.page.locator(".top h1")).to_be_focused()
    await chat.say("/approve")
    await expect(question).to_be_visible()
