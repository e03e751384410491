"""The provider's wire breaks after any byte: what came whole is delivered, and only a whole answer is one (promise R-12)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

import pytest

from legato.core.errors import ProviderCut, ProviderError
from legato.providers.http import HttpProvider
from legato.providers.options import Kind
from legato.providers.port import Delta, StopDelta, TextDelta, ToolCallDelta
from tests.support.provider import asking, opened

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-12", "A-03")]

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
WORDS: Final = ("naïve ", "🍷 ", "日本\n")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def frame(data: dict[str, Any], name: str = "") -> bytes:
    told = f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
    return f"event: {name}\n".encode() + told if name else told


def of_openai() -> tuple[list[bytes], bytes]:
    """An answer's events up to the reason to stop, and those after it."""
    deltas: list[dict[str, Any]] = [{"content": word} for word in WORDS]
    call = {"index": 0, "id": "call_1", "function": {"name": "f", "arguments": "{}"}}
    deltas.append({"tool_calls": [call]})
    events = [frame({"choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    events.append(frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))
    return events, frame({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}) + b"data: [DONE]\n\n"


def of_anthropic() -> tuple[list[bytes], bytes]:
    def told(kind: str, **fields: Any) -> bytes:
        return frame({"type": kind} | fields, kind)

    begin = told("message_start", message={"usage": {"input_tokens": 1}}) + told(
        "content_block_start", index=0, content_block={"type": "text", "text": ""}
    )
    events = [told("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in WORDS]
    events[0] = begin + events[0]
    block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    events.append(told("content_block_start", index=1, content_block=block))
    usage = {"output_tokens": 2}
    events.append(told("message_delta", delta={"stop_reason": "tool_use"}, usage=usage))
    return events, told("message_stop")


ANSWERS: Final = {"openai": of_openai(), "anthropic": of_anthropic()}


@asynccontextmanager
async def server(body: bytes) -> AsyncIterator[tuple[str, list[int]]]:
    """One that answers the next request with so many bytes of ``body`` as stand in the list, and hangs up."""
    places: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(HEAD + body[: places[-1]])
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", places
    finally:
        listening.close()


async def heard(provider: HttpProvider) -> tuple[list[Delta], ProviderError | None]:
    deltas: list[Delta] = []
    try:
        async with aclosing(provider.stream(asking("count 3"))) as stream:
            async for delta in stream:
                deltas.append(delta)  # noqa: PERF401 - what came before the error counts
    except ProviderError as error:
        return deltas, error
    return deltas, None


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_cut_after_every_byte(kind: Kind) -> None:
    events, rest = ANSWERS[kind]
    body = b"".join(events) + rest
    ends = [len(b"".join(events[: count + 1])) for count in range(len(events))]
    async with server(body) as (url, places), opened(url, kind=kind, retries=0) as provider:
        for place in range(len(body) + 1):
            places.append(place)
            deltas, failure = await heard(provider)
            whole = sum(end <= place for end in ends)
            said = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
            assert said == list(WORDS[:whole]), place
            assert sum(isinstance(delta, ToolCallDelta) for delta in deltas) == (whole >= 4), place
            if whole < len(events):
                assert type(failure) is ProviderCut, place
                assert not any(isinstance(delta, StopDelta) for delta in deltas), place
            else:
                assert failure is None, place
                assert deltas[-1] == StopDelta("tool_calls"), place
