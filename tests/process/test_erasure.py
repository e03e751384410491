"""A session is deleted from a running server, while others stream: of its words no byte is left in any file (guarantee G12)."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from legato.client import Client, File
from legato.core.errors import SessionNotFound
from tests.process.nursery import FAILPOINT
from tests.support.attachments import png
from tests.support.canary import places
from tests.support.server import ServerProcess

pytestmark = [pytest.mark.promise("S-07"), pytest.mark.promise("S-18"), pytest.mark.timeout(240)]

CANARY: Final = "Rumpelstilzchen"
WITHIN_S: Final = 60.0
STREAMS: Final = 3
WORDS: Final = 1500
REMEMBER: Final = """
    INSERT INTO memories
        (id, owner, agent_id, kind, text, digest, session_id, message_id, created_at, changed_at, edited, forgotten)
    VALUES ('mem_1', 'local', 'demo', 'name', ?, ?, ?, 'msg_1', 1, 1, 0, 0)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the database is, with all its files, and what the server logs."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[ServerProcess]:
    with ServerProcess(f"sqlite:///{folder / 'legato.db'}", log=folder / "server.log") as server:
        yield server


def told(client: Client, folder: Path) -> str:
    """A session that has the canary wherever there is room for one; its id."""
    session = client.create_session(title=CANARY, context=CANARY, metadata={CANARY: CANARY})
    for question in (f"My name is {CANARY}", f"{CANARY.lower()} {CANARY.upper()}", "/long 400 400"):
        list(client.answer(session.id, question))
    list(client.answer(session.id, "", files=attached(client)))
    client.send(session.id, f"/long 5000 100 {CANARY}")  # still runs when the session goes
    client.send(session.id, f"And then, {CANARY}?")  # still waits
    with closing(sqlite3.connect(folder / "legato.db")) as console:
        console.execute("PRAGMA wal_autocheckpoint=0")
        console.execute(REMEMBER, (CANARY, CANARY, session.id))
        console.commit()
    return session.id


def attached(client: Client) -> list[File]:
    """Files that have the canary in their names and all through their bytes."""
    image = png() + f"{CANARY} ".encode() * 50_000
    return [client.upload(image, f"{CANARY}.png"), client.upload(f"{CANARY}\n".encode() * 3, f"{CANARY}.txt")]


def streamed(client: Client) -> str:
    """A long answer in a session of its own."""
    return "".join(piece.text for piece in client.answer(client.create_session().id, f"/long {WORDS} 150"))


def wait_until_gone(folder: Path) -> None:
    """Raises AssertionError: there is still some of it."""
    until_s = time.monotonic() + WITHIN_S
    while (found := places(folder, CANARY)) and time.monotonic() < until_s:
        time.sleep(0.2)
    assert found == []


def expected() -> str:
    return "".join(f"w{number}" + (" " if number % 10 else "\n") for number in range(1, WORDS + 1))


def test_no_byte_is_left_and_nobody_else_loses_one(server: ServerProcess, folder: Path) -> None:
    with Client(server.url) as client, ThreadPoolExecutor(STREAMS) as threads:
        session_id = told(client, folder)
        streams = [threads.submit(streamed, client) for _ in range(STREAMS)]
        assert places(folder, CANARY)
        client.delete(session_id)
        with pytest.raises(SessionNotFound):
            client.session(session_id)
        wait_until_gone(folder)
        assert [stream.result() for stream in streams] == [expected()] * STREAMS
        wait_until_gone(folder)
    server.terminate()
    assert places(folder, CANARY) == []


def test_a_server_that_dies_in_the_middle_goes_on_when_it_is_back(server: ServerProcess, folder: Path) -> None:
    server.kill()
    server.env[FAILPOINT] = "in_erase"
    server.start()
    with Client(server.url, retry_for_s=WITHIN_S) as client, ThreadPoolExecutor(1) as threads:
        session_id = told(client, folder)
        deleting = threads.submit(client.delete, session_id)
        assert server.wait() == -9
        assert places(folder, CANARY)
        del server.env[FAILPOINT]
        server.start()
        deleting.result()
        with pytest.raises(SessionNotFound):
            client.session(session_id)
        wait_until_gone(folder)


def test_a_file_that_was_never_sent_leaves_no_byte(server: ServerProcess, folder: Path) -> None:
    with Client(server.url) as client:
        files = attached(client)
        assert places(folder, CANARY)
        for file in files:
            client.delete_file(file.id)
        wait_until_gone(folder)


@pytest.mark.promise("S-08")
def test_a_cleared_session_keeps_its_name_and_not_a_byte_of_what_was_said(server: ServerProcess, folder: Path) -> None:
    with Client(server.url) as client:
        session = client.create_session(title="Kept")
        list(client.answer(session.id, f"My name is {CANARY}", files=attached(client)))
        client.clear(session.id)
        wait_until_gone(folder)
        assert client.session(session.id).state.session.title == "Kept"
