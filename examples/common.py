"""What the five applications share: who asks, and how each is started. Yours would have a login instead."""

import os
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException

from legato import Legato
from legato.core.model import Message, TextPart
from legato.serving import run
from legato.web.hosting import install


def _user(x_user: Annotated[str | None, Header()] = None) -> str:
    """The name that the gateway in front of this application vouches for."""
    if not x_user:
        raise HTTPException(401, "Say who you are: X-User.")
    return x_user


def text_of(message: Message) -> str:
    """The words of a message."""
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


User = Annotated[str, Depends(_user)]


def database(name: str) -> str:
    return os.environ.get("DATABASE_URL", f"sqlite:///{name}.db")


def model() -> str:
    """``MODEL=openai:gpt-5-mini`` or ``anthropic:…`` with its key in the environment; else a script answers."""
    return os.environ.get("MODEL", "demo:script")


def application(chat: Legato, title: str) -> FastAPI:
    """A FastAPI application whose errors are Legato's problem documents, too."""
    app = FastAPI(title=title)
    install(app)
    app.state.chat = chat
    return app


def serve(app: FastAPI, port: int) -> None:
    chat: Any = app.state.chat
    run(chat, app, port=int(os.environ.get("PORT", port)))
