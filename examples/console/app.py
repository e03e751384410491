"""Task console: agents with roles behind a gateway (product P-04). Start it with ``python -m examples.console``."""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, suppress
from hashlib import sha256
from typing import Any

import msgspec
from fastapi import Response
from pydantic import BaseModel, Field

from examples.common import User, application, database, model, serve, text_of
from legato import Legato, Turn, tool
from legato.core.errors import AgentNotFound, SessionClosed, SessionExists, TurnNotFound
from legato.core.events import Done, Snapshot, StatusUpdate, Token, UsageEvent
from legato.core.model import Message, State
from legato.core.model import Turn as TurnState
from legato.engine.engine import Sent
from legato.providers.catalog import ModelEntry
from legato.providers.demo import Call, DemoModel, newest, results
from legato.providers.port import ModelRequest
from legato.web.hosting import event_stream, reply

PRICES = ModelEntry(id="demo:script", context_window=32_768, cost_per_1m_input=0.5, cost_per_1m_output=1.5)
ROLES = {
    "planner": (None, "You plan the work."),
    "coder": ("planner", "You write code."),
    "tester": ("coder", "You test."),
}
STATUS = {"queued": "planning", "completed": "complete", "cancelled": "complete"}

chat = Legato(database("console"))
app = application(chat, "Task console")


@tool(approve=True)
def deploy(version: str) -> str:
    """Deploy a version. A person is asked first."""
    return f"{version} is deployed (imaginarily)"


def script(request: ModelRequest) -> Iterable[str | Call]:
    """The offline model: knows one command."""
    said = newest(request)
    if done := results(request):
        yield f"{done[-1]}."
    elif said.startswith("deploy "):
        yield Call("deploy", {"version": said.removeprefix("deploy ")})
    else:
        yield f"I am a script, not a model, and I would do this: {said}"


chat.provider(DemoModel(script, per_second=200), context_window=PRICES.context_window or 0, models=(PRICES,))


async def work(turn: Turn) -> AsyncIterator[str]:
    await turn.status("planning")
    begun = False
    async for text in turn.stream():
        if not begun:
            begun = True
            await turn.status("executing")
        yield text


for name, (parent, system) in ROLES.items():
    roles = {"name": name.title(), "role": name, "parent_role": parent}
    chat.agent(name, **roles, model=model(), system=system, tools=(deploy,), single_current=True)(work)


class NewMessage(BaseModel):
    """An agent is named by its id, never by a host or a port. ``session_id``: go on there, if that agent has it.

    ``message_id``: yours, another one for each message, so that sending can be tried again.
    """

    model_config = {"extra": "forbid"}

    agent_id: str = Field(max_length=100)
    content: str = Field(min_length=1, max_length=50_000)
    session_id: str | None = Field(None, max_length=40)
    message_id: str | None = Field(None, max_length=128)


@app.get("/api/agents")
async def agents(user: User) -> list[dict[str, object]]:
    told = ("id", "name", "role", "parent_role", "available")
    return [{name: getattr(spec, name) for name in told} for spec in chat.engine.registry.list()]


@app.get("/api/models")
async def models(user: User) -> Any:
    found = chat.engine.models.catalog.list()
    return [{"id": m.id, "context_window": m.context_window, "cost_per_1m_input": m.cost_per_1m_input} for m in found]


@app.post("/api/chat/message", status_code=202)
async def message(user: User, body: NewMessage) -> dict[str, object]:
    """One agent a session: another agent gets a new one."""
    if body.agent_id not in ROLES:
        raise AgentNotFound(f"There is no agent {body.agent_id!r}.")
    me, sent = chat.of(user), None
    if body.session_id and (await me.session(body.session_id, 1))[0].session.agent_id == body.agent_id:
        with suppress(SessionClosed):  # not raised for a repeat of what was sent there before
            sent = await me.send(body.session_id, body.content, message_id=body.message_id)
    sent = sent or await me.send(await _begun(user, body), body.content, message_id=body.message_id)
    return {"session_id": sent.turn.session_id, "turn_id": sent.turn.id, "message_id": sent.turn.message_id}


async def _begun(user: str, body: NewMessage) -> str:
    """A new session; one for a message with an id is named after it, so that a repeat finds what the first one began."""
    me = chat.of(user)
    if not body.message_id:
        return (await me.create_session(body.agent_id)).id
    session_id = "ses_" + sha256(repr((user, body.agent_id, body.message_id)).encode()).hexdigest()[:26]
    with suppress(SessionExists):
        await me.create_session(body.agent_id, session_id=session_id)
    return session_id


@app.get("/api/chat/stream/{session_id}")
async def stream(user: User, session_id: str) -> Response:
    """The newest answer, from its beginning, whether it runs or has ended: exactly four types of events."""
    me = chat.of(user)
    state, _ = await me.session(session_id, 1)
    turn = _newest(state)
    if turn is None:
        raise TurnNotFound
    return event_stream(_events(user, await me.sent(session_id, turn.id)), keep_alive_s=15)


async def _events(user: str, sent: Sent) -> AsyncIterator[tuple[str, object]]:
    async with aclosing(chat.of(user).follow(sent)) as events:  # type: ignore[type-var] # a generator
        async for event in events:
            match event:
                case Token(kind="text", turn_id=sent.turn.id):
                    yield "token", {"content": event.text}
                case Snapshot(message=Message() as said) if said.turn_id == sent.turn.id:
                    yield "token", {"content": text_of(said)}
                case StatusUpdate(turn_id=sent.turn.id):
                    yield "status_update", {"status": event.phase, "detail": event.detail}
                case UsageEvent(turn_id=sent.turn.id):
                    yield "usage", msgspec.to_builtins(event)
                case Done(turn_id=sent.turn.id):
                    yield "done", {"status": _status(await chat.of(user).turn(sent.turn.session_id, sent.turn.id))}
                case _:
                    pass


@app.post("/api/chat/sessions/{session_id}/cancel")
async def cancel(user: User, session_id: str) -> dict[str, object]:
    """End what runs and what waits."""
    me = chat.of(user)
    state, _ = await me.session(session_id, 1)
    for turn in reversed(state.turns):
        await me.cancel(session_id, turn.id)
    return {"session_id": session_id, "cancelled": True}


@app.get("/api/chat/sessions")
async def sessions(user: User) -> Response:
    return reply((await chat.of(user).sessions()).data)


@app.get("/api/chat/sessions/{session_id}")
async def history(user: User, session_id: str) -> dict[str, object]:
    state, _ = await chat.of(user).session(session_id, 200)
    turn = _newest(state)
    usage = next((m.usage for m in reversed(state.messages) if m.usage), None)
    messages = [{"id": m.id, "role": m.role, "content": text_of(m)} for m in state.messages]
    told = msgspec.to_builtins({"gauge": state.gauge, "usage": usage})
    return {"messages": messages, "status": _status(turn), **told}


@app.post("/api/chat/approvals/{approval_id}")
async def approve(user: User, approval_id: str, allow: bool) -> dict[str, object]:
    return {"status": (await chat.of(user).decide(approval_id, "allow" if allow else "deny")).status}


def _newest(state: State) -> TurnState | None:
    """What runs, else what ended last."""
    return next((t for t in state.turns if t.status == "in_progress"), state.turns[0] if state.turns else None)


def _status(turn: TurnState | None) -> str:
    """The console's words: planning, executing, awaiting_approval, complete, error."""
    if turn is None:
        return "complete"
    if turn.status == "in_progress":
        return turn.phase or "executing"
    return STATUS.get(turn.status, "error")


app.mount("/legato", chat.asgi(lambda request: request.headers.get("x-user")))  # exports, usage, search, approvals


def main() -> None:
    serve(app, 8404)
