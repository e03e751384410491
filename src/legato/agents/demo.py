"""The demo agent: offline and scripted, to show every feature without a key. It is no model and says so."""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

from legato.agents.demo_memory import NAME
from legato.agents.demo_texts import HELP, INTRODUCTION, MARKDOWN, THOUGHTS
from legato.core.errors import ProviderError
from legato.core.memory import Remembered
from legato.core.model import Message, TextPart

if TYPE_CHECKING:
    from legato.agents.turn import Turn

_PIECE: Final = re.compile(r"\s*\S+\s*")
_ANSWERED: Final = {
    "allowed": "Sent (imaginarily).",
    "denied": "Not sent.",
    "expired": "Nobody answered within an hour, so nothing was sent.",
}
_WORDS_PER_S: Final = 30.0
_APPROVAL_S: Final = 3600.0
_STEPS: Final = 6
_MOST_WORDS: Final = 50_000

Pieces = AsyncGenerator[str, None]


class Demo:
    """``answer`` is what an agent runs. ``sleep`` (seconds) is for tests; only the pace depends on it."""

    def __init__(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._scripts: dict[str, Callable[[Turn, list[str]], Pieces]] = {
            "/help": self._help,
            "/long": self._long,
            "/tool": self._tool,
            "/approve": self._approve,
            "/steer": self._steer,
            "/reason": self._reason,
            "/markdown": self._markdown,
            "/fail": self._fail,
            "/stall": self._stall,
        }

    async def answer(self, turn: "Turn") -> Pieces:
        """Plays the script that the message names, else replies."""
        command, *words = turn.text.split() or [""]
        script = self._scripts.get(command.lower(), self._help if command.startswith("/") else self._reply)
        async for piece in script(turn, words):
            yield piece

    async def _paced(self, pieces: list[str], per_second: float = _WORDS_PER_S) -> Pieces:
        now = asyncio.get_running_loop().time
        due = now()
        for piece in pieces:
            yield piece
            due += 1 / per_second
            await self._sleep(max(0.0, due - now()))

    def _said(self, text: str) -> Pieces:
        return self._paced(_PIECE.findall(text))

    async def _reply(self, turn: "Turn", words: list[str]) -> Pieces:
        async for piece in self._said(_reply_text(turn.history, turn.memories)):
            yield piece

    async def _help(self, turn: "Turn", words: list[str]) -> Pieces:
        yield HELP

    async def _long(self, turn: "Turn", words: list[str]) -> Pieces:
        count = min(int(_number(words, 0, 300)), _MOST_WORDS)
        numbered = [f"w{number}" + (" " if number % 10 else "\n") for number in range(1, count + 1)]
        async for piece in self._paced(numbered, _number(words, 1, 20.0)):
            yield piece

    async def _tool(self, turn: "Turn", words: list[str]) -> Pieces:
        await turn.status("planning")
        yield "I will ask the weather service. "
        await turn.status("executing", "weather")
        call_id = await turn.tool_call("weather", '{"city": "Stockholm"}')
        await self._sleep(1)
        await turn.tool_result(call_id, '{"temperature_c": 7, "sky": "clear"}')
        async for piece in self._said("It is 7 °C in Stockholm, and the sky is clear (so the script says)."):
            yield piece

    async def _approve(self, turn: "Turn", words: list[str]) -> Pieces:
        yield "Before I send anything I ask; I wait as long as it takes, for an hour, over any restart.\n\n"
        answer = await turn.ask("Send the (imaginary) mail?", tool="send_mail", expires_s=_APPROVAL_S)
        yield _ANSWERED[answer]

    async def _steer(self, turn: "Turn", words: list[str]) -> Pieces:
        for step in range(1, _STEPS + 1):
            await turn.status("executing", f"step {step} of {_STEPS}")
            for message in await turn.steering():
                yield f"\n\nYou steer: “{message}”. I go on with that in mind.\n\n"
            async for piece in self._said(f"Step {step} of {_STEPS} is being done, with care and patience.\n"):
                yield piece
            await self._sleep(2)

    async def _reason(self, turn: "Turn", words: list[str]) -> Pieces:
        await turn.status("planning")
        async for thought in self._said(THOUGHTS):
            await turn.reasoning(thought)
        async for piece in self._said("The thoughts above are not part of this answer."):
            yield piece

    async def _markdown(self, turn: "Turn", words: list[str]) -> Pieces:
        async for piece in self._said(MARKDOWN):
            yield piece

    async def _fail(self, turn: "Turn", words: list[str]) -> Pieces:
        async for piece in self._said("This answer begins well, but "):
            yield piece
        raise ProviderError("The demo agent failed because you asked it to.")

    async def _stall(self, turn: "Turn", words: list[str]) -> Pieces:
        async for piece in self._said("I say this much, and now I am silent until you stop me."):
            yield piece
        await asyncio.get_running_loop().create_future()


demo: Final = Demo().answer


def _reply_text(history: tuple[Message, ...], memories: tuple[Remembered, ...] = ()) -> str:
    said = [_text(message) for message in history if message.role == "user"]
    names = [found[1] for text in said if (found := NAME.search(text))]
    names = names[-1:] or [memory.text for memory in memories if memory.kind == "names"][:1]
    greeting = (f"Hello {names[0]}! " if names else "Hello! ") + _recollection(memories)
    if len(said) < 2:
        return greeting + INTRODUCTION
    before = " ".join(said[-2].split())
    return (
        f"{greeting}That was message number {len(said)} of this conversation. "
        f"The one before it was: “{before[:80]}{'…' if len(before) > 80 else ''}” "
        "(I am the demo agent; /help shows what I can do.)"
    )


def _recollection(memories: tuple[Remembered, ...]) -> str:
    liked = [f"you {memory.kind[:-1]} {memory.text}" for memory in memories if memory.kind in ("likes", "dislikes")]
    return f"I remember that {' and '.join(liked[:3])}. " if liked else ""


def _text(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


def _number(words: list[str], at: int, default: float) -> float:
    """The positive number that stands there, else ``default``."""
    try:
        number = float(words[at])
    except (IndexError, ValueError):
        return default
    return number if 0 < number < 1e9 else default
