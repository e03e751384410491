"""``legato doctor``: is everything as it should be, and if not, what can be done about it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from legato.agents.config import Config, load_config
from legato.agents.setup import make_setup
from legato.core.errors import Corrupted, LegatoError, SessionNotFound, StoreInUse
from legato.store.diagnosis import Diagnosis, diagnose
from legato.store.health import Health, examine
from legato.store.opening import open_store
from legato.store.port import Store
from legato.store.rebuilding import Rebuilt, rebuild
from legato.store.upgrade import renew_incarnation


class Finding(NamedTuple):
    """One line of the report."""

    good: bool
    text: str


def doctor(
    session: Annotated[str | None, typer.Argument(help="Look at this session only.")] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Restore from the journals what is damaged; else it is only told.")
    ] = False,
    database: Annotated[
        str, typer.Option(help="sqlite:///file or postgresql://…", envvar=["LEGATO_DATABASE", "DATABASE_URL"])
    ] = "sqlite:///legato.db",
    config: Annotated[Path | None, typer.Option(help="The TOML file of the server.", envvar="LEGATO_CONFIG")] = None,
) -> None:
    """Look at the configuration and the database: schema, orphans, and what is damaged in which session.

    With --rebuild what a session's journal can restore is restored, and what is whole again takes turns again.
    """
    findings = [*_configuration(config), *asyncio.run(_database(database, session, mend=rebuild))]
    for finding in findings:
        typer.secho(f"{'ok ' if finding.good else 'BAD'}  {finding.text}", fg="green" if finding.good else "red")
    raise typer.Exit(0 if all(finding.good for finding in findings) else 1)


def _configuration(path: Path | None) -> Iterator[Finding]:
    try:
        sys.path.insert(0, os.getcwd())  # as `serve` does
        config = load_config(path) if path else Config()
        setup = make_setup(config, os.environ, source=str(path or "environment"))
    except LegatoError as error:
        yield Finding(False, error.message)
        return
    for spec in setup.agents:
        if spec.unavailable:
            yield Finding(False, f"agent {spec.id} can't answer: {spec.unavailable}")
        else:
            yield Finding(True, f"agent {spec.id}" + (" (the offline demo)" if spec.demo else ""))


async def _database(url: str, session_id: str | None, *, mend: bool) -> list[Finding]:
    try:
        store = open_store(url)
        await store.start()
    except StoreInUse as error:
        return [Finding(False, f"{error.message} (The doctor needs the file for itself.)")]
    except LegatoError as error:
        return [Finding(False, f"the database: {error.message}")]
    try:
        return [finding async for finding in _report(store, session_id, mend=mend)]
    except LegatoError as error:
        return [Finding(False, f"the database can't be read to its end: {error.message}")]
    finally:
        await store.stop()


async def _report(store: Store, session_id: str | None, *, mend: bool) -> AsyncIterator[Finding]:
    health = await store.read(examine)
    yield Finding(True, f"{health.engine}, schema {health.revision}, {len(health.sessions)} sessions")
    chosen = _chosen(health, session_id)
    if session_id is not None and not chosen:
        yield Finding(False, f"{session_id}: {SessionNotFound().message}")
    reports = [report for id_ in chosen if (report := await _session(store, id_, mend=mend)) is not None]
    if mend and any(report.restored for report in reports):
        await store.write(renew_incarnation)  # readers who have seen the damage begin anew
        if store.shared:
            yield Finding(True, "restart the servers: clients then load what was restored")
    bad = [report.session_id for report in reports if not report.good]
    yield _counted(len(bad), "damaged sessions", ", ".join(bad[:10]))
    for report in reports:
        for line in report.lines:
            yield Finding(report.good, line)
    yield _counted(health.orphans, "running turns without an owner", "a server ends them when it starts")


def _chosen(health: Health, session_id: str | None) -> Sequence[str]:
    return [id_ for id_ in health.sessions if session_id in (None, id_)]


class _Report(NamedTuple):
    """What is said of a session. ``good``: nothing of it is damaged (any more); ``restored``: something was written."""

    session_id: str
    good: bool
    restored: bool
    lines: list[str]


async def _session(store: Store, session_id: str, *, mend: bool) -> _Report | None:
    """None: nothing is to be said of it."""
    try:
        if mend:
            done = await store.write(rebuild, session_id)
            return None if done is None else _mended(done)
        found = await store.read(diagnose, session_id)
        return None if found is None else _examined(found)
    except Corrupted as error:
        return _Report(session_id, False, False, [f"{session_id}: it can't be read to its end: {error.message}"])


def _examined(found: Diagnosis) -> _Report | None:
    if not found.findings and not found.marked:
        return None
    state = "in quarantine" if found.marked else "not yet in quarantine" if found.reason else "it takes turns, without"
    lines = [f"{found.session_id}: {state}", *_findings(found)]
    if found.marked and found.reason is None:
        lines.append("    nothing that was said in it is damaged any more: `--rebuild` ends its quarantine")
    elif found.restorable:
        lines.append("    `--rebuild` restores all of it")
    elif any(finding.restorable for finding in found.findings):
        lines.append("    `--rebuild` restores what can be restored")
    return _Report(found.session_id, False, False, lines + _left(found))


def _mended(done: Rebuilt) -> _Report | None:
    before, after = done.before, done.after
    if not before.findings and not before.marked:
        return None
    lines = [f"{before.session_id}:", *_findings(before)]
    if after.reason is not None:
        lines += ["    it stays in quarantine; what is left:", *_findings(after), *_left(after)]
    elif after.findings:
        lines += ["    all that was said checks out: it takes turns again, without", *_findings(after)]
    else:
        lines.append("    everything checks out: it takes turns again")
    return _Report(before.session_id, not after.findings, done.changed, lines)


def _findings(found: Diagnosis) -> list[str]:
    return [f"    {each.place} {'' if each.restorable else '(lost) '}{each.what}" for each in found.findings]


def _left(found: Diagnosis) -> list[str]:
    """What there is of a session whose journal is damaged."""
    if found.journal_whole:
        return []
    lost = any(finding.place == "message" and not finding.restorable for finding in found.findings)
    whole = "those of its messages that are not named here" if lost else f"all of its {found.messages} messages"
    return [f"    {whole} can be read, and exported: import the file, and the conversation goes on in a new session"]


def _counted(count: int, what: str, remedy: str) -> Finding:
    return Finding(not count, f"no {what}" if not count else f"{count} {what}: {remedy}")
