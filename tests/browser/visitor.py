"""The page as a person uses it: tabs, messages, what is seen, and what must never be seen."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, expect

_SCREENSHOTS: Final = Path(__file__).parents[2] / ".artifacts" / "browser"
# What Chromium itself writes to the console when a request fails; the page can't prevent it.
_NETWORK: Final = "Failed to load resource: "


#: What a page without an origin (about:blank, a sandboxed frame) has no storage for.
UNFOLDED: Final = "if (self.origin !== 'null') localStorage['legato.focus'] ??= 'false'"


class Chat:
    """The page in one tab, as a person uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.answers = page.locator(".message.assistant")
        self.questions = page.locator(".message.user:not(.divider)")
        self.link = page.locator("#link")
        self._shown = 0
        self.waiting = page.locator(".waiting li")

    async def open(self, session_id: str = "") -> Self:
        await self.page.goto(f"{self.url}/#{session_id}")
        await self.connected()
        return self

    async def connected(self) -> None:
        await expect(self.link).to_have_attribute("data-state", "live")

    async def say(self, text: str) -> None:
        await self.page.fill("#text", text)
        await self.page.press("#text", "Enter")

    async def see(self, text: str) -> None:
        """Waits until the newest answer contains ``text``."""
        await expect(self.answers.last).to_contain_text(text)

    async def ended(self, status: str, count: int) -> None:
        """Waits until there are ``count`` answers and the last one has ended as ``status``."""
        await expect(self.answers).to_have_count(count)
        await expect(self.answers.last).to_have_attribute("data-status", status)

    async def press(self, label: str) -> None:
        await self.page.get_by_role("button", name=label, exact=True).click()

    async def texts(self) -> list[str]:
        """The text of each answer, as it is seen."""
        return ["".join(await answer.locator(".text").all_inner_texts()) for answer in await self.answers.all()]

    @property
    def session_id(self) -> str:
        return self.page.url.partition("#")[2]

    async def journal(self) -> list[str]:
        """The text of each answer, added up from the tokens of the session's journal."""
        answers: dict[str, str] = {}
        after, more = "0", True
        while more:
            path = f"{self.url}/v1/sessions/{self.session_id}/events?after={after}"
            page = await (await self.page.request.get(path)).json()
            for event in page["data"]:
                data = event["data"]
                if event["type"] == "message" and data.get("message", {}).get("role") == "assistant":
                    answers.setdefault(data["message_id"], "")
                elif event["type"] == "token" and data["kind"] == "text":
                    answers[data["message_id"]] += data["text"]
            after, more = page["cursor"], page["has_more"]
        return list(answers.values())

    async def stored(self) -> list[str]:
        """The text of each answer, as ``GET …/sessions/{id}`` tells it."""
        body = await (await self.page.request.get(f"{self.url}/v1/sessions/{self.session_id}")).json()
        answers = [message for message in body["state"]["messages"] if message["role"] == "assistant"]
        return ["".join(part["text"] for part in answer["parts"] if part["type"] == "text") for answer in answers]

    async def matches_the_journal(self) -> None:
        """To the word: what is shown went through Markdown, so white space counts as one blank."""
        shown = [words(text) for text in await self.texts()]
        assert shown == [words(text) for text in await self.journal()]
        assert shown == [words(text) for text in await self.stored()]

    async def screenshot(self, name: str) -> None:
        _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=_SCREENSHOTS / f"{name}.png")

    async def show(self, answers: Sequence[str]) -> None:
        """Opens a session that a server with these answers would tell of; only the wire's content is made up."""
        self._shown += 1
        session_id = f"ses_{self._shown:026}"
        session = {"id": session_id, "agent_id": "demo", "agent_name": "Demo", "title": answers[0][:40]}
        session |= {"created_at": "2026-01-01T00:00:00Z", "last_activity": "2026-01-01T00:00:00Z"}
        messages = [
            {
                "id": f"msg_{self._shown}_{number}",
                "session_id": session_id,
                "turn_id": f"trn_{number}",
                "role": "assistant",
                "status": "completed",
                "created_at": "2026-01-01T00:00:00Z",
                "parent_id": f"msg_{self._shown}_{number - 1}" if number else None,
                "parts": [
                    {"type": "text", "text": answer},
                    {"type": "reasoning", "text": answer},
                    {"type": "file", "file_id": "fil_1", "name": answer, "media_type": "application/pdf", "size": 1},
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
        await expect(self.page.locator(f'[data-key="{messages[-1]["id"]}"]')).to_be_attached()
        await expect(self.answers).to_have_count(len(answers))


#: What an input method makes of Escape, when it takes back a word that it had offered.
COMPOSING_ESCAPE: Final = """(field) => field.dispatchEvent(
    new KeyboardEvent("keydown", { key: "Escape", isComposing: true, bubbles: true, cancelable: true }))"""

#: Hands something to a part of the page: (target, kind of event, name of the file).
HANDING: Final = """([target, kind, name]) => {
    const data = new DataTransfer();
    data.items.add(new File(["some text"], name, { type: "text/plain" }));
    const given = { bubbles: true, cancelable: true };
    const pasting = () => new ClipboardEvent(kind, { ...given, clipboardData: data });
    const event = kind === "paste" ? pasting() : new DragEvent(kind, { ...given, dataTransfer: data });
    document.querySelector(target).dispatchEvent(event);
}"""


class Visitor:
    """A browser profile: its tabs share what a person's tabs share. Remembers what must not happen."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.complaints: list[str] = []
        self.network_failures: list[str] = []
        self._context = context
        context.on("request", self._on_request)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    async def tab(self, *, first_visit: bool = False) -> Chat:
        """With the list of chats beside the conversation, which the page folds away until it is told otherwise."""
        page = await self._context.new_page()
        if not first_visit:
            await page.add_init_script(UNFOLDED)
        return Chat(page, self.url)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.url}/"):
            self.complaints.append(f"a foreign request: {request.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.text.startswith(_NETWORK):
            self.network_failures.append(message.text)
        else:
            self.complaints.append(f"console: {message.text}")


def words(text: str) -> str:
    return " ".join(text.split())


def numbered(count: int) -> str:
    """What the demo agent answers to ``/long <count>``."""
    return "".join(f"w{number}" + (" " if number % 10 else "\n") for number in range(1, count + 1))
