"""``legato search``: find what was said."""

import html
import re
import sys
from datetime import datetime
from itertools import islice
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.terminal import printable
from legato.client import Client
from legato.core.found import Hit

_RETRY_FOR_S: Final = 5.0
_MARK: Final = re.compile(r"<mark>(.*?)</mark>", re.DOTALL)
_FORMATS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


def search(
    words: Annotated[
        list[str], typer.Argument(help="What to look for; the last word may go on, quoted words stand together.")
    ],
    url: Url = DEFAULT_URL,
    token: Token = None,
    agent: Annotated[str | None, typer.Option(help="Only with this agent.", show_default=False)] = None,
    status: Annotated[str | None, typer.Option(help="active, closed, archived or pinned.", show_default=False)] = None,
    role: Annotated[str | None, typer.Option(help="user or assistant.", show_default=False)] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="Only from this day or time on.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Find what was said, and titles: the best hits first."""
    asked = " ".join(f'"{word}"' if " " in word else word for word in words)
    after = None if since is None else since.astimezone()
    with told(), Client(url, token=token, retry_for_s=_RETRY_FOR_S) as client:
        found = client.search(asked, agent_id=agent, status=status, role=role, after=after, limit=min(limit, 100))
        hits = list(islice(found, limit))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(hits)))
        return
    console = Console(highlight=False)
    if not hits:
        console.print("Nothing was found.")
    for hit in hits:
        console.print(_heading(hit), soft_wrap=True)
        console.print(_marked(hit.snippet, is_screen=sys.stdout.isatty()), soft_wrap=True)
        console.print()


def _heading(hit: Hit) -> Text:
    at = hit.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
    title = f" · {hit.session.title}" if hit.session.title else ""
    aside = "" if hit.active else " · on another branch"
    return Text(printable(f"{hit.session.id} · {hit.role or 'title'} · {at}{title}{aside}"), "dim")


def _marked(snippet: str, *, is_screen: bool) -> Text:
    """The snippet with its hits in bold; to a pipe they go between asterisks."""
    text = Text()
    for number, piece in enumerate(_MARK.split(snippet)):
        plain = printable(html.unescape(piece))
        if number % 2 == 0:
            text.append(plain)
        else:
            text.append(plain if is_screen else f"*{plain}*", "bold yellow")
    return text
