"""The HTML of an export: whatever was said, nothing in it runs, loads or leads astray."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.model import ErrorInfo, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from legato.transfer.markdown import Markdown
from legato.transfer.page import MOST_RENDERED, Page, rendered
from legato.transfer.records import SessionRecord
from tests.support.strategies import raw_texts

pytestmark = pytest.mark.promise("S-13")

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)
FRAGMENTS: Final = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=//evil.example></iframe>",
    "<style>@import '//evil.example'</style>",
    "<a href=javascript:alert(1)>x</a>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "</pre></code></div></main></body><script>alert(1)</script>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](vbscript:x)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](file:///etc/passwd)",
    "[x]( \x01javascript:alert(1))",
    "<javascript:alert(1)>",
    "![x](https://evil.example/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x][r]\n\n[r]: https://evil.example/pixel.png",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example/"onmouseover="alert(1))',
    "```<script>\nalert(1)\n```",
    '```" onload="alert(1)\nx\n```',
    "`<script>alert(1)</script>`",
    "# <script>alert(1)</script>",
    "| <img src=x onerror=alert(1)> |\n|---|\n| [x](javascript:alert(1)) |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<scr<script>ipt>alert(1)</script>",
    "\x00<script>alert(1)</script>",
)
TAGS: Final = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "section",
        "header",
        "footer",
        "article",
        "div",
        "span",
    ),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "b", "br", "hr", "blockquote", "ul", "ol", "li", "pre", "code", "em"),
    *("strong", "s", "a", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"),
}
ATTRIBUTES: Final = {
    "href",
    "rel",
    "title",
    "class",
    "dir",
    "lang",
    "charset",
    "content",
    "name",
    "http-equiv",
    "start",
}


class Inspector(HTMLParser):
    """Refuses whatever is not known to be harmless."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.metas: list[dict[str, str | None]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, (tag, name)
            if name == "href":
                assert tag == "a"
                assert (value or "").split(":")[0].lower() in ("http", "https", "mailto") or not _has_scheme(
                    value or ""
                )
        if tag == "meta":
            self.metas.append(dict(attrs))
        if tag == "a":
            assert ("rel", "noopener noreferrer") in attrs
        if tag not in ("br", "hr", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _has_scheme(href: str) -> bool:
    head = "".join(href.split()).partition("/")[0]
    return ":" in head


def page(*messages: Message, title: str = "t", agent: str = "a") -> str:
    writer = Page(title)
    record = SessionRecord(id="s", agent_id=agent, title=title, created_at=NOW, last_activity=NOW)
    pieces = [writer.head(NOW), writer.begin(record, 1), writer.messages(messages), writer.end(1, len(messages))]
    return b"".join(pieces).decode()


def message(*parts: Any, role: Any = "assistant", **fields: Any) -> Message:
    return Message(
        id="m", session_id="s", turn_id="t", role=role, status="failed", created_at=NOW, parts=parts, **fields
    )


def everywhere(text: str) -> str:
    """A page with a text in every place where one may stand."""
    return page(
        message(TextPart(text), role="user"),
        message(
            TextPart(text),
            ReasoningPart(text),
            ToolCallPart("c", text, text),
            ToolResultPart("c", text),
            error=ErrorInfo("x", text),
        ),
        title=text,
        agent=text,
    )


def inspect(html: str) -> None:
    inspector = Inspector()
    inspector.feed(html)
    inspector.close()
    assert inspector.open == []
    policies = [meta["content"] for meta in inspector.metas if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"]
    assert [meta.get("http-equiv") for meta in inspector.metas].count("refresh") == 0
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_nothing_hostile_survives(fragment: str) -> None:
    inspect(everywhere(fragment))


@given(st.lists(st.sampled_from(FRAGMENTS) | raw_texts, max_size=4).map("\n".join))
def test_nothing_hostile_survives_in_any_company(text: str) -> None:
    inspect(everywhere(text.encode("utf-8", "replace").decode()))


def test_what_is_meant_well_is_shown() -> None:
    html = rendered(
        "# Title\n\n**bold** `code` [a](https://a.example/?x=1&y=2) ~~no~~\n\n| a |\n|---|\n| b |\n\n1. one"
    )
    for piece in (
        "<h1>Title</h1>",
        "<strong>bold</strong>",
        "<code>code</code>",
        "<td>b</td>",
        "<s>no</s>",
        "<li>one</li>",
    ):
        assert piece in html
    assert '<a href="https://a.example/?x=1&amp;y=2" rel="noopener noreferrer">a</a>' in html


def test_what_is_not_taken_over_is_still_to_be_read() -> None:
    assert rendered("<b>x</b>") == "<p>&lt;b&gt;x&lt;/b&gt;</p>\n"
    assert '!<a href="https://a.example/x.png" rel="noopener noreferrer">pic</a>' in rendered(
        "![pic](https://a.example/x.png)"
    )
    assert "[x](javascript:alert(1))" in rendered("[x](javascript:alert(1))")


def test_what_is_very_long_is_not_parsed() -> None:
    html = rendered("*" * (MOST_RENDERED + 1))
    assert html.startswith('<pre class="plain">')
    assert "&lt;b&gt;" in rendered("<b>" * MOST_RENDERED)


def test_markdown_keeps_fences_closed_and_titles_on_their_line() -> None:
    writer = Markdown()
    record = SessionRecord(id="s", agent_id="a", title="One\n# Two", created_at=NOW, last_activity=NOW)
    text = (writer.begin(record, 0) + writer.messages([message(ToolResultPart("c", "```\n# not a title"))])).decode()
    assert text.startswith("# One \\# Two\n")
    assert "````\n```\n# not a title\n````" in text
