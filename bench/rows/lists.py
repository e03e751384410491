"""Pages over HTTP from a large store: the session list at 1,000,000 sessions, a history of 10,000 messages.

Half of the sessions are one owner's (500,000), who asks. Deep pages are asked for with a cursor that lies there.
"""

import base64
import random
import sqlite3
import time
from pathlib import Path
from typing import Final

from bench import filling
from bench.bench import Bench
from bench.report import Line, quantile
from bench.servers import Api

_SESSIONS: Final = 1_000_000
_MESSAGES: Final = 10_000
_LIMIT_MS: Final = 5.0
_FILTERS: Final = (
    "status=active",
    "status=closed",
    "status=archived",
    "status=pinned",
    "agent_id=assistant",
    "agent_id=writer",
    "agent_id=scarce",
    "status=pinned&agent_id=writer",
)


async def measure(bench: Bench) -> list[Line]:
    path = bench.directory / "lists.db"
    await filling.empty(path)
    filling.many_sessions(path, _SESSIONS)
    session = await filling.long_history(path, _MESSAGES)
    cursors = _deep(path)
    with bench.legato(f"sqlite:///{path}") as target:
        api = Api(target.port)
        sessions = "/v1/sessions?limit=50"
        history = f"/v1/sessions/{session}/messages?limit=50"
        lines = [
            _line(bench, api, "session list, first page", [sessions]),
            _line(bench, api, "session list, deep pages", [f"{sessions}&cursor={cursor}" for cursor in cursors]),
        ]
        lines += [_line(bench, api, f"session list, {each}", [f"{sessions}&{each}"]) for each in _FILTERS]
        deep = [f"{sessions}&status=active&cursor={cursor}" for cursor in cursors]
        lines.append(_line(bench, api, "session list, status=active, deep pages", deep))
        lines.append(_line(bench, api, "history, first page", [history]))
        pages = _history_pages(api, history)
        lines.append(_line(bench, api, f"history, deep pages ({len(pages)} in all)", pages))
        api.close()
    return lines


def _line(bench: Bench, api: Api, what: str, paths: list[str]) -> Line:
    """p95 of requests one after the other; the slowest kinds are asked for less often."""
    took: list[float] = []
    deadline = time.perf_counter() + bench.scaled(5.0, 2.0)
    api.raw("GET", paths[0])
    for _ in range(bench.scaled(200, 60)):
        path = random.choice(paths)  # noqa: S311
        begin = time.perf_counter()
        api.raw("GET", path)
        took.append((time.perf_counter() - begin) * 1000)
        if time.perf_counter() > deadline:
            break
    note = f"p50 {quantile(took, 0.5):.2f} ms, {len(took)} requests"
    return Line(row="lists", what=f"{what}, p95", measured=quantile(took, 0.95), unit="ms", limit=_LIMIT_MS, note=note)


def _deep(path: Path) -> list[str]:
    """Cursors at random places of the owner's list, as the store writes them."""
    with sqlite3.connect(path) as connection:
        found = connection.execute(
            "SELECT last_activity, id FROM sessions WHERE owner = ? AND rowid % 9973 = 1", (filling.OWNER,)
        ).fetchall()
    connection.close()
    return [base64.urlsafe_b64encode(f"{at}.{session}".encode()).decode() for at, session in found]


def _history_pages(api: Api, path: str) -> list[str]:
    pages = [path]
    while (following := api.ask("GET", pages[-1])["next"]) is not None:
        pages.append(f"{path}&cursor={following}")
    return pages
