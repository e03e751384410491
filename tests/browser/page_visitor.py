"""The page as a person uses it: what is the same for every test of it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from playwright.async_api import Page, expect

from tests.browser.visitor import Chat

_SCREENSHOTS: Final = Path(__file__).parents[2] / ".artifacts" / "browser"


class PageChat(Chat):
    """The built page in one tab. What is shown went through Markdown, so white space is compared as one blank."""

    def __init__(self, page: Page, url: str) -> None:
        super().__init__(page, url)
        self.waiting = page.locator(".waiting li")

    async def open(self, session_id: str = "") -> Self:
        await self.page.goto(f"{self.url}/#{session_id}")
        await self.connected()
        return self

    async def connected(self) -> None:
        await expect(self.link).to_have_attribute("data-state", "live")

    async def matches_the_journal(self) -> None:
        shown = [words(text) for text in await self.texts()]
        assert shown == [words(text) for text in await self.journal()]
        assert shown == [words(text) for text in await self.stored()]

    async def screenshot(self, name: str) -> None:
        _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=_SCREENSHOTS / f"page-{name}.png")

    async def show(self, answers: Sequence[str]) -> None:
        """Opens a session that a server with these answers would tell of; only the wire's content is made up."""
        session_id = "ses_00000000000000000000000001"
        session = {"id": session_id, "agent_id": "demo", "agent_name": "Demo", "title": answers[0][:40]}
        session |= {"created_at": "2026-01-01T00:00:00Z", "last_activity": "2026-01-01T00:00:00Z"}
        messages = [
            {
                "id": f"msg_{number}",
                "session_id": session_id,
                "turn_id": f"trn_{number}",
                "role": "assistant",
                "status": "completed",
                "created_at": "2026-01-01T00:00:00Z",
                "parent_id": f"msg_{number - 1}" if number else None,
                "parts": [
                    {"type": "text", "text": answer},
                    {"type": "tool_call", "call_id": "c", "name": answer, "arguments": answer},
                    {"type": "tool_result", "call_id": "c", "output": answer, "is_error": True},
                ],
            }
            for number, answer in enumerate(answers)
        ]
        state = {"session": session, "messages": messages, "turns": [], "approvals": [], "has_more": False}
        state |= {"leaf_id": messages[-1]["id"], "gauge": None}
        told = f"retry: 60000\n\nid: x.1\nevent: snapshot\ndata: {json.dumps({'state': state})}\n\n"
        base = f"{self.url}/v1/sessions/{session_id}"
        await self.page.route(
            f"{base}/events*", lambda route: route.fulfill(body=told, content_type="text/event-stream")
        )
        page = {"data": [], "has_more": False, "next": None}
        await self.page.route(f"{base}/messages*", lambda route: route.fulfill(json=page))
        await self.page.goto(f"{self.url}/#{session_id}")
        await expect(self.answers).to_have_count(len(answers))


def words(text: str) -> str:
    return " ".join(text.split())
