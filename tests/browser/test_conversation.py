"""A conversation of any length, and what can be done with it: the scroll stays where the reader put it."""

import json
import secrets

import pytest
from anyio import Event
from playwright.async_api import Locator, Route, expect

from tests.browser.visitor import Chat, Visitor

pytestmark = pytest.mark.anyio

COUNT = 5_000
TIMES = {"created_at": "2026-01-01T00:00:00Z"}


async def imported(chat: Chat, count: int) -> str:
    """A session of so many messages; answer number n says "answer n" and fills a few lines."""
    origin = f"ses_{secrets.token_hex(13)}"
    session = {"id": origin, "agent_id": "demo", "agent_name": "Demo", "title": "A long one"}
    lines: list[dict[str, object]] = [
        {"type": "header", "format": "legato", "version": 1, "exported_at": TIMES["created_at"]},
        {"type": "session", "session": session | TIMES | {"last_activity": TIMES["created_at"]}},
    ]
    for number in range(count):
        question = number % 2 == 0
        said = (
            f"question {number}." if question else f"answer {number}.\n\n" + "It says *this* and that. " * (number % 9)
        )
        message = {
            "id": f"msg_{number}",
            "session_id": origin,
            "turn_id": f"trn_{number // 2}",
            "role": "user" if question else "assistant",
            "status": "completed",
            "parts": [{"type": "text", "text": said}],
            "parent_id": f"msg_{number - 1}" if number else None,
        }
        lines.append({"type": "message", "message": message | TIMES})
        if not question:
            turn = {"id": f"trn_{number // 2}", "session_id": origin, "agent_id": "demo", "status": "completed"}
            turn |= {"message_id": f"msg_{number - 1}", "answer_id": f"msg_{number}", "reason": "stop"}
            lines.append({"type": "turn", "turn": turn | TIMES})
    lines.append({"type": "end", "sessions": 1, "messages": count})
    body = "\n".join(json.dumps(line) for line in lines)
    report = await (await chat.page.request.post(f"{chat.url}/v1/import", data=body.encode(), timeout=120_000)).json()
    assert report["messages"] == count, report
    return str(report["imported"][0]["id"])


def view(chat: Chat) -> Locator:
    return chat.page.locator(".thread .scroll")


async def at_the_end(chat: Chat) -> None:
    """A text that grows is pulled along in the frame that shows it."""
    await chat.page.wait_for_function(
        "() => (e => e.scrollHeight - e.scrollTop - e.clientHeight < 30)(document.querySelector('.thread .scroll'))"
    )


@pytest.mark.promise("U-01", "P-05")
async def test_five_thousand_messages_open_at_once_and_scroll_to_the_first(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    session_id = await imported(chat, COUNT)
    await chat.page.evaluate("id => { performance.mark('go'); location.hash = id; }", session_id)
    await chat.page.get_by_text(f"answer {COUNT - 1}.").wait_for()
    opened_ms = await chat.page.evaluate("performance.now() - performance.getEntriesByName('go')[0].startTime")
    assert opened_ms < 2_000
    await expect(chat.page.get_by_text(f"answer {COUNT - 1}.")).to_be_in_viewport()
    await chat.screenshot("long-end")
    most = 0
    first = chat.page.get_by_text("question 0.", exact=True)
    for _ in range(3 * COUNT // 100):
        await view(chat).evaluate("e => e.scrollTop = 0")
        await expect(view(chat).locator(".earlier")).to_have_count(0)
        most = max(most, await chat.page.evaluate("document.querySelectorAll('*').length"))
        if await first.is_visible():
            break
    await view(chat).evaluate("e => e.scrollTop = 0")
    await expect(first).to_be_in_viewport()
    assert most < 4_000
    await chat.screenshot("long-start")
    # And all of it is still no burden to what is typed.
    await chat.page.fill("#text", "")
    await chat.page.keyboard.type("quick as ever", delay=5)
    await expect(chat.page.locator("#text")).to_have_value("quick as ever")
    await chat.page.get_by_role("button", name="To the latest").click()
    await expect(chat.page.get_by_text(f"answer {COUNT - 1}.")).to_be_in_viewport()


@pytest.mark.promise("U-01")
async def test_older_messages_come_without_moving_what_is_read(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    session_id = await imported(chat, 600)
    await chat.page.evaluate("id => location.hash = id", session_id)
    await chat.page.get_by_text("answer 599.").wait_for()
    # A message near the top of the first page: reached by its address.
    message_id = (await shown(chat, session_id))[20]
    await chat.page.evaluate("hash => location.hash = hash", f"{session_id}/{message_id}")
    mark = chat.page.locator(f'[data-key="{message_id}"]')
    await expect(mark).to_be_in_viewport()
    await expect(view(chat).locator(".earlier")).to_have_count(0)
    before = await height_of(mark)
    older = (await shown(chat, session_id))[0]
    await expect(chat.page.locator(f'[data-key="{older}"]')).to_have_count(0)
    assert abs(await height_of(mark) - before) < 3


async def height_of(message: Locator) -> float:
    """Where it stands on the screen."""
    return float(await message.evaluate("e => e.getBoundingClientRect().top"))


async def shown(chat: Chat, session_id: str) -> list[str]:
    body = await (await chat.page.request.get(f"{chat.url}/v1/sessions/{session_id}")).json()
    return [message["id"] for message in body["state"]["messages"]]


@pytest.mark.promise("U-01", "U-04")
async def test_the_scroll_stays_where_the_reader_put_it(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.page.set_viewport_size({"width": 700, "height": 500})
    await chat.say("/long 2000 100")
    await chat.see("w400")
    await at_the_end(chat)
    await view(chat).hover()
    await chat.page.mouse.wheel(0, -400)
    latest = chat.page.get_by_role("button", name="To the latest: there is something new")
    await expect(latest).to_be_visible()
    top = await view(chat).evaluate("e => e.scrollTop")
    await chat.see("w600")
    assert await view(chat).evaluate("e => e.scrollTop") == top
    await chat.screenshot("reading-above")
    # Somewhere else and back: the same place, then the end again.
    await chat.page.evaluate("location.hash = 'settings'")
    await expect(view(chat)).to_have_count(0)
    await chat.page.go_back()
    await chat.see("w800")
    assert abs(await view(chat).evaluate("e => e.scrollTop") - top) < 3
    await latest.click()
    await chat.see("w1000")
    await at_the_end(chat)
    await chat.press("Stop")
    await chat.ended("cancelled", 1)
    await chat.matches_the_journal()


@pytest.mark.promise("U-01")
async def test_an_address_leads_to_an_old_message(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    session_id = await imported(chat, 700)
    path = f"{chat.url}/v1/sessions/{session_id}/messages?limit=200"
    page = await (await chat.page.request.get(path)).json()
    page = await (await chat.page.request.get(f"{path}&cursor={page['next']}")).json()
    wanted = page["data"][3]["id"]
    await chat.page.goto(f"{chat.url}/#{session_id}/{wanted}")
    found = chat.page.locator(f'.line[data-found] [data-key="{wanted}"]')
    await expect(found).to_be_in_viewport()
    await chat.screenshot("jumped")
    await chat.page.goto(f"{chat.url}/#{session_id}/msg_00000000000000000000000000")
    await expect(chat.page.get_by_role("alert")).to_contain_text("not in this chat")
    visitor.network_failures.clear()  # the server has said 404


@pytest.mark.promise("U-01")
async def test_an_address_leads_to_another_branch_after_a_question(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    session_id = chat.session_id
    old = await chat.answers.first.get_attribute("data-key")
    await chat.questions.first.hover()
    await chat.questions.first.get_by_role("button", name="Edit").click()
    await chat.page.get_by_role("textbox", name="Edit").fill("/long 7 100")
    await chat.press("Send again")
    await chat.see("w7")
    await chat.ended("completed", 1)
    await chat.page.evaluate("hash => location.hash = hash", f"{session_id}/{old}")
    await chat.page.get_by_role("dialog", name="Another version").get_by_role("button", name="Go there").click()
    await expect(chat.page.locator(f'[data-key="{old}"]')).to_be_in_viewport()


@pytest.mark.promise("U-01", "R-03")
async def test_what_waits_is_put_in_another_order_by_button_and_by_key(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/stall")
    await chat.see("until you stop me.")
    for text in ("first", "second", "third"):
        await chat.say(text)
        await expect(chat.waiting.filter(has_text=text)).to_have_count(1)
    await chat.waiting.nth(2).get_by_role("button", name="Earlier").click()
    await expect(chat.waiting.locator("> span")).to_have_text(["first", "third", "second"])
    await chat.waiting.nth(0).focus()
    await chat.page.keyboard.press("Alt+ArrowDown")
    await expect(chat.waiting.locator("> span")).to_have_text(["third", "first", "second"])
    await chat.screenshot("waiting")
    await chat.press("Stop and ask now")
    await chat.ended("completed", 4)
    await expect(chat.questions.locator(".text")).to_have_text(["/stall", "third", "first", "second"])
    await chat.matches_the_journal()


@pytest.mark.promise("U-07")
async def test_the_focus_stays_with_what_waits(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/stall")
    await chat.see("until you stop me.")
    for text in ("first", "second"):
        await chat.say(text)
        await expect(chat.waiting.filter(has_text=text)).to_have_count(1)
    edit = chat.waiting.nth(0).get_by_role("button", name="Edit")
    for key in ("Escape", "Enter"):
        await edit.press("Enter")
        await chat.page.get_by_role("textbox", name="Edit").press(key)
        await expect(edit).to_be_focused()
    await chat.waiting.nth(1).get_by_role("button", name="Earlier").press("Enter")
    await expect(chat.waiting.locator("> span")).to_have_text(["second", "first"])
    await expect(chat.waiting.nth(0).get_by_role("button", name="Later")).to_be_focused()
    await chat.waiting.nth(0).get_by_role("button", name="Withdraw").press("Enter")
    await expect(chat.waiting.locator("> span")).to_have_text(["first"])
    await expect(chat.waiting.nth(0).get_by_role("button", name="Withdraw")).to_be_focused()
    await chat.page.keyboard.press("Enter")
    await expect(chat.waiting).to_have_count(0)
    await expect(chat.page.locator("#text")).to_be_focused()
    await chat.press("Stop")
    await chat.ended("cancelled", 1)


@pytest.mark.promise("U-01")
async def test_a_message_is_pinned_and_forked_from(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    await chat.say("/long 7 100")
    await chat.ended("completed", 2)
    first = chat.session_id
    more = chat.answers.first.get_by_role("button", name="More about this message")
    await more.click()
    await chat.screenshot("message-menu")
    await chat.page.get_by_role("menuitem", name="Keep in the prompt").click()
    await expect(more).to_be_focused()
    await expect(chat.answers.first).to_contain_text("Always in the prompt")
    await more.press("Enter")
    await chat.page.keyboard.press("ArrowDown")
    await chat.page.get_by_role("menuitem", name="Fork from here").press("Enter")
    await expect(chat.answers).to_have_count(1)
    assert chat.session_id not in ("", first)
    await expect(chat.answers.locator(".text")).to_have_text("w1 w2 w3 w4 w5")


@pytest.mark.promise("U-05")
async def test_an_approval_that_was_given_elsewhere_is_told_kindly(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/approve")
    card = chat.page.locator(".approval")
    await expect(card).to_contain_text("waits for 59 minutes")
    approvals = await (await chat.page.request.get(f"{chat.url}/v1/approvals")).json()
    mine = next(each for each in approvals["data"] if each["session_id"] == chat.session_id)
    # This tab does not hear of it before it has answered itself.
    path = f"{chat.url}/v1/approvals/{mine['id']}"
    await chat.page.route(
        path,
        lambda route: route.fulfill(status=409, json={"code": "already_decided", "detail": ".", "decided": "allowed"}),
    )
    await card.get_by_role("button", name="Deny").click()
    await expect(card).to_contain_text("This was already allowed")
    await chat.screenshot("already-decided")
    await chat.page.unroute(path)
    await chat.page.request.post(path, data={"decision": "allow"})
    await chat.ended("completed", 1)
    await expect(card).to_have_count(0)
    visitor.network_failures.clear()  # the 409


@pytest.mark.promise("U-05")
async def test_tools_thoughts_and_phases_are_shown_as_they_happen(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/tool")
    tool = chat.answers.last.locator(".tool")
    await expect(tool).to_have_attribute("data-state", "running")
    await expect(chat.answers.last.locator(".doing")).to_contain_text("Working: weather")
    await chat.screenshot("tool-running")
    await expect(tool).to_have_attribute("data-state", "done")
    await chat.ended("completed", 1)
    await expect(chat.answers.last.locator(".doing")).to_have_count(0)
    await chat.say("/reason")
    await expect(chat.answers.last.locator(".thought .live")).to_be_visible()
    await chat.screenshot("thinking")
    await chat.ended("completed", 2)
    await expect(chat.answers.last.locator(".thought .live")).to_have_count(0)


@pytest.mark.promise("U-02")
async def test_a_closed_conversation_is_read_only_until_it_is_reopened(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    session_id, page = chat.session_id, chat.page
    await expect(page.locator("#text")).to_be_focused()
    await page.request.post(f"{chat.url}/v1/sessions/{session_id}/close")
    await expect(page.locator("#text")).to_have_count(0)
    await expect(page.locator(".top h1")).to_be_focused()
    await chat.screenshot("closed")
    # Nor is there anywhere to write before its stream has told.
    told = Event()

    async def late(route: Route) -> None:
        await told.wait()
        await route.continue_()

    await page.route(f"**/v1/sessions/{session_id}/events*", late)
    await page.goto("about:blank")
    await page.goto(f"{chat.url}/#{session_id}")
    for known in (False, True):
        await expect(page.locator(".skeleton")).to_be_visible()
        await expect(page.locator("#text")).to_have_count(0)
        if not known:
            await expect(page.locator(".sidebar [data-session]").first).to_be_visible()
    told.set()
    await chat.connected()
    await expect(page.locator("#text")).to_have_count(0)
    await chat.press("Reopen")
    await expect(chat.page.locator("#text")).to_be_enabled()


@pytest.mark.promise("U-04")
async def test_a_refused_message_says_why_and_goes_back_into_the_composer(visitor: Visitor) -> None:
    chat = await (await visitor.tab()).open()
    await chat.say("/long 5 100")
    await chat.ended("completed", 1)
    path = f"{chat.url}/v1/sessions/{chat.session_id}/turns"
    refusal = {"code": "context_overflow", "detail": "It is longer than the model's window."}
    await chat.page.route(path, lambda route: route.fulfill(status=422, json=refusal))
    await chat.say("far too long")
    pending = chat.page.locator(".message.pending")
    await expect(pending).to_contain_text("Not sent: It is longer than the model's window.")
    await chat.screenshot("refused")
    await pending.get_by_role("button", name="Take back").click()
    await expect(pending).to_have_count(0)
    await expect(chat.page.locator("#text")).to_have_value("far too long")
    await chat.page.press("#text", "Enter")
    await expect(pending).to_contain_text("Not sent")
    await chat.page.unroute(path)
    await pending.get_by_role("button", name="Try again").press("Enter")
    await expect(chat.page.locator("#text")).to_be_focused()
    await chat.ended("completed", 2)
    await expect(chat.questions.last).to_contain_text("far too long")
    await expect(chat.questions.locator(".text")).to_have_text(["/long 5 100", "far too long"])
    visitor.network_failures.clear()  # the 422


@pytest.mark.promise("U-03")
@pytest.mark.parametrize(("tokens", "said"), [(490, None), (510, None), (760, "getting full"), (910, "almost full")])
async def test_the_gauge_says_what_happens_before_it_does(visitor: Visitor, tokens: int, said: str | None) -> None:
    chat = await visitor.tab()
    told = made_up(gauge={"tokens": tokens, "window": 1000})
    await chat.page.route("**/events*", lambda route: route.fulfill(body=told, content_type="text/event-stream"))
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "cached_tokens": 0, "total_tokens": 1234, "estimated": False}
    stats = {"message_count": 2, "usage": usage | {"cost_usd": 0.0123}}
    await chat.page.route("**/stats", lambda route: route.fulfill(json=stats))
    page = {"data": [], "has_more": False, "next": None, "branches": {}}
    await chat.page.route("**/messages*", lambda route: route.fulfill(json=page))
    summary = {"message_id": "msg_0", "messages": 41, "text": "They spoke of bees.", "created_at": TIMES["created_at"]}
    await chat.page.route("**/summary", lambda route: route.fulfill(json=summary))
    await chat.page.goto(f"{chat.url}/#{MADE_UP}")
    gauge = chat.page.locator(".gauge")
    band = "calm" if tokens < 500 else "half" if tokens < 750 else "high" if tokens < 900 else "full"
    await expect(gauge).to_have_attribute("data-band", band)
    warning = chat.page.locator(".gauge-warning")
    await (expect(warning).to_contain_text(said) if said else expect(warning).to_have_count(0))
    await gauge.locator("summary").click()
    await expect(gauge).to_contain_text("1,234 tokens")
    await expect(gauge).to_contain_text("$0.0123")
    await chat.screenshot(f"gauge-{band}")
    # It closes that, and only then stops what may be running.
    await chat.page.evaluate(
        "() => { self.taken = []; addEventListener('keydown', (event) => self.taken.push(event.defaultPrevented)); }"
    )
    await chat.page.keyboard.press("Escape")
    await chat.page.keyboard.press("Escape")
    assert await chat.page.evaluate("self.taken") == [True, False]
    await expect(gauge).not_to_have_attribute("open", "")
    await expect(chat.answers.last).to_contain_text("7 older messages were left out")
    await expect(chat.page.locator(".summary-mark")).to_contain_text("The first 41 messages are summarised")
    await chat.page.locator(".summary-mark").get_by_role("button", name="Read").click()
    await expect(chat.page.get_by_role("dialog", name="Summary")).to_contain_text("They spoke of bees.")


MADE_UP = "ses_00000000000000000000000001"


def made_up(*, gauge: dict[str, int]) -> str:
    """What a server would tell of a session whose window is as full as that."""
    session = {"id": MADE_UP, "agent_id": "demo", "agent_name": "Demo", "title": "Bees"}
    messages: list[dict[str, object]] = [
        {
            "id": f"msg_{number}",
            "session_id": MADE_UP,
            "turn_id": "trn_1",
            "role": role,
            "status": "completed",
            "parent_id": f"msg_{number - 1}" if number else None,
            "parts": [{"type": "text", "text": f"number {number}"}],
            **TIMES,
        }
        for number, role in enumerate(["user", "assistant"])
    ]
    turn = {"id": "trn_1", "session_id": MADE_UP, "message_id": "msg_0", "answer_id": "msg_1", "agent_id": "demo"}
    turn |= {"status": "completed", "reason": "stop"} | TIMES
    context = {"messages": 3, "tokens": 1, "dropped": 7, "budget": 9, "summarised": 41}
    state = {
        "session": session | TIMES | {"last_activity": TIMES["created_at"]},
        "messages": messages,
        "turns": [turn | {"context": context}],
        "approvals": [],
        "has_more": False,
        "leaf_id": "msg_1",
        "gauge": gauge,
    }
    return f"retry: 60000\n\nid: x.1\nevent: snapshot\ndata: {json.dumps({'state': state})}\n\n"
