"""Memories over HTTP: their owner sees, edits, forgets and switches them off, and nobody else finds any."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from legato import Legato
from legato.agents.demo import demo
from legato.agents.demo_memory import KINDS
from legato.agents.demo_side import demo_side
from legato.client import AsyncClient, Client
from legato.core.errors import MemoryNotFound
from legato.core.ids import new_id
from legato.engine.settings import EngineSettings
from tests.http.conftest import by_header
from tests.http.serving import serving
from tests.http.speaking import Api, user_of
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.anyio, pytest.mark.promise("T-04")]


@pytest.fixture
async def url(own_database: str) -> AsyncIterator[str]:
    """A server whose agents remember."""
    chat = Legato(own_database, environment={}, settings=EngineSettings(grace_s=0.1))
    for agent_id in ("mindful", "other"):
        chat.agent(agent_id, memory=KINDS, side=demo_side)(demo)
    async with serving(chat, by_header) as url:
        yield url


@pytest.fixture
async def ann(url: str) -> AsyncIterator[Api]:
    with anyio.fail_after(30):
        async with user_of(url, "ann") as api:
            yield api


@pytest.fixture
async def bob(url: str) -> AsyncIterator[Api]:
    async with user_of(url, "bob") as api:
        yield api


async def remember(api: Api, said: str, agent_id: str = "mindful") -> tuple[str, list[dict[str, Any]]]:
    """A session that ended, and what is remembered of it (which is something)."""
    session = await api.session(agent_id)
    await api.answered(session, said)
    await api.call("POST", f"{session}/close")
    return session, await known(api, session)


async def known(api: Api, session: str) -> list[dict[str, Any]]:
    session_id = session.rpartition("/")[2]
    while not (found := (await api.call("GET", "/v1/memories", params={"session_id": session_id}))["data"]):
        pass  # each question takes its time
    return list(found)


async def listed(api: Api, **params: str) -> list[str]:
    return sorted(memory["text"] for memory in (await api.call("GET", "/v1/memories", params=params))["data"])


async def test_what_is_remembered_is_listed_by_pages_and_filters(ann: Api) -> None:
    session, found = await remember(ann, "I love Barolo. I hate olives.")
    await remember(ann, "My name is Ada", "other")
    (barolo,) = [memory for memory in found if memory["text"] == "Barolo"]
    history = (await ann.call("GET", f"{session}/messages"))["data"]

    assert (barolo["kind"], barolo["agent_id"], barolo["edited"]) == ("likes", "mindful", False)
    assert (barolo["session_id"], barolo["message_id"]) == (session.rpartition("/")[2], history[0]["id"])
    assert barolo["id"].startswith("mem_")
    assert await listed(ann) == ["Ada", "Barolo", "olives"]
    assert await listed(ann, kind="dislikes") == ["olives"]
    assert await listed(ann, agent_id="other") == ["Ada"]
    first = await ann.call("GET", "/v1/memories", params={"limit": "2"})
    rest = await ann.call("GET", "/v1/memories", params={"limit": "2", "cursor": first["next"]})
    assert (first["has_more"], rest["has_more"], rest["next"]) == (True, False, None)
    assert sorted(memory["text"] for memory in first["data"] + rest["data"]) == await listed(ann)
    await ann.refused(400, "bad_cursor", "GET", "/v1/memories", params={"cursor": "x"})


@pytest.mark.promise("T-03")
async def test_the_next_session_knows_it(ann: Api) -> None:
    await remember(ann, "My name is Ada and I love Barolo")
    session = await ann.session("mindful")
    turn = await ann.answered(session, "Hello")
    assert turn["status"] == "completed"
    said = (await ann.texts(session))[-1]
    assert said.startswith("Hello Ada! I remember that you like Barolo. ")


async def test_a_memory_is_edited_and_forgotten(ann: Api) -> None:
    _, (memory,) = await remember(ann, "I love Barolo")
    path = f"/v1/memories/{memory['id']}"
    edited = await ann.call("PATCH", path, {"text": "  Barolo, on Sundays "})
    assert edited == memory | {"text": "Barolo, on Sundays", "edited": True, "changed_at": edited["changed_at"]}
    await remember(ann, "My name is Ada. I love Barolo!")
    assert await listed(ann) == ["Ada", "Barolo, on Sundays"]
    await ann.call("DELETE", path, status=204)
    assert await listed(ann) == ["Ada"]
    for body in ({"text": "back"}, None):
        await ann.refused(404, "memory_not_found", "PATCH" if body else "DELETE", path, body)
    await remember(ann, "My name is Ada and I love Barolo")
    assert await listed(ann) == ["Ada"]


@pytest.mark.parametrize(
    "body",
    [{}, {"text": ""}, {"text": " "}, {"text": "x" * 201}, {"text": "a\nb"}, {"text": 7}, {"text": "x", "kind": "y"}],
)
async def test_a_memory_is_one_short_line(ann: Api, body: dict[str, Any]) -> None:
    await ann.refused(422, "invalid_request", "PATCH", f"/v1/memories/{new_id('mem')}", body)


@pytest.mark.promise("S-08", "T-04")
async def test_what_came_from_a_session_goes_when_it_is_cleared(ann: Api) -> None:
    session, _ = await remember(ann, "I love Barolo")
    await remember(ann, "I love tea")
    await ann.call("POST", f"{session}/clear", status=204)
    assert await listed(ann) == ["tea"]


async def test_everything_is_forgotten_at_once_or_by_agent(ann: Api, bob: Api) -> None:
    await remember(ann, "I love Barolo")
    await remember(ann, "I love tea", "other")
    await remember(bob, "I love rum")
    await ann.call("DELETE", "/v1/memories", status=204, params={"agent_id": "other"})
    assert await listed(ann) == ["Barolo"]
    await ann.call("DELETE", "/v1/memories", status=204)
    assert (await listed(ann), await listed(bob)) == ([], ["rum"])


async def test_memory_is_switched_off_as_a_whole_and_kept(ann: Api, bob: Api) -> None:
    await remember(ann, "My name is Ada")
    assert await ann.call("GET", "/v1/memories/settings") == {"enabled": True}
    assert await ann.call("PUT", "/v1/memories/settings", {"enabled": False}) == {"enabled": False}
    assert await ann.call("GET", "/v1/memories/settings") == {"enabled": False}
    assert await bob.call("GET", "/v1/memories/settings") == {"enabled": True}
    session = await ann.session("mindful")
    await ann.answered(session, "I love Barolo")
    assert (await ann.texts(session))[-1].startswith("Hello! This is")
    await ann.call("POST", f"{session}/close")
    await remember(bob, "I love rum")  # by then Ann's session has been looked at, if ever
    assert await listed(ann) == ["Ada"]
    await ann.call("PUT", "/v1/memories/settings", {"enabled": True})
    session = await ann.session("mindful")
    await ann.answered(session, "Hello")
    assert (await ann.texts(session))[-1].startswith("Hello Ada! This is")


async def test_memory_is_switched_off_for_a_session(ann: Api) -> None:
    await remember(ann, "My name is Ada")
    session = await ann.session("mindful")
    assert (await ann.call("PATCH", session, {"memory": False}))["memory"] is False
    await ann.answered(session, "I love Barolo")
    assert (await ann.texts(session))[-1].startswith("Hello! ")
    await ann.call("POST", f"{session}/close")
    await remember(ann, "I love tea")
    assert await listed(ann) == ["Ada", "tea"]
    await ann.call("PATCH", session, {"memory": True})
    await ann.call("POST", f"{session}/reopen")
    await ann.answered(session, "I love rum")
    await ann.call("POST", f"{session}/close")
    assert [memory["text"] for memory in await known(ann, session)] == ["rum"], "what was said meanwhile stays unsaid"


@pytest.mark.promise("S-16", "T-04")
async def test_a_foreign_memory_answers_as_an_unknown_one(ann: Api, bob: Api) -> None:
    _, (memory,) = await remember(ann, "I love Barolo")
    for verb, body in (("PATCH", {"text": "rum"}), ("PATCH", {"text": ""}), ("DELETE", None)):
        said = set()
        for memory_id in (memory["id"], new_id("mem"), "x", "mem_"):
            answer = await bob.ask(verb, f"/v1/memories/{memory_id}", body)
            said.add((answer.status_code, answer.content))
        assert len(said) == 1
    await bob.refused(404, "memory_not_found", "DELETE", f"/v1/memories/{memory['id']}")
    assert await listed(bob) == await listed(bob, session_id=memory["session_id"]) == []
    await bob.call("DELETE", "/v1/memories", status=204)
    session = await bob.session("mindful")
    await bob.answered(session, "Hello")
    assert "Barolo" not in (await bob.texts(session))[-1]
    assert await listed(ann) == ["Barolo"]


@pytest.mark.promise("H-05", "T-04")
async def test_the_client_does_all_of_it(url: str, ann: Api) -> None:
    await remember(ann, "I love Barolo. I hate olives.")
    async with AsyncClient(url, headers={"X-User": "ann"}) as client:
        found = {memory.text: memory.id async for memory in client.memories(limit=1)}
        assert found.keys() == {"Barolo", "olives"}
        assert (await client.memories_page(kind="likes")).data[0].text == "Barolo"
        assert (await client.edit_memory(found["Barolo"], "red \ud800wine")).text == "red �wine"
        await client.forget_memory(found["olives"])
        with pytest.raises(MemoryNotFound):
            await client.forget_memory(found["olives"])
        assert await client.memory_enabled()
        await client.switch_memory(False)
        assert not await client.memory_enabled()
        await client.forget_memories(agent_id="other")
        assert len([memory async for memory in client.memories(agent_id="mindful")]) == 1
        await client.forget_memories()
        assert [memory async for memory in client.memories()] == []
        session = await client.create_session("mindful")
        assert (await client.update_session(session.id, memory=False)).memory is False


# The command line


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(f"sqlite:///{tmp_path / 'legato.db'}") as server:
        yield server


def legato(server: ServerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "legato.cli", "memories", *arguments, "--url", server.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


@pytest.mark.promise("H-06", "T-04")
def test_the_command_line_lists_edits_forgets_and_switches(server: ServerProcess) -> None:
    assert legato(server, "list").stdout == "Nothing is remembered.\n"
    with Client(server.url) as client:
        session = client.create_session("demo")
        client.answer(session.id, "My name is Ada. I love Barolo. I hate olives.").result()
        client.close(session.id)
        while len(found := {memory.text: memory.id for memory in client.memories()}) < 3:
            pass  # each question takes its time
    table = legato(server, "list")
    assert table.returncode == 0, table.stderr
    assert all(word in table.stdout for word in ("Ada", "Barolo", "olives", "likes", "demo", session.id))
    assert "olives" not in legato(server, "list", "--kind", "likes").stdout
    edited = legato(server, "edit", found["Barolo"], "Barolo [bold]on Sundays")
    assert (edited.returncode, edited.stdout) == (0, "likes: Barolo [bold]on Sundays\n")
    assert "Barolo [bold]on Sundays (edited)" in legato(server, "list").stdout
    assert legato(server, "forget", found["olives"]).stdout == "Forgotten.\n"
    again = legato(server, "forget", found["olives"])
    assert (again.returncode, again.stderr) == (1, "legato: There is no such memory.\n")
    assert legato(server, "forget").returncode == 2
    assert legato(server, "forget", found["Ada"], "--all").returncode == 2
    assert legato(server, "forget", found["Ada"], "--agent", "demo").returncode == 2
    assert legato(server, "off").stdout == "Memory is off.\n"
    assert "switched off" in legato(server, "list").stdout
    assert legato(server, "on").stdout == "Memory is on.\n"
    left = json.loads(legato(server, "list", "--json").stdout)
    assert sorted(memory["text"] for memory in left) == ["Ada", "Barolo [bold]on Sundays"]
    assert legato(server, "forget", "--all", "--agent", "demo").returncode == 0
    assert legato(server, "list", "--json").stdout == "[]\n"
