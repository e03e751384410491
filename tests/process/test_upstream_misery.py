"""Everything a model's server can do to us, through a real ``legato serve``, on both databases (promise R-12).

Each misery has a session of its own, and all of them suffer at once in one server. There a turn meets its misery, the next
turn is answered by a server in good health, and then is looked at what stands in the journal, in the history, and in the
request that reached the upstream, which refuses whatever the strictest provider would.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import pytest
from anyio import to_thread

from legato.core.errors import MAX_ERROR_BYTES
from legato.core.events import Done, ErrorEvent, Event, UsageEvent
from legato.core.model import Message, Turn
from legato.core.prompt import INTERRUPTED
from legato.core.states import TerminalStatus
from tests.process.checker import text_of, violations
from tests.process.dead_ends import dead_ends
from tests.process.history import History, Numbers, SessionHistory
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Access, Recorder, access, reading
from tests.support.upstream_strict import problem

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

SYSTEM: Final = "Be kind."
STUBBORN: Final = "tests.process.stubborn:stubborn"


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


def short(asks: str, reason: str, said: str = "1 2 3 ") -> Misery:
    """One that the model itself explains."""
    return Misery(asks, None, said, status="incomplete", reason=reason)


MISERIES: Final = (
    # Silence
    Misery("hang", "provider_timeout", of="hasty"),
    Misery("silence", "provider_timeout", of="hasty"),
    Misery("trickle", "provider_timeout", of="hasty"),
    Misery("chatter after 0", "provider_timeout", of="hasty"),
    Misery("stall after 2", "provider_timeout", "1 2 ", of="fluent"),
    Misery("chatter after 2", "provider_timeout", "1 2 ", of="fluent"),
    fine("lingers", of="fluent"),
    # Connections
    Misery("vanish", "provider_unreachable", tries=3),
    Misery("reset after 0", "provider_cut", tries=3),
    Misery("reset after 2", "provider_cut", "1 2 "),
    Misery("cut after 0", "provider_cut", tries=3),
    Misery("cut after 2", "provider_cut", "1 2 "),
    Misery("torn after 2", "provider_cut", "1 2 "),
    Misery("Nobody listens.", "provider_unreachable", tries=0, of="refusing"),
    Misery("Nobody accepts.", "provider_unreachable", tries=0, of="crowded"),
    Misery("TLS ends before it begins.", "provider_unreachable", tries=0, of="hanging-up"),
    Misery("TLS never begins.", "provider_unreachable", tries=0, of="mute"),
    # Refusals
    Misery("status 400", "provider_refused"),
    Misery("status 401", "provider_refused"),
    Misery("status 429", "provider_busy", tries=3),
    Misery("status 429 retry-after 1", "provider_busy", tries=3),
    Misery("status 429 retry-after soon", "provider_busy", tries=3),
    Misery("status 500", "provider_error", tries=3),
    Misery("status 503 retry-after 0", "provider_busy", tries=3),
    fine("status 429 once", tries=2),
    fine("status 503 twice retry-after 1", tries=3),
    # Words that can't be understood, and too many of them
    Misery("garbage", "provider_nonsense"),
    Misery("html", "provider_nonsense"),
    Misery("json", "provider_nonsense"),
    Misery("page 500", "provider_error", tries=3),
    Misery("page 404", "provider_refused"),
    Misery("shout 400", "provider_refused"),
    Misery("shout 500", "provider_error", tries=3),
    Misery("shout", "provider_error", "1 2 "),
    Misery("error", "provider_error", "1 2 "),
    Misery("malformed", "provider_nonsense", "1 2 "),
    # Ends
    fine("nodone"),
    fine("nousage"),
    fine("absurd usage"),
    short("cutoff", "length"),
    short("stops for content_filter", "content_filter"),
    Misery("stops for error", "provider_error", "1 2 3 "),
    Misery("stops for abort", "provider_cut", "1 2 3 "),
    Misery("empty", "empty_answer"),
    Misery("blank", "empty_answer", "\n \n"),
    Misery("tool", "empty_answer"),
)


# What is cancelled (when its ``said`` has been heard), and what of it stays at least.
CANCELLED: Final = (
    cancelled("hang"),
    cancelled("silence"),
    cancelled("trickle"),
    cancelled("chatter after 2", "1 "),
    cancelled("stall after 2", "1 "),
    cancelled("count 9999 at 50/s", "1 "),
    cancelled("status 503 retry-after 20"),  # in the pause before the next try
    cancelled("count 9998 at 50/s", "1 ", agent="stubborn"),
)


def numbers_of(misery: Misery) -> Numbers:
    """What the good turn after it is asked for: other numbers after each."""
    first = 1000 + 10 * (MISERIES + CANCELLED).index(misery)
    return Numbers(first, first + 2)


class Record(msgspec.Struct, frozen=True):
    """What became of a misery."""

    misery: Misery
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


class World(msgspec.Struct, frozen=True):
    """A server and the model it talks to."""

    to: Access
    model: ModelServer


@asynccontextmanager
async def world(database: str, nursery: Nursery, tmp_path: Path) -> AsyncIterator[World]:
    with ModelServer() as model, dead_ends() as addresses:
        config = tmp_path / "legato.toml"
        config.write_text(configuration(model.url, addresses))
        server = ForkedServer(nursery, database, {"LEGATO_CONFIG": str(config)}, log=tmp_path / "server.log")
        with server:
            async with access(server.url) as to:
                yield World(to, model)


@pytest.mark.promise("R-05", "R-12", "C-05")
async def test_each_misery_ends_typed_and_the_next_turn_is_answered(
    database: str, nursery: Nursery, tmp_path: Path
) -> None:
    async with world(database, nursery, tmp_path) as here:
        found = await all_of(MISERIES, here)
    assert not found, "\n".join(found)


@pytest.mark.promise("R-04", "R-05", "C-05")
async def test_a_cancelled_answer_is_let_go_whatever_the_model_and_its_agent_do(
    database: str, nursery: Nursery, tmp_path: Path
) -> None:
    async with world(database, nursery, tmp_path) as here:
        found = await all_of(CANCELLED, here)
    assert not found, "\n".join(found)


async def all_of(miseries: Sequence[Misery], here: World) -> list[str]:
    """Everything that is not as it should be after these, suffered side by side."""
    sessions: dict[Misery, SessionHistory] = {}
    async with anyio.create_task_group() as group:
        for misery in miseries:
            group.start_soon(suffer, misery, here, sessions)
    exchanges = here.model.exchanges()
    found = violations(History(sessions=tuple(sessions.values()), streaming=here.model.with_outcome("running")))
    records = [Record(misery, sessions[misery], exchanges) for misery in miseries]
    return found + [f"{record.misery.asks}: {what}" for record in records for what in judge(record)]


async def suffer(misery: Misery, here: World, sessions: dict[Misery, SessionHistory]) -> None:
    """The misery, then a good turn, then what stands there; somebody follows it all."""
    session = Recorder(here.to, (await here.to.client.create_session(misery.agent)).id)
    async with reading(session.reader("follows")):
        sent = await session.say(misery.asks, model_id=f"{misery.of}:m")
        if misery.status == "cancelled":
            await to_thread.run_sync(here.model.wait_asked, misery.asks)
            if misery.said:
                await session.readers[0].until_type("token")
            await session.cancel(sent.turn.id)
            await to_thread.run_sync(here.model.wait_closed, misery.asks)
        await session.ended(sent.turn.id)
        await session.ended((await session.send(numbers_of(misery))).turn.id)
        sessions[misery] = await session.history()


def configuration(url: str, addresses: dict[str, str]) -> str:
    """``legato.toml``: the same upstream with three kinds of patience, and the addresses where there is none."""
    providers = {
        "patient": f'base_url = "{url}"',
        # The other limit is far away, so that a slow machine can't be taken for a slow model.
        "hasty": f'base_url = "{url}"\nfirst_token_timeout_s = 1.0',
        "fluent": f'base_url = "{url}"\nbetween_tokens_timeout_s = 1.0',
    } | {name: f'base_url = "{address}"\nconnect_timeout_s = 0.5' for name, address in addresses.items()}
    common = f'system = "{SYSTEM}"\nmodel = "patient:m"\n'
    agents = f'[[agents]]\nid = "model"\n{common}[[agents]]\nid = "stubborn"\nrun = "{STUBBORN}"\n{common}'
    return agents + "".join(f"\n[providers.{name}]\n{keys}\nbackoff_s = 0.05\n" for name, keys in providers.items())


def judge(record: Record) -> Iterator[str]:
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
    misery, numbers = record.misery, numbers_of(record.misery)
    if (tries := len([one for one in record.exchanges if one["asked"] == misery.asks])) != misery.tries:
        yield f"the upstream was asked {tries} times"
    good = [one for one in record.exchanges if one["asked"] == f"count {numbers.last} from {numbers.first}"]
    if [one["outcome"] for one in good] != ["completed"]:
        yield f"the next request's outcomes are {[one['outcome'] for one in good]}"
    for one in good:
        if said := problem(one["body"]):
            yield f"the next request is illegal: {said}"
        if one["body"]["messages"] != _prompt(misery, _said(record), one["asked"]):
            yield f"the next request says {one['body']['messages']}"


def _prompt(misery: Misery, said: str, asked: str) -> list[dict[str, str]]:
    """What a model must be told of a misery: an answer that ended early is marked, one without words is not there."""
    system = {"role": "system", "content": SYSTEM}
    if not said.strip():
        return [system, {"role": "user", "content": f"{misery.asks}\n\n{asked}"}]
    mark = "" if misery.status == "completed" else f"\n\n{INTERRUPTED}"
    before = {"role": "user", "content": misery.asks}, {"role": "assistant", "content": said + mark}
    return [system, *before, {"role": "user", "content": asked}]
