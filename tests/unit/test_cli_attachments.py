"""``legato chat --file`` and ``:file`` as real processes: what is attached is uploaded first, and sent once."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from legato.core.files import File
from tests.support import story
from tests.support.attachments import png
from tests.support.story import EVENTS_PATH, TURNS_PATH
from tests.support.wire import Request, Wire, json_reply, problem, stream
from tests.unit.test_cli_chat import AGENT, Screen, finished, made, rest

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-18", "H-06")]

FILE = File(
    id="fil_1",
    name="cat.png",
    media_type="image/png",
    size=70,
    digest="d",
    tokens=800,
    created_at=story.session().created_at,
)
ATTACHED = {"type": "file", "file_id": "fil_1"}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        wire.on("GET", "/v1/agents", json_reply({"data": [AGENT]}))
        wire.on("POST", "/v1/files", json_reply(FILE, 201))
        wire.on("POST", "/v1/sessions", lambda request: json_reply(made(request), 201))
        wire.on("GET", "/v1/sessions", json_reply({"data": [], "has_more": False, "next": None}))
        wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
        wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request)))
        yield wire


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    path.write_bytes(png())
    return path


def uploads(wire: Wire) -> list[Request]:
    return wire.asked("POST", "/v1/files")


async def test_a_question_with_files(wire: Wire, cat: Path) -> None:
    command = await finished(wire, "chat", "What is it?", "--file", str(cat), "--file", str(cat))
    assert (command.status, command.err) == (0, b"")
    assert [(request.query, request.body) for request in uploads(wire)] == [({"name": "cat.png"}, png())] * 2
    assert uploads(wire)[0].headers["content-type"] == "application/octet-stream"
    sent = wire.asked("POST", TURNS_PATH)[0].json()
    assert sent["parts"] == [ATTACHED, ATTACHED, {"type": "text", "text": "What is it?"}]
    assert "text" not in sent


async def test_a_file_that_is_not_there(wire: Wire, tmp_path: Path) -> None:
    command = await finished(wire, "chat", "What is it?", "--file", str(tmp_path / "no.png"))
    assert command.status == 2
    assert wire.requests == []


async def test_a_file_that_nobody_takes(wire: Wire, cat: Path) -> None:
    wire.on("POST", "/v1/files", problem(415, "file_unsupported", "Only images."))
    command = await finished(wire, "chat", "What is it?", "--file", str(cat))
    told = b"legato: cat.png can't be attached, and nothing was sent: Only images.\n"
    assert (command.status, command.err) == (1, told)
    assert wire.asked("POST", TURNS_PATH) == wire.asked("POST", "/v1/sessions") == []


async def test_a_file_in_a_conversation(wire: Wire, cat: Path) -> None:
    async with Screen.open(wire.url) as (terminal, process):
        await terminal.until("> ")
        terminal.type(":file /no/such.png")
        await terminal.until("! There is no file /no/such.png.")
        terminal.type(f":file {cat}")
        await terminal.until("with your next message: cat.png")
        terminal.type("What is it?")
        await terminal.until("終わり")
        await terminal.until("> ")
        terminal.type("And now?")
        await terminal.until("終わり")
        terminal.type(":quit")
    assert process.returncode == 0
    first, second = [request.json() for request in wire.asked("POST", TURNS_PATH)]
    assert first["parts"] == [ATTACHED, {"type": "text", "text": "What is it?"}]
    assert second["text"] == "And now?"
    assert len(uploads(wire)) == 1


async def test_files_that_can_not_be_sent_do_not_stand_in_the_way(wire: Wire, cat: Path, tmp_path: Path) -> None:
    """One is refused, one is gone by then, one is too much for the model: the conversation goes on."""
    bad, gone = tmp_path / "bad.bin", tmp_path / "gone.png"
    for path in (bad, gone):
        path.write_bytes(png())
    wire.on("POST", "/v1/files", problem(415, "file_unsupported", "Only images."), json_reply(FILE, 201))
    wire.on(
        "POST",
        TURNS_PATH,
        problem(422, "attachment_unsupported", "The model can't take cat.png."),
        json_reply(story.sent(), 202),
    )
    async with Screen.open(wire.url) as (terminal, process):
        await terminal.until("> ")
        for path in (bad, bad, gone, cat):
            terminal.type(f":file {path}")
            await terminal.until("with your next message: ")
        terminal.type("What is it?")
        await terminal.until("! bad.bin can't be attached, and nothing was sent: Only images.")
        await terminal.until("with your next message: gone.png, cat.png")
        gone.unlink()
        terminal.type("What is it?")
        await terminal.until("! gone.png can't be attached, and nothing was sent: No such file")
        await terminal.until("with your next message: cat.png (:file alone")
        terminal.type("What is it?")
        await terminal.until("! The model can't take cat.png.")
        await terminal.until("with your next message: cat.png (:file alone")
        for nowhere in ("~nobody-of-this-name/cat.png", "x" * 300):
            terminal.type(f":file {nowhere}")
            await terminal.until("! There is no file")
            await terminal.until("with your next message: cat.png")
        terminal.type(":file")
        await terminal.until("no file goes with your next message")
        terminal.type("And now?")
        await terminal.until("終わり")
        terminal.type(":quit")
    assert process.returncode == 0
    first, second = [request.json() for request in wire.asked("POST", TURNS_PATH)]
    assert first["parts"] == [ATTACHED, {"type": "text", "text": "What is it?"}]
    assert second["text"] == "And now?"
