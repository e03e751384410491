"""Task threads: a to-do bot that remembers (product P-02). Start it with ``python -m examples.tasks``."""

import os
import re
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing
from uuid import uuid4

from fastapi import Response
from pydantic import BaseModel, Field

from examples.common import User, application, database, model, serve, text_of
from legato import Legato, Turn, tool
from legato.core.errors import Unavailable
from legato.core.model import Message, Session
from legato.providers.demo import Call, DemoModel, newest, results
from legato.providers.port import ModelRequest

TASKS = os.environ.get("TASKS_DB", "tasks-list.db")
SYSTEM = "You keep a to-do list. Use the tools for everything about tasks; answer in one or two short sentences."

chat = Legato(database("tasks"))
app = application(chat, "Task threads")


def _tasks() -> sqlite3.Connection:
    db = sqlite3.connect(TASKS, isolation_level=None, timeout=10)
    db.execute(
        "CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY, owner TEXT, title TEXT, notes TEXT DEFAULT '')"
    )
    return db


@tool
def create_task(turn: Turn, title: str) -> dict[str, object]:
    """Put a task on the user's list.

    Args:
        title: what is to be done
    """
    with closing(_tasks()) as db:
        made = db.execute("INSERT INTO tasks (owner, title) VALUES (?, ?)", (turn.session.owner, title))
        return {"id": made.lastrowid, "title": title}


@tool
def add_to_task(turn: Turn, id: int, note: str) -> dict[str, object]:
    """Add a note to a task.

    Args:
        id: the task's number
        note: what to add
    """
    with closing(_tasks()) as db:
        mine = (turn.session.owner, id)
        db.execute("UPDATE tasks SET notes = notes || ? WHERE owner = ? AND id = ?", (f"{note}\n", *mine))
        row = db.execute("SELECT title, notes FROM tasks WHERE owner = ? AND id = ?", mine).fetchone()
        return {"id": id, "title": row[0], "notes": row[1].splitlines()} if row else {"error": "no such task"}


@tool(repeatable=True)
def list_tasks(turn: Turn) -> list[dict[str, object]]:
    """The user's tasks."""
    with closing(_tasks()) as db:
        rows = db.execute("SELECT id, title, notes FROM tasks WHERE owner = ? ORDER BY id", (turn.session.owner,))
        return [{"id": id, "title": title, "notes": notes.splitlines()} for id, title, notes in rows]


def script(request: ModelRequest) -> Iterable[str | Call]:
    """The offline model: knows three sentences, and what "that task" was."""
    if done := results(request):
        yield f"Done: {done[-1]}"
        return
    said = newest(request)
    made = [found[1] for message in request.messages if (found := re.search(r'"id":(\d+)', message.content))]
    if found := re.match(r"create a task:? *(.+)", said, re.I):
        yield Call("create_task", {"title": found[1]})
    elif (found := re.match(r"add to that task:? *(.+)", said, re.I)) and made:
        yield Call("add_to_task", {"id": int(made[-1]), "note": found[1]})
    elif re.search(r"what tasks|my tasks", said, re.I):
        yield Call("list_tasks", {})
    else:
        count = sum(message.role == "user" for message in request.messages)
        yield f"I keep your list (a script, not a model). You have written {count} messages that I remember."


chat.provider(DemoModel(script, per_second=200))


@chat.agent(
    "tasks",
    name="Tasks",
    model=model(),
    system=SYSTEM,
    tools=(create_task, add_to_task, list_tasks),
    tail=200,
    history_limit=200,
    retention_days=7,
    on_crash="continue",
    on_store_failure="degrade",
)
async def tasks(turn: Turn) -> AsyncIterator[str]:
    async for text in turn.stream():
        yield text


class NewMessage(BaseModel):
    """``message_id``: yours, so that sending can be tried again; a ``503`` names one where you have none."""

    content: str = Field(min_length=1, max_length=20_000)
    message_id: str | None = Field(None, max_length=128)


async def _thread(user: str, thread_id: str) -> Session:
    """A thread is a session with this context; on this profile one that nobody knows begins by being named."""
    return await chat.of(user).create_session("tasks", context=thread_id)


async def _known(user: str, thread_id: str) -> str:
    """The session of a thread while the store takes no writes; if it can't be read either, nobody knows."""
    try:
        found = (await chat.of(user).sessions(context=thread_id, limit=1)).data
    except Unavailable:
        found = ()
    return found[0].id if found else thread_id


@app.post("/chatkit/threads", status_code=201)
async def create_thread(user: User) -> dict[str, str]:
    thread_id = f"thr_{uuid4().hex}"
    await _thread(user, thread_id)
    return {"id": thread_id}


@app.get("/chatkit/threads/{thread_id}")
async def get_thread(user: User, thread_id: str) -> dict[str, object]:
    state, _ = await chat.of(user).session((await _thread(user, thread_id)).id, limit=200)
    return {"id": thread_id, "title": state.session.title, "messages": [_told(message) for message in state.messages]}


@app.post("/chatkit/threads/{thread_id}/messages")
async def post_message(user: User, thread_id: str, body: NewMessage, response: Response) -> dict[str, object]:
    """Send, and wait for the answer; who goes away meanwhile finds it in the thread. Messages are answered in order."""
    me, message_id = chat.of(user), body.message_id or f"msg_{uuid4().hex}"
    try:
        session = await _thread(user, thread_id)
        sent = await me.send(session.id, body.content, message_id=message_id)
    except Unavailable:
        unkept = await me.answered_without_store(await _known(user, thread_id), body.content)
        if unkept is not None and unkept.text:
            return {"content": unkept.text, "warning": unkept.warning}
        return _later(response, message_id, "The list can't be reached at the moment.")
    try:
        turn, answer = await me.answered(sent)
    except Unavailable:  # this process stops, or the store is away: the turn is safe, and goes on
        return _later(response, message_id, "Your message is accepted, and its answer comes to the thread.")
    return {"status": turn.status, **(_told(answer) if answer else {"content": turn.text or ""})}


@app.get("/chatkit/threads/{thread_id}/stats")
async def stats(user: User, thread_id: str) -> dict[str, object]:
    found = await chat.of(user).stats((await _thread(user, thread_id)).id)
    return {"messages": found.message_count, "tokens": found.usage.total_tokens, "age_s": found.age_s}


def _later(response: Response, message_id: str, why: str) -> dict[str, object]:
    """Sent again with this id, it is accepted once, whatever became of it by now."""
    response.status_code, response.headers["Retry-After"] = 503, "2"
    return {"content": "", "message_id": message_id, "warning": f"{why} Send it again with this message_id."}


def _told(message: Message) -> dict[str, object]:
    at = message.created_at.isoformat()
    return {"id": message.id, "role": message.role, "content": text_of(message), "created_at": at}


def main() -> None:
    serve(app, 8402)
