"""Editor assistant: a thread for each user and thing being edited (product P-01). Start: ``python -m examples.editor``."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, closing
from typing import Annotated, Literal

import msgspec
from fastapi import Body, Response
from pydantic import BaseModel, Field

from examples.common import User, application, database, model, serve, text_of
from legato import Legato, Turn, tool
from legato.core.errors import ToolFailed
from legato.core.events import ApprovalEvent, Done, Reset, StatusUpdate, Token, ToolCall, ToolResult, UsageEvent
from legato.core.model import Message, Session
from legato.engine.engine import Sent
from legato.providers.demo import Call, DemoModel, newest, results
from legato.providers.port import ModelRequest
from legato.web.hosting import event_stream, reply

DOCUMENTS = os.environ.get("DOCUMENTS_DB", "documents.db")
SYSTEM = "You help to edit a text. Read it with read_text, and propose each change with propose_edit."
SHOWN = (Token, StatusUpdate, ToolCall, ToolResult, ApprovalEvent, UsageEvent, Reset, Done)

chat = Legato(database("editor"))
app = application(chat, "Editor assistant")


def _documents() -> sqlite3.Connection:
    db = sqlite3.connect(DOCUMENTS, isolation_level=None, timeout=10)
    db.execute("CREATE TABLE IF NOT EXISTS texts (owner TEXT, tool TEXT, text TEXT, PRIMARY KEY (owner, tool))")
    db.execute(
        "CREATE TABLE IF NOT EXISTS edits (n INTEGER PRIMARY KEY, owner TEXT, tool TEXT, before TEXT, after TEXT)"
    )
    return db


def _read(db: sqlite3.Connection, owner: str, tool_id: str) -> str:
    row = db.execute("SELECT text FROM texts WHERE owner = ? AND tool = ?", (owner, tool_id)).fetchone()
    return str(row[0]) if row else ""


def _write(db: sqlite3.Connection, owner: str, tool_id: str, text: str) -> None:
    db.execute("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", (owner, tool_id, text))


@tool(repeatable=True)
def read_text(turn: Turn) -> str:
    """The text as it is now."""
    with closing(_documents()) as db:
        return _read(db, turn.session.owner, str(turn.session.context))


@tool(approve=True)
def propose_edit(turn: Turn, remove: str, insert: str) -> str:
    """Propose a change; the user applies it or does not.

    Args:
        remove: what is taken out, as it stands in the text
        insert: what takes its place
    """
    owner, tool_id = turn.session.owner, str(turn.session.context)
    with closing(_documents()) as db:
        before = _read(db, owner, tool_id)
        if remove not in before:
            raise ToolFailed("The text does not contain that.")
        after = before.replace(remove, insert, 1)
        db.execute("BEGIN IMMEDIATE")
        _write(db, owner, tool_id, after)
        db.execute(
            "INSERT INTO edits (owner, tool, before, after) VALUES (?, ?, ?, ?)", (owner, tool_id, before, after)
        )
        db.execute("COMMIT")
    return "applied"


def script(request: ModelRequest) -> Iterable[str | Call]:
    """The offline model: ``old -> new`` proposes a change."""
    remove, arrow, insert = newest(request).partition(" -> ")
    if done := results(request):
        yield f"The change: {done[-1]}."
    elif arrow:
        yield "I propose this. "
        yield Call("propose_edit", {"remove": remove, "insert": insert})
    else:
        yield "I am a script, not a model: write “old -> new”, and I propose that change."


chat.provider(DemoModel(script, per_second=200))


@chat.agent(
    "editor",
    name="Editor",
    model=model(),
    system=SYSTEM,
    tools=(read_text, propose_edit),
    tail=60,
    retention_days=30,
    enabled=os.environ.get("CHAT_ENABLED", "1") != "0",
)
async def editor(turn: Turn) -> AsyncIterator[str]:
    async for text in turn.stream():
        yield text


class NewMessage(BaseModel):
    """``message_id``: yours, so that sending can be tried again."""

    content: str = Field(min_length=1)
    message_id: str | None = Field(None, max_length=128)
    locale: str = Field("sv", max_length=35)


class Answer(BaseModel):
    """What the user says to a proposed change."""

    answer: Literal["apply", "reject"]


async def _thread(user: str, tool_id: str) -> Session:
    """The canonical thread of this user and this thing; one that is too old has made place for a new one."""
    return await chat.of(user).create_session("editor", context=tool_id)


@app.post("/api/v1/editor/tools/{tool_id}/chat")
async def send(user: User, tool_id: str, body: NewMessage) -> Response:
    """The answer as a stream. While a turn runs: 409; a message that can't fit: 422; a repeat: the same turn."""
    me, thread = chat.of(user), await _thread(user, tool_id)
    sent = await me.send(thread.id, body.content, message_id=body.message_id, mode="reject", locale=body.locale)
    return event_stream(_events(user, sent), headers={"Legato-Turn": sent.turn.id})


@app.get("/api/v1/editor/tools/{tool_id}/chat")
async def history(user: User, tool_id: str) -> Response:
    state, _ = await chat.of(user).session((await _thread(user, tool_id)).id, 60)
    here = {message.id for message in state.messages}
    messages = [_told(m) | {"orphaned": m.role == "assistant" and m.parent_id not in here} for m in state.messages]
    return reply({"messages": messages, "proposed": [{"id": a.id, "question": a.question} for a in state.approvals]})


@app.delete("/api/v1/editor/tools/{tool_id}/chat", status_code=204)
async def clear(user: User, tool_id: str) -> None:
    await chat.of(user).clear((await _thread(user, tool_id)).id)


@app.post("/api/v1/editor/tools/{tool_id}/edits/{edit_id}")
async def answer(user: User, tool_id: str, edit_id: str, body: Answer) -> dict[str, str]:
    """Apply a proposed change, or don't; the first answer counts."""
    decided = await chat.of(user).decide(edit_id, "allow" if body.answer == "apply" else "deny")
    return {"id": decided.id, "status": decided.status}


@app.post("/api/v1/editor/tools/{tool_id}/undo")
async def undo(user: User, tool_id: str) -> dict[str, str]:
    """Take the last applied change back, if nothing was changed since."""
    with closing(_documents()) as db:
        db.execute("BEGIN IMMEDIATE")
        mine = (user, tool_id)
        row = db.execute(
            "SELECT n, before, after FROM edits WHERE owner = ? AND tool = ? ORDER BY n DESC LIMIT 1", mine
        ).fetchone()
        if row is not None and row[2] == _read(db, *mine):
            _write(db, *mine, row[1])
            db.execute("DELETE FROM edits WHERE n = ?", (row[0],))
        text = _read(db, *mine)
        db.execute("COMMIT")
    return {"text": text}


@app.get("/api/v1/editor/tools/{tool_id}/text")
async def get_text(user: User, tool_id: str) -> dict[str, str]:
    with closing(_documents()) as db:
        return {"text": _read(db, user, tool_id)}


@app.put("/api/v1/editor/tools/{tool_id}/text", status_code=204)
async def put_text(user: User, tool_id: str, text: Annotated[str, Body(embed=True, max_length=200_000)]) -> None:
    with closing(_documents()) as db:
        _write(db, user, tool_id, text)


async def _events(user: str, sent: Sent) -> AsyncIterator[tuple[str, object]]:
    """What the turn does, in the protocol's own words."""
    async with aclosing(chat.of(user).follow(sent)) as events:  # type: ignore[type-var] # a generator
        async for event in events:
            if isinstance(event, SHOWN) and event.turn_id == sent.turn.id:
                yield event.event, msgspec.to_builtins(event)


def _told(message: Message) -> dict[str, object]:
    return {"id": message.id, "role": message.role, "status": message.status, "content": text_of(message)}


def main() -> None:
    serve(app, 8401)
