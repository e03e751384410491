"""The fast parser reads what the complete one reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.sse import DataParser, Parser

_BITS = (
    b"data: a",
    b"data:b",
    b"data",
    b"data:  c",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\r",
    b":comment",
    b"event: x",
    b"id: 1",
    b" ",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x8d\xb7",
    b"x",
)
streams = st.lists(st.sampled_from(_BITS), max_size=30).map(b"".join)


@given(streams, st.lists(st.integers(1, 12), min_size=1, max_size=20))
def test_any_split_gives_the_same_data(stream: bytes, sizes: list[int]) -> None:
    complete, fast = Parser(), DataParser()
    expected: list[str] = []
    data: list[bytes] = []
    at = turn = 0
    while at < len(stream):
        piece = stream[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(piece), turn + 1
        expected += [frame.data for frame in complete.feed(piece)]
        data += fast.feed(piece)

    assert [one.decode("utf-8", "replace") for one in data] == expected


def test_an_event_without_an_end_is_refused() -> None:
    parser = DataParser(max_bytes=100)
    parser.feed(b"data: " + b"x" * 90)

    with pytest.raises(ValueError, match="100 bytes"):
        parser.feed(b"x" * 10)


def test_many_events_are_not_one_large_one() -> None:
    parser = DataParser(max_bytes=100)

    assert [parser.feed(b"data: 1\n\n") for _ in range(50)] == [[b"1"]] * 50
