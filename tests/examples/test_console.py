"""The contract of the task console (product P-04)."""

import asyncio
from typing import Any

import pytest
from anyio import to_thread

from tests.examples.conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P-04", "H-02")]

CHAT = "/api/chat"


async def test_agents_models_and_an_answer(start: Start) -> None:
    app = start("console")
    async with app.user("ann") as ann:
        agents = await ann.call("GET", "/api/agents")
        assert [(agent["id"], agent["parent_role"]) for agent in agents] == [
            ("planner", None),
            ("coder", "planner"),
            ("tester", "coder"),
        ]
        assert (await ann.call("GET", "/api/models"))[0].items() >= {
            "context_window": 32_768,
            "cost_per_1m_input": 0.5,
        }.items()

        sent = await ann.call("POST", f"{CHAT}/message", {"agent_id": "coder", "content": "sort a list"}, status=202)
        events = await ann.events("GET", f"{CHAT}/stream/{sent['session_id']}")

        kinds = [kind for kind, _ in events]
        assert set(kinds) == {"token", "status_update", "usage", "done"}
        assert kinds[-2:] == ["usage", "done"]
        assert kinds.count("usage") == kinds.count("done") == 1
        assert "".join(data["content"] for kind, data in events if kind == "token").endswith(
            "I would do this: sort a list"
        )
        assert events[-2][1]["cost_usd"] > 0
        assert events[-1][1] == {"status": "complete"}
        history = await ann.call("GET", f"{CHAT}/sessions/{sent['session_id']}")
        assert history["status"] == "complete"
        assert history["gauge"]["window"] == 32_768
        assert history["usage"]["cost_usd"] == events[-2][1]["cost_usd"]


async def test_a_deployment_is_asked_about_and_survives_a_kill(start: Start) -> None:
    app = start("console")
    async with app.user("ann") as ann:
        sent = await ann.call("POST", f"{CHAT}/message", {"agent_id": "coder", "content": "deploy 1.2"})
        path = f"{CHAT}/sessions/{sent['session_id']}"
        await ann.until(path, lambda told: told["status"] == "awaiting_approval")

        await to_thread.run_sync(app.again)

        assert (await ann.call("GET", path))["status"] == "awaiting_approval"
        (approval,) = (await ann.call("GET", "/legato/v1/approvals"))["data"]
        assert await ann.call("POST", f"{CHAT}/approvals/{approval['id']}?allow=true") == {"status": "allowed"}
        await ann.call("POST", f"{CHAT}/approvals/{approval['id']}?allow=true", status=409)
        events = await ann.events("GET", f"{CHAT}/stream/{sent['session_id']}")
        assert "".join(data["content"] for kind, data in events if kind == "token") == "1.2 is deployed (imaginarily)."
        assert {"status": "awaiting_approval", "detail": None} in [data for _, data in events]


async def test_one_agent_a_session_and_no_hosts(start: Start) -> None:
    app = start("console")
    async with app.user("ann") as ann, app.user("bob") as bob:
        first = (await ann.call("POST", f"{CHAT}/message", {"agent_id": "coder", "content": "a"}))["session_id"]
        await ann.events("GET", f"{CHAT}/stream/{first}")
        again = {"agent_id": "coder", "content": "b", "session_id": first}
        assert (await ann.call("POST", f"{CHAT}/message", again))["session_id"] == first
        other = {"agent_id": "tester", "content": "c", "session_id": first}
        assert (await ann.call("POST", f"{CHAT}/message", other))["session_id"] != first
        await ann.call("POST", f"{CHAT}/message", {"agent_id": "http://10.0.0.1", "content": "x"}, status=404)
        await ann.call("POST", f"{CHAT}/message", {"agent_id": "coder", "content": "x", "port": 80}, status=422)
        for path in (f"stream/{first}", f"sessions/{first}"):
            await bob.call("GET", f"{CHAT}/{path}", status=404)
        await bob.call("POST", f"{CHAT}/sessions/{first}/cancel", status=404)
        assert len(await ann.call("GET", f"{CHAT}/sessions")) == 2
        assert await bob.call("GET", f"{CHAT}/sessions") == []


@pytest.mark.promise("R-02")
async def test_what_is_sent_again_is_one_message_in_one_session(start: Start) -> None:
    """Also where the session that it names is another agent's, or closed by now; there is one current session still."""
    app = start("console")
    async with app.user("ann") as ann, app.user("bob") as bob:

        async def send(**fields: str) -> dict[str, str]:
            body = {"agent_id": "coder", "content": "deploy 1.2"} | fields
            return dict(await ann.call("POST", f"{CHAT}/message", body, status=202))

        first, *again = await asyncio.gather(*(send(message_id="m1") for _ in range(4)))
        assert again == [first] * 3
        first_path = f"{CHAT}/sessions/{first['session_id']}"
        await ann.until(first_path, lambda told: told["status"] == "awaiting_approval")
        assert len((await ann.call("GET", "/legato/v1/approvals"))["data"]) == 1
        await ann.call("POST", f"{first_path}/cancel")

        other = await send(agent_id="tester", session_id=first["session_id"], message_id="m1")
        assert other["session_id"] != first["session_id"]
        assert await send(agent_id="tester", session_id=first["session_id"], message_id="m1") == other
        theirs = await bob.call("POST", f"{CHAT}/message", {"agent_id": "coder", "content": "b", "message_id": "m1"})
        assert theirs["session_id"] != first["session_id"]

        more = await send(content="more", session_id=first["session_id"], message_id="m2")
        assert more["session_id"] == first["session_id"]
        await ann.events("GET", f"{CHAT}/stream/{more['session_id']}")
        newest = await send(content="anew", message_id="m3")
        await ann.until(f"{CHAT}/sessions", lambda told: closed(told) == {first["session_id"]})
        assert await send(message_id="m1") == first
        assert await send(content="more", session_id=first["session_id"], message_id="m2") == more
        moved = await send(content="go on", session_id=first["session_id"], message_id="m4")
        assert moved["session_id"] not in (first["session_id"], newest["session_id"])
        assert await send(content="go on", session_id=first["session_id"], message_id="m4") == moved
        changed = {"agent_id": "coder", "content": "deploy 1.3", "message_id": "m1"}
        await ann.call("POST", f"{CHAT}/message", changed, status=409)

        assert (await send(content="a"))["turn_id"] != (await send(content="a"))["turn_id"]
        await ann.until(f"{CHAT}/sessions", lambda told: len(told) - len(closed(told)) == 2)  # one for each agent


def closed(sessions: list[dict[str, Any]]) -> set[str]:
    return {session["id"] for session in sessions if session["read_only"]}


async def test_cancelling_ends_what_runs(start: Start) -> None:
    app = start("console")
    async with app.user("ann") as ann:
        long = {"agent_id": "coder", "content": "word " * 5000}
        sent = await ann.call("POST", f"{CHAT}/message", long)
        path = f"{CHAT}/sessions/{sent['session_id']}"
        assert await ann.call("POST", f"{path}/cancel") == {"session_id": sent["session_id"], "cancelled": True}
        assert (await ann.events("GET", f"{CHAT}/stream/{sent['session_id']}"))[-1] == ("done", {"status": "complete"})
