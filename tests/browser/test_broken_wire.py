"""The page on a wire that breaks again and again, in mid-character and mid-event: it reads as exactly as the client."""

import json
import random
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, expect

from tests.browser.visitor import Visitor, words
from tests.support.proxy import Fault, Proxy
from tests.support.server import ServerProcess
from tests.support.upstream import Upstream

pytestmark = pytest.mark.anyio

PIECES: Final = [
    "Żółć ",
    "👩‍👩‍👧‍👦 ",
    "日本語\r\n",
    "lone\r",
    "\u2028",
    "\n\nevent: done\ndata: {}\n\n",
    "\ufeff. ",
] * 5
CUTS: Final = 5


class Wire:
    """Whole until ``broken``; then the next connections are cut somewhere, and their bytes come in pieces."""

    def __init__(self, seed: int) -> None:
        self.broken = False
        self.cuts = 0
        self._chance = random.Random(seed)

    def __call__(self, client: str, number: int) -> Fault:
        if not self.broken or self.cuts == CUTS:
            return Fault()
        self.cuts += 1
        after = self._chance.randint(200, 2_500)
        return Fault(after, self._chance.choice(["closed", "reset"]), piece=5, pause_s=0.002)


@pytest.mark.promise("E-03", "E-05", "R-01")
async def test_the_page_reads_on_whatever_breaks(chromium: Browser, tmp_path: Path) -> None:
    async with Upstream() as upstream:
        url = f"sqlite:///{tmp_path / 'legato.db'}"
        with ServerProcess(url, env={"OPENAI_BASE_URL": upstream.url}) as server:
            wire = Wire(7)
            async with Proxy(server.url, wire) as proxy:
                visitor = Visitor(await chromium.new_context(), proxy.url)
                chat = await (await visitor.tab()).open()
                await chat.say(f"recite at 10/s {json.dumps(PIECES)}")
                await chat.see("Żółć")
                wire.broken = True
                proxy.cut_all()
                # The page waits as long as it is asked to, before it comes back.
                await expect(chat.answers.last).to_have_attribute("data-status", "completed", timeout=90_000)
                assert wire.cuts == CUTS
                assert [words(text) for text in await chat.texts()] == [words("".join(PIECES))]
                await chat.matches_the_journal()
                await chat.page.context.close()
    assert visitor.complaints == []
