"""The built-in page as a person uses it: tabs, messages, what is seen, and what must never be seen."""

from pathlib import Path
from typing import Final, Self

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, expect

_SCREENSHOTS: Final = Path(__file__).parents[2] / ".artifacts" / "browser"
# What Chromium itself writes to the console when a request fails; the page can't prevent it.
_NETWORK: Final = "Failed to load resource: "


class Chat:
    """The page in one tab, as a person uses it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.answers = page.locator(".message.assistant")
        self.questions = page.locator(".message.user:not(.divider)")
        self.link = page.locator("#link")

    async def open(self, session_id: str = "") -> Self:
        await self.page.goto(f"{self.url}/plain#{session_id}")
        await self.connected()
        return self

    async def connected(self) -> None:
        await expect(self.link).to_have_attribute("data-state", "connected")

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
        """The text of each answer, as it stands in the document."""
        return ["".join(await answer.locator(".text").all_text_contents()) for answer in await self.answers.all()]

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
        shown = await self.texts()
        assert shown == await self.journal()
        assert shown == await self.stored()

    async def screenshot(self, name: str) -> None:
        _SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=_SCREENSHOTS / f"{name}.png")


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

    async def tab(self) -> Chat:
        return Chat(await self._context.new_page(), self.url)

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.url}/"):
            self.complaints.append(f"a foreign request: {request.url}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.text.startswith(_NETWORK):
            self.network_failures.append(message.text)
        else:
            self.complaints.append(f"console: {message.text}")
