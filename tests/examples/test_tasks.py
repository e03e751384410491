"""The contract of the task threads (product P-02)."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread

from tests.examples.conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P-02", "H-02")]

MESSAGES = "/chatkit/threads/{}/messages"


async def test_tasks_are_kept_over_a_kill_and_nobody_s_are_mixed(start: Start) -> None:
    app = start("tasks")
    async with app.user("ann") as ann, app.user("bob") as bob:
        thread = (await ann.call("POST", "/chatkit/threads", status=201))["id"]
        path = MESSAGES.format(thread)
        made = await ann.call("POST", path, {"content": "Create a task: buy milk"})
        assert (made["status"], made["role"]) == ("completed", "assistant")
        assert "buy milk" in made["content"]

        await to_thread.run_sync(app.again)

        assert "two litres" in (await ann.call("POST", path, {"content": "Add to that task: two litres"}))["content"]
        listed = (await ann.call("POST", path, {"content": "What tasks do I have?"}))["content"]
        assert "buy milk" in listed
        assert "two litres" in listed
        assert "buy milk" not in (await bob.call("POST", path, {"content": "What tasks do I have?"}))["content"]
        told = await ann.call("GET", f"/chatkit/threads/{thread}")
        assert [message["role"] for message in told["messages"]] == ["user", "assistant"] * 3
        assert [message["role"] for message in (await bob.call("GET", f"/chatkit/threads/{thread}"))["messages"]] == [
            "user",
            "assistant",
        ]
        assert (await ann.call("GET", f"/chatkit/threads/{thread}/stats"))["messages"] == 6


async def test_without_the_store_it_answers_without_context_and_says_so(start: Start, tmp_path: Path) -> None:
    app = start("tasks")
    async with app.user("ann") as ann:
        thread = (await ann.call("POST", "/chatkit/threads", status=201))["id"]
        path = MESSAGES.format(thread)
        await ann.call("POST", path, {"content": "Hello"})
        with closing(sqlite3.connect(tmp_path / "legato.db", isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")  # and does not let go
            answer = await ann.call("POST", path, {"content": "Are you there?"})
            assert "You have written 1 messages" in answer["content"]
            assert answer["warning"]
            listed = await ann.call("POST", path, {"content": "What tasks do I have?"}, status=503)
            assert (listed["content"], bool(listed["warning"])) == ("", True)
            assert "accepted" not in listed["warning"]
        answer = await ann.call("POST", path, {"content": "Are you there?"})
        assert "You have written 2 messages" in answer["content"]
        assert "warning" not in answer


async def test_what_a_stopping_server_has_accepted_is_said_so_and_done_once(start: Start, tmp_path: Path) -> None:
    app = start("tasks")
    async with app.user("ann") as ann:
        body = {"content": f"Create a task: buy milk {'x ' * 1000}"}
        asking = asyncio.create_task(ann.call("POST", MESSAGES.format("t"), body, status=503))
        thread = "/chatkit/threads/t"
        await ann.until(thread, lambda told: any("Done" in message["content"] for message in told["messages"]))

        app.ask_to_stop()

        told = await asking
        assert "accepted" in told["warning"]
        await to_thread.run_sync(app.wait)
        await to_thread.run_sync(app.start)
        again = await ann.call("POST", MESSAGES.format("t"), body | {"message_id": told["message_id"]})
        assert (again["status"], again["role"]) == ("completed", "assistant")
        with closing(sqlite3.connect(tmp_path / "tasks_db.sqlite")) as db:
            assert db.execute("SELECT count(*) FROM tasks").fetchone() == (1,)


async def test_an_unknown_id_begins_a_thread_and_a_repeat_is_one_message(start: Start) -> None:
    app = start("tasks")
    async with app.user("ann") as ann:
        assert (await ann.call("GET", "/chatkit/threads/mine"))["messages"] == []
        body = {"content": "Hello", "message_id": "once"}
        answers = await asyncio.gather(*(ann.call("POST", MESSAGES.format("mine"), body) for _ in range(4)))
        assert len({answer["id"] for answer in answers}) == 1
        assert len((await ann.call("GET", "/chatkit/threads/mine"))["messages"]) == 2


async def test_messages_of_a_thread_are_answered_in_order_and_keep_their_context(start: Start) -> None:
    app = start("tasks")
    async with app.user("ann") as ann:
        said = [ann.call("POST", MESSAGES.format("t"), {"content": f"message {n}"}) for n in range(20)]
        answers = await asyncio.gather(*said)
        counts = sorted(int(answer["content"].split("written ")[1].split()[0]) for answer in answers)
        assert counts == list(range(1, 21)), "each has seen all before it"
        messages = (await ann.call("GET", "/chatkit/threads/t"))["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant"] * 20


async def test_bad_requests_change_nothing(start: Start) -> None:
    app = start("tasks")
    async with app.user("ann") as ann, app.user("") as nobody:
        for body in ({}, {"content": ""}, {"content": "x" * 20_001}, {"content": 7}):
            await ann.call("POST", MESSAGES.format("t"), body, status=422)
        assert (await ann.call("GET", "/chatkit/threads/t"))["messages"] == []
        await nobody.call("GET", "/chatkit/threads/t", status=401)
