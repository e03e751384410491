"""Archives that are damaged, or made to be larger than they look, are refused in clear words."""

import io
import struct
import zipfile

import pytest

from legato.transfer.elements import Refused, TooLarge
from legato.transfer.zipped import Damaged
from tests.transfer.making import claude, read, zipped

pytestmark = pytest.mark.promise("S-13")


def test_an_archive_names_no_other_list_of_its_files() -> None:
    """The record of very large archives names the list that ``zipfile`` reads, whatever the usual one says."""
    raw = zipped(b"[]")
    at = raw.rfind(b"PK\x05\x06")
    size, offset = struct.unpack_from("<II", raw, at + 12)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    file = raw[:at] + record + locator + raw[at:]
    assert zipfile.ZipFile(io.BytesIO(file)).namelist() == ["conversations.json"]
    with pytest.raises(TooLarge, match="ZIP64"):
        read(file)
    with pytest.raises(TooLarge, match="ZIP64"):
        read(file[:-2] + struct.pack("<H", 50) + b"c" * 50)


def damaged() -> dict[str, bytes]:
    chats = claude({"sender": "human", "text": f"{number} bees"} for number in range(2_000))
    packed = bytearray(zipped(chats))
    flipped = packed.copy()
    for at in range(100, 140):
        flipped[at] ^= 0xFF
    wrong_sum = bytearray(zipped(chats, method=zipfile.ZIP_STORED))
    wrong_sum[1_000] ^= 1
    directory = packed.rfind(b"PK\x01\x02")
    encrypted, unknown, beyond = packed.copy(), packed.copy(), packed.copy()
    struct.pack_into("<H", encrypted, directory + 8, 1)
    struct.pack_into("<H", unknown, directory + 10, 99)
    struct.pack_into("<I", beyond, directory + 42, 0xFFFF_FF00)  # where the file begins
    return {
        "flipped": bytes(flipped),
        "wrong sum": bytes(wrong_sum),
        "encrypted": bytes(encrypted),
        "unknown": bytes(unknown),
        "beyond": bytes(beyond),
        "cut off": bytes(packed[:-30]),
        "bzip2": zipped(chats, method=zipfile.ZIP_BZIP2),
    }


@pytest.mark.parametrize("name", damaged())
def test_a_damaged_archive_is_refused_in_clear_words(name: str) -> None:
    with pytest.raises(Refused, match="the archive is"):
        read(damaged()[name])


def test_whichever_byte_of_an_archive_is_wrong_it_is_read_or_refused() -> None:
    packed = zipped(claude([{"sender": "human", "text": "Hi"}]))
    for at in range(4, len(packed)):
        for wrong in (0x00, 0xFF, packed[at] ^ 0x01):
            try:
                read(packed[:at] + bytes([wrong]) + packed[at + 1 :])
            except (Refused, Damaged):
                continue


def test_all_conversations_of_an_archive_are_read_however_many_files_they_are_in() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(130):
            archive.writestr(f"conversations-{number:03}.json", claude([{"sender": "human", "text": str(number)}]))
    whole, skipped = read(out.getvalue())
    assert (len(whole), skipped) == (130, [])
