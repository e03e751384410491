"""The search over HTTP, at 1,000,000 messages of which 10,000 are the asker's (S-14: p95 of at most 50 ms on SQLite)."""

import random
import time
from typing import Final
from urllib.parse import quote

from bench import filling
from bench.bench import Bench
from bench.report import Line, quantile
from bench.servers import Api

_MESSAGES: Final = 1_000_000
_OWNERS: Final = 100
_LIMIT_MS: Final = 50.0


async def measure(bench: Bench) -> list[Line]:
    path = bench.directory / "search.db"
    await filling.empty(path)
    words = filling.vocabulary(30_000)
    begin = time.perf_counter()
    said, index = await filling.many_messages(path, bench.scaled(_MESSAGES, _MESSAGES // 10), _OWNERS, words)
    note = f"filled in {time.perf_counter() - begin:.0f} s: {said / 1e6:.0f} MB of words, {index / 1e6:.0f} MB of index"
    with bench.legato(f"sqlite:///{path}") as target:
        api = Api(target.port)
        lines = [_line(bench, api, what, asked) for what, asked in _questions(words).items()]
        api.close()
    size = path.stat().st_size / 1e9
    return [*lines, Line(row="search", what="the database", measured=size, unit="GB", note=note)]


def _questions(words: list[str]) -> dict[str, list[str]]:
    """Each kind of question, with the queries that ask it."""
    common, usual, rare = words[:30], words[100:1_000], words[8_000:30_000]
    chance = random.Random(3)  # noqa: S311

    def of(*kinds: list[str], form: str = "{}", more: str = "") -> list[str]:
        asked = [" ".join(chance.choice(kind) for kind in kinds) for _ in range(300)]
        return [f"/v1/search?q={quote(form.format(one))}{more}" for one in asked]

    return {
        "a common word": of(common),
        "a usual word": of(usual),
        "a rare word": of(rare),
        "the beginning of a word": [
            f"{path[:-2]}" for path in of([word for word in usual if word.isascii() and len(word) > 4])
        ],
        "one letter": of(list("bdfgkm")),
        "three words": of(common, usual, common),
        "two words in quotes": of(common, common, form='"{}"'),
        "within words": of([word[1:] for word in rare if len(word) > 5]),
        "nothing there": of(["qqwwxx", "zzyyxx"]),
        "a common word, filtered": of(common, more="&role=user&status=active"),
        "a common word, 100 hits a page": of(common, more="&limit=100"),
        "sessions by text": [path.replace("/v1/search?q=", "/v1/sessions?text=") for path in of(usual)],
    }


def _line(bench: Bench, api: Api, what: str, paths: list[str]) -> Line:
    took: list[float] = []
    hits = 0
    deadline = time.perf_counter() + bench.scaled(5.0, 2.0)
    api.raw("GET", paths[0])
    for path in paths:
        begin = time.perf_counter()
        found = api.ask("GET", path)
        took.append((time.perf_counter() - begin) * 1000)
        hits += len(found["data"])
        if time.perf_counter() > deadline:
            break
    note = f"p50 {quantile(took, 0.5):.2f} ms, {len(took)} requests, {hits / len(took):.0f} hits a page"
    return Line(row="search", what=f"{what}, p95", measured=quantile(took, 0.95), unit="ms", limit=_LIMIT_MS, note=note)
