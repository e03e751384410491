"""Sessions as one HTML file: it loads nothing, runs nothing, and prints well.

What models and people wrote is hostile. Markdown is rendered without HTML, and the result is sanitised as the last step; the
page's own policy then forbids whatever might have come through.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Final

import nh3
from markdown_it import MarkdownIt

from legato.core.files import weight
from legato.core.model import FilePart, Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, Turn
from legato.transfer.markdown import QUARANTINED, STATUS, UNTITLED, WHO, elsewhere_said, when
from legato.transfer.records import SessionRecord

#: Longer texts stand there as they were written: a parser may take its time over them.
MOST_RENDERED: Final = 100_000

_TAGS: Final = {
    *(
        "p",
        "br",
        "hr",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "blockquote",
        "ul",
        "ol",
        "li",
        "pre",
        "code",
        "em",
        "strong",
        "s",
    ),
    *("a", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES: Final = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}}
_SCHEMES: Final = {"http", "https", "mailto"}

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c1b19; --dim: #6b675f; --line: #e2ded6; --paper: #fbfaf7; --user: #f0ece3;
  --code: #f3f0ea; --accent: #8a5a20; --bad: #a3341f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e6df; --dim: #a09b91; --line: #3a3833; --paper: #191816;
  --user: #26241f; --code: #232120; --accent: #d9a464; --bad: #e58a76; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", sans-serif;
  overflow-wrap: anywhere; }
main { max-width: 46rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
header { border-bottom: 1px solid var(--line); margin-bottom: 1.75rem; padding-bottom: 1rem; }
section + section header { margin-top: 5rem; }
h1.title { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .4rem; text-wrap: balance; }
.facts, .who, .note { color: var(--dim); font-size: .85rem; }
.facts span + span::before, .who span::before { content: " · "; }
article { margin: 0 0 1.6rem; break-inside: auto; }
.who { margin: 0 0 .3rem; break-after: avoid; }
.who b { color: var(--ink); font-weight: 600; }
.user .body { background: var(--user); border-radius: .9rem; padding: .75rem 1.1rem; }
.body > :first-child { margin-top: 0; } .body > :last-child { margin-bottom: 0; }
.body h1, .body h2, .body h3, .body h4, .body h5, .body h6 { line-height: 1.3; margin: 1.4em 0 .5em; font-size: 1.1em; }
.body h1 { font-size: 1.35em; } .body h2 { font-size: 1.2em; }
.error { color: var(--bad); font-size: .9rem; margin: .4rem 0 0; }
a { color: var(--accent); }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; overflow-x: auto;
  font-size: .85rem; line-height: 1.5; }
pre.plain { white-space: pre-wrap; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .88em; background: var(--code);
  border-radius: .3rem; padding: .1em .3em; }
pre code { background: none; padding: 0; font-size: inherit; }
blockquote { margin: 1em 0; padding-left: 1rem; border-left: 3px solid var(--line); color: var(--dim); }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0; }
th, td { border: 1px solid var(--line); padding: .35rem .7rem; text-align: left; }
th { background: var(--code); }
details { border-left: 3px solid var(--line); padding-left: .9rem; margin: .6rem 0; color: var(--dim); font-size: .92rem; }
summary { cursor: pointer; font-size: .85rem; }
footer { color: var(--dim); font-size: .8rem; border-top: 1px solid var(--line); padding-top: .8rem; margin-top: 3rem; }
@media print {
  :root { color-scheme: light; --ink: #000; --dim: #555; --line: #ccc; --paper: #fff; --user: #f4f4f4; --code: #f6f6f6;
    --accent: #000; --bad: #8a1f0f; }
  @page { margin: 18mm 16mm; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  section + section { break-before: page; } section + section header { margin-top: 0; }
  pre { white-space: pre-wrap; overflow: visible; } table { display: table; } tr, img { break-inside: avoid; }
  h1, h2, h3 { break-after: avoid; } a { text-decoration: none; }
  .body a[href^="http"]::after { content: " (" attr(href) ")"; color: var(--dim); font-size: .85em; }
}
"""

# Two spaces at a line's end or one line break: what was written on its own line stays there.
_markdown: Final = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False, "typographer": False})
_markdown.enable(["table", "strikethrough"])
# An image would be loaded from somewhere: it becomes a link to it.
_markdown.disable("image")


class Page:
    """One HTML document."""

    whole = False

    def __init__(self, title: str = "Conversations") -> None:
        self._title = title
        self._now: datetime | None = None
        self._in_session = False

    def head(self, now: datetime) -> bytes:
        self._now = now
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(self._title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        ).encode()

    def begin(self, session: SessionRecord, elsewhere: int) -> bytes:
        before = self._leave()
        self._in_session = True
        return (before + "".join(_header(session, elsewhere))).encode()

    def messages(self, messages: Sequence[Message]) -> bytes:
        return "".join("".join(_article(each)) for each in messages).encode()

    def turns(self, turns: Sequence[Turn]) -> bytes:
        return b""

    def end(self, sessions: int, messages: int) -> bytes:
        exported = f"<footer>Exported from Legato, {when(self._now)}</footer>\n" if self._now else ""
        return f"{self._leave()}{exported}</main>\n</body>\n</html>\n".encode()

    def _leave(self) -> str:
        left = "</section>\n" if self._in_session else ""
        self._in_session = False
        return left


def _header(session: SessionRecord, elsewhere: int) -> Iterator[str]:
    facts = [session.agent_name or session.agent_id, session.model_id or "", when(session.created_at)]
    yield f'<section>\n<header>\n<h1 class="title" dir="auto">{escape(session.title or UNTITLED)}</h1>\n<div class="facts">'
    yield "".join(f"<span>{escape(fact)}</span>" for fact in facts if fact)
    yield "</div>\n"
    if session.quarantined:
        yield f'<p class="error">{QUARANTINED}</p>\n'
    if elsewhere:
        yield f'<p class="note">{elsewhere_said(elsewhere)}</p>\n'
    yield "</header>\n"


def _article(message: Message) -> Iterator[str]:
    yield f'<article class="{message.role}">\n<div class="who"><b>{WHO[message.role]}</b>'
    yield f"<span>{when(message.created_at)}</span>"
    if message.status in STATUS:
        yield f"<span>{STATUS[message.status]}</span>"
    yield '</div>\n<div class="body" dir="auto">'
    for part in message.parts:
        yield _part(part)
    yield "</div>\n"
    if message.error is not None:
        yield f'<p class="error">{escape(message.error.message or message.error.code)}</p>\n'
    yield "</article>\n"


def _part(part: Part) -> str:
    match part:
        case TextPart():
            return rendered(part.text)
        case ReasoningPart():
            return f"<details><summary>Reasoning</summary>{rendered(part.text)}</details>"
        case ToolCallPart():
            return f"<details><summary>Tool call: {escape(part.name)}</summary>{_plain(part.arguments)}</details>"
        case FilePart():
            return f'<p class="note">{escape(part.name)} ({escape(part.media_type)}, {weight(part.size)})</p>'
        case ToolResultPart():
            name = "Tool result (error)" if part.is_error else "Tool result"
            return f"<details><summary>{name}</summary>{_plain(part.output)}</details>"


def rendered(text: str) -> str:
    """Markdown as HTML that can do nothing."""
    if len(text) > MOST_RENDERED:
        return _plain(text)
    return nh3.clean(
        _markdown.render(text), tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel="noopener noreferrer"
    )


def _plain(text: str) -> str:
    return f'<pre class="plain"><code>{escape(text)}</code></pre>'
