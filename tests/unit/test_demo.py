"""The demo agent's scripts, against a turn that notes what is said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import anyio
import pytest

from legato.agents.builtin import assistant
from legato.agents.demo import Demo
from legato.agents.demo_memory import KINDS
from legato.agents.demo_side import demo_side
from legato.agents.turn import Answer, Turn
from legato.core.errors import ProviderError
from legato.core.memory import SYSTEM, Remembered, parse, transcribe
from legato.core.model import Message, Role, TextPart
from legato.core.states import Phase

pytestmark = [pytest.mark.anyio, pytest.mark.promise("A-03")]


class Noted:
    """What an agent sees of a turn; ``steers`` are handed over one tuple at a time."""

    def __init__(
        self,
        *said: str,
        steers: tuple[tuple[str, ...], ...] = (),
        memories: tuple[Remembered, ...] = (),
        answer: Answer = "allowed",
    ) -> None:
        self.text = said[-1]
        self.memories = memories
        self.history = tuple(_message(text, "assistant" if index % 2 else "user") for index, text in enumerate(said))
        self.noted: list[tuple[str, ...]] = []
        self.answer: Answer = answer
        self._steers = list(steers)

    async def stream(self) -> AsyncIterator[str]:
        for piece in ("from ", "the model"):
            yield piece

    async def status(self, phase: Phase, detail: str | None = None) -> None:
        self.noted.append(("status", phase))

    async def reasoning(self, text: str) -> None:
        self.noted.append(("reasoning", text))

    async def tool_call(self, name: str, arguments: str) -> str:
        self.noted.append(("call", name, arguments))
        return "call_1"

    async def tool_result(self, call_id: str, output: str, *, is_error: bool = False) -> None:
        self.noted.append(("result", call_id, output))

    async def ask(self, question: str, *, tool: str | None = None, expires_s: float = 0.0) -> Answer:
        self.noted.append(("ask", question, tool or ""))
        return self.answer

    async def steering(self) -> tuple[str, ...]:
        return self._steers.pop(0) if self._steers else ()


def _message(text: str, role: Role) -> Message:
    return Message(
        id=f"msg_{text}",
        session_id="ses_1",
        turn_id="trn_1",
        role=role,
        status="completed",
        created_at=datetime.now(UTC),
        parts=(TextPart(text),),
    )


class Pace:
    """Takes the place of ``asyncio.sleep``."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


async def answer(turn: Noted, pace: Pace | None = None) -> str:
    said = Demo(sleep=pace or Pace()).answer(_as_turn(turn))
    return "".join([piece async for piece in said])


def _as_turn(turn: Noted) -> Turn:
    return turn  # type: ignore[return-value]


async def test_it_says_what_it_is() -> None:
    said = await answer(Noted("Hi"))

    assert "demo agent: scripted and offline" in said
    assert "/help" in said


async def test_it_remembers_what_was_said_before() -> None:
    said = await answer(Noted("Hi, my name is Ada.", "Hello Ada!", "What did I say?"))

    assert said.startswith("Hello Ada! That was message number 2")
    assert "“Hi, my name is Ada.”" in said


@pytest.mark.promise("T-03")
async def test_it_greets_by_a_remembered_name_and_says_what_it_remembers() -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    known = [("dislikes", "olives"), ("likes", "Barolo"), ("names", "Ada"), ("names", "Bob")]
    memories = tuple(Remembered(kind, text, at) for kind, text in known)

    said = await answer(Noted("Hi", memories=memories))
    assert said.startswith("Hello Ada! I remember that you dislike olives and you like Barolo. This is the demo")
    assert (await answer(Noted("My name is Eve", memories=memories))).startswith("Hello Eve! ")


@pytest.mark.promise("T-02")
@pytest.mark.parametrize(
    ("said", "facts"),
    [
        ("My name is Ada and I love Barolo, mostly.", [("names", "Ada"), ("likes", "Barolo")]),
        ("I don't like olives. I really enjoy tea!", [("likes", "tea"), ("dislikes", "olives")]),
        (
            "Jag heter Åsa. Jag gillar bullar, jag gillar inte lakrits",
            [("names", "Åsa"), ("likes", "bullar"), ("dislikes", "lakrits")],
        ),
        ("Меня зовут Вера. Я люблю чай; я не люблю кофе", [("names", "Вера"), ("likes", "чай"), ("dislikes", "кофе")]),
        ("Is there anything to like about rain?", []),
    ],
)
async def test_it_draws_memories_by_rules(said: str, facts: list[tuple[str, str]]) -> None:
    told = transcribe(Noted("I love rain", "You love rain, I hear", said).history, KINDS, known_id="msg_I love rain")
    drawn = parse(await demo_side(SYSTEM, told.text), KINDS, told.sources)

    assert [(fact.kind, fact.text) for fact in drawn] == facts
    assert {fact.message_id for fact in drawn} <= {f"msg_{said}"}


@pytest.mark.parametrize("text", ["/help", "/HELP me", "/nonsense"])
async def test_help_names_every_command(text: str) -> None:
    said = await answer(Noted(text))

    commands = ["/long", "/tool", "/approve", "/steer", "/reason", "/markdown", "/fail", "/stall"]
    assert [command for command in commands if command not in said] == []


@pytest.mark.parametrize(
    ("text", "words", "per_second"),
    [("/long 7 10", 7, 10.0), ("/long", 300, 20.0), ("/long x -1", 300, 20.0), ("/long 999999999 1e8", 50_000, 1e8)],
)
async def test_long_answers_are_numbered_and_paced(text: str, words: int, per_second: float) -> None:
    pace = Pace()
    said = await answer(Noted(text), pace)

    assert said.split() == [f"w{number}" for number in range(1, words + 1)]
    assert pace.slept[0] < 1.01 / per_second
    assert len(pace.slept) == words


async def test_a_tool_is_called_and_answers() -> None:
    turn = Noted("/tool")
    said = await answer(turn)

    assert turn.noted == [
        ("status", "planning"),
        ("status", "executing"),
        ("call", "weather", '{"city": "Stockholm"}'),
        ("result", "call_1", '{"temperature_c": 7, "sky": "clear"}'),
    ]
    assert "7 °C" in said


@pytest.mark.promise("R-10")
@pytest.mark.parametrize(
    ("given", "end"),
    [("allowed", "Sent (imaginarily)."), ("denied", "Not sent."), ("expired", "nothing was sent.")],
)
async def test_it_asks_before_it_sends(given: Answer, end: str) -> None:
    turn = Noted("/approve", answer=given)

    said = await answer(turn)

    assert turn.noted == [("ask", "Send the (imaginary) mail?", "send_mail")]
    assert said.endswith(end)


async def test_steering_is_taken_between_steps() -> None:
    turn = Noted("/steer", steers=((), (), ("in verse", "and shorter")))
    said = await answer(turn)

    assert said.index("Step 2 of") < said.index("“in verse”") < said.index("“and shorter”") < said.index("Step 3 of")
    assert turn.noted == [("status", "executing")] * 6


async def test_thoughts_are_not_part_of_the_answer() -> None:
    turn = Noted("/reason")
    said = await answer(turn)

    thoughts = "".join(note[1] for note in turn.noted if note[0] == "reasoning")
    assert thoughts.startswith("The question asks")
    assert thoughts not in said


async def test_markdown_keeps_its_lines() -> None:
    said = await answer(Noted("/markdown"))

    assert said.startswith("# A heading\n\n")
    assert "\n```python\ndef fibonacci(n: int) -> int:\n    return n if" in said


@pytest.mark.promise("R-12")
async def test_it_fails_when_asked_to_after_some_text() -> None:
    pieces = Demo(sleep=Pace()).answer(_as_turn(Noted("/fail")))

    assert await anext(pieces) == "This "
    with pytest.raises(ProviderError, match="because you asked"):
        _ = [piece async for piece in pieces]


async def test_it_stalls_until_it_is_cancelled() -> None:
    spoken = asyncio.Event()

    async def read() -> None:
        async with aclosing(Demo(sleep=Pace()).answer(_as_turn(Noted("/stall")))) as pieces:
            async for piece in pieces:
                if piece.startswith("stop "):
                    spoken.set()

    task = asyncio.ensure_future(read())
    with anyio.fail_after(5):
        await spoken.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


@pytest.mark.promise("A-01")
async def test_the_assistant_is_the_model() -> None:
    assert "".join([piece async for piece in assistant(_as_turn(Noted("Hi")))]) == "from the model"
