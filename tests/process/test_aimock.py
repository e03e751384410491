"""What a model's server does that nobody here wrote: npm's ``@copilotkit/aimock``, its answers and its faults (promise R-12).

It checks keys and that a request is one at all; how strictly it may be, our own validator says, of the bodies in its journal.
"""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.process.aimock import KEY, Aimock
from tests.process.misery import SYSTEM, Misery, all_of, asked_for, fine, good_after, short
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import access

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

Fixture = dict[str, Any]

POEM: Final = "Så här säger modellen: \N{WINE GLASS} 日本.\n\nOch så en rad till, för säkerhets skull."
WORDS: Final = "one two three four five six seven eight"
SPLIT: Final = {"chunkSize": 4}
CALL: Final = {"name": "weather", "arguments": {"city": "Paris"}}


def text(content: str, **how: Any) -> Fixture:
    return {"response": {"content": content}, **how}


def refusing(status: int, message: str = "Go away.", **how: Any) -> Fixture:
    return {"response": {"error": {"message": message}, "status": status, **how}}


def chaos(**rates: int) -> Fixture:
    return text("Never said.", chaos=rates)


# The misery, and how aimock is told to bring it about: by one fixture, or by several in turn.
MISERIES: Final[tuple[tuple[Misery, tuple[Fixture, ...]], ...]] = (
    (fine("says a poem", POEM, of="openai"), (text(POEM),)),
    (fine("says it by the letter", POEM, of="openai"), (text(POEM, chunkSize=1),)),
    (fine("speaks slowly", POEM, of="openai"), (text(POEM, streamingProfile={"ttft": 300, "tps": 40, "jitter": 0.5}),)),
    (fine("thinks", "Hello.", of="openai"), ({"response": {"content": "Hello.", "reasoning": "Hmm. " * 20}},)),
    (
        Misery("speaks and calls", None, "Hello.", of="openai", status="completed", reason="tool_calls"),
        ({"response": {"content": "Hello.", "toolCalls": [CALL]}},),
    ),
    (
        Misery("calls and speaks", None, "Hello.", of="openai", status="completed", reason="tool_calls"),
        ({"response": {"blocks": [{"type": "toolCall", **CALL}, {"type": "text", "text": "Hello."}]}},),
    ),
    (Misery("only calls", "empty_answer", of="openai"), ({"response": {"toolCalls": [CALL, CALL]}},)),
    (Misery("says a blank", "empty_answer", " ", of="openai"), (text(" "),)),
    (
        short("runs out of room", "length", WORDS, of="openai"),
        ({"response": {"content": WORDS, "finishReason": "length"}},),
    ),
    (
        short("is shocked", "content_filter", WORDS, of="openai"),
        ({"response": {"content": WORDS, "finishReason": "content_filter"}},),
    ),
    (Misery("refuses", "provider_refused", of="openai"), (refusing(400, "No. " * 50_000),)),
    (Misery("limits", "provider_busy", tries=3, of="openai"), (refusing(429, retryAfter=0),)),
    (Misery("fails", "provider_error", tries=3, of="openai"), (refusing(500),)),
    (fine("limits once", WORDS, tries=2, of="openai"), (refusing(429, retryAfter=1), text(WORDS))),
    (fine("fails twice", WORDS, tries=3, of="openai"), (refusing(503), refusing(502), text(WORDS))),
    (Misery("knows no such words", "provider_busy", tries=3, of="openai"), ()),
    (Misery("knows us not", "provider_refused", tries=0, of="stranger"), (text(WORDS),)),
    (Misery("drops us", "provider_error", tries=3, of="openai"), (chaos(dropRate=1),)),
    (Misery("limits by chance", "provider_busy", tries=3, of="openai"), (chaos(rateLimitRate=1),)),
    (Misery("babbles", "provider_nonsense", of="openai"), (chaos(malformedRate=1),)),
    (Misery("hangs up", "provider_unreachable", tries=3, of="openai"), (chaos(disconnectRate=1),)),
    (Misery("hangs", "provider_timeout", tries=0, of="hasty"), (chaos(latencyMs=30_000),)),
    (
        Misery("stalls", "provider_timeout", "one two ", of="fluent"),
        (text(WORDS, recordedTimings={"ttftMs": 0, "interChunkDelaysMs": [0, 0, 60_000]}, **SPLIT),),
    ),
    (
        Misery("is cut after four pieces", "provider_cut", "one two ", of="openai"),
        (text(WORDS, latency=50, truncateAfterChunks=4, **SPLIT),),
    ),
    (
        Misery("is cut by the clock", "provider_cut", "one ", of="openai"),
        (
            text(
                WORDS, recordedTimings={"ttftMs": 0, "interChunkDelaysMs": [0, 60_000]}, disconnectAfterMs=1000, **SPLIT
            ),
        ),
    ),
)


@pytest.mark.promise("A-03", "R-05", "R-12", "C-05")
async def test_its_answers_arrive_and_its_faults_end_typed(database: str, nursery: Nursery, tmp_path: Path) -> None:
    with Aimock(fixtures(), tmp_path) as aimock:
        config = tmp_path / "legato.toml"
        config.write_text(configuration(aimock.url))
        environment = {
            "LEGATO_CONFIG": str(config),
            "OPENAI_BASE_URL": aimock.url,
            "OPENAI_API_KEY": KEY,
            "WRONG": "sk-no",
        }
        with ForkedServer(nursery, database, environment, log=tmp_path / "server.log") as server:
            async with access(server.url) as to:
                found = await all_of([misery for misery, _ in MISERIES], to, aimock)
    assert not found, "\n".join(found)


def fixtures() -> list[Fixture]:
    """The good turns first: aimock looks for a word of the user's, and he may have said more than one thing by then.

    A longer word stands before a shorter one that it contains.
    """
    found = [
        {"match": {"userMessage": asked_for(good_after(index))}, **text(good_after(index).text)} for index in _all()
    ]
    for misery, answers in sorted(MISERIES, key=lambda one: -len(one[0].asks)):
        for number, answer in enumerate(answers):
            turn = {"sequenceIndex": number} if len(answers) > 1 else {}
            found.append({"match": {"userMessage": misery.asks, **turn}, **answer})
    return found


def _all() -> range:
    return range(len(MISERIES))


def configuration(url: str) -> str:
    """The provider ``openai`` comes from the environment; these have less patience, or another key."""
    return f"""
[[agents]]
id = "model"
system = "{SYSTEM}"
model = "openai:m"

[providers.hasty]
base_url = "{url}"
api_key_env = "OPENAI_API_KEY"
first_token_timeout_s = 1.0

[providers.fluent]
base_url = "{url}"
api_key_env = "OPENAI_API_KEY"
between_tokens_timeout_s = 1.0

[providers.claude]
kind = "anthropic"
base_url = "{url}"
api_key_env = "OPENAI_API_KEY"

[providers.claude_stranger]
kind = "anthropic"
base_url = "{url}"
api_key_env = "WRONG"

[providers.stranger]
base_url = "{url}"
api_key_env = "WRONG"
"""
