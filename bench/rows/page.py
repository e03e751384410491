"""The page while a long answer streams: for how long its main thread is busy without a break.

A person's answer: headings, lists, code, tables, maths, at 200 tokens a second, in a real Chromium. A task that takes at
least 50 ms is a long one to the browser, which tells of each; the time from one frame to the next is measured beside it.
"""

import asyncio
import json
import re
from typing import Any, Final

from playwright.async_api import Page, async_playwright

from bench.bench import Bench
from bench.report import Line, quantile
from bench.upstream import Flow, Script, prompt
from tests.support.require import require_program

_RATE: Final = 200.0
_TASK_LIMIT_MS: Final = 50.0
_PATIENCE_MS: Final = 300_000
_OPTIONS: Final = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
_CHAPTER: Final = """## Chapter {0}: what the dough wants

Bread is **flour**, water, salt and *time*; see [the book](https://example.org/{0}) and what it says of `levain`. The rest
is patience, and an oven that is hotter than you would think. Weigh everything, and write down what you did.[^{0}]

1. Mix the flour and the water, and let them rest for an hour.
2. Add the salt:
   - some by hand,
   - some with a little water.
3. Fold it, and wait again.

```python
class Oven{0}:
    '''Keeps its heat.'''

    def __init__(self, degrees: float = 250.0) -> None:
        self.degrees = degrees  # Celsius

    def bake(self, loaf: str, minutes: int = 40) -> str:
        return f"{{loaf}} after {{minutes}} minutes at {{self.degrees}}"
```

| Flour | Protein | Water | Remark |
|:------|--------:|------:|--------|
| Wheat | 12 % | 70 % | the usual one |
| Rye | 8 % | 85 % | heavy, and good |

The volume is $V = \\frac{{4}}{{3}} \\pi r^3$, so that

$$
\\int_0^{{r}} 4 \\pi x^2 \\, dx = \\frac{{4}}{{3}} \\pi r^3
$$

> Who waits for the crust will have the crumb.

[^{0}]: Page {0} of the second part.

"""
_WATCH: Final = """() => {
    const seen = window.seen = { tasks: [], frames: [], last: performance.now() };
    const hear = list => seen.tasks.push(...list.getEntries().map(each => each.duration));
    new PerformanceObserver(hear).observe({ type: "longtask" });
    const frame = now => { seen.frames.push(now - seen.last); seen.last = now; requestAnimationFrame(frame) };
    requestAnimationFrame(frame);
}"""


async def measure(bench: Bench) -> list[Line]:
    tokens = _tokens(bench.scaled(20_000, 4_000))
    number = 900_000
    bench.upstream.flows[number] = Flow(
        Script(rate=_RATE, tokens=tuple(json.dumps(each)[1:-1].encode() for each in tokens))
    )
    program = require_program("chromium", "chromium-browser", "google-chrome")
    with bench.legato() as target:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=program, args=_OPTIONS)
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{target.port}/#{target.session()}")
            await page.fill("#text", prompt(number))
            await page.evaluate(_WATCH)
            await page.press("#text", "Enter")
            seen = await _streamed(page)
            shown = await page.locator(".message.assistant .markdown h3").count()
            await browser.close()
    if shown != tokens.count("##"):
        raise AssertionError(f"{shown} headings are shown")
    return _lines(seen, len(tokens))


async def _streamed(page: Page) -> Any:
    answer = page.locator(".message.assistant[data-status=completed]")
    await answer.wait_for(timeout=_PATIENCE_MS)
    await asyncio.sleep(0.5)  # what was put off
    return await page.evaluate("window.seen")


def _lines(seen: Any, tokens: int) -> list[Line]:
    tasks, frames = seen["tasks"], seen["frames"]
    took_s = sum(frames) / 1000
    total, longest = sum(tasks) / 1000, max(tasks, default=0)
    long = f"{len(tasks)} of 50 ms or more in {took_s:.0f} s, together {total:.1f} s, the longest {longest:.0f} ms"
    what = f"{tokens} tokens at {_RATE:.0f}/s"
    return [
        Line(
            row="page",
            what=f"{what}: from frame to frame, p95",
            measured=quantile(frames, 0.95),
            unit="ms",
            limit=_TASK_LIMIT_MS,
            note=f"{len(frames) / took_s:.0f} frames a second",
        ),
        Line(
            row="page",
            what=f"{what}: long tasks, p95",
            measured=quantile(tasks, 0.95) if tasks else 0.0,
            unit="ms",
            note=long,
        ),
    ]


def _tokens(count: int) -> list[str]:
    """About as models cut their words."""
    chapters = "".join(_CHAPTER.format(number) for number in range(1, count // 200 + 2))
    return re.findall(r"\s+|\w{1,6}|[^\w\s]+", chapters)[:count]
