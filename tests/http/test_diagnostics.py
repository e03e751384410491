"""Why streams ended, and how long things took: told to whom it concerns, and to nobody else."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.lowlevel
import pytest

from tests.http.conftest import Served
from tests.http.puppets import Puppets
from tests.http.speaking import Api

pytestmark = [pytest.mark.anyio, pytest.mark.promise("E-09")]

ENDS = "/v1/diagnostics/streams"


async def ends(api: Api, **params: Any) -> list[dict[str, Any]]:
    return list((await api.call("GET", ENDS, params=params))["data"])


async def until_there(api: Api, what: str, code: str) -> dict[str, Any]:
    """The newest such end: that a connection has gone, a server notices a little later."""
    while True:
        for end in await ends(api):
            if (end["what"], end["code"]) == (what, code):
                return end
        await anyio.lowlevel.checkpoint()


def id_of(session: str) -> str:
    return session.rpartition("/")[2]


async def test_each_end_of_a_turn_has_its_reason(api: Api, puppets: Puppets) -> None:
    session = await api.session("echo")
    completed = await api.answered(session)
    held = await api.session()
    cancelled = await api.send(held)
    await api.call("POST", f"{held}/turns/{cancelled['id']}/cancel")
    off = await api.answered(await api.session("off"))
    told = {end["turn_id"]: (end["code"], end["reason"]) for end in await ends(api) if end["what"] == "turn"}
    assert told == {
        completed["id"]: ("stream.completed", "stop"),
        cancelled["id"]: ("stream.cancelled", "cancelled"),
        off["id"]: ("stream.error", "agent_unavailable"),
    }
    newest, *older = await ends(api)
    assert newest["at"] >= older[0]["at"]
    assert len(await ends(api, limit=1)) == 1


async def test_a_response_that_its_reader_leaves_is_abandoned_and_one_that_ends_is_closed(api: Api) -> None:
    session = await api.session("echo")
    await api.answered(session)
    closed = await until_there(api, "session", "stream.closed")
    assert closed["session_id"] == id_of(session)
    async with api.follow(session, "0") as stream:
        await stream.until("done")
        now = await api.call("GET", "/v1/diagnostics")
        assert now["streams"]["sessions"] >= 1
        assert now["open"][-1]["sessions"] >= 1
    abandoned = await until_there(api, "session", "stream.abandoned")
    assert abandoned["session_id"] == id_of(session)
    async with api.stream("GET", "/v1/events") as listed:
        await listed.until("list")
        assert (await api.call("GET", "/v1/diagnostics"))["streams"]["lists"] >= 1
    assert "session_id" not in await until_there(api, "list", "stream.abandoned")


async def test_what_is_anothers_or_deleted_is_not_told(api: Api, stranger: Api) -> None:
    session, kept = await api.session("echo"), await api.session("echo")
    await api.answered(session)
    await api.answered(kept)
    assert await ends(stranger) == []
    await api.call("POST", ENDS, {"ends": [client_end("client.stream.done", id_of(kept))]}, status=204)
    assert await ends(stranger) == []
    await api.call("DELETE", session, status=204)
    assert {end["session_id"] for end in await ends(api)} == {id_of(kept)}


def client_end(code: str, session_id: str | None = None, **more: Any) -> dict[str, Any]:
    return {"code": code, "session_id": session_id, "at": datetime.now(UTC).isoformat(), **more}


async def test_clients_say_how_theirs_ended(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    session = id_of(await api.session("echo"))
    with caplog.at_level(logging.INFO, "legato"):
        said = [client_end("client.stream.view-remount", session), client_end("client.stream.reader-error")]
        said[0]["at"] = "1970-01-01T00:00:00Z"
        said[1]["at"] = (datetime.now(UTC) + timedelta(days=7)).isoformat()
        await api.call("POST", ENDS, {"ends": said}, status=204)
    newest, oldest = await ends(api)
    assert (newest["what"], newest["code"]) == ("client", "client.stream.reader-error")
    assert (oldest["code"], oldest["session_id"]) == ("client.stream.view-remount", session)
    ages = [datetime.now(UTC) - datetime.fromisoformat(end["at"]) for end in (newest, oldest)]
    assert timedelta(0) <= ages[0] < timedelta(hours=1) < ages[1] < timedelta(days=2), "no other time is believed"
    assert f"[chat-stream] client.stream.view-remount client {session}" in caplog.text


async def test_what_clients_say_is_bounded(api: Api, stranger: Api) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"ends": []},
        {"ends": [client_end("client.stream.done")] * 101},
        {"ends": [client_end("stream.completed")]},
        {"ends": [client_end("client.stream.done", "ses_x\n[chat-stream] stream.completed")]},
        {"ends": [client_end("client.stream.done", detail="a secret of somebody's")]},
        {"ends": [{"code": "client.stream.done", "at": "yesterday"}]},
        {"ends": [{"code": "client.stream.done", "at": "2026-01-01T00:00:00"}]},
    )
    for body in wrong:
        await api.refused(422, "invalid_request", "POST", ENDS, body)
    many = {"ends": [client_end("client.stream.done")] * 100}
    statuses = [(await api.ask("POST", ENDS, many)).status_code for _ in range(8)]
    assert statuses[0] == 204
    assert 429 in statuses, "300 a minute are enough, also where a minute begins meanwhile"
    await stranger.call("POST", ENDS, many, status=204)
    assert len(await ends(api, limit=500)) <= 500
    for limit in (0, 501):
        await api.refused(422, "invalid_request", "GET", ENDS, params={"limit": limit})


async def test_numbers_tell_what_happened_and_name_nobody(api: Api, served: Served, puppets: Puppets) -> None:
    before = await api.call("GET", "/v1/diagnostics")
    session = await api.session()
    turn = await api.send(session, "canary-of-a-message")
    await api.send(session, "and one that waits")
    puppet = await puppets.of(turn["id"])
    puppet.say("canary-of-an-answer")
    async with api.follow(session, "0") as stream:
        await stream.until("token")
    now = await api.call("GET", "/v1/diagnostics")
    assert now["turns"]["running"] >= 1
    assert now["turns"]["waiting"] >= 1
    assert now["open"][-1]["turns"] >= 1
    assert now["first_token"]["total"]["count"] == before["first_token"]["total"]["count"] + 1
    assert now["first_token"]["minutes"][-1]["spread"]["max_s"] > 0
    assert now["commit"]["total"]["count"] > before["commit"]["total"]["count"]
    assert 0 < now["commit"]["total"]["p50_s"] <= now["commit"]["total"]["p95_s"] <= now["commit"]["total"]["max_s"]
    await api.call("DELETE", session, status=204)
    after = await api.call("GET", "/v1/diagnostics")
    assert after["turn_ends"]["total"]["deleted"] == before["turn_ends"]["total"].get("deleted", 0) + 2
    for named in ("canary", "ses_", "trn_", api.http.headers["x-user"]):
        assert named not in str(after)
