"""The Python client: ``AsyncClient``, and ``Client`` for code without an event loop. It resumes by itself.

    with Client("http://127.0.0.1:8321") as client:
        session = client.create_session()
        for piece in client.answer(session.id, "Hello"):
            print(piece.text, end="", flush=True)

Guide: ``docs/client.md``.
"""

from legato.client.answer import Piece
from legato.client.async_client import AsyncClient
from legato.client.blocking import Answer, Client
from legato.client.errors import NotLegato, RemoteError, Unauthenticated, Unreachable
from legato.client.http import Notice
from legato.client.model import Agent, Hint, Model, Page, Sent, View
from legato.client.transfer import Imported, ImportProgress, ImportReport, LeftOut
from legato.client.watching import AsyncAnswer, Update
from legato.core.files import File
from legato.core.found import Hit, SavedSearch

__all__ = [
    "Agent",
    "Answer",
    "AsyncAnswer",
    "AsyncClient",
    "Client",
    "File",
    "Hint",
    "Hit",
    "ImportProgress",
    "ImportReport",
    "Imported",
    "LeftOut",
    "Model",
    "NotLegato",
    "Notice",
    "Page",
    "Piece",
    "RemoteError",
    "SavedSearch",
    "Sent",
    "Unauthenticated",
    "Unreachable",
    "Update",
    "View",
]
