"""What the upstream does, chosen by the user's message.

count N [from K] [at R/s]     the words ``K … N``, numbered, so that a lost or doubled one is seen; goes on from a prefill
hang                          no answer, not even headers
silence                       headers, then nothing
stall after N                 N words, then nothing
cut after N                   N words, then a clean end of the stream, without a reason to stop
torn after N                  N words, then the stream ends in the middle of an event
reset after N                 N words, then the connection is reset
vanish                        the connection is reset before a byte of the response
garbage                       what answers speaks no HTTP
trickle                       a header, another header, and so on for ever
chatter after N               N words, then comments for ever
status CODE [once|twice|K times] [retry-after S]
                              that status so often (else always), then ``count 3``
page CODE, shout CODE         that status with 10 MB of HTML, or with an error message of 1 MB
malformed, error, shout       2 words, then broken JSON, an error object, or one with a message of 1 MB
overloaded                    the first time it is asked an error object before the first word, then ``count 3``
html, json                    a page, or an answer that is not streamed
nodone, nousage, cutoff       no [DONE], no usage, stopped by its length
stops for REASON              3 words, then that reason to stop
lingers                       3 words and the reason to stop, then nothing
late                          ``count 3``, and the body ends a moment after [DONE]
step N                        N words, each as soon as the test permits one more (``Upstream.permits``)
mute once, count …            the first time it is asked headers, then nothing; after that as ``count`` says
clock N of B at R/s           N words of B bytes, each with the time at which it was said (``spoken``)
recite [at R/s] [TEXT, …]     these tokens, a list in JSON
flood N                       N tokens of one character (``flooded``), a hundred a write
pour                          words without end, a hundred a write, as fast as they are taken
huge                          one token of a megabyte (``HUGE``)
torn                          tokens whose bytes are no UTF-8 (``TORN``), between two that are
deep, control                 2 words, then JSON nested too deeply, or with a raw NUL in a string
wordy                         ``count 3``, with ids and a reason to stop of 100,000 characters
absurd usage                  3 words, then counts that no model can have meant
errands N [at R/s]            calls ``pay`` N times, one after the other (in the middle ``launch``), then tells the results
tool, reason, empty, blank, surrogate, crlf, dribble, gzip, big
                              what the names say
anything else                 ``You said: …``
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

HUGE: Final = "1 MB \U0001f377\u65e5\r\n\u2028é " * 45_000
TORN: Final = (
    b"whole ",
    b"\xff\xfe ",
    b"cut \xf0\x9f",
    b"\x8d\xb7 ",
    b"\xed\xa0\xbc\xed\xbd\xb7 ",
    b"\xc0\x80",
    b" whole",
)
_FLOOD: Final = "aé\r日\U0001f377\n\u2028 "

Delta = dict[str, Any]
Match = re.Match[str]


class Stage(Protocol):
    """Where a script plays: one response."""

    asked: str
    prefilled: str
    after_tool: bool
    results: list[str]

    def times_asked(self) -> int: ...
    async def open(self, content_type: str = "text/event-stream", *, gzip: bool = False) -> None: ...
    async def refuse(self, status: int, headers: dict[str, str], said: str | None = None) -> None: ...
    async def refuse_with_page(self, status: int, page: str) -> None: ...
    async def delta(self, delta: Delta) -> None: ...
    async def raw(self, data: bytes) -> None: ...
    async def fail(self, message: str, kind: str = "api_error") -> None: ...
    def event(self, content: bytes) -> bytes:
        """The bytes of an event that says this JSON."""
        ...

    async def finish(self, reason: str = "stop", *, usage: bool = True, done: bool = True) -> None: ...
    async def permitted(self) -> None: ...
    def wire(self, data: bytes) -> None: ...
    def reset(self) -> None: ...


_MEGABYTE: Final = 1_000_000
_BEAT_S: Final = 0.05
_NO_MODEL_COUNTS_SO: Final = {"prompt_tokens": 2**70, "completion_tokens": -5, "total_tokens": 0}
Script = Callable[[Stage, Match], Awaitable[None]]


async def play(stage: Stage) -> None:
    """Plays the script that ``stage.asked`` names."""
    for pattern, script in _SCRIPTS:
        if match := pattern.fullmatch(stage.asked.strip()):
            await script(stage, match)
            return
    await stage.open()
    await _say(stage, f"You said: {stage.asked}")
    await stage.finish()


async def words(first: int, last: int, per_second: float | None = None) -> AsyncIterator[str]:
    """``"1 "``, ``"2 "`` …: at this pace, or as fast as they are taken."""
    clock = asyncio.get_running_loop().time
    due = clock()
    for number in range(first, last + 1):
        yield f"{number} "
        if per_second is not None:
            due += 1 / per_second
            await asyncio.sleep(max(0.0, due - clock()))


async def _say(stage: Stage, text: str) -> None:
    for piece in re.findall(r"\S+\s*|\s+", text):
        await stage.delta({"content": piece})


async def _some(stage: Stage, count: int, *, first: int = 1, per_second: float | None = None) -> None:
    await stage.delta({"role": "assistant", "content": ""})
    async for word in words(first, count, per_second):
        await stage.delta({"content": word})


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


async def _count(stage: Stage, match: Match) -> None:
    await stage.open()
    pace = float(match["rate"]) if match["rate"] else None
    first = int(match["first"] or 1)
    if stage.prefilled:
        first += len(stage.prefilled.split())
        if not stage.prefilled[-1].isspace():
            await stage.delta({"content": " "})
    await _some(stage, int(match["count"]), first=first, per_second=pace)
    await stage.finish()


def flooded(count: int) -> str:
    """What ``flood`` says."""
    return (_FLOOD * (count // len(_FLOOD) + 1))[:count]


async def _step(stage: Stage, match: Match) -> None:
    await stage.open()
    async for word in words(1, int(match["count"])):
        await stage.permitted()
        await stage.delta({"content": word})
    await stage.finish()


async def _mute(stage: Stage, match: Match) -> None:
    if stage.times_asked() > 1:
        await _count(stage, match)
        return
    await stage.open()
    await _forever()


async def _clock(stage: Stage, match: Match) -> None:
    await stage.open()
    async for _ in words(1, int(match["count"]), float(match["rate"])):
        await stage.delta({"content": f"{time.time():.6f} ".ljust(int(match["bytes"]) - 1, "x") + "\n"})
    await stage.finish()


def spoken(text: str) -> list[float]:
    """When the words of ``clock`` were said, in seconds since 1970."""
    return [float(word.partition(" ")[0]) for word in text.splitlines()]


async def _recite(stage: Stage, match: Match) -> None:
    await stage.open()
    pause_s = 1 / float(match["rate"]) if match["rate"] else 0.0
    for piece in json.loads(match["pieces"]):
        await stage.delta({"content": piece})
        await asyncio.sleep(pause_s)
    await stage.finish()


async def _flood(stage: Stage, match: Match) -> None:
    await stage.open()
    events = [stage.event(json.dumps(character).encode()) for character in flooded(int(match["count"]))]
    for start in range(0, len(events), 100):
        await stage.raw(b"".join(events[start : start + 100]))
    await stage.finish()


async def _pour(stage: Stage, match: Match) -> None:
    await stage.open()
    while True:
        await stage.raw(stage.event(b'"word "') * 100)
        await asyncio.sleep(0)  # a writer that never has to wait would let nobody else speak


async def _huge(stage: Stage, match: Match) -> None:
    await stage.open()
    await stage.delta({"content": HUGE})
    await stage.finish()


async def _torn(stage: Stage, match: Match) -> None:
    await stage.open()
    for piece in TORN:
        await stage.raw(stage.event(b'"%b"' % piece))
    await stage.finish()


async def _deep(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 2)
    await stage.raw(stage.event(b"[" * 100_000 + b"]" * 100_000))
    await stage.finish()


async def _control(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 2)
    await stage.raw(stage.event(b'"a\0b"'))
    await stage.finish()


async def _wordy(stage: Stage, match: Match) -> None:
    await stage.open()
    for number in range(1, 4):
        call = {"index": 0, "id": "i" * 100_000, "function": {"name": "n" * 100_000, "arguments": ""}}
        chunk = {"id": "c" * 100_000, "choices": [{"delta": {"content": f"{number} ", "tool_calls": [call]}}]}
        await stage.raw(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await stage.finish("r" * 100_000)


async def _hang(stage: Stage, match: Match) -> None:
    await _forever()


async def _silence(stage: Stage, match: Match) -> None:
    await stage.open()
    await _forever()


async def _stall(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, int(match["count"]))
    await _forever()


async def _cut(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, int(match["count"]))


async def _torn_after(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, int(match["count"]))
    letter = "日".encode()
    whole = stage.event(b'"%b"' % letter)
    await stage.raw(whole[: whole.index(letter) + 2])


async def _vanish(stage: Stage, match: Match) -> None:
    stage.reset()
    await _forever()


async def _garbage(stage: Stage, match: Match) -> None:
    stage.wire(b"SSH-2.0-OpenSSH_9.2p1\r\n")
    await _forever()


async def _trickle(stage: Stage, match: Match) -> None:
    stage.wire(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    while True:
        await asyncio.sleep(_BEAT_S)
        stage.wire(b"X-Patience: please\r\n")


async def _chatter(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, int(match["count"]))
    while True:
        await stage.raw(b": still thinking\n\n")
        await asyncio.sleep(_BEAT_S)


async def _page(stage: Stage, match: Match) -> None:
    await stage.refuse_with_page(int(match["status"]), "<html>" + "<p>Sorry!</p>" * (10 * _MEGABYTE // 13))


async def _shout(stage: Stage, match: Match) -> None:
    said = "Нет! " * (_MEGABYTE // 9)
    if match["status"]:
        await stage.refuse(int(match["status"]), {}, said)
        return
    await stage.open()
    await _some(stage, 2)
    await stage.fail(said)


async def _reset(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, int(match["count"]))
    stage.reset()
    await _forever()


async def _status(stage: Stage, match: Match) -> None:
    times = {None: None, "once": 1, "twice": 2}.get(match["times"], 0)
    if times == 0:
        times = int(match["times"].split()[0])
    if times is None or stage.times_asked() <= times:
        wait = {"Retry-After": match["wait"]} if match["wait"] else {}
        await stage.refuse(int(match["status"]), wait)
        return
    await stage.open()
    await _some(stage, 3)
    await stage.finish()


async def _malformed(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 2)
    await stage.raw(b'data: {"choices": [{"delta": {"content": \n\n')
    await stage.finish()


async def _error(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 2)
    await stage.fail("The GPU is on fire.")


async def _overloaded(stage: Stage, match: Match) -> None:
    await stage.open()
    if stage.times_asked() == 1:
        await stage.fail("Overloaded", "overloaded_error")
        return
    await _some(stage, 3)
    await stage.finish()


async def _html(stage: Stage, match: Match) -> None:
    await stage.open("text/html")
    await stage.raw(b"<html><body>Welcome to nginx!</body></html>")


async def _json(stage: Stage, match: Match) -> None:
    await stage.open("application/json")
    await stage.raw(b'{"object": "chat.completion", "choices": [{"message": {"content": "All at once."}}]}')


async def _nodone(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.finish(done=False)


async def _late(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.finish()
    await asyncio.sleep(0.01)


async def _nousage(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.finish(usage=False)


async def _cutoff(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.finish("length")


async def _stops(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.finish(match["reason"])


async def _lingers(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.finish(usage=False, done=False)
    await _forever()


async def _absurd(stage: Stage, match: Match) -> None:
    await stage.open()
    await _some(stage, 3)
    await stage.raw(b"data: " + json.dumps({"choices": [], "usage": _NO_MODEL_COUNTS_SO}).encode() + b"\n\n")
    await stage.finish(usage=False)


async def _tool(stage: Stage, match: Match) -> None:
    await stage.open()
    if stage.after_tool:
        await _say(stage, "The tools have spoken.")
        await stage.finish()
        return
    for index, city in enumerate(("Paris", "Rome")):
        head = {"index": index, "id": f"call_{city}", "type": "function"}
        await stage.delta({"tool_calls": [head | {"function": {"name": "weather", "arguments": ""}}]})
        for piece in ('{"city"', f': "{city}"}}'):
            await stage.delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    await stage.finish("tool_calls")


def errand(number: int, count: int, results: Sequence[str]) -> str:
    """What ``errands`` says before errand ``number``; after the last one, what all came to."""
    return f"Errand {number} of {count}. " if number <= count else f"Done: {'; '.join(results)}."


async def _errands(stage: Stage, match: Match) -> None:
    await stage.open()
    count, number = int(match["count"]), len(stage.results) + 1
    pause_s = 1 / float(match["rate"]) if match["rate"] else 0.0
    for piece in re.findall(r"\S+\s*|\s+", errand(number, count, stage.results).removeprefix(stage.prefilled)):
        await stage.delta({"content": piece})
        await asyncio.sleep(pause_s)
    if number > count:
        await stage.finish()
        return
    name = "launch" if number == (count + 1) // 2 else "pay"
    head = {"index": 0, "id": f"call_{number}", "type": "function"}
    await stage.delta({"tool_calls": [head | {"function": {"name": name, "arguments": ""}}]})
    for piece in ('{"number"', f": {number}}}"):
        await stage.delta({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        await asyncio.sleep(pause_s)
    await stage.finish("tool_calls")


async def _reason(stage: Stage, match: Match) -> None:
    await stage.open()
    await stage.delta({"reasoning_content": "Let me "})
    await stage.delta({"reasoning": "think. "})
    await _some(stage, 3)
    await stage.finish()


async def _empty(stage: Stage, match: Match) -> None:
    await stage.open()
    await stage.delta({"role": "assistant", "content": ""})
    await stage.finish()


async def _blank(stage: Stage, match: Match) -> None:
    await stage.open()
    for piece in ("\n", " \n"):
        await stage.delta({"content": piece})
    await stage.finish()


async def _surrogate(stage: Stage, match: Match) -> None:
    await stage.open()
    for piece in ("a \ud83c", "\udf77 and \ud800 end"):
        await stage.delta({"content": piece})
    await stage.finish()


async def _crlf(stage: Stage, match: Match) -> None:
    await stage.open()
    for number in range(1, 4):
        event = stage.event(json.dumps(f"{number} ").encode()).replace(b"\n", b"\r\n")
        await stage.raw(b": comment\r\nevent: chunk\r\n" + event)
    await stage.finish()


async def _dribble(stage: Stage, match: Match) -> None:
    await stage.open()
    text = "naïve 🍷 日本\n"
    for byte in stage.event(json.dumps(text, ensure_ascii=False).encode()):
        await stage.raw(bytes([byte]))
    await stage.finish()


async def _gzip(stage: Stage, match: Match) -> None:
    await stage.open(gzip=True)
    await _some(stage, 50)
    await stage.finish()


async def _big(stage: Stage, match: Match) -> None:
    await stage.open()
    await stage.delta({"content": "x" * 1_000_000})
    await stage.finish()


_SCRIPTS: Final[tuple[tuple[re.Pattern[str], Script], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), script)
    for pattern, script in (
        (r"count (?P<count>\d+)(?: from (?P<first>\d+))?(?: at (?P<rate>[\d.]+)/s)?", _count),
        (r"mute once, count (?P<count>\d+)(?: from (?P<first>\d+))?(?: at (?P<rate>[\d.]+)/s)?", _mute),
        (r"clock (?P<count>\d+) of (?P<bytes>\d+) at (?P<rate>[\d.]+)/s", _clock),
        (r"step (?P<count>\d+)", _step),
        (r"recite(?: at (?P<rate>[\d.]+)/s)? (?P<pieces>\[.*\])", _recite),
        (r"flood (?P<count>\d+)", _flood),
        (r"pour", _pour),
        (r"huge", _huge),
        (r"torn", _torn),
        (r"deep", _deep),
        (r"control", _control),
        (r"wordy", _wordy),
        (r"hang", _hang),
        (r"silence", _silence),
        (r"stall after (?P<count>\d+)", _stall),
        (r"cut after (?P<count>\d+)", _cut),
        (r"torn after (?P<count>\d+)", _torn_after),
        (r"reset after (?P<count>\d+)", _reset),
        (r"vanish", _vanish),
        (r"garbage", _garbage),
        (r"trickle", _trickle),
        (r"chatter after (?P<count>\d+)", _chatter),
        (
            r"status (?P<status>\d+)(?: (?P<times>once|twice|\d+ times))?(?: retry-after (?P<wait>\S+))?",
            _status,
        ),
        (r"page (?P<status>\d+)", _page),
        (r"shout(?: (?P<status>\d+))?", _shout),
        (r"malformed", _malformed),
        (r"error", _error),
        (r"overloaded", _overloaded),
        (r"html", _html),
        (r"json", _json),
        (r"nodone", _nodone),
        (r"nousage", _nousage),
        (r"late", _late),
        (r"cutoff", _cutoff),
        (r"stops for (?P<reason>\w+)", _stops),
        (r"lingers", _lingers),
        (r"absurd usage", _absurd),
        (r"errands (?P<count>\d+)(?: at (?P<rate>[\d.]+)/s)?", _errands),
        (r"tool", _tool),
        (r"reason", _reason),
        (r"empty", _empty),
        (r"blank", _blank),
        (r"surrogate", _surrogate),
        (r"crlf", _crlf),
        (r"dribble", _dribble),
        (r"gzip", _gzip),
        (r"big", _big),
    )
)
