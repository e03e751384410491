"""The store is away: who asked for it gets an answer all the same, that nobody keeps (promise R-14)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from legato import Legato
from legato.agents.builtin import assistant
from legato.agents.config import Config
from legato.agents.turn import Turn
from legato.core.errors import Unavailable
from legato.engine.settings import EngineSettings
from legato.web.settings import WebSettings
from tests.http.conftest import MODELS, PROVIDER_KEY, by_header
from tests.http.puppets import Puppets, echo
from tests.http.serving import serving
from tests.http.speaking import Api, Stream, user_of
from tests.process.lock_holder import write_lock
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-14")]


async def caller(turn: Turn) -> AsyncIterator[str]:
    """What it does must be on disk before it goes on."""
    yield "I look it up. "
    await turn.tool_call("weather", "{}")
    yield "never said"


async def broken(turn: Turn) -> AsyncIterator[str]:
    yield "So far. "
    raise ValueError("a secret")


async def curious(turn: Turn) -> AsyncIterator[str]:
    """Says what it knows."""
    await turn.status("planning")
    yield f"{turn.text}|{len(turn.history)}|{len(turn.memories)}|{len(await turn.steering())}|{turn.session.agent_id}"


@dataclass
class Degraded:
    """A server whose agents degrade, but for ``strict``; the default is ``echo``."""

    chat: Legato
    url: str
    database: str
    puppets: Puppets
    upstream: Upstream

    @asynccontextmanager
    async def away(self, *, reads: bool = True) -> AsyncIterator[None]:
        """The store takes nothing, and tells nothing."""
        store: Any = self.chat.engine.store

        async def refuse(*_: object, **__: object) -> None:
            raise Unavailable

        for name in ("write", "vital", "append", *(["read"] if reads else [])):
            setattr(store, name, refuse)
        try:
            yield
        finally:
            for name in ("write", "vital", "append", *(["read"] if reads else [])):
                delattr(store, name)


@pytest.fixture
async def degraded(own_database: str, upstream: Upstream) -> AsyncIterator[Degraded]:
    puppets = Puppets()
    chat = Legato(
        own_database,
        config=Config(models=MODELS),
        environment={"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": PROVIDER_KEY},
        settings=EngineSettings(grace_s=0.1, titles=False, max_degraded=3, close_upstream_s=0.2),
        web=WebSettings(heartbeat_s=0.05),
    )
    chat.agent("echo", on_store_failure="degrade")(echo)
    chat.agent("puppet", on_store_failure="degrade")(puppets.answer)
    chat.agent("caller", on_store_failure="degrade")(caller)
    chat.agent("curious", on_store_failure="degrade")(curious)
    chat.agent("broken", on_store_failure="degrade")(broken)
    chat.agent("model", model="openai:m", on_store_failure="degrade", system="Be brief.")(assistant)
    chat.agent("hasty", on_store_failure="degrade", max_turn_s=0.05)(puppets.answer)
    chat.agent("strict")(echo)
    with anyio.fail_after(60):
        async with serving(chat, by_header) as url:
            yield Degraded(chat, url, own_database, puppets, upstream)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(key=PROVIDER_KEY) as upstream:
        yield upstream


@pytest.fixture
async def ann(degraded: Degraded) -> AsyncIterator[Api]:
    async with user_of(degraded.url, "ann") as api:
        yield api


async def asked(api: Api, session: str, text: str = "Hello", **headers: str) -> Stream:
    """All of the stream that a send is answered with."""
    async with api.stream("POST", f"{session}/turns", json={"text": text}, headers=headers) as stream:
        await stream.rest()
    return stream


async def talked(api: Api, agent_id: str) -> str:
    """A session that this server has seen; its path."""
    session = await api.session(agent_id)
    if agent_id not in ("puppet", "hasty"):
        await api.answered(session, "before")
    else:
        turn = await api.send(session, "before")
        await api.call("POST", f"{session}/turns/{turn['id']}/cancel")
    return session


def check_private(stream: Stream, status: str = "completed") -> None:
    """No cursor anywhere, the warning first, the end last."""
    assert all(event.cursor is None for event in stream.events)
    assert stream.retries == []
    assert "legato-turn" not in stream.response.headers
    first, last = stream.events[0], stream.events[-1]
    assert (first.type, first.data["code"]) == ("warning", "degraded")
    assert (last.type, last.data["status"], last.data["reason"]) == ("done", status, "degraded")
    assert len({event.data["turn_id"] for event in stream.events}) == 1
    assert stream.types.count("done") == stream.types.count("warning") == 1


async def test_a_locked_store(degraded: Degraded, ann: Api) -> None:
    """Somebody else holds the lock: reads go on, and nothing can be written."""
    session, strict = await talked(ann, "echo"), await talked(ann, "strict")
    before = await ann.journal(session)
    async with write_lock(degraded.database, 12.0), anyio.create_task_group() as group:

        async def refused(path: str, headers: dict[str, str]) -> None:
            await ann.refused(503, "store_unavailable", "POST", f"{path}/turns", {"text": "No"}, headers=headers)

        group.start_soon(refused, strict, {"Accept": "text/event-stream"})
        group.start_soon(refused, session, {})
        stream = await asked(ann, session, "is anybody there?")
    check_private(stream)
    assert stream.text == "You said: is anybody there?"
    assert await ann.journal(session) == before, "nothing of it is stored"
    assert await ann.texts(session) == ["before", "You said: before"]
    await ann.refused(404, "turn_not_found", "GET", f"{session}/turns/{stream.events[0].data['turn_id']}")
    await ann.answered(session, "and now?")
    assert (await ann.texts(session))[-1] == "You said: and now?"


async def test_it_knows_nothing_of_what_was_said_before(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "curious")
    async with degraded.away():
        stream = await asked(ann, session, "Well?")
    check_private(stream)
    assert stream.text == "Well?|1|0|0|curious"
    assert stream.types == ["warning", "status_update", "token", "done"]


async def test_a_model_is_given_the_message_alone_and_its_use_is_told(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "model")
    async with degraded.away():
        stream = await asked(ann, session, "count 3")
    check_private(stream)
    assert stream.text.split() == ["1", "2", "3"]
    said = degraded.upstream.exchanges[-1].body["messages"]
    assert [(message["role"], message["content"]) for message in said] == [("system", "Be brief."), ("user", "count 3")]
    assert stream.types[-2:] == ["usage", "done"]
    assert stream.events[-2].data["cost_usd"] > 0


@pytest.mark.parametrize(("language", "words"), [("sv-SE", "sparas inte"), ("ru", "не сохранится"), ("de", "not kept")])
async def test_the_warning_is_in_the_readers_language(degraded: Degraded, ann: Api, language: str, words: str) -> None:
    session = await talked(ann, "echo")
    async with degraded.away():
        stream = await asked(ann, session, **{"Accept-Language": language})
    assert words in stream.events[0].data["message"]


async def test_whoever_wants_no_stream_or_a_strict_agent_is_refused(degraded: Degraded, ann: Api) -> None:
    session, strict = await talked(ann, "echo"), await talked(ann, "strict")
    stream = {"Accept": "text/event-stream"}
    async with degraded.away():
        for path, headers in ((session, {}), (strict, {}), (strict, stream)):
            await ann.refused(503, "store_unavailable", "POST", f"{path}/turns", {"text": "No"}, headers=headers)
        await ann.refused(422, "invalid_request", "POST", f"{session}/turns", {"text": " "}, headers=stream)
        await ann.refused(503, "store_unavailable", "GET", session)


async def test_nobody_learns_whose_a_session_is(degraded: Degraded, ann: Api) -> None:
    """Where it can't be looked up, all that are not one's own look the same: the default agent answers."""
    session = await talked(ann, "curious")
    async with user_of(degraded.url, "eve") as eve:
        async with degraded.away():
            foreign = await asked(eve, session, "Mine?")
            unknown = await asked(eve, "/v1/sessions/ses_00000000000000000000000009", "Mine?")
        assert foreign.text == unknown.text == "You said: Mine?"
        async with degraded.away(reads=False):
            for path in (session, "/v1/sessions/ses_00000000000000000000000009"):
                await eve.refused(
                    404,
                    "session_not_found",
                    "POST",
                    f"{path}/turns",
                    {"text": "Mine?"},
                    headers={"Accept": "text/event-stream"},
                )
    async with user_of(degraded.url) as nobody, degraded.away():
        nobody.http.headers.pop("x-user")
        await nobody.refused(
            401, "unauthenticated", "POST", f"{session}/turns", {"text": "?"}, headers={"Accept": "text/event-stream"}
        )


async def test_a_closed_session_stays_closed(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "echo")
    await ann.call("POST", f"{session}/close")
    async with degraded.away(reads=False):
        await ann.refused(
            409, "session_closed", "POST", f"{session}/turns", {"text": "?"}, headers={"Accept": "text/event-stream"}
        )


async def test_what_must_be_on_disk_ends_it_incomplete(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "caller")
    async with degraded.away():
        stream = await asked(ann, session)
    check_private(stream, "incomplete")
    assert stream.text == "I look it up. "
    assert stream.events[-1].data["error"]["code"] == "store_unavailable"


async def test_a_failure_is_told_without_its_words(degraded: Degraded, ann: Api) -> None:
    session = await ann.session("broken")
    degraded.chat.engine.degrading.knows("ann", session.rpartition("/")[2], "broken")
    async with degraded.away():
        stream = await asked(ann, session)
    check_private(stream, "failed")
    assert stream.types == ["warning", "token", "error", "done"]
    assert stream.events[-1].data["error"]["code"] == "agent_error"
    assert b"a secret" not in stream.raw


async def test_one_that_takes_too_long(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "hasty")
    async with degraded.away():
        stream = await asked(ann, session)
    check_private(stream, "failed")
    assert stream.events[-1].data["error"]["code"] == "turn_timeout"


async def test_it_ends_when_its_reader_goes(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "puppet")
    async with degraded.away():
        async with ann.stream("POST", f"{session}/turns", json={"text": "Hello"}) as stream:
            warning = await stream.until("warning")
            puppet = await degraded.puppets.of(warning.data["turn_id"])
            puppet.say("Hello ")
            await stream.until("token")
            await stream.until_beats(stream.beats + 1)
        await puppet.gone.wait()


async def test_no_more_than_the_limit_at_once(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "puppet")
    stream = {"Accept": "text/event-stream"}
    async with degraded.away():
        async with anyio.create_task_group() as group:
            opened = [await _open(ann, session, group) for _ in range(3)]
            await ann.refused(503, "store_unavailable", "POST", f"{session}/turns", {"text": "?"}, headers=stream)
            for turn_id, _ in opened:
                (await degraded.puppets.of(turn_id)).end()
        assert [stream.types[-1] for _, stream in opened] == ["done"] * 3
        answer = await _until_admitted(ann, session, degraded)
    check_private(answer, "failed")  # without a word


async def _open(api: Api, session: str, group: Any) -> tuple[str, Stream]:
    async def follow(*, task_status: Any) -> None:
        async with api.stream("POST", f"{session}/turns", json={"text": "Hello"}) as stream:
            warning = await stream.until("warning")
            task_status.started((warning.data["turn_id"], stream))
            await stream.rest()

    found: tuple[str, Stream] = await group.start(follow)
    return found


async def _until_admitted(api: Api, session: str, degraded: Degraded) -> Stream:
    async with api.stream("POST", f"{session}/turns", json={"text": "Hello"}) as stream:
        warning = await stream.until("warning")
        (await degraded.puppets.of(warning.data["turn_id"])).end()
        await stream.rest()
    return stream


async def test_a_server_that_stops_ends_them(degraded: Degraded, ann: Api) -> None:
    session = await talked(ann, "puppet")
    async with degraded.away(), ann.stream("POST", f"{session}/turns", json={"text": "Hello"}) as stream:
        await stream.until("warning")
        degraded.chat.drain()
        await stream.rest()
    check_private(stream, "incomplete")
    assert stream.events[-1].data["error"]["code"] == "shutdown"
