"""Arrays and archives of any size are taken apart in a bounded space."""

import io
import struct
import zipfile
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.transfer import elements as elements_module
from legato.transfer import zipped
from legato.transfer.elements import Splitter, TooLarge, elements, lines
from legato.transfer.reading import Unrecognised, conversations
from legato.transfer.zipped import Damaged
from tests.support.strategies import split, texts

pytestmark = pytest.mark.promise("S-13")

values: Any = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data(), objects=st.lists(st.dictionaries(texts, values, max_size=3), max_size=5))
def test_each_element_comes_whole_however_the_array_is_cut(data: st.DataObject, objects: list[Any]) -> None:
    whole = msgspec.json.format(msgspec.json.encode(objects), indent=data.draw(st.sampled_from([0, 2]))).decode()
    splitter = Splitter()
    found = [each for piece in data.draw(split(whole)) for each in splitter.feed(piece.encode())]
    assert [msgspec.json.decode(each) for each in found] == objects


def test_byte_by_byte() -> None:
    splitter = Splitter()
    whole = rb'[{"a": "\\\"}]{[", "b\\": [1, {}]}, {"c": "\\\\"}]'
    found = [each for byte in whole for each in splitter.feed(bytes([byte]))]
    assert found == [rb'{"a": "\\\"}]{[", "b\\": [1, {}]}', rb'{"c": "\\\\"}']
    assert splitter.whole


def test_an_array_of_any_length_is_held_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements_module, "MAX_ELEMENT_BYTES", 100_000)
    many = b"[" + b",".join(b'{"a":"%d"}' % number for number in range(20_000)) + b"]"
    assert sum(1 for _ in elements(io.BytesIO(many))) == 20_000
    with pytest.raises(TooLarge):
        list(elements(io.BytesIO(b'[{"a":"' + b"x" * 200_000 + b'"}]')))
    with pytest.raises(TooLarge):
        list(elements(io.BytesIO(b'[{"a":' + b"[" * 200_000)))
    monkeypatch.setattr(elements_module, "MAX_LINE_BYTES", 10_000)
    assert list(lines(io.BytesIO(b"x" * 200_000 + b"\na\n" + b"x" * 30_000))) == [None, b"a\n", None]
    assert list(lines(io.BytesIO(b"a\n\n  \nb"))) == [b"a\n", b"b"]


def archive(*files: tuple[str, bytes]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files:
            packed.writestr(name, content)
    return out


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped, "MAX_UNPACKED_BYTES", 1 << 20)
    bomb = archive(("conversations.json", b"[" + b" " * (8 << 20) + b"]"))
    assert len(bomb.getvalue()) < 20_000
    with pytest.raises(TooLarge, match="unpacks"):
        list(conversations(bomb))
    halves = archive(*((f"conversations-{n}.json", b"[" + b" " * (700 << 10) + b"]") for n in range(2)))
    with pytest.raises(TooLarge, match="unpacks"):
        list(conversations(halves))


def test_an_archive_with_a_list_of_files_beyond_measure_is_not_read() -> None:
    raw = bytearray(archive(("conversations.json", b"[]")).getvalue())
    struct.pack_into("<I", raw, raw.rfind(b"PK\x05\x06") + 12, 0xFFFF_FFF0)
    with pytest.raises(TooLarge, match="too many files"):
        list(conversations(io.BytesIO(bytes(raw))))


def test_only_conversations_are_looked_for() -> None:
    with pytest.raises(Unrecognised, match=r"no conversations\.json"):
        list(conversations(archive(("chat.html", b"<html>"), ("my-conversations.json.txt", b"[]"))))
    with pytest.raises(Damaged):
        list(conversations(io.BytesIO(b"PK\x03\x04" + b"x" * 100)))
