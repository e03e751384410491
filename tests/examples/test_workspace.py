"""The contract of the workspace (product P-03)."""

from typing import Any

import pytest
from anyio import to_thread

from tests.examples.applications import Visitor
from tests.examples.conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P-03", "H-02")]

CONVERSATIONS = "/api/conversations"
RUNS = ("queued", "in_progress")


async def ended(ann: Visitor, path: str) -> Any:
    return await ann.until(path, lambda told: told["turns"] and all(t["status"] not in RUNS for t in told["turns"]))


async def test_runtimes_are_picked_and_mentioned(start: Start) -> None:
    app = start("workspace")
    async with app.user("ann") as ann:
        assert [model["id"] for model in await ann.call("GET", "/api/models")] == ["openlike:fast", "anthrolike:deep"]
        made = await ann.call("POST", CONVERSATIONS, {"agent_id": "fast", "title": "Work"}, status=201)
        path = f"{CONVERSATIONS}/{made['id']}"
        await ann.call("POST", f"{path}/messages", {"content": "Hi"}, status=202)
        assert "runtime fast" in (await ended(ann, path))["messages"][-1]["content"]
        await ann.call("POST", f"{path}/messages", {"content": "@deep Hi"}, status=202)
        assert "runtime deep" in (await ended(ann, path))["messages"][-1]["content"]


async def test_leaving_a_view_stops_nothing_and_a_kill_leaves_nothing_streaming(start: Start) -> None:
    app = start("workspace")
    async with app.user("ann") as ann:
        made = await ann.call("POST", CONVERSATIONS, {})
        path = f"{CONVERSATIONS}/{made['id']}"
        sent = await ann.call("POST", f"{path}/messages", {"content": "long 60"})
        events = f"/legato/v1/sessions/{made['id']}/events?after={sent['cursor']}"
        async with ann.stream("GET", events) as stream:
            async for kind, _ in stream:
                if kind == "token":
                    break  # the view is left in mid-answer
        assert (await ended(ann, path))["messages"][-1]["content"].endswith("fast-59")

        sent = await ann.call("POST", f"{path}/messages", {"content": "long 5000"})
        async with ann.stream("GET", f"/legato/v1/sessions/{made['id']}/events?after={sent['cursor']}") as stream:
            async for kind, _ in stream:
                if kind == "token":
                    break
        await to_thread.run_sync(app.again)
        last = (await ended(ann, path))["messages"][-1]
        assert last["status"] == "incomplete"
        assert last["content"] or last["error"]
        ended_by = (await ann.call("GET", "/api/diagnostics/chat-streams"))["data"][-1]
        assert (ended_by["code"], ended_by["turn_id"]) == ("stream.reconciled", sent["turn_id"])
        left = {"code": "client.stream.view-remount", "session_id": made["id"], "at": "2026-11-26T00:00:00Z"}
        await ann.call("POST", "/legato/v1/diagnostics/streams", {"ends": [left]}, status=204)
        codes = [end["code"] for end in (await ann.call("GET", "/api/diagnostics/chat-streams"))["data"]]
        assert {"client.stream.view-remount", "stream.reconciled"} <= set(codes)


async def test_pins_search_templates_and_exports(start: Start) -> None:
    app = start("workspace")
    async with app.user("ann") as ann, app.user("bob") as bob:
        made = await ann.call("POST", CONVERSATIONS, {})
        path = f"{CONVERSATIONS}/{made['id']}"
        await ann.call("POST", f"{path}/messages", {"content": "the elderberry"})
        await ended(ann, path)
        assert (await ann.call("PUT", f"{path}/pin", {"pinned": True}))["pinned"]
        assert [s["id"] for s in (await ann.call("GET", f"{CONVERSATIONS}?pinned=true"))["data"]] == [made["id"]]
        assert [s["id"] for s in (await ann.call("GET", f"{CONVERSATIONS}?text=elderb"))["data"]] == [made["id"]]
        assert (await bob.call("GET", CONVERSATIONS))["data"] == []
        await bob.call("GET", path, status=404)
        saved = await ann.call("POST", "/legato/v1/searches", {"name": "Berries", "query": "elderb"}, status=201)
        assert saved["name"] == "Berries"
        assert (await ann.call("GET", f"/legato/v1/sessions/{made['id']}/export?format=json"))["messages"]
        await ann.call("PUT", "/api/templates", {"name": "Bug", "text": "Steps: …"}, status=204)
        assert await ann.call("GET", "/api/templates") == [{"name": "Bug", "text": "Steps: …"}]
        assert await bob.call("GET", "/api/templates") == []
        await bob.call("DELETE", "/api/templates/Bug", status=404)
        await ann.call("DELETE", "/api/templates/Bug", status=204)
