"""A stream whose source breaks ends at once and not completely, whatever the client does meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from legato.core.errors import Unavailable
from legato.web.streams import EventStream, Streaming

pytestmark = [pytest.mark.anyio, pytest.mark.promise("E-05")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def patient() -> Any:
    """A client that stays."""
    await asyncio.get_running_loop().create_future()


async def answered(frames: AsyncIterator[bytes]) -> list[Any]:
    """What is sent to a client that stays; the sending of it, if it breaks, as the last."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventStream(frames)(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message)

    async def gone() -> Any:
        while not sent or sent[-1].get("more_body", True):  # noqa: ASYNC110 - as uvicorn's: a client that stays
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    with anyio.fail_after(20):
        try:
            await Streaming(app)({"type": "http"}, gone, send)
        except RuntimeError as error:
            sent.append(error)
    return sent


async def test_a_source_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    async def frames() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("somebody's words")

    sent = await answered(frames())
    assert [message["body"] for message in sent[1:-1]] == [b"one"]
    assert str(sent[-1]) == "a response broke off"
    assert "somebody's words" not in caplog.text
    assert "KeyError" in caplog.text


async def test_a_source_that_is_refused_ends_its_stream() -> None:
    async def frames() -> AsyncIterator[bytes]:
        yield b"one"
        raise Unavailable

    sent = await answered(frames())
    assert [(message["body"], message["more_body"]) for message in sent[1:]] == [(b"one", True), (b"", False)]


async def test_whoever_cancels_the_response_is_heard() -> None:
    async def frames() -> AsyncIterator[bytes]:
        yield b"one"
        await patient()

    with anyio.move_on_after(0.05) as scope:
        await answered(frames())
    assert scope.cancelled_caught
