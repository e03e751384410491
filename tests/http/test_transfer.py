"""Files over HTTP: a session goes out and comes in elsewhere, whole, once, and only to whom it belongs."""

import io
import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel
import msgspec
import pytest
from starlette.requests import Request

from legato import Legato
from legato.client import AsyncClient, ImportProgress, ImportReport
from legato.core.errors import Invalid
from legato.web import transfer
from legato.web.settings import WebSettings
from tests.http.acting import finish, heard_by, running
from tests.http.conftest import by_header
from tests.http.puppets import Puppets, echo
from tests.http.scenarios import everything
from tests.http.serving import serving
from tests.http.speaking import Api, text_of, user_of
from tests.support.brief import BRIEF
from tests.support.transferring import document, without_ids

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-13")]

FIXTURES: Final = Path(__file__).parents[1] / "transfer" / "fixtures"
LINES: Final = {"Accept": "application/x-ndjson"}
HOSTILE: Final = "a\x00b \ud800 \u2028 <script>alert(1)</script> \r\n ]]> 👩‍👩‍👧 \\u0000"
TYPES: Final = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
}


async def exported(api: Api, session: str, format_: str = "json") -> bytes:
    response = await api.ask("GET", f"{session}/export", params={"format": format_})
    assert response.status_code == 200, response.text
    return response.content


async def imported(api: Api, file: bytes, **params: str) -> Any:
    return await api.call("POST", "/v1/import", content=file, params=params)


def path_of(report: Any, index: int = 0) -> str:
    return f"/v1/sessions/{report['imported'][index]['id']}"


@pytest.mark.parametrize("format_", TYPES)
async def test_a_session_is_a_file_to_download(api: Api, format_: str) -> None:
    session = await api.session("echo", title="Bees & <b>")
    await api.answered(session, "Hello **there**")
    response = await api.ask("GET", f"{session}/export", params={"format": format_})
    assert response.headers["content-type"] == TYPES[format_]
    suffix = "md" if format_ == "markdown" else format_
    name = f"{session.rpartition('/')[2]}.{suffix}"
    assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"].startswith("no-store")
    assert b"there" in response.content


@pytest.mark.promise("S-16")
async def test_everything_that_can_happen_comes_in_elsewhere(api: Api, stranger: Api, puppets: Puppets) -> None:
    session = await api.session(title="Bees", context="bees", metadata={"a": [1, None, "é"]})
    async with api.follow(session, "0") as stream:
        await everything(api, puppets, session, stream)
    await api.call("PATCH", session, {"pinned": True, "keep": True, "memory": False, "archived": True})
    file = await exported(api, session)
    for format_ in ("json", "jsonl"):
        async with user_of(str(api.http.base_url)) as other:
            report = await imported(other, await exported(api, session, format_))
            assert (report["sessions"], report["known"], report["skipped_count"]) == (1, 0, 0)
            copy = path_of(report)
            assert without_ids(document(await exported(other, copy))) == without_ids(document(file))
            mine, theirs = await api.state(session), await other.state(copy)
            assert [text_of(message) for message in theirs["messages"]] == [text_of(m) for m in mine["messages"]]
            assert theirs["session"]["owner"] == other.http.headers["x-user"]
            assert {m["session_id"] for m in theirs["messages"]} == {theirs["session"]["id"]}
            assert not ids_of(mine) & ids_of(theirs)
    # Nobody else has it, and its owner's own is as it was.
    assert (await stranger.call("GET", "/v1/sessions"))["data"] == []
    assert len((await api.call("GET", "/v1/sessions"))["data"]) == 1


def ids_of(state: Any) -> set[str]:
    return {each["id"] for each in (*state["messages"], *state["turns"], state["session"])}


async def test_a_second_import_changes_nothing(api: Api, stranger: Api) -> None:
    session = await api.session("echo")
    await api.answered(session)
    file = await exported(api, session)
    first = await imported(stranger, file)
    before = await stranger.call("GET", path_of(first))
    second = await imported(stranger, file)
    assert (second["sessions"], second["messages"], second["known"], second["imported"]) == (0, 0, 1, [])
    assert second["known_sessions"][0]["id"] == first["imported"][0]["id"]
    assert await stranger.call("GET", path_of(first)) == before
    assert len((await stranger.call("GET", "/v1/sessions"))["data"]) == 1
    # Where it came from is remembered for each owner apart: nobody learns what others have.
    assert (await imported(api, file))["sessions"] == 1


async def test_a_dry_run_tells_and_does_nothing(api: Api) -> None:
    report = await imported(api, (FIXTURES / "chatgpt.json").read_bytes(), dry_run="true")
    assert (report["dry_run"], report["sessions"], report["messages"]) == (True, 1, 5)
    assert report["imported"][0] == {
        "origin": "chatgpt:6748-bees",
        "id": None,
        "title": "Bees in winter",
        "messages": 5,
    }
    assert report["skipped_count"] == len(report["skipped"]) > 0
    assert (await api.call("GET", "/v1/sessions"))["data"] == []


async def test_an_imported_session_goes_on(api: Api, puppets: Puppets) -> None:
    report = await imported(api, (FIXTURES / "chatgpt.json").read_bytes())
    session = path_of(report)
    texts = await api.texts(session)
    turn = await api.send(session, "And then?")
    puppet = await puppets.of(turn["id"])
    assert heard_by(puppet)[-4:] == [*texts[-3:], "And then?"]
    await finish(api, puppets, session, turn["id"], "Spring.")
    assert await api.texts(session) == [*texts, "And then?", "Spring."]
    old = (await api.journal(session))[-1]
    assert old["type"] == "done"
    last = document(await exported(api, session)).turns[-2]
    again = (await api.call("POST", f"{session}/turns/{last.id}/retry", status=202))["turn"]
    await finish(api, puppets, session, again["id"], "Otherwise")
    assert (await api.texts(session))[-2:] == ["How warm is it inside?", "Otherwise"]


async def test_what_is_unfinished_is_exported_as_it_stands(api: Api, stranger: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn_id = await running(api, puppets, session, "First", "So far")
    waiting = await api.send(session, "Second")
    found = document(await exported(api, session))
    assert [turn.status for turn in found.turns] == ["incomplete", "incomplete"]
    assert {turn.reason for turn in found.turns} == {"exported"}
    said = {message.id: message for message in found.messages}
    assert [(text_of(msgspec.to_builtins(m)), m.status) for m in said.values()] == [
        ("First", "completed"),
        ("So far", "incomplete"),
        ("Second", "incomplete"),
    ]
    assert found.session.leaf_id == waiting["message_id"]
    for format_ in ("markdown", "html"):
        assert (await exported(api, session, format_)).count(b"incomplete") == 2
    copy = path_of(await imported(stranger, await exported(api, session)))
    assert await stranger.texts(copy) == ["First", "So far", "Second"]
    # It runs on, unharmed.
    await finish(api, puppets, session, turn_id, " and more")
    assert (await api.texts(session))[:2] == ["First", "So far and more"]
    await api.call("POST", f"{session}/turns/{waiting['id']}/cancel")


async def test_hostile_text_comes_back_as_it_is_stored(api: Api, stranger: Api) -> None:
    body = msgspec.json.encode({"text": "@@"}).replace(b"@@", _escaped(HOSTILE))
    session = await api.session("echo", title="</title><script>")
    sent = await api.call(
        "POST", f"{session}/turns", content=body, headers={"Content-Type": "application/json"}, status=202
    )
    await api.over(session, sent["turn"]["id"])
    texts = await api.texts(session)
    copy = path_of(await imported(stranger, await exported(api, session)))
    assert await stranger.texts(copy) == texts
    assert (await stranger.state(copy))["session"]["title"] == "</title><script>"
    page = await exported(api, session, "html")
    assert b"<script" not in page.lower()


def _escaped(text: str) -> bytes:
    return "".join(f"\\u{unit:04x}" for unit in _units(text)).encode()


def _units(text: str) -> list[int]:
    raw = text.encode("utf-16-le", "surrogatepass")
    return [int.from_bytes(raw[at : at + 2], "little") for at in range(0, len(raw), 2)]


async def test_all_of_an_owners_sessions_and_nobody_elses(api: Api, stranger: Api) -> None:
    foreign = await stranger.session("echo", title="canary-foreign")
    await stranger.answered(foreign, "canary-foreign")
    sessions = [await api.session("echo", title=f"Number {number}") for number in range(3)]
    for session in sessions:
        await api.answered(session, f"in {session}")
    for format_ in ("jsonl", "markdown", "html"):
        file = (await api.ask("GET", "/v1/export", params={"format": format_})).content
        assert b"canary-foreign" not in file
        for number in range(3):
            assert f"Number {number}".encode() in file
    lines = (await api.ask("GET", "/v1/export")).content
    kinds = [msgspec.json.decode(line)["type"] for line in lines.splitlines()]
    assert kinds[0] == "header"
    assert kinds[-1] == "end"
    assert [kinds.count(kind) for kind in ("session", "message", "turn")] == [3, 6, 3]
    async with user_of(str(api.http.base_url)) as other:
        report = await imported(other, lines)
        assert (report["sessions"], report["messages"], report["skipped_count"]) == (3, 6, 0)
        listed = [session["title"] for session in (await other.call("GET", "/v1/sessions"))["data"]]
        assert listed == [session["title"] for session in (await api.call("GET", "/v1/sessions"))["data"]]
    await api.refused(422, "invalid_request", "GET", "/v1/export", params={"format": "json"})


async def test_a_file_that_is_cut_off_says_so(api: Api, stranger: Api) -> None:
    session = await api.session("echo")
    await api.answered(session, "One")
    lines = await exported(api, session, "jsonl")
    cut = lines[: lines.index(b'{"type":"turn"')]
    report = await imported(stranger, cut)
    assert report["sessions"] == 1
    assert [(each["place"], each["what"]) for each in report["skipped"]] == [("the end", "file")]
    assert await stranger.texts(path_of(report)) == ["One", "You said: One"]


async def test_the_context_of_another_session_is_left_out(api: Api, stranger: Api) -> None:
    session = await api.session("echo", context="thing-7")
    file = await exported(api, session)
    assert (await imported(stranger, file))["skipped_count"] == 0
    report = await imported(api, file)
    assert [each["what"] for each in report["skipped"]] == ["context"]
    assert (await api.state(path_of(report)))["session"]["context"] is None
    assert (await api.state(session))["session"]["context"] == "thing-7"
    assert (await imported(stranger, file, dry_run="true"))["known"] == 1


async def test_an_agent_that_is_not_here_gives_way(api: Api, stranger: Api) -> None:
    session = await api.session("echo")
    file = (await exported(api, session)).replace(b'"agent_id":"echo"', b'"agent_id":"gone"')
    report = await imported(stranger, file, agent_id="off")
    assert [each["what"] for each in report["skipped"]] == ["agent gone"]
    assert (await stranger.state(path_of(report)))["session"]["agent_id"] == "off"
    await stranger.refused(404, "agent_not_found", "POST", "/v1/import", content=file, params={"agent_id": "nobody"})


@pytest.mark.parametrize(
    "file", [b"nothing", b"", b"{}", b"[]x[", b"[1, 2]", b'[{"a": 1}]', b"PK\x03\x04rubbish", b"\xff\xfe{", b"{" * 9000]
)
async def test_what_is_no_export_is_refused(api: Api, file: bytes) -> None:
    response = await api.ask("POST", "/v1/import", content=file)
    if file == b"[]x[" or file == b"[1, 2]":
        assert response.status_code in (200, 422)
        return
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request"), response.text
    assert "rubbish" not in response.text


async def test_progress_comes_in_lines(api: Api, stranger: Api) -> None:
    session = await api.session("echo")
    await api.answered(session)
    file = await exported(api, session)
    response = await api.ask("POST", "/v1/import", content=file, headers=LINES)
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [msgspec.json.decode(line) for line in response.content.splitlines()]
    assert lines[-1]["type"] == "report"
    assert lines[-1]["report"]["sessions"] == 1
    response = await api.ask("POST", "/v1/import", content=b"rubbish", headers=LINES)
    problem = msgspec.json.decode(response.content)
    assert (problem["type"], problem["problem"]["code"]) == ("problem", "invalid_request")


async def test_the_client_carries_files(api: Api, stranger: Api) -> None:
    session = await api.session("echo")
    await api.answered(session, "x" * 5000)
    owner, other = dict(api.http.headers)["x-user"], dict(stranger.http.headers)["x-user"]
    url = str(api.http.base_url)
    async with (
        AsyncClient(url, headers={"X-User": owner}) as mine,
        AsyncClient(url, headers={"X-User": other}) as theirs,
    ):
        session_id = session.rpartition("/")[2]
        one = b"".join([piece async for piece in mine.export_session(session_id)])
        everything = b"".join([piece async for piece in mine.export_all()])
        assert document(one).session.id == session_id
        steps = [step async for step in theirs.import_file(io.BytesIO(everything))]
        report = steps[-1]
        assert all(isinstance(step, ImportProgress) for step in steps[:-1])
        assert isinstance(report, ImportReport)
        assert (report.sessions, report.imported[0].origin) == (1, f"legato:{session_id}")
        with pytest.raises(Invalid, match="can't be imported"):
            [step async for step in theirs.import_file(io.BytesIO(b"rubbish"))]


async def test_an_import_may_be_larger_than_other_bodies(sqlite: str) -> None:
    chat = Legato(sqlite, environment={}, settings=BRIEF, web=WebSettings(max_import_bytes=3 << 20))
    chat.agent("echo")(echo)
    async with serving(chat, by_header) as url, user_of(url) as api:
        session = await api.session("echo")
        await api.answered(session)
        file = await exported(api, session)
        large = file.replace(b'"messages":[', b'"padding":"' + b"x" * (2 << 20) + b'",\n"messages":[', 1)
        assert (await imported(api, large))["sessions"] == 1
        too_large = b" " * (3 << 20) + file
        await api.refused(413, "body_too_large", "POST", "/v1/import", content=too_large)

        async def undeclared() -> Any:
            yield too_large

        await api.refused(413, "body_too_large", "POST", "/v1/import", content=undeclared())
        await api.refused(413, "body_too_large", "POST", "/v1/sessions", {"title": "x" * (2 << 20)})


async def test_who_sends_slowly_is_in_nobodys_way(sqlite: str) -> None:
    """A file that is on its way takes no place; but there is one of an owner at a time."""
    chat = Legato(sqlite, environment={}, settings=BRIEF)
    chat.agent("echo")(echo)
    started, end = anyio.Event(), anyio.Event()
    chats = (FIXTURES / "claude.json").read_bytes()

    async def slowly() -> Any:
        yield chats[:10]
        started.set()
        await end.wait()
        yield chats[10:]

    async with serving(chat, by_header) as url, user_of(url) as api, user_of(url) as other:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(api.call, "POST", "/v1/import", content=slowly()))
            await started.wait()
            while not chat.engine.importing._uploading:
                await anyio.lowlevel.checkpoint()
            assert chat.engine.importing._running == 0
            await api.refused(429, "busy", "POST", "/v1/import", content=chats)
            assert (await imported(other, chats))["sessions"] == 2
            end.set()
        assert (await imported(api, chats))["known"] == 2


async def test_only_so_many_imports_at_once(sqlite: str) -> None:
    chat = Legato(sqlite, environment={}, settings=BRIEF)
    chat.agent("echo")(echo)
    chats = (FIXTURES / "claude.json").read_bytes()
    async with serving(chat, by_header) as url, user_of(url) as api:
        importing = chat.engine.importing
        with importing.place(), importing.place():
            await api.refused(429, "busy", "POST", "/v1/import", content=chats)
        assert (await imported(api, chats))["sessions"] == 2


async def test_no_place_is_lost_where_no_file_can_be_held(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = Legato(sqlite, environment={}, settings=BRIEF)
    chat.agent("echo")(echo)
    chats = (FIXTURES / "claude.json").read_bytes()

    def full() -> Any:
        raise OSError(28, "No space left on device")

    async with serving(chat, by_header) as url, user_of(url) as api:
        with monkeypatch.context() as patched:
            patched.setattr("tempfile.TemporaryFile", full)
            for _ in range(3):
                await api.refused(500, "internal_error", "POST", "/v1/import", content=chats)
        assert (chat.engine.importing._running, chat.engine.importing._uploading) == (0, set())
        assert (await imported(api, chats))["sessions"] == 2


async def test_who_sends_too_slowly_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(transfer, "_SLOWEST", 1e12)
    pieces = iter([{"type": "http.request", "body": b"[", "more_body": True}])

    async def receive() -> Any:
        if (piece := next(pieces, None)) is None:
            await anyio.sleep_forever()
        return piece

    request = Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)
    with anyio.fail_after(20), pytest.raises(Invalid, match="too slowly"):
        await transfer.receive(request, io.BytesIO())


async def test_files_go_both_ways_while_answers_stream(api: Api, stranger: Api, puppets: Puppets) -> None:
    """Nothing of an answer is lost or late for good; what is exported of it meanwhile is a beginning of it."""
    old = await api.session("echo")
    for number in range(5):
        await api.answered(old, f"Question {number} " * 20)
    file = (await api.ask("GET", "/v1/export")).content
    session = await api.session()
    turn_id = await running(api, puppets, session, "Count", "0 ")
    puppet = await puppets.of(turn_id)
    said = "0 "
    for number in range(1, 30):
        puppet.say(f"{number} ")
        said += f"{number} "
        if number % 10 == 0:
            lines = (await api.ask("GET", "/v1/export")).content
            partial = [msgspec.json.decode(line) for line in lines.splitlines() if b'"Count"' in line or b'"0 ' in line]
            texts = [text_of(line["message"]) for line in partial if line["type"] == "message"]
            assert said.startswith(texts[-1])
            async with user_of(str(api.http.base_url)) as other:
                assert (await imported(other, file))["sessions"] == 1
    puppet.end()
    await api.over(session, turn_id)
    assert await api.texts(session) == ["Count", said]


async def refused_either_way(api: Api, file: bytes) -> None:
    """Also where the answer has begun already."""
    await api.refused(422, "invalid_request", "POST", "/v1/import", content=file)
    response = await api.ask("POST", "/v1/import", content=file, headers=LINES)
    last = msgspec.json.decode(response.content.splitlines()[-1])
    assert (last["type"], last["problem"]["code"], last["problem"]["status"]) == ("problem", "invalid_request", 422)


async def test_a_damaged_archive_is_nobodys_bug(api: Api) -> None:
    chats = (FIXTURES / "claude.json").read_bytes()
    packed = zipped(conversations_json=chats)
    flipped = bytearray(packed)
    for at in range(100, 140):
        flipped[at] ^= 0xFF
    encrypted = bytearray(packed)
    encrypted[packed.rfind(b"PK\x01\x02") + 8] |= 1
    for file in (bytes(flipped), bytes(encrypted), packed[:-30]):
        await refused_either_way(api, file)


async def test_numbers_and_times_beyond_all_bounds_come_in_or_not(api: Api) -> None:
    value = msgspec.json.decode((FIXTURES / "chatgpt.json").read_bytes())
    value[0] |= {"create_time": 10**400, "update_time": "9999-12-31T23:59:59-11:00"}
    report = await imported(api, json.dumps(value).encode())
    assert report["sessions"] == 1
    listed = await api.call("GET", "/v1/sessions")
    assert listed["data"][0]["last_activity"] < "9000"


async def test_metadata_that_nobody_could_read_again_breaks_no_list(api: Api) -> None:
    """However deep it is nested."""
    session = await api.session("echo")
    await api.answered(session)
    file = await exported(api, session)
    for depth in (40, 200, 330, 900):
        deep = b'{"a":' * depth + b"1" + b"}" * depth
        one = file.replace(b'"id":"ses_', b'"metadata":' + deep + b',"id":"%d_' % depth, 1)
        report = await imported(api, one)
        assert report["skipped_count"] == 1
        assert (await api.call("GET", "/v1/sessions"))["data"]
        if report["sessions"]:
            assert report["skipped"][0]["what"] == "metadata"


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_json", ".json"), content)
    return out.getvalue()


async def test_archives_are_opened(api: Api) -> None:
    chats = (FIXTURES / "claude.json").read_bytes()
    report = await imported(api, zipped(user_json=b"{}", conversations_json=chats, data__conversations_json=b"[]"))
    assert (report["sessions"], report["messages"]) == (2, 6)
    await api.refused(422, "invalid_request", "POST", "/v1/import", content=zipped(chat_json=b"[]"))
