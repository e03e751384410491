"""``legato chat`` and ``legato sessions`` as real processes, against a server that does as it is told."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import anyio
import msgspec
import pytest
from anyio.abc import ByteReceiveStream, Process

from legato.core.events import Event
from legato.core.model import Gauge, Summary
from tests.support import story
from tests.support.story import EVENTS_PATH, QUESTION, SESSION, TURN_PATH, TURNS_PATH, frames
from tests.support.wire import Reply, Request, Wire, json_reply, problem, silence, stream

pytestmark = pytest.mark.anyio

AGENT = {"id": "demo", "name": "Demo", "demo": True, "available": True}
PATIENCE_S = 30  # how long a test may hang
ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith("LEGATO_")}


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        wire.on("GET", "/v1/agents", json_reply({"data": [AGENT]}))
        wire.on("POST", "/v1/sessions", lambda request: json_reply(made(request), 201))
        wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
        wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request)))
        yield wire


def made(request: Request) -> object:
    """The session, under the id that the script knows."""
    return msgspec.structs.replace(story.session(), agent_id=request.json().get("agent_id", "demo"))


def rest(request: Request, events: list[Event] | None = None) -> bytes:
    return frames(events or story.whole(), story.seq_after(request.query["after"]))


class Command:
    """A running ``legato``. ``out`` and ``err`` are what it has written."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.out = b""
        self.err = b""
        self._more = anyio.Event()

    @classmethod
    @asynccontextmanager
    async def run(cls, wire: Wire, *words: str, stdin: bytes | None = None) -> AsyncGenerator[Self, None]:
        arguments = [sys.executable, "-m", "legato.cli", *words, "--url", wire.url]
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        async with await anyio.open_process(arguments, stdin=source, env=ENVIRONMENT) as process:
            command = cls(process)
            with anyio.fail_after(PATIENCE_S):
                async with anyio.create_task_group() as tasks:
                    assert process.stdout is not None
                    assert process.stderr is not None
                    tasks.start_soon(command._read, process.stdout, "out")
                    tasks.start_soon(command._read, process.stderr, "err")
                    if process.stdin is not None and stdin is not None:
                        await process.stdin.send(stdin)
                        await process.stdin.aclose()
                    yield command
                    await process.wait()

    async def _read(self, source: ByteReceiveStream, name: str) -> None:
        async for piece in source:
            setattr(self, name, getattr(self, name) + piece)
            self._more.set()
            self._more = anyio.Event()

    async def until(self, text: str) -> None:
        """Waits until ``text`` is among what was written."""
        while text.encode() not in self.out + b"\n" + self.err:
            await self._more.wait()

    @property
    def status(self) -> int | None:
        return self.process.returncode


async def finished(wire: Wire, *words: str, stdin: bytes | None = None) -> Command:
    async with Command.run(wire, *words, stdin=stdin) as command:
        pass
    return command


@pytest.mark.promise("H-06")
async def test_a_question_and_its_answer(wire: Wire) -> None:
    command = await finished(wire, "chat", "What", "is up?", "--agent", "demo")
    assert command.out.decode() == story.TEXT + "\n"
    assert command.err == b""
    assert command.status == 0
    assert wire.asked("POST", TURNS_PATH)[0].json()["text"] == "What is up?"
    assert wire.asked("POST", "/v1/sessions")[0].json()["agent_id"] == "demo"


@pytest.mark.promise("H-06")
async def test_a_question_from_a_pipe(wire: Wire) -> None:
    command = await finished(wire, "chat", stdin="Vad står på?\n".encode())
    assert command.out.decode() == story.TEXT + "\n"
    assert wire.asked("POST", TURNS_PATH)[0].json()["text"] == "Vad står på?\n"


@pytest.mark.promise("H-06")
async def test_a_question_that_is_no_utf_8(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONIOENCODING", "utf-8:strict")
    command = await finished(wire, "chat", stdin=b"caf\xe9?")
    assert (command.status, command.err) == (0, b"")
    assert wire.asked("POST", TURNS_PATH)[0].json()["text"] == "caf�?"


async def test_nothing_to_ask(wire: Wire) -> None:
    command = await finished(wire, "chat", stdin=b" \n")
    assert command.status == 2
    assert wire.requests == []


async def test_a_question_in_a_session(wire: Wire) -> None:
    view = {"state": story.state(status="completed"), "cursor": "7f3a.9"}
    wire.on("GET", f"/v1/sessions/{SESSION}", json_reply(view))
    command = await finished(wire, "chat", "Hi", "--session", SESSION)
    assert command.status == 0
    assert wire.asked("POST", "/v1/sessions") == []


@pytest.mark.promise("H-06")
async def test_ctrl_c_cancels_and_keeps_what_was_said(wire: Wire) -> None:
    cancelled = anyio.Event()
    events = [*story.opening(), story.token("The beginning"), story.token(" and more"), *story.ending("cancelled")]

    async def said() -> AsyncGenerator[bytes, None]:
        yield frames(events[:5])
        await cancelled.wait()
        yield frames(events, 5)  # what was committed before the cancellation still arrives

    def cancel(request: Request) -> Reply:
        cancelled.set()
        return json_reply(story.turn(status="cancelled"))

    wire.on("GET", EVENTS_PATH, lambda _: stream(said()))
    wire.on("POST", f"{TURN_PATH}/cancel", cancel)
    async with Command.run(wire, "chat", "Go") as command:
        await command.until("The beginning")
        command.process.send_signal(signal.SIGINT)
    assert command.out == b"The beginning and more\n"
    assert command.err.startswith(b"[cancelled")
    assert command.status == 130
    assert len(wire.asked("POST", f"{TURN_PATH}/cancel")) == 1


async def test_ctrl_c_while_the_message_is_on_its_way(wire: Wire) -> None:
    """The turn is cancelled as soon as it is known."""
    accepted, cancelled = anyio.Event(), anyio.Event()

    async def late() -> AsyncGenerator[bytes, None]:
        await accepted.wait()
        yield msgspec.json.encode(story.sent())

    async def said() -> AsyncGenerator[bytes, None]:
        await cancelled.wait()
        yield frames([*story.opening()[:2], story.done("cancelled", "cancelled")])

    def cancel(request: Request) -> Reply:
        cancelled.set()
        return json_reply(story.turn(status="cancelled"))

    wire.on("POST", TURNS_PATH, lambda _: Reply(202, {}, late()))
    wire.on("POST", f"{TURN_PATH}/cancel", cancel)
    wire.on("GET", EVENTS_PATH, lambda _: stream(said()))
    async with Command.run(wire, "chat", "Go") as command:
        await wire.until_asked("POST", TURNS_PATH)
        command.process.send_signal(signal.SIGINT)
        await anyio.sleep(0.2)  # mostly enough for the signal to be first; the test is right either way
        accepted.set()
    assert command.status == 130
    assert len(wire.asked("POST", f"{TURN_PATH}/cancel")) == 1


@pytest.mark.promise("H-06")
async def test_a_second_ctrl_c_leaves(wire: Wire) -> None:
    wire.on("GET", EVENTS_PATH, stream(frames([*story.opening(), story.token("The beginning")]), "silent"))
    wire.on("POST", f"{TURN_PATH}/cancel", silence())
    async with Command.run(wire, "chat", "Go") as command:
        await command.until("The beginning")
        command.process.send_signal(signal.SIGINT)
        await wire.until_asked("POST", f"{TURN_PATH}/cancel")
        command.process.send_signal(signal.SIGINT)
    assert command.out == b"The beginning\n"
    assert command.status == 130


@pytest.mark.promise("H-05", "H-06")
@pytest.mark.parametrize("status", ["completed", "incomplete"])
async def test_a_server_that_dies_and_comes_back(wire: Wire, status: str) -> None:
    """The answer goes on, or is marked; nothing is lost or doubled."""
    reason = "stop" if status == "completed" else "worker_lost"
    pieces = story.PIECES if status == "completed" else story.PIECES[:3]
    events = [*story.opening(), *[story.token(piece) for piece in pieces], *story.ending(status, reason)]
    torn = frames(events[:7]) + story.frame(8, story.token("never whole"))[:-9]
    wire.on("GET", EVENTS_PATH, stream(torn, "silent"), lambda request: stream(rest(request, events)))
    async with Command.run(wire, "chat", "Go") as command:
        await command.until(story.PIECES[2])
        await wire.kill()
        await command.until("connection lost, reconnecting")
        await wire.open()
    assert command.out.decode() == "".join(pieces).removesuffix("\n") + "\n"
    lost, back, *rest_of_notes = command.err.decode().splitlines()
    assert lost.startswith("· connection lost")
    assert back == "· connected again"
    if status == "completed":
        assert (command.status, rest_of_notes) == (0, [])
    else:
        assert (command.status, rest_of_notes) == (1, ["[incomplete: the server that ran it died]"])


async def test_nobody_there(wire: Wire) -> None:
    await wire.kill()
    command = await finished(wire, "chat", "Hello?")
    assert command.status == 3
    assert b"`legato serve` starts one" in command.err
    assert b"Traceback" not in command.err
    await wire.open()


async def test_a_refusal_is_one_line(wire: Wire) -> None:
    wire.on("GET", "/v1/agents", problem(401, "unauthenticated", "A token is needed."))
    command = await finished(wire, "chat", "Hello?")
    assert command.err == b"legato: A token is needed.\n"
    assert command.status == 1


async def test_an_agent_that_is_not_there(wire: Wire) -> None:
    command = await finished(wire, "chat", "Hello?", "--agent", "nobody")
    assert command.err == b"legato: There is no agent 'nobody' here, but: demo.\n"
    assert command.status == 1


async def test_a_reader_that_goes_away(wire: Wire) -> None:
    """As with ``| head``: no stack trace."""
    reading, writing = os.pipe()
    os.close(reading)
    arguments = [sys.executable, "-m", "legato.cli", "chat", "Hi", "--url", wire.url]
    process = await anyio.open_process(arguments, stdout=writing, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    async with process:
        os.close(writing)
        assert process.stderr is not None
        err = b"".join([piece async for piece in process.stderr])
        await process.wait()
    assert b"Traceback" not in err
    assert process.returncode == 1


# In a terminal


class Screen:
    """A pseudo-terminal with ``legato chat`` in it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.text = ""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *words: str) -> AsyncGenerator[tuple[Self, Process], None]:
        master, slave = pty.openpty()
        arguments = [sys.executable, "-m", "legato.cli", "chat", "--url", url, *words]
        environment = ENVIRONMENT | {"TERM": "dumb", "INPUTRC": os.devnull}
        process = await anyio.open_process(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        try:
            with anyio.fail_after(PATIENCE_S):  # also for it to leave when a test has failed
                async with process:
                    yield cls(master), process
                    await process.wait()
        finally:
            os.close(master)

    def type(self, line: str) -> None:
        os.write(self._master, line.encode() + b"\n")

    async def until(self, text: str) -> str:
        """Waits until ``text`` is shown; what stands before it, which is then forgotten."""
        while text not in self.text:
            await anyio.wait_readable(self._master)
            self.text += os.read(self._master, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        before, _, self.text = self.text.partition(text)
        return before


def listed(*sessions: object) -> dict[str, object]:
    return {"data": list(sessions), "has_more": False, "next": None}


@pytest.mark.promise("H-06")
async def test_a_conversation_in_a_terminal(wire: Wire) -> None:
    said = [*story.opening(), story.token("Bon\x1b[2Jjour"), *story.ending("incomplete", "worker_lost")]
    wire.on("GET", "/v1/sessions", json_reply(listed()))
    wire.on("GET", EVENTS_PATH, lambda request: stream(rest(request, said)))
    wire.on("POST", f"{TURN_PATH}/continue", json_reply(story.sent(), 202))
    wire.on("POST", f"{TURN_PATH}/retry", json_reply(story.sent(), 202))
    async with Screen.open(wire.url) as (screen, process):
        assert "Demo (offline demo)" in await screen.until("> ")
        screen.type("/help")
        assert "Bon�[2Jjour\n" in await screen.until("\x1b[2m[incomplete: the server that ran it died] — :continue")
        await screen.until("> ")
        for command in (":continue", ":retry", "::escaped"):
            screen.type(command)
            assert "Bon�[2Jjour\n" in await screen.until("[incomplete")
            await screen.until("> ")
        screen.type(":edit")
        await screen.until("What would you rather say?")
        screen.type(":edit Good evening")
        await screen.until("[incomplete")
        await screen.until("> ")
        screen.type(":nonsense")
        await screen.until("no such command")
        wire.on("GET", "/v1/sessions", json_reply(listed(msgspec.structs.replace(story.session(), title="Trip"))))
        screen.type(":sessions")
        await screen.until("  1  " + SESSION)
        screen.type(":new")
        await screen.until("a new session begins")
        screen.type(":quit")
    assert process.returncode == 0
    assert [request.json()["text"] for request in wire.asked("POST", TURNS_PATH)] == [
        "/help",
        ":escaped",
        "Good evening",
    ]
    assert [request.json().get("edits") for request in wire.asked("POST", TURNS_PATH)] == [None, None, QUESTION]
    assert len(wire.asked("POST", f"{TURN_PATH}/continue")) == 1
    assert len(wire.asked("POST", f"{TURN_PATH}/retry")) == 1
    assert len(wire.asked("POST", "/v1/sessions")) == 1


@pytest.mark.promise("T-05")
@pytest.mark.parametrize("said", ["Welcome!", "Wel"])
async def test_an_agent_that_speaks_first_is_heard_and_its_suggestions_are_shown(wire: Wire, said: str) -> None:
    """Whether it has said everything by then or not."""
    agent = AGENT | {"default": True, "welcomes": True, "suggestions": ["A red?", "A wh\x1b[2Jite?"]}
    over = {"status": "completed", "reason": "stop"} if said == "Welcome!" else {}
    view = {"state": story.state(text=said, kind="welcome", **over), "cursor": str(story.cursor(5))}
    wire.on("GET", "/v1/agents", json_reply({"data": [agent]}))
    wire.on("GET", "/v1/sessions", json_reply(listed()))
    wire.on("GET", f"/v1/sessions/{SESSION}", json_reply(view))
    wire.on("GET", EVENTS_PATH, stream(frames([story.token("come!"), *story.ending()], first_seq=6)))
    wire.on("POST", "/v1/sessions", lambda request: json_reply(story.session(), 201))
    async with Screen.open(wire.url) as (screen, process):
        assert screen.text == ""
        shown = await screen.until("\n> ")
        assert "Welcome!\n" in shown
        assert "· A red?" in shown
        assert "· A wh�[2Jite?" in shown
        screen.type(":quit")
    assert process.returncode == 0
    assert [request.json().get("welcome") for request in wire.asked("POST", "/v1/sessions")] == [None]


@pytest.mark.promise("T-05")
async def test_a_question_from_the_command_line_is_answered_without_a_welcome(wire: Wire) -> None:
    await finished(wire, "chat", "Hi")
    assert wire.asked("POST", "/v1/sessions")[0].json()["welcome"] is False


@pytest.mark.promise("H-06")
async def test_a_running_answer_is_taken_up(wire: Wire) -> None:
    """The terminal was closed in mid-answer; the next one shows all of it."""
    view = {"state": story.state(text="Bon"), "cursor": str(story.cursor(5))}
    wire.on("GET", "/v1/sessions", json_reply(listed(story.session())))
    wire.on("GET", f"/v1/sessions/{SESSION}", json_reply(view))
    wire.on("GET", EVENTS_PATH, stream(frames([story.token("jour"), *story.ending()], first_seq=6)))
    async with Screen.open(wire.url) as (screen, process):
        shown = await screen.until("\n> ")
        assert "> Hello" in shown
        assert shown.rstrip().endswith("Bonjour")
        screen.type(":quit")
    assert process.returncode == 0


@pytest.mark.promise("H-06")
async def test_ctrl_c_in_a_terminal(wire: Wire) -> None:
    """Cancels an answer and comes back to the prompt; there, two of them leave."""
    wire.on("GET", "/v1/sessions", json_reply(listed()))
    cancelled = anyio.Event()

    async def said() -> AsyncGenerator[bytes, None]:
        yield frames([*story.opening(), story.token("The beginning")])
        await cancelled.wait()
        yield frames(story.ending("cancelled", "cancelled"), first_seq=6)

    def cancel(request: Request) -> Reply:
        cancelled.set()
        return json_reply(story.turn(status="cancelled"))

    wire.on("GET", EVENTS_PATH, lambda _: stream(said()))
    wire.on("POST", f"{TURN_PATH}/cancel", cancel)
    async with Screen.open(wire.url, "--new") as (screen, process):
        await screen.until("> ")
        screen.type("Go")
        await screen.until("The beginning")
        process.send_signal(signal.SIGINT)
        await screen.until("cancelling")
        await screen.until("[cancelled]")
        await screen.until("> ")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(insist, process)
            await screen.until("again leaves")
            await process.wait()
            tasks.cancel_scope.cancel()
    assert process.returncode in (130, -signal.SIGINT)  # the latter when one more came while Python was leaving


async def insist(process: Process) -> None:
    """Ctrl-C again and again: one that comes right before the prompt waits for a key goes unnoticed (CPython's way)."""
    while process.returncode is None:
        process.send_signal(signal.SIGINT)
        await anyio.sleep(0.3)


# Sessions


@pytest.mark.promise("H-06")
async def test_sessions_are_listed(wire: Wire) -> None:
    title = "A [red]trip\x1b[2J to 京都"
    session = msgspec.structs.replace(story.session(), title=title, pinned=True)
    wire.on("GET", "/v1/sessions", json_reply(listed(session)))
    command = await finished(wire, "sessions", "list", "--status", "active", "--agent", "demo", "--limit", "7")
    assert command.status == 0
    row = next(line for line in command.out.decode().splitlines() if SESSION in line)
    assert "A [red]trip�[2J to 京都" in row
    assert "pinned" in row
    assert wire.requests[0].query == {"status": "active", "agent_id": "demo", "limit": "7"}


async def test_sessions_as_json(wire: Wire) -> None:
    wire.on("GET", "/v1/sessions", json_reply(listed(story.session())))
    command = await finished(wire, "sessions", "list", "--json")
    [session] = msgspec.json.decode(command.out)
    assert session["id"] == SESSION


async def test_no_more_sessions_are_fetched_than_asked_for(wire: Wire) -> None:
    page = {"data": [story.session()], "has_more": True, "next": "more"}
    wire.on("GET", "/v1/sessions", json_reply(page))
    command = await finished(wire, "sessions", "list", "--limit", "2", "--json")
    assert len(msgspec.json.decode(command.out)) == 2
    assert len(wire.requests) == 2


@pytest.mark.promise("H-06")
async def test_a_session_is_shown(wire: Wire) -> None:
    state = msgspec.structs.replace(story.state(text="Bonjour\n京都", status="incomplete"), gauge=Gauge(1024, 4096))
    view = {"state": state, "cursor": "7f3a.9"}
    wire.on("GET", f"/v1/sessions/{SESSION}", json_reply(view))
    command = await finished(wire, "sessions", "show", SESSION)
    shown = command.out.decode()
    assert command.status == 0
    assert "Bonjour\n京都\n" in shown
    assert "assistant" in shown
    assert "incomplete" in shown
    assert "1,024 of 4,096 tokens (25 %)" in shown
    command = await finished(wire, "sessions", "show", SESSION, "--json")
    assert msgspec.json.decode(command.out)["cursor"] == "7f3a.9"


@pytest.mark.promise("H-06", "C-03")
async def test_a_message_is_pinned_and_a_summary_is_shown(wire: Wire) -> None:
    message = story.state(text="Bonjour").messages[0]
    wire.on(
        "PATCH",
        f"/v1/sessions/{SESSION}/messages/{message.id}",
        json_reply(msgspec.structs.replace(message, pinned=True)),
        json_reply(message),
    )
    command = await finished(wire, "sessions", "pin-message", SESSION, message.id)
    assert command.out.decode() == f"{message.id} is pinned.\n"
    command = await finished(wire, "sessions", "pin-message", SESSION, message.id, "--off")
    assert command.out.decode() == f"{message.id} is not pinned any more.\n"
    assert [request.json() for request in wire.requests if request.method == "PATCH"] == [
        {"pinned": True},
        {"pinned": False},
    ]
    summary = Summary(message_id=message.id, messages=40, text="They spoke\nof wine.", created_at=story.NOW)
    wire.on("GET", f"/v1/sessions/{SESSION}/summary", json_reply(summary))
    command = await finished(wire, "sessions", "summary", SESSION)
    assert command.out.decode() == "They spoke\nof wine.\n"
    assert b"40 messages" in command.err


async def test_a_session_that_is_not_there(wire: Wire) -> None:
    wire.on("GET", "/v1/sessions/ses_x", problem(404, "session_not_found", "There is no such session."))
    command = await finished(wire, "sessions", "show", "ses_x")
    assert command.err == b"legato: There is no such session.\n"
    assert command.status == 1


async def test_a_terminal_without_utf_8(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PYTHONIOENCODING", "ascii:strict")
    command = await finished(wire, "chat", "Hi")
    assert command.out.decode("ascii") == story.TEXT.encode("ascii", "replace").decode() + "\n"
    assert command.status == 0
