"""Server-sent events: what we write is read, and any split of the bytes is read the same."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legato.core.events import encode_lines
from legato.core.sse import KEEP_ALIVE, Frame, Parser, encode_frame, encode_retry, encode_row
from tests.support import story

# What a stream is made of, and what could confuse a parser of it.
_BITS = (
    b"data: ",
    b"data:",
    b"data",
    b"event: token",
    b"id: 7f3a.1",
    b"id: a\0b",
    b"id",
    b"retry: 25",
    b"retry: x",
    b"retry: " + b"9" * 5000,
    b": comment",
    b":",
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n",
    b"\r\r\n\n",
    b" ",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xff",
    "日👩‍👧\u2028".encode(),
    b"x",
)
streams = st.lists(st.sampled_from(_BITS), max_size=30).map(b"".join)
cuts = st.lists(st.integers(0, 400), max_size=12)


def pieces(body: bytes, at: Sequence[int]) -> list[bytes]:
    edges = sorted({0, len(body), *(cut for cut in at if cut < len(body))})
    return [body[start:end] for start, end in pairwise(edges)] + [b""]


def by_the_standard(body: bytes) -> tuple[list[Frame], int | None, int]:
    """The whole stream at once, as WHATWG HTML 9.2.6 says it; but a frame has only an id of its own."""
    text = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    frames: list[Frame] = []
    retry, comments = None, 0
    event, frame_id = "", None
    data: list[str] = []
    for raw in text.split(b"\n")[:-1]:
        line = raw.decode("utf-8", "replace")
        field, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                frames.append(Frame(event or "message", "\n".join(data), frame_id))
            event, data, frame_id = "", [], None
        elif colon and not field:
            comments += 1
        elif field == "data":
            data.append(value)
        elif field == "event":
            event = value
        elif field == "id" and "\0" not in value:
            frame_id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) < 10:
            retry = int(value)
    return frames, retry, comments


@pytest.mark.promise("H-05")
@given(streams, cuts)
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 10, 11])
@example(b"\r\ndata: a\n\n", [1])
def test_any_split_is_read_as_the_standard_says(body: bytes, at: list[int]) -> None:
    parser = Parser()
    frames = [frame for piece in pieces(body, at) for frame in parser.feed(piece)]
    assert (frames, parser.retry_ms, parser.alive) == by_the_standard(body)


@pytest.mark.promise("H-05")
@given(cuts)
def test_what_we_write_is_read_at_any_split(at: list[int]) -> None:
    payload = encode_lines(story.whole())
    body = encode_retry(2371) + encode_row("7f3a", 5, payload) + KEEP_ALIVE + encode_frame(b"list", b"{}")
    parser = Parser()
    frames = [frame for piece in pieces(body, at) for frame in parser.feed(piece)]
    *durable, last = frames
    assert [frame.id for frame in durable] == [f"7f3a.{seq}" for seq in range(5, 5 + len(story.whole()))]
    assert [frame.event for frame in durable] == [event.event for event in story.whole()]
    assert [
        msgspec.json.decode(frame.data, type=type(event)) for frame, event in zip(durable, story.whole(), strict=True)
    ] == story.whole()
    assert last == Frame("list", "{}", None)
    assert (parser.retry_ms, parser.alive) == (2371, 1)


def test_a_tombstone_leaves_its_number_out() -> None:
    first, _, third = story.PIECES[:3]
    payload = encode_lines([story.token(first)]) + b"\n\n" + encode_lines([story.token(third)])
    frames = Parser().feed(encode_row("7f3a", 7, payload))
    assert [frame.id for frame in frames] == ["7f3a.7", "7f3a.9"]


def test_what_is_cut_off_is_not_dispatched() -> None:
    parser = Parser()
    assert parser.feed(b"id: 7f3a.1\ndata: {}\n") == []
    assert parser.feed(b"\n") == [Frame("message", "{}", "7f3a.1")]
