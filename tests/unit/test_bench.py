"""The benchmark's own checks: a run in which a word is lost, doubled or out of order must not count."""

import asyncio

import pytest

from bench.client import LEGATO_TOKEN, Broken, Counts, Reading, TurnConnection
from bench.report import Line, quantile
from bench.upstream import Flow, Script

pytestmark = pytest.mark.anyio

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"\r\n0\r\n\r\n"


def frame(text: str) -> bytes:
    said = f'{{"turn_id":"trn_1","message_id":"msg_1","part":0,"kind":"text","text":"{text}"}}'
    return f"id: 1.1\nevent: token\ndata: {said}\n\n".encode()


def read(*texts: str) -> tuple[Reading, Counts]:
    reading, counts = Reading(Flow(Script()), LEGATO_TOKEN), Counts()
    for text in texts:
        reading.feed(frame(text), counts)
    return reading, counts


def test_words_in_order_are_counted_however_they_are_joined() -> None:
    reading, counts = read("00001 ", "00002 00003 ")
    assert (reading.words, reading.events) == (3, 2)
    assert (counts.words, counts.events) == (3, 2)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(("00001 ", "00003 "), id="lost"),
        pytest.param(("00001 ", "00001 "), id="doubled"),
        pytest.param(("00002 ", "00001 "), id="out of order"),
        pytest.param(("00001 000",), id="torn"),
    ],
)
def test_anything_else_breaks_the_run(texts: tuple[str, ...]) -> None:
    with pytest.raises(Broken):
        read(*texts)


class _Transport(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody is there."""


async def answered(sent: int, *pieces: bytes) -> Reading:
    flow = Flow(Script())
    flow.sent = sent
    reading, connection = Reading(flow, LEGATO_TOKEN), TurnConnection(Counts())
    connection.connection_made(_Transport())
    ended = connection.send(b"", reading)
    for piece in pieces:
        connection.data_received(piece)
    connection.connection_lost(None)
    await ended
    return reading


async def test_an_answer_torn_anywhere_is_read() -> None:
    whole = _HEAD + b"55\r\n" + frame("00001 ") + b"\r\n55\r\n" + frame("00002 ") + _END
    for cut in range(len(_HEAD), len(whole)):
        reading = await answered(2, whole[:cut], whole[cut:])
        assert reading.words == 2


@pytest.mark.parametrize(
    ("sent", "pieces"),
    [
        pytest.param(3, (_HEAD, frame("00001 00002 ") + _END), id="fewer than the model sent"),
        pytest.param(2, (_HEAD, frame("00001 00002 ")), id="no end"),
        pytest.param(0, (_HEAD, _END), id="nothing"),
        pytest.param(1, (b"HTTP/1.1 503 Busy\r\n\r\n",), id="refused"),
        pytest.param(1, (_HEAD, frame("00001 ") + b"event: error\ndata: {}\n\n" + _END), id="an error"),
    ],
)
async def test_an_answer_that_is_not_whole_breaks_the_run(sent: int, pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(Broken):
        await answered(sent, *pieces)


def test_a_line_says_whether_its_target_was_met() -> None:
    assert Line(row="r", what="w", measured=4.0, unit="ms", limit=5.0).met is True
    assert Line(row="r", what="w", measured=6.0, unit="ms", limit=5.0).met is False
    assert Line(row="r", what="w", measured=6.0, unit="/s", limit=5.0, at_least=True).met is True
    assert Line(row="r", what="w", measured=6.0, unit="ms").met is None


def test_quantile() -> None:
    assert quantile([float(value) for value in range(100, 0, -1)], 0.95) == 96.0
    assert quantile([1.0], 0.95) == 1.0
