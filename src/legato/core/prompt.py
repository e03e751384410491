"""What is sent to a model: legal for the strictest provider, and never larger than the budget.

Legal (promise C-05): after the system prompt user and assistant alternate, a user speaks first and last, every tool call
is followed by its result, nothing is empty. A history damaged by any interruption comes out legal.

Budget (promises C-01, C-02): the oldest whole turns fall out first, the system prompt and the newest message never. Memories
(T-03) stand in the system prompt, within a budget of their own, and only where these two leave room.

Files (promise S-18) stand beside the words of their message, and cost what their parts say. Those that the model can't take,
and the oldest beyond what one request carries, leave a line that says so. Their content comes later, when the request is built.
"""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Final, Literal

import msgspec

from legato.core import files, recall
from legato.core.errors import ContextOverflow
from legato.core.memory import Remembered
from legato.core.model import ContextInfo, FilePart, Message, TextPart, ToolCallPart, ToolResultPart
from legato.core.tokens import CountTokens as CountTokens
from legato.core.tokens import estimate_tokens as estimate_tokens

MESSAGE_OVERHEAD: Final = 8  # tokens for role and separators; OpenAI's cookbook counts 3 to 4 per message
BEGINNING: Final = "(Open the conversation: nobody has written yet.)"
OPENING: Final = "(The assistant opened the conversation.)"
INTERRUPTED: Final = "[This answer was interrupted before its end.]"
WORDLESS: Final = "[This answer ended with its tools' results.]"
OUTCOME_UNKNOWN: Final = "outcome_unknown: the turn ended before this call's result was recorded."


class PromptCall(msgspec.Struct, frozen=True):
    """A tool call in a prompt."""

    call_id: str
    name: str
    arguments: str


class PromptFile(msgspec.Struct, frozen=True):
    """A file in a prompt: what its part says, and its bytes once they are there (``agents.attachments``)."""

    file_id: str
    name: str
    media_type: str
    size: int
    tokens: int
    content: bytes = b""


class PromptMessage(msgspec.Struct, frozen=True):
    """One message for a provider. Role ``tool`` carries ``call_id``; an assistant may carry ``calls``, a user ``files``.

    Files come before the words, which may be none then. Texts among them are part of the words when a provider is asked.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple[PromptCall, ...] = ()
    call_id: str | None = None
    files: tuple[PromptFile, ...] = ()


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
    attached = sum(_count_file(file, count) for file in message.files)
    return MESSAGE_OVERHEAD + count(message.content) + calls + attached


def _count_file(file: PromptFile, count: CountTokens) -> int:
    around = files.inlined(file.file_id, file.name, "") if file.media_type == files.TEXT else file.name
    return MESSAGE_OVERHEAD + file.tokens + count(around)


def without_files(message: PromptMessage, capabilities: Collection[str]) -> PromptMessage:
    """The message for a model of these capabilities: a line stands for each file that it can't take."""
    lines = {
        file.file_id: files.unseen(file.name, file.media_type, files.cannot(file.media_type))
        for file in message.files
        if (wanted := files.capability(file.media_type)) != "text" and wanted not in capabilities
    }
    return _replaced(message, lines) if lines else message


def _replaced(message: PromptMessage, lines: dict[str, str]) -> PromptMessage:
    said = "\n".join(lines[file.file_id] for file in message.files if file.file_id in lines)
    return msgspec.structs.replace(
        message,
        content=_joined(said, message.content),
        files=tuple(file for file in message.files if file.file_id not in lines),
    )


def _joined(before: str, after: str) -> str:
    return f"{before}\n\n{after}" if before and after else before or after


def build_prompt(
    system: str,
    history: Sequence[Message],
    budget: Budget,
    count: CountTokens,
    memories: Sequence[Remembered] = (),
    capabilities: Collection[str] = (),
) -> Prompt:
    """The prompt for answering the newest message of ``history`` (oldest first; it ends with a user's message).

    ``memories`` are the most important first; those that find no room are left out. ``capabilities`` are the model's: what
    files it takes.

    Raises:
        ContextOverflow: system prompt and newest message alone exceed the budget; ``details`` has the numbers.
    """
    groups = [list(group) for _, group in groupby(history, key=lambda message: message.turn_id)]
    limit = budget.prompt_tokens
    head, remembered = _system(system), 0
    if memories and groups:
        room = limit - _cost(_expanded(groups[-1], capabilities), count, newest=True)
        head, remembered = _with_memories(
            system, memories, min(budget.memory, room - count_prompt(head, count)), room, count
        )
    spent = count_prompt(head, count)
    kept: list[list[PromptMessage]] = []
    kept_messages = 0
    for group in reversed(groups):
        if kept and budget.tail and kept_messages + len(group) > budget.tail:
            break
        prompt = _expanded(group, capabilities)
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
    messages = head + tuple(_alternate(_carried([message for group in reversed(kept) for message in group])))
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


def _expanded(group: Sequence[Message], capabilities: Collection[str]) -> list[PromptMessage]:
    return [without_files(expanded, capabilities) for message in group for expanded in _expand(message)]


def _carried(messages: Sequence[PromptMessage]) -> list[PromptMessage]:
    """The messages with no more of images and documents than a request carries: the newest stay."""
    left = files.MOST_SENT_BYTES
    out: list[PromptMessage] = []
    for message in reversed(messages):
        lines: dict[str, str] = {}
        for file in reversed(message.files):
            if file.media_type == files.TEXT:
                continue
            left -= file.size
            if left < 0:
                lines[file.file_id] = files.unseen(file.name, file.media_type, "too much to be sent again")
        out.append(_replaced(message, lines) if lines else message)
    return out[::-1]


def _cost(prompt: Sequence[PromptMessage], count: CountTokens, *, newest: bool) -> int:
    """Whatever is joined or inserted when turns meet must fit too: one overhead and the opening line a turn."""
    return count_prompt(prompt, count) + MESSAGE_OVERHEAD + (count(OPENING) + MESSAGE_OVERHEAD if newest else 0)


def _expand(message: Message) -> list[PromptMessage]:
    """A stored message as a provider wants it: text, then calls, then their results, again and again."""
    if message.role == "user":
        said = "".join(part.text for part in message.parts if isinstance(part, TextPart))
        attached = tuple(_file(part) for part in message.parts if isinstance(part, FilePart))
        return [PromptMessage("user", said if said.strip() else "", files=attached)] if said.strip() or attached else []
    results = {part.call_id: part for part in message.parts if isinstance(part, ToolResultPart)}
    out: list[PromptMessage] = []
    text: list[str] = []
    calls: list[PromptCall] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            if calls:
                out += _with_results("".join(text), calls, results)
                text, calls = [], []
            text.append(part.text)
        elif isinstance(part, ToolCallPart):
            calls.append(PromptCall(part.call_id, part.name, _arguments(part.arguments)))
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


def _file(part: FilePart) -> PromptFile:
    return PromptFile(part.file_id, part.name, part.media_type, part.size, part.tokens)


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
            out[-1] = PromptMessage(
                last.role,
                _joined(last.content, message.content),
                message.calls,
                files=last.files + message.files,
            )
        else:
            out.append(message)
    return out
