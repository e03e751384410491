"""``legato sessions export`` and ``import``: files out of a running server, and into one. Progress goes to standard error."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

from legato.cli.connection import DEFAULT_URL, Token, Url, told
from legato.cli.files import told_of, written
from legato.cli.terminal import printable
from legato.client import Client, ImportProgress, ImportReport
from legato.client.transfer import Format, Source

_FORMATS: Final[dict[str, Format]] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".html": "html",
    ".htm": "html",
}
_SHOWN: Final = 20


def export(
    session_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The session; without it all of them.", show_default=False)
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="By default what the file's name says, else json, or jsonl for all."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file; by default the standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Write a session, or all, to a file. JSON and JSON lines can be imported; Markdown and HTML are for reading."""
    named = _FORMATS.get(output.suffix.lower()) if output else None
    chosen: Format = format_ or named or ("json" if session_id else "jsonl")
    with told(), written(output, replace=force) as file, Client(url, token=token) as client, _bar() as bar:
        task = bar.add_task("Exporting", total=None)
        pieces = client.export_session(session_id, chosen) if session_id else client.export_all(chosen)
        for piece in pieces:
            file.write(piece)
            bar.advance(task, len(piece))


def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would come in.")] = False,
    agent: Annotated[
        str | None, typer.Option(help="Whose sessions they become that name no agent of this server.")
    ] = None,
    source: Annotated[
        Source | None, typer.Option("--format", help="What wrote the file; by default that is found out.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Import sessions: our files, or an export of ChatGPT, Claude, Open WebUI or LibreChat. Twice is as once."""
    report: ImportReport | None = None
    with told(), told_of(path), Client(url, token=token) as client, path.open("rb") as file, _bar() as bar:
        task = bar.add_task("Importing", total=path.stat().st_size)
        for step in client.import_file(file, source=source, agent_id=agent, dry_run=dry_run):
            if isinstance(step, ImportProgress):
                told_so_far = f"{step.sessions} sessions, {step.messages} messages"
                bar.update(task, completed=step.read_bytes, description=told_so_far)
            else:
                report = step
    if report is None:
        typer.secho("legato: the import broke off; run it again: what came in is known", fg="red", err=True)
        raise typer.Exit(1)
    for line in _lines(report):
        typer.echo(printable(line))


def _lines(report: ImportReport) -> Iterator[str]:
    verb = "would be imported" if report.dry_run else "imported"
    yield f"{report.sessions} sessions with {report.messages} messages {verb}; {report.known} were there already."
    for session in report.imported[:_SHOWN]:
        yield f"  {session.id or '(new)'}  {session.messages:>5}  {session.title or session.origin}"
    if report.sessions > _SHOWN:
        yield f"  … and {report.sessions - _SHOWN} more"
    if not report.skipped_count:
        return
    yield f"{report.skipped_count} things were left out or changed:"
    for (what, why), count in Counter((each.what, each.why) for each in report.skipped).most_common(_SHOWN):
        place = next(each.place for each in report.skipped if (each.what, each.why) == (what, why))
        yield f"  {count:>5} × {what}: {why} (first: {place})"


def _bar() -> Progress:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
