"""What the reference applications promise in numbers (P-02, P-04, P-05): each as its own process, with the demo's script.

``tasks``: a thread of 50 messages is answered, from the request to the whole answer; then 100 conversations at once.
``console``: how long it takes to submit a task, and to see its first token. ``sommelier``: the list of a guest with many
sessions.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from bench.bench import Bench
from bench.report import Line, median, quantile
from tests.examples.applications import Visitor, running

_THREAD: Final = 50  # messages
_AT_ONCE: Final = 100  # conversations


async def measure(bench: Bench) -> list[Line]:
    return [*await _tasks(bench), *await _console(bench), *await _sommelier(bench)]


async def _tasks(bench: Bench) -> list[Line]:
    with running("tasks", _home(bench, "tasks")) as app:
        async with app.user("ann") as ann:
            path = await _thread(ann)
            for number in range(_THREAD // 2 - 1):
                await ann.call("POST", path, {"content": f"What about {number}?"})
            last = [await _took_s(lambda: ann.call("POST", path, {"content": "what tasks?"})) for _ in range(5)]
            paths = [await _thread(ann) for _ in range(_AT_ONCE)]
            began = time.perf_counter()
            once = await asyncio.gather(
                *(_took_s(partial(ann.call, "POST", path, {"content": "create a task: milk"})) for path in paths)
            )
            all_s = time.perf_counter() - began
    note = f"all of {_AT_ONCE} answered after {all_s:.1f} s"
    return [
        Line(row="products", what="P-02: a thread of 50 messages answers", measured=max(last), unit="s", limit=3.0),
        Line(
            row="products",
            what="P-02: 100 conversations at once, p95",
            measured=quantile(once, 0.95),
            unit="s",
            note=note,
        ),
    ]


async def _console(bench: Bench) -> list[Line]:
    submits: list[float] = []
    firsts: list[float] = []
    with running("console", _home(bench, "console")) as app:
        async with app.user("ann") as ann:
            for number in range(bench.scaled(60, 20)):
                began = time.perf_counter()
                task = {"agent_id": "coder", "content": f"task {number}"}
                sent = await ann.call("POST", "/api/chat/message", task)
                submits.append(1000 * (time.perf_counter() - began))
                async with ann.stream("GET", f"/api/chat/stream/{sent['session_id']}") as events:
                    async for kind, _ in events:
                        if kind == "token":
                            firsts.append(time.perf_counter() - began)
                            break
    return [
        Line(row="products", what="P-04: submit, p95", measured=quantile(submits, 0.95), unit="ms", limit=500),
        Line(row="products", what="P-04: first token, p50", measured=median(firsts), unit="s", limit=1.0),
        Line(row="products", what="P-04: first token, p95", measured=quantile(firsts, 0.95), unit="s", limit=1.5),
    ]


async def _sommelier(bench: Bench) -> list[Line]:
    sessions = bench.scaled(500, 100)
    with running("sommelier", _home(bench, "sommelier")) as app:
        async with app.user("ann") as ann:
            for _ in range(sessions):
                await ann.call("POST", "/chat/sessions")
            took = [
                1000 * await _took_s(lambda: ann.call("GET", "/chat/sessions")) for _ in range(bench.scaled(100, 40))
            ]
    what = f"P-05: the list of a guest with {sessions} sessions, p95"
    return [Line(row="products", what=what, measured=quantile(took, 0.95), unit="ms", limit=200)]


async def _thread(ann: Visitor) -> str:
    made = await ann.call("POST", "/chatkit/threads")
    return f"/chatkit/threads/{made['id']}/messages"


async def _took_s(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _home(bench: Bench, name: str) -> Path:
    home = bench.directory / f"products-{name}"
    home.mkdir()
    return home
