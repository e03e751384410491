"""A misery that a model's server brings about, suffered in a session of its own, and judged by what stands there afterwards.

A turn meets its misery, the next turn is answered by a server in good health, and then is looked at what stands in the
journal, in the history, and in the request that reached the upstream.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import anyio
import msgspec
from anyio import to_thread

from legato.core.errors import MAX_ERROR_BYTES
from legato.core.events import Done, ErrorEvent, Event, UsageEvent
from legato.core.model import Message, Turn
from legato.core.prompt import INTERRUPTED
from legato.core.states import TerminalStatus
from tests.process.checker import text_of, violations
from tests.process.history import History, Numbers, SessionHistory
from tests.process.recorder import Access, Recorder, reading
from tests.support import upstream_anthropic_strict, upstream_strict
from tests.support.upstream_response import texts

SYSTEM: Final = "Be kind."
_POLL_S: Final = 0.05
_PATIENCE_S: Final = 20.0


class Upstream(Protocol):
    """The model's server: what it was asked, and what became of it (``asked``, ``outcome``, ``body``)."""

    def exchanges(self) -> list[dict[str, Any]]: ...


class Misery(msgspec.Struct, frozen=True):
    """What the user says (``upstream_scripts`` knows what follows), and what must come of it.

    ``code`` is the error's, None for none; ``said`` what is left of the answer; ``tries`` how often the upstream is asked;
    ``of`` the provider in the configuration that is asked.
    """

    asks: str
    code: str | None = None
    said: str = ""
    tries: int = 1
    of: str = "patient"
    status: TerminalStatus = "failed"
    reason: str = "error"
    agent: str = "model"


def fine(asks: str, said: str = "1 2 3 ", tries: int = 1, of: str = "patient") -> Misery:
    """One that nobody but the log hears of."""
    return Misery(asks, None, said, tries, of, "completed", "stop")


def cancelled(asks: str, said: str = "", agent: str = "model") -> Misery:
    """One that the user has seen enough of."""
    return Misery(asks, None if said else "cancelled", said, status="cancelled", reason="cancelled", agent=agent)


def short(asks: str, reason: str, said: str = "1 2 3 ", of: str = "patient") -> Misery:
    """One that the model itself explains."""
    return Misery(asks, None, said, of=of, status="incomplete", reason=reason)


def good_after(index: int) -> Numbers:
    """What the good turn is asked for: other numbers after each misery."""
    return Numbers(1000 + 10 * index, 1002 + 10 * index)


def asked_for(numbers: Numbers) -> str:
    return f"count {numbers.last} from {numbers.first}"


class Record(msgspec.Struct, frozen=True):
    """What became of a misery."""

    misery: Misery
    good: Numbers
    session: SessionHistory
    exchanges: list[dict[str, Any]]

    @property
    def turn(self) -> Turn:
        return self.session.turns[0]

    @property
    def answer(self) -> Message:
        return next(
            message for message in self.session.messages if message.turn_id == self.turn.id and message.role != "user"
        )

    @property
    def events(self) -> list[Event]:
        return [entry.event() for entry in self.session.journal]


async def all_of(miseries: Sequence[Misery], to: Access, upstream: Upstream) -> list[str]:
    """Everything that is not as it should be after these, suffered side by side."""
    sessions: dict[Misery, SessionHistory] = {}
    async with anyio.create_task_group() as group:
        for index, misery in enumerate(miseries):
            group.start_soon(_suffer, misery, good_after(index), to, upstream, sessions)
    exchanges = await to_thread.run_sync(upstream.exchanges)
    streaming = tuple(one["asked"] for one in exchanges if one["outcome"] == "running")
    found = violations(History(sessions=tuple(sessions.values()), streaming=streaming))
    for index, misery in enumerate(miseries):
        record = Record(misery, good_after(index), sessions[misery], exchanges)
        found += [f"{misery.asks}: {what}" for what in _judge(record)]
    return found


async def _suffer(
    misery: Misery, good: Numbers, to: Access, upstream: Upstream, sessions: dict[Misery, SessionHistory]
) -> None:
    """The misery, then a good turn, then what stands there; somebody follows it all."""
    session = Recorder(to, (await to.client.create_session(misery.agent)).id)
    async with reading(session.reader("follows")):
        sent = await session.say(misery.asks, model_id=f"{misery.of}:m")
        if misery.status == "cancelled":
            await to_thread.run_sync(_wait_for, misery.asks, upstream, True)
            if misery.said:
                await session.readers[0].until_type("token")
            await session.cancel(sent.turn.id)
            await to_thread.run_sync(_wait_for, misery.asks, upstream, False)
        await session.ended(sent.turn.id)
        await session.ended((await session.send(good)).turn.id)
        sessions[misery] = await session.history()


def _wait_for(asked: str, upstream: Upstream, asks: bool) -> None:
    """Returns when ``asked`` has arrived, or when nothing that was asked so is answered any more."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        outcomes = [one["outcome"] for one in upstream.exchanges() if one["asked"] == asked]
        if outcomes if asks else "running" not in outcomes:
            return
        time.sleep(_POLL_S)
    raise TimeoutError(f"{asked!r} was not asked" if asks else f"{asked!r} is still streaming")


def _judge(record: Record) -> Iterator[str]:
    """What of a misery is not as it should be, apart from what the checker sees."""
    yield from _ended(record)
    yield from _told(record)
    yield from _error(record)
    yield from _upstream(record)


def _ended(record: Record) -> Iterator[str]:
    wanted, turn, answer = record.misery, record.turn, record.answer
    code = turn.error.code if turn.error else None
    if (turn.status, turn.reason, code) != (wanted.status, wanted.reason, wanted.code):
        yield f"the turn is {turn.status} ({turn.reason}, {turn.error})"
    if (answer.status, answer.error, text_of(answer)) != (wanted.status, turn.error, _said(record)):
        yield f"the answer is {answer.status} ({answer.error}): {text_of(answer)[:100]!r}"
    good = record.session.turns[1]
    if (good.status, good.error) != ("completed", None):
        yield f"the next turn is {good.status} ({good.reason}, {good.error})"


def _said(record: Record) -> str:
    """What must stand in the answer: of one that was cancelled, as much as was heard and perhaps a little more."""
    said, wanted = text_of(record.answer), record.misery.said
    return said if record.misery.status == "cancelled" and said.startswith(wanted) else wanted


def _told(record: Record) -> Iterator[str]:
    """The journal tells the error once, as the turn has it, then the usage, then the end."""
    mine = [event for event in record.events if getattr(event, "turn_id", None) == record.turn.id]
    wanted = [ErrorEvent, UsageEvent, Done] if record.misery.status == "failed" else [UsageEvent, Done]
    ending = [type(event) for event in mine if isinstance(event, (ErrorEvent, UsageEvent, Done))]
    if ending != wanted or [type(event) for event in mine[-len(wanted) :]] != wanted:
        yield f"the journal ends it with {[kind.__name__ for kind in ending]}"
    for event in mine:
        if isinstance(event, ErrorEvent) and (event.code, event.message) != _words_of(record.turn):
            yield f"the journal tells another error: {event}"
        if isinstance(event, Done) and event.error != record.turn.error:
            yield f"its done tells another error: {event.error}"
    usage = record.turn.usage
    if usage is None or min(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) < 0:
        yield f"its usage is {usage}"


def _words_of(turn: Turn) -> tuple[str, str] | None:
    return (turn.error.code, turn.error.message) if turn.error else None


def _error(record: Record) -> Iterator[str]:
    """Words for a person: some, not too many, no markup, no address."""
    message = record.turn.error.message if record.turn.error else None
    if message is not None and not 0 < len(message.encode()) <= MAX_ERROR_BYTES:
        yield f"its error has {len(message.encode())} bytes"
    if message is not None and (shown := [word for word in ("<", "127.0.0.1", "Traceback") if word in message]):
        yield f"its error shows {shown}: {message[:200]!r}"


def _upstream(record: Record) -> Iterator[str]:
    misery = record.misery
    if (tries := len([one for one in record.exchanges if one["asked"] == misery.asks])) != misery.tries:
        yield f"the upstream was asked {tries} times"
    good = [one for one in record.exchanges if one["asked"] == asked_for(record.good)]
    if [one["outcome"] for one in good] != ["completed"]:
        yield f"the next request's outcomes are {[one['outcome'] for one in good]}"
    for one in good:
        if said := _problem(one["body"]):
            yield f"the next request is illegal: {said}"
        if _messages(one["body"]) != _prompt(misery, _said(record), one["asked"]):
            yield f"the next request says {one['body']['messages']}"


def _is_anthropics(body: dict[str, Any]) -> bool:
    return isinstance(body["messages"][-1]["content"], list)


def _problem(body: dict[str, Any]) -> str | None:
    return upstream_anthropic_strict.problem(body) if _is_anthropics(body) else upstream_strict.problem(body)


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What was said, in OpenAI's words."""
    messages: list[dict[str, Any]] = body["messages"]
    if not _is_anthropics(body):
        return messages
    said = [{"role": message["role"], "content": "\n\n".join(texts(message))} for message in messages]
    return [{"role": "system", "content": body["system"]}, *said]


def _prompt(misery: Misery, said: str, asked: str) -> list[dict[str, str]]:
    """What a model must be told of a misery: an answer that ended early is marked, one without words is not there."""
    system = {"role": "system", "content": SYSTEM}
    if not said.strip():
        return [system, {"role": "user", "content": f"{misery.asks}\n\n{asked}"}]
    mark = "" if misery.status == "completed" else f"\n\n{INTERRUPTED}"
    before = {"role": "user", "content": misery.asks}, {"role": "assistant", "content": said + mark}
    return [system, *before, {"role": "user", "content": asked}]
