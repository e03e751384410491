"""The client without an event loop is the async one, method by method."""

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import closing
from typing import TypeVar

import anyio
import pytest
from anyio import to_thread

from legato.client import Answer, AsyncAnswer, AsyncClient, Client, Sent
from legato.client.bridge import Bridge
from legato.core.errors import Misuse, SessionNotFound
from tests.support import story
from tests.support.story import EVENTS_PATH, SESSION, TURNS_PATH, cursor, frames
from tests.support.wire import Naps, Wire, cut, json_reply, problem, stream

T = TypeVar("T")


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire() as wire:
        wire.on("POST", TURNS_PATH, json_reply(story.sent(), 202))
        yield wire


async def in_thread(work: Callable[[], T]) -> T:
    with anyio.fail_after(20):
        return await to_thread.run_sync(work, abandon_on_cancel=True)


def _public(kind: type) -> set[str]:
    mixed_in = [base for base in kind.__mro__ if base.__module__.startswith("legato.client.") and base is not Bridge]
    return {name for base in mixed_in for name in vars(base) if not name.startswith("_")}


@pytest.mark.promise("H-05")
def test_nothing_is_missing() -> None:
    assert _public(AsyncClient) - {"aclose"} == _public(Client) - {"shutdown"}
    assert _public(AsyncAnswer) == _public(Answer)


def test_help_is_that_of_the_source() -> None:
    assert Client.send.__doc__ == AsyncClient.send.__doc__
    assert Client.follow.__doc__ == AsyncClient.follow.__doc__


@pytest.mark.promise("R-15", "H-05")
@pytest.mark.anyio
async def test_priorities_are_handed_on(wire: Wire) -> None:
    def chat() -> None:
        with Client(wire.url, sleep=Naps()) as client:
            client.send(SESSION, "Hello", priority="background")
            client.answer(SESSION, "Hello", priority="background")

    await in_thread(chat)
    assert [request.json().get("priority") for request in wire.requests] == ["background"] * 2


@pytest.mark.promise("H-05")
@pytest.mark.anyio
async def test_an_answer_over_a_cut(wire: Wire) -> None:
    whole = frames(story.whole())
    wire.on("POST", TURNS_PATH, cut(), json_reply(story.sent(), 200))
    wire.on(
        "GET",
        EVENTS_PATH,
        stream(whole[: len(whole) // 2], "cut"),
        lambda request: stream(frames(story.whole(), story.seq_after(request.query["after"]))),
    )

    def chat() -> str:
        with Client(wire.url, sleep=Naps()) as client:
            answer = client.answer(SESSION, "Hello")
            text = "".join(piece.text for piece in answer)
            assert answer.text == text
            assert answer.finished
            assert answer.turn.status == "completed"
            assert answer.cursor == cursor(len(story.whole()))
            assert answer.message == answer.result()
            return text

    assert await in_thread(chat) == story.TEXT


@pytest.mark.anyio
async def test_iterators_and_errors(wire: Wire) -> None:
    wire.on(
        "GET",
        "/v1/sessions",
        json_reply({"data": [story.session()], "has_more": True, "next": "x"}),
        json_reply({"data": [story.session()], "has_more": False, "next": None}),
    )
    wire.on("GET", EVENTS_PATH, problem(404, "session_not_found"))

    def work() -> None:
        with Client(wire.url) as client:
            assert len(list(client.sessions())) == 2
            with pytest.raises(SessionNotFound):
                next(client.follow(SESSION))
            with pytest.raises(SessionNotFound):
                client.watch(story_sent()).result()

    await in_thread(work)


def story_sent() -> Sent:
    return Sent(story.turn(), cursor(0))


@pytest.mark.anyio
async def test_leaving_a_loop_closes_its_connection(wire: Wire) -> None:
    closed = anyio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            yield frames(story.whole())
            while True:
                yield b":\n\n"
                await anyio.sleep(0.01)  # until the socket refuses a write
        finally:
            closed.set()

    wire.on("GET", EVENTS_PATH, lambda _: stream(endless()))

    def work() -> None:
        with Client(wire.url) as client, closing(client.follow(SESSION, after="0")) as events:
            for at, _ in events:
                if at == cursor(2):
                    return

    await in_thread(work)
    with anyio.fail_after(5):
        await closed.wait()


@pytest.mark.anyio
async def test_shutdown_ends_what_another_thread_waits_for(wire: Wire) -> None:
    wire.on("GET", EVENTS_PATH, stream(frames(story.opening()), "silent"))
    client = await in_thread(lambda: Client(wire.url))

    def wait() -> None:
        with pytest.raises(Misuse):
            list(client.follow(SESSION, after="0"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(in_thread, wait)
        await wire.until_asked("GET", EVENTS_PATH)
        await in_thread(client.shutdown)
    await in_thread(client.shutdown)


def test_a_wrong_address_starts_no_thread() -> None:
    with pytest.raises(Misuse):
        Client("localhost:8321")


_INTERRUPTED = """
import signal
import sys
from legato.client import Client

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so do its children
client = Client(sys.argv[1])
answer = client.answer(sys.argv[2], "Hello")
try:
    for piece in answer:
        print("some", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
answer.result()
print(answer.text.encode("unicode-escape").decode())
"""


@pytest.mark.promise("H-05")
@pytest.mark.anyio
async def test_an_interrupt_stops_the_waiting_and_loses_nothing(wire: Wire) -> None:
    """In a process of its own: a Ctrl-C goes to the main thread. Nor is the client shut down: it needn't be."""
    half = len(story.opening()) + 4  # a phase and three tokens
    wire.on(
        "GET",
        EVENTS_PATH,
        stream(frames(story.whole()[:half]), "silent"),
        lambda request: stream(frames(story.whole(), story.seq_after(request.query["after"]))),
    )
    with anyio.fail_after(30):
        async with await anyio.open_process(
            [sys.executable, "-c", _INTERRUPTED, wire.url, SESSION], stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            said = ""
            async for piece in process.stdout:
                said += piece.decode()
                if said == "some\n" * 3:
                    process.send_signal(signal.SIGINT)
            await process.wait()
    assert said == "some\nsome\nsome\ninterrupted\n" + story.TEXT.encode("unicode-escape").decode() + "\n"
    assert process.returncode == 0
