"""Rot: a bit of one session's stored words falls over. It is noticed, never served, and everybody else goes on (G16)."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
import pytest
from anyio import to_thread

from legato.core.states import is_terminal
from tests.process.asking import Asking, Reply
from tests.process.bit_flips import Place, flip, flip_in_file
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.support.server import clean_environment

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120), pytest.mark.promise("X-06")]

JSON: Final = {"Accept": "application/json"}
WORDS: Final = "nightingale"
POLL_S: Final = 0.05


@pytest.fixture
def server(nursery: Nursery, model: ModelServer, database: str, tmp_path: Path) -> Iterator[ForkedServer]:
    with ForkedServer(nursery, database, model.environment, log=tmp_path / "server.log") as server:
        yield server


async def ended(raw: Asking, session_id: str, turn_id: str) -> Reply:
    """A turn that is over; a running one that is damaged can't be shown."""
    while True:
        reply = await raw.get(f"/v1/sessions/{session_id}/turns/{turn_id}")
        assert reply.status == 200 or reply.code == "corrupted", reply
        if reply.status == 200 and is_terminal(reply.json["status"]):
            return reply
        await anyio.sleep(POLL_S)


async def said(raw: Asking, session_id: str, words: str) -> None:
    """Waits until these words are committed."""
    while True:
        if words in (await raw.get(f"/v1/sessions/{session_id}")).text:
            return
        await anyio.sleep(POLL_S)


async def talk(raw: Asking, text: str = WORDS) -> str:
    """A session with an answer that says ``text``; its id."""
    session_id = str((await raw.post("/v1/sessions", {})).json["id"])
    turn_id = (await raw.send(session_id, text)).json["turn"]["id"]
    assert (await ended(raw, session_id, turn_id)).json["status"] == "completed"
    return session_id


async def everything(raw: Asking, session_id: str) -> dict[str, Reply]:
    """What every route that reads words answers."""
    base = f"/v1/sessions/{session_id}"
    replies = {path: await raw.get(base + path, **JSON) for path in ("", "/messages", "/events?after=0", "/stats")}
    listed = (await raw.get("/v1/sessions")).json
    assert session_id in [session["id"] for session in listed["data"]]
    return replies


def check_refused(reply: Reply) -> None:
    assert (reply.status, reply.code) == (500, "corrupted"), reply
    assert reply.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in reply.text


async def check_goes_on(raw: Asking, other: str) -> None:
    """A session beside the damaged one is whole, and takes turns."""
    for path, reply in (await everything(raw, other)).items():
        assert reply.status == 200, path
    sent = await raw.send(other, "count 5")
    assert (await ended(raw, other, sent.json["turn"]["id"])).json["status"] == "completed"
    page = (await raw.get(f"/v1/sessions/{other}/messages")).text
    assert "1 2 3 4 5 " in page


def doctor(url: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "legato.cli", "doctor", *more, "--database", url]
    environment = {**clean_environment(), "COLUMNS": "300"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


async def check_doctor(server: ForkedServer, damaged: str, *sound: str) -> None:
    """On SQLite it needs the file for itself."""
    if server.database_url.startswith("sqlite"):
        await to_thread.run_sync(server.terminate)
    report = await to_thread.run_sync(doctor, server.database_url)
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"1 damaged sessions: {damaged}" in report.stdout
    assert f"{damaged}: in quarantine" in report.stdout
    assert not any(session_id in report.stdout for session_id in sound)


async def check_quarantined(raw: Asking, session_id: str) -> None:
    """It says so, takes nothing new, and is exported."""
    while True:
        if (await raw.get(f"/v1/sessions/{session_id}")).json["state"]["session"]["quarantined"]:
            break
        await anyio.sleep(POLL_S)
    sent = await raw.send(session_id, "And then?")
    assert (sent.status, sent.code) == (409, "session_quarantined")
    exported = await raw.get(f"/v1/sessions/{session_id}/export", **JSON)
    assert exported.status == 200
    assert exported.json["session"]["quarantined"] is True


@pytest.mark.parametrize("restarted", [False, True], ids=["while it runs", "between two runs"])
async def test_a_bit_in_the_journal(server: ForkedServer, restarted: bool) -> None:
    async with Asking(server.url) as raw:
        damaged, other = await talk(raw), await talk(raw)
        sound = (await raw.get(f"/v1/sessions/{damaged}/events?after=0", **JSON)).json
        wrong = await flip(server.database_url, "journal", damaged, WORDS)
        if restarted:
            await to_thread.run_sync(server.restart)
        for path, reply in (await everything(raw, damaged)).items():  # what was said stands in the messages, too
            assert reply.status == 200, path
            assert wrong not in reply.text
        events = f"/v1/sessions/{damaged}/events"
        whole = await raw.get(f"{events}?after=0", **JSON)
        assert whole.json["data"] == sound["data"][: len(whole.json["data"])]
        assert whole.json["has_more"]
        check_refused(await raw.get(f"{events}?after={whole.json['cursor']}", **JSON))
        streamed, frames = await raw.stream(events, {"after": "0"})
        assert wrong not in streamed.text
        assert [frame.id for frame in frames] == [event["cursor"] for event in whole.json["data"]]
        check_refused((await raw.stream(events, {"after": whole.json["cursor"]}))[0])
        await check_quarantined(raw, damaged)
        # Whoever stands behind the damage is told of the quarantine.
        following = await raw.get(f"{events}?after={sound['cursor']}", **JSON)
        assert [event["type"] for event in following.json["data"]] == ["session"]
        assert WORDS in (await raw.get(f"/v1/sessions/{damaged}/export", **JSON)).text
        await check_goes_on(raw, other)
    await check_doctor(server, damaged, other)
    assert WORDS not in server.log_tail(10_000)


# A bit of ASCII that falls over is another letter, or a byte that is no text at all. (PostgreSQL takes no such text.)
@pytest.mark.parametrize("bit", [0x01, 0x80], ids=["another letter", "no text"])
@pytest.mark.parametrize("restarted", [False, True], ids=["while it runs", "between two runs"])
async def test_a_bit_in_a_message(server: ForkedServer, restarted: bool, bit: int) -> None:
    if bit == 0x80 and not server.database_url.startswith("sqlite"):
        bit = 0x02
    async with Asking(server.url) as raw:
        damaged, other = await talk(raw), await talk(raw)
        wrong = await flip(server.database_url, "messages", damaged, f"You said: {WORDS}", bit=bit)
        if restarted:
            await to_thread.run_sync(server.restart)
        replies = await everything(raw, damaged)
        assert replies.pop("/stats").status == 200
        assert replies.pop("/events?after=0").status == 200  # the journal is whole
        for path, reply in replies.items():
            assert reply.status == 200, path
            assert wrong not in reply.text
            assert WORDS in reply.text, "what was asked is whole"
            assert '"code":"corrupted"' in reply.text
        await check_quarantined(raw, damaged)
        await check_goes_on(raw, other)
    await check_doctor(server, damaged, other)
    report = await to_thread.run_sync(doctor, server.database_url, "--rebuild", damaged)
    assert report.returncode == 0, report.stdout + report.stderr
    assert "everything checks out: it takes turns again" in report.stdout
    if server.running is False:
        await to_thread.run_sync(server.start)
    async with Asking(server.url) as raw:
        page = await raw.get(f"/v1/sessions/{damaged}/messages")
        assert f"You said: {WORDS}" in page.text
        assert "corrupted" not in page.text
        sent = await raw.send(damaged, "count 3")
        assert (await ended(raw, damaged, sent.json["turn"]["id"])).json["status"] == "completed"


@pytest.mark.promise("R-05")
@pytest.mark.parametrize("place", ["journal", "messages"])
async def test_a_bit_in_what_a_running_turn_has_said_or_answers(server: ForkedServer, place: Place) -> None:
    async with Asking(server.url) as raw:
        damaged, other = await talk(raw, "Hello"), await talk(raw)
        asked = "count 70300 from 70000 at 50/s"
        running = (await raw.send(damaged, asked)).json["turn"]
        await said(raw, damaged, "70003 ")
        wrong = await flip(server.database_url, place, damaged, "70001 " if place == "journal" else asked, bit=0x40)
        turn = (await ended(raw, damaged, running["id"])).json
        assert (turn["status"], turn["reason"], turn["error"]["code"]) == ("failed", "corrupted", "corrupted")
        for reply in (await everything(raw, damaged)).values():
            assert reply.status == 200 or reply.code == "corrupted"
            assert wrong not in reply.text
        await check_quarantined(raw, damaged)
        await check_goes_on(raw, other)


@pytest.mark.promise("R-05")
async def test_a_bit_in_a_message_that_waits(server: ForkedServer) -> None:
    """It can't be answered any more; nor can those behind it, and all of them are told why."""
    async with Asking(server.url) as raw:
        damaged = await talk(raw, "Hello")
        running = (await raw.send(damaged, "count 400 from 100 at 50/s")).json["turn"]
        waiting = (await raw.send(damaged, WORDS)).json["turn"]
        behind = (await raw.send(damaged, "count 3")).json["turn"]
        await flip(server.database_url, "messages", damaged, WORDS)
        assert (await raw.post(f"/v1/sessions/{damaged}/turns/{running['id']}/cancel")).status == 200
        turn = (await ended(raw, damaged, waiting["id"])).json
        assert (turn["status"], turn["reason"], turn["error"]["code"]) == ("cancelled", "corrupted", "corrupted")
        following = (await ended(raw, damaged, behind["id"])).json
        assert (following["status"], following["reason"]) == ("cancelled", "session_quarantined")
        for path, reply in (await everything(raw, damaged)).items():
            assert reply.status in (200, 500), path
            assert reply.status == 200 or reply.code == "corrupted"


@pytest.mark.parametrize("bit", [0x01, 0x80], ids=["another letter", "no text"])
async def test_a_bit_on_the_disk(nursery: Nursery, model: ModelServer, tmp_path: Path, bit: int) -> None:
    """In the bytes of the file itself: whatever holds the words holds others now."""
    path = tmp_path / "legato.db"
    with ForkedServer(nursery, f"sqlite:///{path}", model.environment, log=tmp_path / "server.log") as server:
        async with Asking(server.url) as raw:
            damaged, other = await talk(raw), await talk(raw, "lark")
            await to_thread.run_sync(server.terminate)
            wrong = flip_in_file(path, f"You said: {WORDS}", bit=bit)
            await to_thread.run_sync(server.start)
            replies = await everything(raw, damaged)
            assert not any(wrong in reply.text for reply in replies.values())
            assert replies["/stats"].status == 200
            for route in ("", "/messages"):
                assert replies[route].status == 200
                assert '"code":"corrupted"' in replies[route].text
            await check_quarantined(raw, damaged)
            whole = replies["/events?after=0"].json
            assert whole["has_more"]
            check_refused(await raw.get(f"/v1/sessions/{damaged}/events?after={whole['cursor']}", **JSON))
            await check_goes_on(raw, other)
        await check_doctor(server, damaged, other)
        report = await to_thread.run_sync(doctor, server.database_url, "--rebuild")
        assert report.returncode == 1, "nothing has the words any more"
        assert "(lost)" in report.stdout
        assert "it stays in quarantine" in report.stdout
