"""What is sent to a model: legal for the strictest provider, and never larger than the budget.

Legal (promise C-05): after the system prompt user and assistant alternate, a user speaks first and last, every tool call
is followed by its result, nothing is empty. A history damaged by any interruption comes out legal.

Budget (promises C-01, C-02): the oldest whole turns fall out first, the system prompt and the newest message never. Memories
(T-03) stand in the system prompt, within a budget of their own, and only where these two leave room.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final, Literal

import msgspec

from legato.core import recall
from legato.core.errors import ContextOverflow
from legato.core.memory import Remembered
from legato.core.model import ContextInfo, Message, TextPart, ToolCallPart, ToolResultPart
from legato.core.tokens import CountTokens as CountTokens
from legato.core.tokens import estimate_tokens as estimate_tokens

MESSAGE_OVERHEAD: Final = 8  # tokens for role and separators; OpenAI's cookbook counts 3 to 4 per message
BEGINNING: Final = "(Open the conversation: nobody has written yet.)"
OPENING: Final = "(The assistant opened the conversation.)"
INTERRUPTED: Final = "[This answer was interrupted before its end.]"
WORDLESS: Final = "[This answer ended with its tools' results.]"
NOT_STARTED: Final = "not_started: the turn ended before this call was begun."
OUTCOME_UNKNOWN: Final = "outcome_unknown: the turn ended before this call's result was recorded."


class PromptCall(msgspec.Struct, frozen=True):
    """A tool call in a prompt."""

    call_id: str
    name: str
    arguments: str


class PromptMessage(msgspec.Struct, frozen=True):
    """One message for a provider. Role ``tool`` carries ``call_id``; an assistant may carry ``calls``."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple[PromptCall, ...] = ()
    call_id: str | None = None


class Prompt(msgspec.Struct, frozen=True):
    """The messages, and what they came to."""

    messages: tuple[PromptMessage, ...]
    info: ContextInfo


class Budget(msgspec.Struct, frozen=True):
    """``window``, ``reserve`` for the answer, ``memory`` for memories, all in tokens; ``tail`` in messages, 0 for all."""

    window: int
    reserve: int
    tail: int = 60
    memory: int = 0

    @property
    def prompt_tokens(self) -> int:
        return max(0, self.window - self.reserve)


def count_prompt(messages: Iterable[PromptMessage], count: CountTokens) -> int:
    """Tokens of a whole prompt."""
    return sum(_count(message, count) for message in messages)


def _count(message: PromptMessage, count: CountTokens) -> int:
    calls = sum(MESSAGE_OVERHEAD + count(call.name) + count(call.arguments) for call in message.calls)
    return MESSAGE_OVERHEAD + count(message.content) + calls


def build_prompt(
    system: str,
    history: Sequence[Message],
    budget: Budget,
    count: CountTokens,
    memories: Sequence[Remembered] = (),
) -> Prompt:
    """The prompt for answering the newest message of ``history`` (oldest first; it ends with a user's message).

    ``memories`` are the most important first; those that find no room are left out.

    Raises:
        ContextOverflow: system prompt and newest message alone exceed the budget; ``details`` has the numbers.
    """
    groups = [list(group) for _, group in groupby(history, key=lambda message: message.turn_id)]
    limit = budget.prompt_tokens
    head, remembered = _system(system), 0
    if memories and groups:
        room = limit - _cost(_expanded(groups[-1]), count, newest=True)
        head, remembered = _with_memories(
            system, memories, min(budget.memory, room - count_prompt(head, count)), room, count
        )
    spent = count_prompt(head, count)
    kept: list[list[PromptMessage]] = []
    kept_messages = 0
    for group in reversed(groups):
        if kept and budget.tail and kept_messages + len(group) > budget.tail:
            break
        prompt = _expanded(group)
        cost = _cost(prompt, count, newest=not kept)
        if spent + cost > limit:
            if not kept:
                raise ContextOverflow(
                    f"The message does not fit: it needs {spent + cost} tokens of context and the model has room for {limit}.",
                    needed=spent + cost,
                    available=limit,
                    window=budget.window,
                    reserved=budget.reserve,
                )
            break
        kept.append(prompt)
        kept_messages += len(group)
        spent += cost
    messages = head + tuple(_alternate([message for group in reversed(kept) for message in group]))
    info = ContextInfo(
        messages=kept_messages,
        tokens=count_prompt(messages, count),
        dropped=len(history) - kept_messages,
        budget=limit,
        memories=remembered,
    )
    return Prompt(messages, info)


def _system(content: str) -> tuple[PromptMessage, ...]:
    return (PromptMessage("system", content),) if content.strip() else ()


def _with_memories(
    system: str, memories: Sequence[Remembered], allowed: int, room: int, count: CountTokens
) -> tuple[tuple[PromptMessage, ...], int]:
    """The system prompt with as many memories as come to ``allowed`` tokens and leave it within ``room``; and how many."""
    kept = recall.fitting(memories, allowed, count)
    while kept:  # a tokenizer may make more of the whole than of its lines
        head = _system(f"{system}\n\n{recall.block(kept)}" if system.strip() else recall.block(kept))
        if count_prompt(head, count) <= room:
            return head, len(kept)
        kept = kept[:-1]
    return _system(system), 0


def _expanded(group: Sequence[Message]) -> list[PromptMessage]:
    return [expanded for message in group for expanded in _expand(message)]


def _cost(prompt: Sequence[PromptMessage], count: CountTokens, *, newest: bool) -> int:
    """Whatever is joined or inserted when turns meet must fit too: one overhead and the opening line a turn."""
    return count_prompt(prompt, count) + MESSAGE_OVERHEAD + (count(OPENING) + MESSAGE_OVERHEAD if newest else 0)


def _expand(message: Message) -> list[PromptMessage]:
    """A stored message as a provider wants it: text, then calls, then their results, again and again."""
    if message.role == "user":
        said = "".join(part.text for part in message.parts if isinstance(part, TextPart))
        return [PromptMessage("user", said)] if said.strip() else []
    results = {part.call_id: part for part in message.parts if isinstance(part, ToolResultPart)}
    out: list[PromptMessage] = []
    text: list[str] = []
    calls: list[PromptCall] = []
    answered = False
    for part in message.parts:
        if isinstance(part, TextPart):
            if calls:
                out += _with_results("".join(text), calls, results)
                text, calls, answered = [], [], False
            text.append(part.text)
        elif isinstance(part, ToolCallPart):
            if answered:  # a model's next call, not one beside the others
                out += _with_results("".join(text), calls, results)
                text, calls, answered = [], [], False
            calls.append(PromptCall(part.call_id, part.name, _arguments(part.arguments)))
        elif isinstance(part, ToolResultPart):
            answered = bool(calls)
    if calls:
        out += _with_results("".join(text), calls, results)
        text = []
    rest = "".join(text)
    if message.status in ("incomplete", "cancelled", "failed") and (rest.strip() or out):
        rest = f"{rest}\n\n{INTERRUPTED}" if rest.strip() else INTERRUPTED
    elif message.status == "completed" and out and not rest.strip():
        rest = WORDLESS
    if rest.strip():
        out.append(PromptMessage("assistant", rest))
    return out


def _with_results(text: str, calls: list[PromptCall], results: dict[str, ToolResultPart]) -> list[PromptMessage]:
    answers = [PromptMessage("tool", _result_text(results.get(call.call_id)), (), call.call_id) for call in calls]
    return [PromptMessage("assistant", text, tuple(calls)), *answers]


def _arguments(written: str) -> str:
    """Strict servers parse the arguments: what broke off in the middle would make them refuse the whole history."""
    try:
        return written if isinstance(msgspec.json.decode(written), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def _result_text(result: ToolResultPart | None) -> str:
    if result is None:
        return OUTCOME_UNKNOWN
    return result.output if result.output.strip() else "(empty)"


def _alternate(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    out: list[PromptMessage] = []
    for message in messages:
        last = out[-1] if out else None
        if last is None and message.role != "user":
            out.append(PromptMessage("user", OPENING))
        if last is not None and last.role == message.role != "tool" and not last.calls:
            joined = f"{last.content}\n\n{message.content}" if message.content else last.content
            out[-1] = PromptMessage(last.role, joined, message.calls)
        else:
            out.append(message)
    return out
