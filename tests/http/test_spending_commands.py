"""``legato usage``, and what the command line changes of sessions, against a server with a model behind it."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest

from legato import Legato
from legato.agents.config import Config
from legato.agents.turn import Turn
from legato.client import AsyncClient
from tests.http.conftest import MODELS, PROVIDER_KEY
from tests.http.puppets import echo
from tests.http.serving import serving
from tests.http.speaking import Api, user_of
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.anyio, pytest.mark.promise("H-06")]


async def two_models(turn: Turn) -> AsyncIterator[str]:
    """Asks the one, the other, and the one again."""
    for model_id in ("openai:small", "openai:m", "openai:small"):
        async for text in turn.stream(model_id=model_id):
            yield text


class Place(NamedTuple):
    """A server where everybody is Ann."""

    url: str
    api: Api


@pytest.fixture
async def place(own_database: str) -> AsyncIterator[Place]:
    async with Upstream(key=PROVIDER_KEY) as upstream:
        environment = {"OPENAI_BASE_URL": upstream.url, "OPENAI_API_KEY": PROVIDER_KEY}
        chat = Legato(own_database, config=Config(models=MODELS), environment=environment)
        chat.agent("two", model="openai:m", titles=False)(two_models)
        chat.agent("echo", titles=False)(echo)
        async with serving(chat, lambda request: "ann") as url, user_of(url) as api:
            with anyio.fail_after(60):
                yield Place(url, api)


async def legato(place: Place, *words: str, status: int = 0) -> str:
    """What the command says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LEGATO_")}
    command = [sys.executable, "-m", "legato.cli", *words, "--url", place.url]
    run = partial(subprocess.run, command, env=env, capture_output=True, text=True, timeout=50, check=False)
    done: Any = await anyio.to_thread.run_sync(run)
    assert done.returncode == status, done.stderr
    return str(done.stderr if status else done.stdout)


def cells(line: str) -> list[str]:
    return line.split()


@pytest.mark.promise("R-11")
async def test_usage_is_a_table_with_a_total(place: Place) -> None:
    assert "Nothing was used from" in await legato(place, "usage")
    for agent, title in (("two", "A [red]trip\x1b[2J to 京都"), ("echo", "")):
        await place.api.answered(await place.api.session(agent, title=title), "count 3")
    (turn,) = [row for row in (await place.api.call("GET", "/v1/usage?group_by=agent"))["data"] if row["calls"] == 3]

    told = (await legato(place, "usage", "--by", "model")).splitlines()
    small, large, none = (cells(next(line for line in told if name in line)) for name in ("small", "openai:m", "none"))
    assert (small[1], large[1], none[1]) == ("2", "1", "1"), "each model has its own calls of the one turn"
    assert (large[4], none[4]) == ("3", "10")
    assert (small[-1], none[-1]) == ("–", "–")
    assert large[-1].startswith("$0.0000")
    total = cells(next(line for line in told if line.strip().startswith("total")))
    assert (total[1], total[-1]) == ("4", large[-1])
    assert "No price is known for 3 calls of 4; the cost is that of the others." in told
    assert "The tokens of 1 call of 4 are estimated." in told
    assert turn["cost_usd"] > 0

    assert str(datetime.now(UTC).date()) in await legato(place, "usage", "--days", "2")
    by_session = await legato(place, "usage", "--by", "session")
    assert "A [red]trip\ufffd[2J to 京都" in by_session
    report = msgspec.json.decode(await legato(place, "usage", "--by", "agent,model", "--json"))
    assert report["group_by"] == ["agent", "model"]
    assert {(row["agent_id"], row["model_id"]): row["calls"] for row in report["data"]} == {
        ("two", "openai:small"): 2,
        ("two", "openai:m"): 1,
        ("echo", None): 1,
    }
    refused = await legato(place, "usage", "--by", "owner", status=2)
    assert "any of day, agent" in refused


@pytest.mark.promise("S-15")
async def test_a_session_is_forked(place: Place) -> None:
    session = await place.api.session("echo")
    first = await place.api.answered(session, "one")
    await place.api.answered(session, "two")
    session_id = session.rpartition("/")[2]

    forked = (await legato(place, "sessions", "fork", session_id)).strip()
    assert len(await place.api.texts(f"/v1/sessions/{forked}")) == 4
    options = ("--message", first["answer_id"], "--title", "Beside", "--json")
    made = msgspec.json.decode(await legato(place, "sessions", "fork", session_id, *options))
    assert (made["title"], made["forked_from"]["message_id"]) == ("Beside", first["answer_id"])
    assert len(await place.api.texts(f"/v1/sessions/{made['id']}")) == 2
    await legato(place, "sessions", "fork", session_id, "--message", "msg_none", status=1)


@pytest.mark.promise("S-12")
async def test_sessions_are_changed(place: Place) -> None:
    paths = [await place.api.session("echo") for _ in range(2)]
    ids = [path.rpartition("/")[2] for path in paths]

    async def found(number: int = 0) -> Any:
        return (await place.api.state(paths[number]))["session"]

    assert await legato(place, "sessions", "rename", ids[0], "Wine \x1b[2J") == f"{ids[0]} is called Wine \ufffd[2J.\n"
    assert (await found())["title"] == "Wine \x1b[2J"
    assert await legato(place, "sessions", "rename", ids[0], "") == f"{ids[0]} has no title.\n"
    assert ((await found())["title"], (await found())["title_source"]) == (None, None)
    for do, undo, field in (
        ("pin", "unpin", "pinned"),
        ("archive", "unarchive", "archived_at"),
        ("close", "reopen", "closed_at"),
        ("keep", "unkeep", "keep"),
    ):
        said = (await legato(place, "sessions", do, *ids)).splitlines()
        assert [line.split()[0] for line in said] == ids
        assert all([(await found(number))[field] for number in range(2)]), do
        changed = msgspec.json.decode(await legato(place, "sessions", undo, ids[0], "--json"))
        assert changed == [await found()]
        assert not changed[0][field], undo
        assert (await found(1))[field]
    missing = await legato(place, "sessions", "pin", "ses_x", status=1)
    assert missing.startswith("legato: ")


@pytest.mark.promise("S-12", "R-11", "H-05")
async def test_the_client_changes_every_field_and_sums_up(place: Place) -> None:
    async with AsyncClient(place.url) as client:
        session = await client.create_session("echo", title="Wine", metadata={"a": 1})
        kept = await client.update_session(session.id, keep=True, memory=False)
        assert (kept.keep, kept.memory, kept.title, kept.metadata) == (True, False, "Wine", {"a": 1})
        back = await client.update_session(session.id, keep=False, memory=True, metadata={})
        assert (back.keep, back.memory, back.title, back.metadata) == (False, True, "Wine", {})
        assert (await client.update_session(session.id, title="")).title is None
        await place.api.answered(f"/v1/sessions/{session.id}")
        today = datetime.now(UTC).date()
        report = await client.usage(by=("session", "kind"), first=today, last=today)
        assert (report.first, report.last, report.by) == (today, today, ("session", "kind"))
        assert [(row.session_id, row.title, row.kind, row.calls) for row in report.data] == [
            (session.id, None, "turn", 1)
        ]
        assert (await client.usage()).by == ("day",)
