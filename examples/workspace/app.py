"""Workspace: several runtimes behind one page (product P-03). Start it with ``python -m examples.workspace``."""

import os
import re
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import closing

from fastapi import HTTPException, Response
from pydantic import BaseModel, Field

from examples.common import User, application, database, serve, text_of
from legato import Legato, Turn
from legato.providers.catalog import ModelEntry
from legato.providers.demo import Call, DemoModel, newest
from legato.providers.port import ModelRequest
from legato.web.hosting import reply

# Two runtimes of different kinds; with keys in the environment name real ones: MODELS=openai:gpt-5-mini,anthropic:claude-…
MODELS = tuple(os.environ.get("MODELS", "openlike:fast,anthrolike:deep").split(","))
TEMPLATES = os.environ.get("TEMPLATES_DB", "templates.db")
_MENTION = re.compile(r"@([\w.:-]+)\s+(.*)", re.DOTALL)
_MOST_ERROR_CHARS = 1000  # 4 KB at most, in any script

chat = Legato(database("workspace"))
app = application(chat, "Workspace")


def script(request: ModelRequest) -> Iterable[str | Call]:
    """The offline runtimes: ``long N`` says N words."""
    said = newest(request)
    if found := re.fullmatch(r"long (\d{1,4})", said):
        yield " ".join(f"{request.model}-{n}" for n in range(int(found[1])))
    else:
        yield f"I am the runtime {request.model} (a script, not a model). You wrote: {said}"


for name in ("openlike", "anthrolike"):
    entries = tuple(ModelEntry(id=model, context_window=32_768) for model in MODELS if model.startswith(f"{name}:"))
    if entries:
        chat.provider(DemoModel(script, name=name, per_second=200), models=entries)


async def answer(turn: Turn) -> AsyncIterator[str]:
    async for text in turn.stream():
        yield text


for model in MODELS:
    chat.agent(model.partition(":")[2], name=model, model=model, on_crash="incomplete")(answer)


class NewConversation(BaseModel):
    """``agent_id``: the runtime, else the first one."""

    agent_id: str | None = Field(None, max_length=100)
    title: str | None = Field(None, max_length=200)


class NewMessage(BaseModel):
    """``@runtime …`` has that runtime's model answer this once. ``background``: nobody waits for it."""

    content: str = Field(min_length=1, max_length=50_000)
    message_id: str | None = Field(None, max_length=128)
    background: bool = False


class Template(BaseModel):
    name: str = Field(min_length=1, max_length=100)
    text: str = Field(min_length=1, max_length=20_000)


class Pin(BaseModel):
    pinned: bool


@app.get("/api/models")
async def models(user: User) -> list[dict[str, object]]:
    """The picker."""
    found = chat.engine.models.catalog.list()
    return [{"id": m.id, "name": m.name, "provider": m.provider, "context_window": m.context_window} for m in found]


@app.get("/api/conversations")
async def conversations(user: User, text: str | None = None, pinned: bool = False) -> Response:
    """The newest first; those with ``text`` in their title or messages; ``running`` are those that are being answered."""
    page = await chat.of(user).sessions(text=text, status="pinned" if pinned else None, limit=100)
    return reply({"data": page.data, "running": page.running})


@app.post("/api/conversations", status_code=201)
async def new_conversation(user: User, body: NewConversation) -> Response:
    return reply(await chat.of(user).create_session(body.agent_id, title=body.title), 201)


@app.get("/api/conversations/{conversation_id}")
async def conversation(user: User, conversation_id: str) -> Response:
    """What a view shows when it comes back: no answer was lost or stopped by its leaving."""
    state, cursor = await chat.of(user).session(conversation_id, 200)
    messages = [
        {
            "id": m.id,
            "role": m.role,
            "status": m.status,
            "content": text_of(m),
            "error": m.error and m.error.message[:_MOST_ERROR_CHARS],
        }
        for m in state.messages
    ]
    return reply({"messages": messages, "turns": state.turns, "approvals": state.approvals, "cursor": str(cursor)})


@app.post("/api/conversations/{conversation_id}/messages", status_code=202)
async def send(user: User, conversation_id: str, body: NewMessage) -> dict[str, str]:
    """Accepted, and answered in the background; follow it at ``/legato/v1/sessions/…/events``."""
    mention = _MENTION.fullmatch(body.content)
    model = next((m for m in MODELS if mention and mention[1] in (m, m.partition(":")[2])), None)
    sent = await chat.of(user).send(
        conversation_id,
        mention[2] if mention and model else body.content,
        message_id=body.message_id,
        model_id=model,
        priority="background" if body.background else "interactive",
    )
    return {"turn_id": sent.turn.id, "cursor": str(sent.cursor)}


@app.get("/api/diagnostics/chat-streams")
async def chat_streams(user: User) -> Response:
    """Why streams ended: ``stream.…`` says the server, ``client.stream.…`` the page (``/legato/v1/diagnostics/streams``)."""
    return reply({"data": await chat.of(user).stream_ends()})


@app.put("/api/conversations/{conversation_id}/pin")
async def pin(user: User, conversation_id: str, body: Pin) -> Response:
    return reply(await chat.of(user).update_session(conversation_id, pinned=body.pinned))


def _templates() -> sqlite3.Connection:
    db = sqlite3.connect(TEMPLATES, isolation_level=None, timeout=10)
    db.execute("CREATE TABLE IF NOT EXISTS templates (owner TEXT, name TEXT, text TEXT, PRIMARY KEY (owner, name))")
    return db


@app.get("/api/templates")
async def templates(user: User) -> list[Template]:
    with closing(_templates()) as db:
        rows = db.execute("SELECT name, text FROM templates WHERE owner = ? ORDER BY name", (user,)).fetchall()
    return [Template(name=name, text=text) for name, text in rows]


@app.put("/api/templates", status_code=204)
async def put_template(user: User, body: Template) -> None:
    with closing(_templates()) as db:
        db.execute("INSERT OR REPLACE INTO templates VALUES (?, ?, ?)", (user, body.name, body.text))


@app.delete("/api/templates/{name}", status_code=204)
async def delete_template(user: User, name: str) -> None:
    with closing(_templates()) as db:
        if not db.execute("DELETE FROM templates WHERE owner = ? AND name = ?", (user, name)).rowcount:
            raise HTTPException(404, "There is no such template.")


# The rest of the page's needs: events, search and saved searches, exports, approvals, usage.
app.mount("/legato", chat.asgi(lambda request: request.headers.get("x-user")))


def main() -> None:
    serve(app, 8403)
