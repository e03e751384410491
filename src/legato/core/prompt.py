"""What is sent to a model: legal for the strictest provider, and never larger than the budget.

Legal (promise C-05): after the system prompt user and assistant alternate, a user speaks first and last, every tool call
is followed by its result, nothing is empty. A history damaged by any interruption comes out legal.

Budget (promises C-01 to C-03): the oldest whole turns fall out first, the system prompt, the newest message and what is pinned
never. A summary, in the user's name, stands for turns of long ago. Memories (T-03) stand in the system prompt, within a budget
of their own, and only where all these leave room.

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
from legato.core.model import ContextInfo, FilePart, Message, Summary, TextPart, ToolCallPart, ToolResultPart
from legato.core.summary import block
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


class Earlier(msgspec.Struct, frozen=True):
    """What stands before the messages that an agent looks at, or among them.

    ``summary`` stands for the oldest of the branch, and ``since`` is how many messages follow those, up to the newest.
    ``pinned`` are messages that never fall out, with the questions that pinned answers answer, the oldest first; ``covered`` is
    how many of them the summary tells of, too.
    """

    summary: Summary | None = None
    since: int = 0
    pinned: tuple[Message, ...] = ()
    covered: int = 0


NOTHING: Final = Earlier()


def build_prompt(
    system: str,
    history: Sequence[Message],
    budget: Budget,
    count: CountTokens,
    memories: Sequence[Remembered] = (),
    earlier: Earlier = NOTHING,
    capabilities: Collection[str] = (),
) -> Prompt:
    """The prompt for answering the newest message of ``history`` (oldest first; it ends with a user's message).

    ``memories`` are the most important first; those that find no room are left out. ``capabilities`` are the model's: what
    files it takes.

    Raises:
        ContextOverflow: system prompt, newest message and what is pinned alone exceed the budget; ``details`` has the numbers.
    """
    return _Building(system, history, budget, count, earlier, capabilities).build(memories)


class _Building:
    """One prompt: what must be in is counted first, then what may, the newest turns before the older ones."""

    def __init__(
        self,
        system: str,
        history: Sequence[Message],
        budget: Budget,
        count: CountTokens,
        earlier: Earlier,
        capabilities: Collection[str],
    ) -> None:
        self._system = system
        self._budget = budget
        self._limit = budget.prompt_tokens
        self._count = count
        self._earlier = earlier
        self._capabilities = capabilities
        self._newest = _after(history, earlier.summary)
        held = {message.id for message in self._newest}
        self._before = [message for message in earlier.pinned if message.id not in held]
        self._turns = [list(turn) for _, turn in groupby(self._newest, key=lambda message: message.turn_id)]
        asked = {message.parent_id for message in self._newest if message.pinned and message.role == "assistant"}
        self._pinned = {
            at: pinned
            for at, turn in enumerate(self._turns[:-1])
            if (pinned := [message for message in turn if message.pinned or message.id in asked])
        }

    def build(self, memories: Sequence[Remembered]) -> Prompt:
        bare = _system(self._system)
        must = sum(self._cost(pinned) for pinned in [self._before, *self._pinned.values()])
        if self._turns:
            must += self._cost(self._turns[-1], newest=True)
        self._refuse(count_prompt(bare, self._count) + must)
        summary = self._summary(self._limit - must - count_prompt(bare, self._count))
        must += _cost(summary, self._count, newest=False) if summary else 0
        head, remembered = bare, 0
        if memories and self._turns:
            room = self._limit - must
            allowed = min(self._budget.memory, room - count_prompt(bare, self._count))
            head, remembered = _with_memories(self._system, memories, allowed, room, self._count)
        first = self._first(count_prompt(head, self._count) + must)
        pinned = [self._before, *(pinned for at, pinned in self._pinned.items() if at < first)]
        told = [message for turn in [*pinned, *self._turns[first:]] for message in _expanded(turn, self._capabilities)]
        messages = head + tuple(_alternate([*summary, *_carried(told)]))
        included = sum(map(len, pinned)) + sum(map(len, self._turns[first:]))
        return Prompt(messages, self._info(messages, included, summarised=bool(summary), remembered=remembered))

    def _cost(self, messages: Sequence[Message], *, newest: bool = False) -> int:
        return _cost(_expanded(messages, self._capabilities), self._count, newest=newest) if messages else 0

    def _refuse(self, needed: int) -> None:
        if needed > self._limit:
            pinned = ", with what is pinned" if self._before or self._pinned else ""
            raise ContextOverflow(
                f"The message does not fit{pinned}: it needs {needed} tokens of context and the model has room for "
                f"{self._limit}.",
                needed=needed,
                available=self._limit,
                window=self._budget.window,
                reserved=self._budget.reserve,
            )

    def _summary(self, room: int) -> list[PromptMessage]:
        """The summary, if there is one and it has room."""
        if self._earlier.summary is None:
            return []
        said = [PromptMessage("user", block(self._earlier.summary.text))]
        return said if _cost(said, self._count, newest=False) <= room else []

    def _first(self, spent: int) -> int:
        """The turn from which on all are in. The newest is, and what is pinned has been counted."""
        first, messages = max(0, len(self._turns) - 1), len(self._turns[-1]) if self._turns else 0
        for at in range(first - 1, -1, -1):
            messages += len(self._turns[at])
            spent += self._cost(self._turns[at]) - self._cost(self._pinned.get(at, ()))
            if spent > self._limit or (self._budget.tail and messages > self._budget.tail):
                break
            first = at
        return first

    def _info(
        self, prompt: tuple[PromptMessage, ...], included: int, *, summarised: bool, remembered: int
    ) -> ContextInfo:
        earlier = self._earlier
        looked_at, covered = len(self._newest) + len(self._before), 0
        if earlier.summary is not None:
            own = sum(message.id == "" for message in self._newest)  # of this turn: no message yet
            looked_at = max(looked_at, earlier.since + own + earlier.covered)
            covered = earlier.summary.messages - earlier.covered
        return ContextInfo(
            messages=included,
            tokens=count_prompt(prompt, self._count),
            dropped=looked_at - included + (0 if summarised else covered),
            budget=self._limit,
            memories=remembered,
            summarised=covered if summarised else 0,
            window=self._budget.window,
        )


def _after(history: Sequence[Message], summary: Summary | None) -> Sequence[Message]:
    """What a summary does not tell of, and the newest message in any case."""
    covered = [
        at for at, message in enumerate(history[:-1]) if summary is not None and message.id == summary.message_id
    ]
    return history[covered[0] + 1 :] if covered else history


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


def turn_cost(messages: Sequence[Message], count: CountTokens, capabilities: Collection[str]) -> int:
    """The most that a whole turn takes of a prompt for a model of these capabilities."""
    return _cost(_expanded(messages, capabilities), count, newest=False)


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
