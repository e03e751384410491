"""Attachments travel with their sessions: import(export(S)) = S to the last byte, and nothing is believed of a file (G18)."""

import base64
import hashlib
import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from legato.core.errors import FileUnsupported
from legato.core.ids import new_id
from legato.core.model import FilePart, Message, TextPart
from legato.store import file_contents, snapshots
from legato.store.port import Store
from legato.transfer.reading import conversations
from legato.transfer.records import Conversation, FileLine, FileRecord, Line, PieceLine, line
from legato.transfer.writing import Format
from tests.suites.store.attaching import files_of, lose, sent, spoil
from tests.support.attachments import content_of, counted, keep, noise, pdf
from tests.support.conversation import Conversation as Talk
from tests.support.transferring import EVERYTHING, Ferry, document, without_ids

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-18"), pytest.mark.promise("S-13")]

CONTENTS = {
    "cat.png": noise(1_000_000),
    "paper.pdf": pdf(3),
    "notes.txt": b"Gr\xc3\xbcezi\n",
    "tiny.png": noise(261_121),
}


async def talked(store: Store) -> Talk:
    """A session with files; one of them in two messages."""
    talk = await Talk.begin(store)
    kept = [await keep(store, content, name) for name, content in CONTENTS.items()]
    await sent(talk, *kept[:3], text="Look at these")
    await sent(talk, kept[0], kept[3], text="and at this again")
    return talk


async def came(store: Store, report: Any, owner: str) -> tuple[str, list[Message]]:
    session_id = report.imported[0].id
    state, _ = await store.read(snapshots.snapshot, session_id, owner, EVERYTHING)
    return session_id, list(state.messages)


@pytest.mark.parametrize("format_", ["json", "jsonl"])
async def test_they_come_in_as_they_went_out(store: Store, format_: Format) -> None:
    talk, ferry = await talked(store), Ferry(store)
    there = await ferry.out(talk.id, format_)
    report = await ferry.into(there)
    assert (report.sessions, report.skipped_count) == (1, 0), report
    session_id, messages = await came(store, report, "bob")
    told = document(await ferry.out(talk.id))
    assert without_ids(document(await ferry.out(session_id, owner="bob"))) == without_ids(told)
    files = [part for message in messages for part in files_of(message)]
    assert [part.name for part in files] == ["cat.png", "paper.pdf", "notes.txt", "cat.png", "tiny.png"]
    for part in files:
        assert await content_of(store, part.file_id, "bob") == CONTENTS[part.name]
    assert not {part.file_id for part in files} & {
        part.file_id for m in (await talk.state()).messages for part in files_of(m)
    }
    await ferry.agrees(session_id, "bob")
    assert (await counted(store))[:2] == (10, 8)
    again = await ferry.into(there)
    assert (again.sessions, again.known) == (0, 1)
    assert (await counted(store))[:2] == (10, 8)


async def test_all_of_an_owners_sessions_carry_theirs(store: Store) -> None:
    await talked(store)
    await talked(store)
    ferry = Ferry(store)
    report = await ferry.into(await ferry.all_out())
    assert (report.sessions, report.skipped_count) == (2, 0)
    assert (await counted(store))[:2] == (20, 8)


async def test_a_dry_run_keeps_nothing(store: Store) -> None:
    talk, ferry = await talked(store), Ferry(store)
    report = await ferry.into(await ferry.out(talk.id), dry_run=True)
    assert (report.sessions, report.skipped_count) == (1, 0)
    assert (await counted(store))[:2] == (5, 4)


@pytest.mark.parametrize("format_", ["markdown", "html"])
async def test_who_reads_it_sees_what_was_attached(store: Store, format_: Format) -> None:
    talk = await Talk.begin(store)
    await sent(talk, await keep(store, name="<b>*cat*</b>.png"))
    page = (await Ferry(store).out(talk.id, format_)).decode()
    assert (r"b\>.png" if format_ == "markdown" else "b&gt;.png") in page
    assert "image/png" in page
    assert "<b>*cat*" not in page


async def test_a_damaged_file_is_left_out_and_the_rest_goes(store: Store) -> None:
    talk, ferry = await talked(store), Ferry(store)
    await store.write(lose, 1)
    content_id = await store.write(file_contents.ready, "ann", (await keep(store, CONTENTS["notes.txt"])).digest)
    assert content_id is not None
    await store.write(spoil, content_id)
    report = await ferry.into(await ferry.out(talk.id, "jsonl"))
    assert report.sessions == 1
    assert {(skipped.what, skipped.why) for skipped in report.skipped} == {
        (f"file {name}", "what is there of it is not the whole") for name in ("cat.png", "notes.txt", "tiny.png")
    }
    session_id, messages = await came(store, report, "bob")
    await ferry.agrees(session_id, "bob")
    assert [each.name for each in files_of(messages[0])] == ["paper.pdf"]
    assert messages[0].parts[0] == TextPart("[image cat.png was here: it did not come with the conversation]")


def lines_of(file: bytes) -> list[Any]:
    return [msgspec.json.decode(each, type=Line) for each in file.splitlines()]


def hostile(found: list[Any]) -> Iterator[bytes]:
    """What somebody else might make of an export: other bytes under the same names, ids, sizes and digests."""
    replaced: set[str] = set()
    for each in found:
        match each:
            case FileLine(FileRecord(name="paper.pdf")):
                program = b"MZ\x90\0 a program"
                digest = hashlib.sha256(program).hexdigest()
                replaced.add(each.file.id)
                yield line(FileLine(msgspec.structs.replace(each.file, size=len(program), digest=digest)))
                yield line(PieceLine(each.file.id, base64.b64encode(program).decode()))
                yield line(PieceLine(new_id("fil"), "AAAA"))
            case FileLine(FileRecord(name="notes.txt")):
                yield line(each)
                yield line(PieceLine(each.file.id, "this is no base 64 !"))
            case FileLine(FileRecord(name="tiny.png")):
                replaced.add(each.file.id)
                yield line(each)
                yield line(PieceLine(each.file.id, base64.b64encode(noise(each.file.size, seed=9)).decode()))
            case FileLine(FileRecord(name="vast.png")):
                yield line(FileLine(msgspec.structs.replace(each.file, size=10**12)))
            case PieceLine() if each.file_id in replaced:
                continue
            case _:
                yield line(each)


async def test_nothing_is_believed_of_a_file(store: Store) -> None:
    talk, ferry = await talked(store), Ferry(store)
    await sent(talk, await keep(store, noise(5_000), "vast.png"), text="and this")
    found = lines_of(await ferry.out(talk.id, "jsonl"))
    report = await ferry.into(b"".join(hostile(found)))
    assert report.sessions == 1
    session_id, messages = await came(store, report, "bob")
    await ferry.agrees(session_id, "bob")
    assert [each.name for message in messages for each in files_of(message)] == ["cat.png", "cat.png"]
    whole = "what is there of it is not the whole"
    assert sorted((skipped.what, skipped.why) for skipped in report.skipped) == [
        ("file notes.txt", whole),
        ("file paper.pdf", FileUnsupported().message),
        ("file tiny.png", whole),
        ("file vast.png", whole),
    ]


async def test_nobodys_file_comes_in_by_its_id(store: Store) -> None:
    """A file part that names somebody's file gets nothing of it."""
    secret = await keep(store, noise(2_000), owner="ann")
    talk, ferry = await Talk.begin(store, owner="carl"), Ferry(store)
    await sent(talk, await keep(store, owner="carl"))
    told = document(await ferry.out(talk.id, owner="carl"))
    stolen = [
        msgspec.structs.replace(
            message,
            parts=tuple(
                msgspec.structs.replace(part, file_id=secret.id) if isinstance(part, FilePart) else part
                for part in message.parts
            ),
        )
        for message in told.messages
    ]
    file = msgspec.json.encode(msgspec.structs.replace(told, messages=tuple(stolen), files=()))
    report = await ferry.into(file)
    assert [skipped.what for skipped in report.skipped] == ["file cat.png"]
    _, messages = await came(store, report, "bob")
    assert all(not files_of(message) for message in messages)


def test_of_a_file_a_piece_is_held_however_large_it_is() -> None:
    """Read line by line, twenty megabytes never stand in memory (but in a file without a name)."""

    def written() -> io.BytesIO:
        content = noise(20 << 20)
        record = FileRecord(id="fil_1", name="a.png", media_type="image/png", size=len(content), digest="?")
        out = io.BytesIO()
        out.write(b'{"type":"header","exported_at":"2026-11-25T00:00:00Z"}\n')
        out.write(
            b'{"type":"session","session":{"id":"ses_1","agent_id":"","created_at":"2026-11-25T00:00:00Z",'
            b'"last_activity":"2026-11-25T00:00:00Z"}}\n'
        )
        out.write(line(FileLine(record)))
        for at in range(0, len(content), 261_120):
            out.write(line(PieceLine("fil_1", base64.b64encode(content[at : at + 261_120]).decode())))
        out.write(b'{"type":"end","sessions":1,"messages":0}\n')
        return out

    file = written()
    tracemalloc.start()
    try:
        (found,) = [each for each in conversations(file) if isinstance(each, Conversation)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.luggage is not None
    found.luggage.close()
    assert peak < 6 << 20


def test_a_document_that_nobody_reads_on_leaves_nothing_open() -> None:
    record = FileRecord(id="fil_1", name="a", media_type="text/plain", size=1, digest="?", content="YQ==")
    file = line(FileLine(record))
    text = (
        b'{"type":"header","exported_at":"2026-11-25T00:00:00Z"}\n'
        b'{"type":"session","session":{"id":"ses_1","agent_id":"","created_at":"2026-11-25T00:00:00Z",'
        b'"last_activity":"2026-11-25T00:00:00Z"}}\n' + file + b"no JSON\n" + file
    )
    found = conversations(io.BytesIO(text))
    next(found)  # the line that is none; the file before is held
    found.close()  # type: ignore[attr-defined]
