"""Sommelier: a guide who knows the guest (product P-05). Start it with ``python -m examples.sommelier``."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import Header, Response
from pydantic import BaseModel, Field

from examples.common import User, application, database, model, serve, text_of
from legato import Legato, Turn
from legato.core import memory, titles
from legato.core.events import Done, Reset, Token
from legato.core.model import Message, Session
from legato.engine.engine import Sent
from legato.providers.demo import Call, DemoModel, newest
from legato.providers.port import ModelRequest
from legato.web.hosting import event_stream, reply

AGENT = "sommelier"
KINDS = ("liked_wines", "disliked_wines", "events", "foods")
WINES = ("Riesling", "Barolo", "Sancerre", "Rioja", "Saperavi")
SYSTEM = "Ты сомелье. Отвечай по-русски, коротко, и советуй одно вино. Учитывай, что известно о госте."
_FACTS = {
    "disliked_wines": re.compile(r"(?:не люблю|не нравится) (\w+)", re.I),
    "liked_wines": re.compile(r"(?<!не )(?:люблю|нравится) (\w+)", re.I),
    "events": re.compile(r"(?:праздную|отмечаю) ([\w ]+)", re.I),
    "foods": re.compile(r"(?:ем|готовлю) ([\w ]+)", re.I),
}

chat = Legato(database("sommelier"))
app = application(chat, "Sommelier")


def script(request: ModelRequest) -> Iterable[str | Call]:
    """The offline model, which makes titles and draws facts, too."""
    system, text = request.messages[0].content, newest(request)
    if system == titles.SYSTEM:
        yield "Выбор вина"
    elif system == memory.SYSTEM:
        yield msgspec.json.encode(list(_facts(text))).decode()
    else:
        yield f"(Я сценарий, а не модель.) На «{text}» я отвечу: попробуйте {WINES[0]}."


def _facts(transcript: str) -> Iterable[dict[str, object]]:
    lines = [msgspec.json.decode(line) for line in transcript.splitlines()[1:]]
    for line in (line for line in lines if line["by"] == "user" and not line.get("old")):
        for kind, rule in _FACTS.items():
            yield from ({"kind": kind, "text": found[1], "message": line["n"]} for found in rule.finditer(line["text"]))


chat.provider(DemoModel(script, per_second=200))


async def welcome(turn: Turn) -> AsyncIterator[str]:
    """Greets with what is remembered, and never begins with the wine of the last time."""
    liked = [fact.text for fact in turn.memories if fact.kind == "liked_wines"]
    known = f"Вы любите: {', '.join(liked[:3])}. " if liked else ""
    yield f"Здравствуйте! {known}Сегодня начнём с {await _fresh(turn)}."


async def _fresh(turn: Turn) -> str:
    """A wine that the guest does not dislike, and that opened none of his last sessions."""
    disliked = {fact.text.casefold() for fact in turn.memories if fact.kind == "disliked_wines"}
    me = chat.of(turn.session.owner)
    before = [s.id for s in (await me.sessions(agent_id=AGENT, limit=len(WINES))).data if s.id != turn.session.id]
    opened = [_first(await me.messages(session_id, 200)) for session_id in before]
    good = [wine for wine in WINES if wine.casefold() not in disliked] or list(WINES)
    return min(good, key=lambda wine: next((-at for at, said in enumerate(opened) if wine in said), -len(opened)))


@chat.agent(
    AGENT,
    name="Сомелье",
    model=model(),
    system=SYSTEM,
    welcome=welcome,
    single_current=True,
    idle_close_s=30 * 60,
    retention_days=90,
    memory=KINDS,
    memory_sessions=5,
    suggestions=("Что к рыбе?", "Красное на вечер"),
)
async def sommelier(turn: Turn) -> AsyncIterator[str]:
    async for text in turn.stream():
        yield text


class NewMessage(BaseModel):
    """``message_id``: yours, so that sending can be tried again."""

    content: str = Field(min_length=1, max_length=20_000)
    message_id: str | None = Field(None, max_length=128)


class Title(BaseModel):
    title: str = Field(min_length=1, max_length=200)


@app.get("/chat/sessions")
async def sessions(user: User) -> Response:
    """The sidebar: today, yesterday, older."""
    found = (await chat.of(user).sessions(agent_id=AGENT, limit=200)).data
    today = datetime.now(UTC).date()
    groups: dict[str, list[object]] = {"today": [], "yesterday": [], "older": []}
    for session in found:
        groups[_day(session.last_activity.date(), today)].append(_told(session))
    return reply(groups)


@app.post("/chat/sessions", status_code=201)
async def new_session(user: User, accept_language: Annotated[str, Header()] = "ru") -> Response:
    """At login, or for another subject: closes the current one, and the guide speaks first."""
    return reply(_told(await chat.of(user).create_session(AGENT, locale=accept_language[:35])), 201)


@app.get("/chat/sessions/current")
async def current(user: User) -> Response:
    return reply(_told(await chat.of(user).current_session(AGENT, "ru")))


@app.get("/chat/sessions/{session_id}")
async def session(user: User, session_id: str) -> Response:
    state, _ = await chat.of(user).session(session_id, 200)
    said = [{"id": m.id, "role": m.role, "type": m.message_type, "content": text_of(m)} for m in state.messages]
    return reply(_told(state.session) | {"messages": said})


@app.patch("/chat/sessions/{session_id}/title")
async def rename(user: User, session_id: str, body: Title) -> Response:
    return reply(_told(await chat.of(user).update_session(session_id, title=body.title)))


@app.delete("/chat/sessions/{session_id}", status_code=204)
async def delete(user: User, session_id: str) -> None:
    await chat.of(user).delete(session_id)


@app.post("/chat/sessions/{session_id}/messages")
async def send(user: User, session_id: str, body: NewMessage) -> Response:
    """The answer, as it is said."""
    sent = await chat.of(user).send(session_id, body.content, message_id=body.message_id, locale="ru")
    return event_stream(_events(user, sent))


async def _events(user: str, sent: Sent) -> AsyncIterator[tuple[str, object]]:
    async with aclosing(chat.of(user).follow(sent)) as events:  # type: ignore[type-var] # a generator
        async for event in events:
            match event:
                case Token(kind="text", turn_id=sent.turn.id):
                    yield "token", {"text": event.text}
                case Reset(turn_id=sent.turn.id):
                    yield "reset", {}
                case Done(turn_id=sent.turn.id):
                    yield "done", {"status": event.status, "reason": event.reason}
                case _:
                    pass


def _first(messages: list[Message]) -> str:
    return text_of(messages[0]) if messages else ""


def _day(day: date, today: date) -> str:
    return "today" if day >= today else "yesterday" if day == today - timedelta(days=1) else "older"


def _told(session: Session) -> dict[str, object]:
    told = {"id": session.id, "title": session.title, "read_only": session.read_only}
    return told | {"last_activity": session.last_activity}


def main() -> None:
    serve(app, 8405)
