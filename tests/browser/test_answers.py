"""What answers contain, drawn: while they grow and when they are there."""

import pytest
from playwright.async_api import expect

from tests.browser.visitor import Visitor

pytestmark = pytest.mark.anyio

_CODE = "```python\ndef bake(loaf):\n    return loaf  # done\n```"
_TABLE = "| Flour | Price |\n|---|--:|\n| Rye | $2 |"
_NOTE = "So it is[^1], see [it][book].\n\n- [x] done\n\n[book]: https://example.org/book\n[^1]: A note."
_DIAGRAM = "```mermaid\nflowchart LR\nFlour-->Bread\n```"


@pytest.mark.promise("U-01")
async def test_code_tables_notes_and_diagrams_are_drawn(visitor: Visitor) -> None:
    chat = await visitor.tab()
    await chat.show([_CODE, _TABLE, _NOTE, _DIAGRAM])
    code, table, note, diagram = (chat.answers.nth(number).locator(".markdown") for number in range(4))
    await expect(code.locator(".hljs-keyword").first).to_have_text("def")
    await expect(code.locator("pre")).to_have_text("def bake(loaf):\n    return loaf  # done")
    # What is drawn later moves what is above it: a click could miss.
    await expect(diagram.locator("[data-state=drawn] iframe")).to_be_visible()
    await code.get_by_role("button", name="Wrap lines").click()
    await expect(code.locator("pre.wrapped")).to_be_visible()
    await expect(table.locator("td").last).to_have_text("$2")
    await expect(note.get_by_role("link", name="it")).to_have_attribute("href", "https://example.org/book")
    await expect(note.get_by_role("checkbox")).to_be_checked()
    await note.get_by_role("button", name="Note 1").click()
    await expect(note.locator(".note")).to_be_focused()
    await diagram.get_by_role("button", name="Show source").click()
    await expect(diagram.locator("pre")).to_contain_text("Flour-->Bread")
