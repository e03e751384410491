"""The contract of the editor assistant (product P-01)."""

import asyncio
from typing import Any

import pytest
from anyio import to_thread

from tests.examples.applications import Visitor
from tests.examples.conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P-01", "H-02")]

TOOL = "/api/v1/editor/tools/doc1"


async def proposed(ann: Visitor) -> str:
    """The id of what is proposed, as soon as something is."""
    return str((await ann.until(f"{TOOL}/chat", lambda told: told["proposed"]))["proposed"][0]["id"])


def said(events: list[tuple[str, Any]]) -> str:
    return "".join(data["text"] for kind, data in events if kind == "token" and data["kind"] == "text")


async def test_a_change_is_proposed_applied_after_a_kill_and_undone(start: Start) -> None:
    app = start("editor")
    async with app.user("ann") as ann:
        await ann.call("PUT", f"{TOOL}/text", {"text": "an old word"}, status=204)
        async with ann.stream("POST", f"{TOOL}/chat", {"content": "old -> new"}) as events:
            async for kind, _ in events:
                if kind == "approval":
                    break
        edit = await proposed(ann)
        await ann.call("POST", f"{TOOL}/chat", {"content": "more"}, status=409)
        assert (await ann.call("GET", f"{TOOL}/text"))["text"] == "an old word"

        await to_thread.run_sync(app.again)

        assert (await ann.call("POST", f"{TOOL}/edits/{edit}", {"answer": "apply"}))["status"] == "allowed"
        await ann.call("POST", f"{TOOL}/edits/{edit}", {"answer": "reject"}, status=409)
        await ann.until(f"{TOOL}/chat", lambda told: told["messages"][-1]["status"] == "completed")
        assert (await ann.call("GET", f"{TOOL}/text"))["text"] == "an new word"
        assert (await ann.call("POST", f"{TOOL}/undo"))["text"] == "an old word"
        assert (await ann.call("POST", f"{TOOL}/undo"))["text"] == "an old word"


async def test_what_is_rejected_is_not_done(start: Start) -> None:
    app = start("editor")
    async with app.user("ann") as ann:
        await ann.call("PUT", f"{TOOL}/text", {"text": "an old word"}, status=204)
        asking = asyncio.create_task(ann.events("POST", f"{TOOL}/chat", {"content": "old -> new"}))
        await ann.call("POST", f"{TOOL}/edits/{await proposed(ann)}", {"answer": "reject"})
        events = await asking
        assert "not_allowed" in said(events)
        assert events[-1][0] == "done"
        assert (await ann.call("GET", f"{TOOL}/text"))["text"] == "an old word"


async def test_one_thread_for_each_user_and_thing(start: Start) -> None:
    app = start("editor")
    async with app.user("ann") as ann, app.user("bob") as bob:
        body = {"content": "Hello", "message_id": "once"}
        first = await ann.events("POST", f"{TOOL}/chat", body)
        again = await ann.events("POST", f"{TOOL}/chat", body)
        assert said(first) == said(again) != ""
        messages = (await ann.call("GET", f"{TOOL}/chat"))["messages"]
        assert [(m["role"], m["orphaned"]) for m in messages] == [("user", False), ("assistant", False)]
        assert (await bob.call("GET", f"{TOOL}/chat"))["messages"] == []
        assert (await ann.call("GET", "/api/v1/editor/tools/doc2/chat"))["messages"] == []
        await ann.call("DELETE", f"{TOOL}/chat", status=204)
        assert (await ann.call("GET", f"{TOOL}/chat"))["messages"] == []


async def test_what_can_not_fit_is_refused_with_the_numbers(start: Start) -> None:
    app = start("editor")
    async with app.user("ann") as ann:
        refused = await ann.call("POST", f"{TOOL}/chat", {"content": "日本語" * 10_000}, status=422)
        assert refused["code"] == "context_overflow"
        assert refused["needed"] > refused["available"]


async def test_switched_off_it_says_so_in_swedish_and_nothing_else(start: Start) -> None:
    app = start("editor", CHAT_ENABLED="0")
    async with app.user("ann") as ann:
        ((kind, data),) = await ann.events("POST", f"{TOOL}/chat", {"content": "Hej"})
        assert (kind, data["text"]) == ("done", "Assistenten är avstängd just nu. Försök igen senare.")
