"""What takes more room than its file lets one think is left out, and told."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from legato.core.model import ReasoningPart, TextPart
from legato.transfer import elements, foreign, ours, reading
from legato.transfer.records import (
    MAX_TEXT,
    MOST_TOLD,
    TOO_LONG,
    Document,
    MessageLine,
    SessionLine,
    encode,
)
from legato.transfer.writing import OneDocument
from tests.transfer.making import NOW, claude, lines, message, open_webui, read, session, zipped

pytestmark = pytest.mark.promise("S-13")


class Peak:
    """How many bytes were held at most."""

    bytes = 0


@contextmanager
def measured() -> Iterator[Peak]:
    peak = Peak()
    tracemalloc.start()
    try:
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_session_in_lines_is_held_only_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "MAX_ELEMENT_BYTES", 1 << 20)
    many = [MessageLine(message(f"m{number}", TextPart("x" * 100_000))) for number in range(200)]
    small = MessageLine(message("m", TextPart("Hello")))
    bomb = zipped(lines(SessionLine(session("large")), *many, SessionLine(session("small")), small))
    assert len(bomb) < 200_000
    with measured() as peak:
        found, skipped = read(bomb)
    assert [(each.session.id, len(each.messages)) for each in found] == [("small", 1)]
    assert [(each.place, each.what) for each in skipped] == [("line 2", "session")]
    assert peak.bytes < 6 << 20


def test_a_line_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "MAX_LINE_BYTES", 2_000)
    monkeypatch.setattr(ours, "MAX_LINE_BYTES", 2_000)
    messages = (message("a", TextPart("Hi")), message("b", TextPart("x" * 9_000)), message("c", TextPart("Ho")))
    for file in (
        lines(SessionLine(session()), *map(MessageLine, messages)),
        encode(Document(exported_at=NOW, session=session(), messages=messages)),
    ):
        (conversation,), skipped = read(file)
        assert [each.id for each in conversation.messages] == ["a", "c"]
        assert len(skipped) == 1
    assert read(encode(Document(exported_at=NOW, session=session(context="x" * 3_000))))[0] == []


def test_what_would_be_indexed_too_long_is_left_out() -> None:
    long = message("a", TextPart("x" * MAX_TEXT), TextPart("x"))
    fine = message("b", TextPart("x" * MAX_TEXT), ReasoningPart("x" * MAX_TEXT))
    (conversation,), skipped = read(encode(Document(exported_at=NOW, session=session(), messages=(long, fine))))
    assert [each.id for each in conversation.messages] == ["b"]
    assert [(each.place, each.why) for each in skipped] == [("messages[0]", TOO_LONG)]


@pytest.mark.parametrize(
    "value", ["[" + "[]," * 200_000 + "0]", '{"a":' * 30 + "[" + "{}," * 200_000 + "0]" + "}" * 30]
)
def test_values_of_nothing_are_not_decoded_by_the_million(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Each of three bytes in the file would be one of 72 in memory."""
    monkeypatch.setattr(reading, "MAX_VALUES", 200_000)
    good = {"uuid": "good", "chat_messages": [{"sender": "human", "text": "Hi"}]}
    file = f'[{{"uuid":"chat","chat_messages":{value}}},{json.dumps(good)}]'.encode()
    with measured() as peak:
        found, skipped = read(file)
    assert [each.origin for each in found] == ["claude:good"]
    assert [(each.place, each.what) for each in skipped] == [("conversation 1", "conversation")]
    assert peak.bytes < 4 << 20


def test_a_document_of_nothing_is_not_decoded_by_the_million() -> None:
    record = msgspec.json.encode(session()).decode()
    file = f'{{"format":"legato","session":{record},"messages":[{"[]," * 100_000}0]}}'.encode()
    with measured() as peak:
        (conversation,), skipped = read(file)
    assert conversation.messages == ()
    assert len(skipped) == MOST_TOLD + 1
    assert skipped[-1].what == "more"
    assert peak.bytes < 3 << 20


def test_of_what_is_left_out_a_thousand_things_are_told() -> None:
    block = '<details type="tool_calls"></details>'
    (conversation,), skipped = read(open_webui(block * 5_000 + "Bees"))
    assert len(skipped) == MOST_TOLD + 1
    assert conversation.messages[0].parts == (TextPart("Bees"),)


def test_a_foreign_conversation_has_only_so_many_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "_MOST_NODES", 3)
    (conversation,), skipped = read(claude({"sender": "human", "text": str(number)} for number in range(5)))
    assert len(conversation.messages) == 3
    assert len(skipped) == 2


def test_a_foreign_conversation_may_only_be_so_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MAX_FOREIGN_BYTES", 1_000)
    assert [each.what for each in read(claude([{"sender": "human", "text": "x" * 1_000}]))[1]] == ["conversation"]
    writer = OneDocument()
    whole = writer.head(NOW) + writer.begin(session(title="x" * 1_000), 0) + writer.end(1, 0)
    pretty = msgspec.json.format(whole, indent=2)
    assert len(read(pretty)[0]) == 1  # ours, however it is laid out


def test_a_file_with_more_in_it_than_a_file_has_is_left_out_before_it_is_unpacked() -> None:
    file = b'{"id":"f","name":"a","media_type":"text/plain","size":1,"digest":"d","x":[' + b"[]," * 20_000 + b"[]]}"
    document = b'{"format":"legato","session":' + msgspec.json.encode(session()) + b',"files":[' + file + b"]}"
    (found,), skipped = read(document)
    assert found.session.id == "s"
    assert [(each.place, each.what) for each in skipped] == [("files[0]", "filerecord")]
