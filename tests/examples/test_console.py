"""The contract of the task console (product P-04)."""

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


async def test_cancelling_ends_what_runs(start: Start) -> None:
    app = start("console")
    async with app.user("ann") as ann:
        long = {"agent_id": "coder", "content": "word " * 5000}
        sent = await ann.call("POST", f"{CHAT}/message", long)
        path = f"{CHAT}/sessions/{sent['session_id']}"
        assert await ann.call("POST", f"{path}/cancel") == {"session_id": sent["session_id"], "cancelled": True}
        assert (await ann.events("GET", f"{CHAT}/stream/{sent['session_id']}"))[-1] == ("done", {"status": "complete"})
