"""``legato chat`` in a terminal of its own, while the server under it is killed and started again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from legato.client import Client
from legato.core.model import TextPart
from tests.support.server import ServerProcess

_WORDS = 400


def _read_until(chat: "subprocess.Popen[bytes]", word: bytes) -> bytes:
    """What the chat has printed when ``word`` has come; the test's time-out ends a chat that says nothing."""
    assert chat.stdout is not None
    seen = b""
    while word not in seen:
        piece = os.read(chat.stdout.fileno(), 4096)
        assert piece, f"the chat ended early: {seen!r}"
        seen += piece
    return seen


def _stored(url: str) -> tuple[str, str]:
    """The newest session's answer as the journal holds it: text and status."""
    with Client(url) as client:
        session = next(iter(client.sessions()))
        answer = client.session(session.id).state.messages[-1]
    return "".join(part.text for part in answer.parts if isinstance(part, TextPart)), answer.status


@pytest.mark.promise("H-05", "H-06", "R-06")
def test_a_running_chat_outlives_its_server(tmp_path: Path) -> None:
    with ServerProcess(f"sqlite:///{tmp_path}/chat.db") as server:
        command = [sys.executable, "-m", "legato.cli", "chat", "--url", server.url, f"/long {_WORDS} 100"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as chat:
            seen = _read_until(chat, b"w50\n")
            server.kill()
            server.start()
            assert chat.stdout is not None
            seen += chat.stdout.read()
            code = chat.wait(30)
        text, status = _stored(server.url)
    assert status == "incomplete"
    assert code == 1, "an answer that was cut short is no success"
    assert f"w{_WORDS}" not in text
    assert seen.decode().rstrip("\n") == text.rstrip("\n"), "what was printed is what is stored, once"
