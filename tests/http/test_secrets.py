"""What people say and what opens doors stays out of logs and out of other people's errors."""

import logging
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import pytest

from legato import Legato
from legato.agents.builtin import assistant
from legato.agents.turn import Turn
from legato.web.auth import BearerToken
from tests.http.conftest import PROVIDER_KEY, by_header, make_chat
from tests.http.puppets import Puppets
from tests.http.serving import serving
from tests.http.speaking import Api, client, user_of
from tests.support.brief import BRIEF
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("X-05")]

TOKEN = "canary-token"


async def clumsy(turn: Turn) -> AsyncIterator[str]:
    """An agent whose errors quote what it was told."""
    yield "canary-answer"
    raise ValueError(f"can't answer {turn.text}")


async def conversation(api: Api) -> None:
    """Everything that may go right or wrong with a canary in it."""
    secret = {"title": "canary-title", "context": "canary-context", "metadata": {"canary-key": "canary-value"}}
    session = await api.session("model", **secret)
    await api.answered(session, "canary-message", message_id="mine")
    for script in ("status 401", "status 400", "malformed", "cut after 1"):
        assert "canary" not in str((await api.answered(session, script))["error"])
    clumsy_one = await api.session("clumsy")
    failed = await api.answered(clumsy_one, "canary-question")
    assert "canary" not in str(failed["error"])
    turn = await api.send(session, "stall after 1 canary")
    await api.call("POST", f"{session}/turns/{turn['id']}/cancel")
    refusals = [
        await api.ask("POST", f"{session}/turns", {"text": "canary-other", "message_id": "mine"}),
        await api.ask("POST", f"{session}/turns", {"text": ["canary-list"]}),
        await api.ask("POST", f"{session}/turns", {"text": "canary " * 10_000}),
        await api.ask("POST", f"{session}/turns", content=b'{"text": "canary-broken'),
        await api.ask("POST", "/v1/sessions", {"title": "canary" * 100}),
        await api.ask("POST", f"{session}/turns", content=b"canary" * 300_000),
        await api.ask("GET", f"{session}/events", params={"after": "canary-cursor"}),
        await api.ask("GET", "/v1/sessions", params={"cursor": "canary-cursor"}),
    ]
    for refused in refusals:
        assert 400 <= refused.status_code < 500
        assert "canary" not in refused.text


async def test_a_conversation_leaves_no_word_in_the_log(own_database: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for name in ("legato", "uvicorn", "uvicorn.error", "fastapi", "starlette", "aiohttp"):
        caplog.set_level(logging.DEBUG, logger=name)
    async with Upstream(key=PROVIDER_KEY) as upstream:
        chat = make_chat(own_database, Puppets(), upstream)
        chat.agent("clumsy")(clumsy)
        async with serving(chat, BearerToken(TOKEN)) as url, client(url) as http:
            await Api(http).refused(
                401, "unauthenticated", "GET", "/v1/agents", headers={"Authorization": "Bearer canary-x"}
            )
            http.headers["Authorization"] = f"Bearer {TOKEN}"
            caplog.set_level(logging.WARNING, logger="httpx2")  # the test's own client tells what it asks for
            await conversation(Api(http))
    assert "an agent failed: ValueError" in caplog.text
    assert "canary" not in caplog.text
    assert PROVIDER_KEY not in caplog.text


async def test_a_key_that_the_provider_refuses_is_not_told(sqlite: str) -> None:
    """This upstream quotes the key in its refusal, as some do."""
    wrong = "sk-wrong-canary-key"
    async with Upstream(key="another") as upstream:
        chat = Legato(sqlite, settings=BRIEF, environment={"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": wrong})
        chat.agent("model", model="openai:m")(assistant)
        async with serving(chat, by_header) as url, user_of(url) as api:
            session = await api.session("model")
            failed = await api.answered(session)
            assert failed["error"]["code"] == "provider_refused"
            for path in (session, f"{session}/messages", f"{session}/events?after=0"):
                assert wrong not in (await api.ask("GET", path)).text
            assert upstream.exchanges[0].headers["Authorization"] == f"Bearer {wrong}"


def modes_in(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


async def test_the_files_of_the_database_are_its_owners(tmp_path: Path) -> None:
    chat = make_chat(f"sqlite:///{tmp_path / 'legato.db'}", Puppets())
    async with serving(chat, by_header) as url, user_of(url) as api:
        await api.answered(await api.session("echo"))
        files = await anyio.to_thread.run_sync(modes_in, tmp_path)
    assert files.keys() >= {"legato.db", "legato.db-wal", "legato.db-shm"}
    assert set(files.values()) == {0o600}
