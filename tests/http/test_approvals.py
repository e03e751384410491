"""Approvals over HTTP, the client and the command line: their owner sees and answers them, and nobody else finds any."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from legato import Legato, Turn
from legato.client import AsyncClient
from legato.core.errors import AlreadyDecided, ApprovalNotFound, GrantNotFound
from legato.core.ids import new_id
from legato.engine.settings import EngineSettings
from tests.http.conftest import by_header
from tests.http.serving import serving
from tests.http.speaking import Api, user_of
from tests.support.server import ServerProcess
from tests.unit.test_cli_chat import Screen

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-10")]


async def careful(turn: Turn) -> AsyncIterator[str]:
    yield "Wait. "
    yield await turn.ask("Launch?", tool="launch")


@pytest.fixture
async def url(own_database: str) -> AsyncIterator[str]:
    """A server whose agent asks first."""
    chat = Legato(own_database, environment={}, settings=EngineSettings(grace_s=0.1, titles=False))
    chat.agent("careful")(careful)
    async with serving(chat, by_header) as url:
        yield url


@pytest.fixture
async def ann(url: str) -> AsyncIterator[Api]:
    with anyio.fail_after(30):
        async with user_of(url, "ann") as api:
            yield api


@pytest.fixture
async def bob(url: str) -> AsyncIterator[Api]:
    async with user_of(url, "bob") as api:
        yield api


async def asked(api: Api) -> tuple[str, str, dict[str, Any]]:
    """A session, its turn, and what that asks."""
    session = await api.session("careful")
    async with api.follow(session, "0") as stream:
        turn = await api.send(session, "Go!")
        await stream.until(lambda event: event.type == "approval")
    (approval,) = (await api.call("GET", "/v1/approvals"))["data"]
    return session, turn["id"], approval


async def test_it_is_seen_answered_once_and_the_turn_goes_on(ann: Api) -> None:
    session, turn_id, approval = await asked(ann)
    assert approval.items() >= {"question": "Launch?", "tool": "launch", "status": "pending"}.items()
    assert (await ann.state(session))["approvals"] == [approval]

    decided = await ann.call("POST", f"/v1/approvals/{approval['id']}", {"decision": "allow"})

    assert decided["status"] == "allowed"
    async with ann.follow(session, "0") as stream:
        await stream.until(lambda event: event.type == "done" and event.data["turn_id"] == turn_id)
    again = await ann.ask("POST", f"/v1/approvals/{approval['id']}", {"decision": "deny"})
    assert (again.status_code, again.json()["code"], again.json()["status"]) == (409, "already_decided", 409)
    assert again.json()["decided"] == "allowed"
    assert (await ann.call("GET", "/v1/approvals"))["data"] == []
    assert await ann.call("GET", f"/v1/approvals/{approval['id']}") == decided
    assert (await ann.state(session))["messages"][-1]["parts"] == [{"type": "text", "text": "Wait. allowed"}]


@pytest.mark.parametrize("body", [{}, {"decision": "maybe"}, {"decision": "allow", "more": 1}, []])
async def test_what_is_no_answer_decides_nothing(ann: Api, body: Any) -> None:
    _, _, approval = await asked(ann)

    refused = await ann.ask("POST", f"/v1/approvals/{approval['id']}", body)

    assert refused.status_code == 422
    assert (await ann.call("GET", f"/v1/approvals/{approval['id']}"))["status"] == "pending"


async def test_somebody_else_s_answers_as_an_unknown_one(ann: Api, bob: Api) -> None:
    _, _, approval = await asked(ann)
    await ann.call("POST", f"/v1/approvals/{approval['id']}", {"decision": "always"})
    (grant,) = (await ann.call("GET", "/v1/grants"))["data"]

    for verb, body in (("GET", None), ("POST", {"decision": "allow"})):
        foreign = await bob.ask(verb, f"/v1/approvals/{approval['id']}", body)
        unknown = await bob.ask(verb, f"/v1/approvals/{new_id('apr')}", body)
        assert (foreign.status_code, foreign.content) == (unknown.status_code, unknown.content)
        assert foreign.json()["code"] == "approval_not_found"
    foreign = await bob.ask("DELETE", f"/v1/grants/{grant['id']}")
    assert (foreign.status_code, foreign.json()["code"]) == (404, "grant_not_found")
    assert (await bob.call("GET", "/v1/approvals"))["data"] == (await bob.call("GET", "/v1/grants"))["data"] == []
    assert (await ann.call("GET", "/v1/grants"))["data"] == [grant]


async def test_what_is_allowed_for_always_is_not_asked_again_until_it_is_revoked(ann: Api) -> None:
    session, turn_id, approval = await asked(ann)
    await ann.call("POST", f"/v1/approvals/{approval['id']}", {"decision": "always"})
    async with ann.follow(session, "0") as stream:
        await stream.until(lambda event: event.type == "done" and event.data["turn_id"] == turn_id)
    assert (await ann.answered(session, "Again"))["attempt"] == 1

    (grant,) = (await ann.call("GET", "/v1/grants"))["data"]
    assert grant.items() >= {"agent_id": "careful", "tool": "launch"}.items()
    await ann.call("DELETE", f"/v1/grants/{grant['id']}", status=204)

    turn = await ann.send(session, "And again")
    async with ann.follow(session, "0") as stream:
        await stream.until(lambda event: event.type == "approval" and event.data["turn_id"] == turn["id"])


async def test_the_client_answers(url: str, ann: Api) -> None:
    _, _, told = await asked(ann)
    async with AsyncClient(url, headers={"X-User": "ann"}) as client:
        (approval,) = await client.approvals()
        assert (approval.id, approval.question) == (told["id"], "Launch?")

        assert (await client.decide(approval.id, "always")).status == "allowed"

        with pytest.raises(AlreadyDecided):
            await client.decide(approval.id, "deny")
        assert (await client.approval(approval.id)).status == "allowed"
        (grant,) = await client.grants()
        await client.revoke(grant.id)
        with pytest.raises(GrantNotFound):
            await client.revoke(grant.id)
        with pytest.raises(ApprovalNotFound):
            await client.decide(new_id("apr"), "deny")


def told_by(server: ServerProcess, *words: str) -> str:
    command = [sys.executable, "-m", "legato.cli", "approvals", *words, "--url", server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.promise("H-06")
def test_the_command_line_answers(tmp_path: Any) -> None:
    with ServerProcess(f"sqlite:///{tmp_path / 'legato.db'}", log=tmp_path / "server.log") as server:
        ask = [sys.executable, "-m", "legato.cli", "chat", "--url", server.url, "/approve"]
        assert "Nobody asks you anything." in told_by(server, "list")
        with subprocess.Popen(ask, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as talk:
            assert talk.stdout is not None
            said = talk.stdout.readline()
            while "apr_" not in (listed := told_by(server, "list")):
                pass
            approval_id = next(word for word in listed.split() if word.startswith("apr_"))

            assert "allowed: Send the (imaginary) mail?" in told_by(server, "allow", approval_id, "--always")

            rest, _ = talk.communicate(timeout=60)
        assert said.startswith("Before I send anything I ask")
        assert "Sent (imaginarily)." in rest
        granted = told_by(server, "grants")
        assert "send_mail" in granted
        grant_id = next(word for word in granted.split() if len(word) == 32)
        assert "asked again" in told_by(server, "revoke", grant_id)
        assert "nothing for always" in told_by(server, "grants")


@pytest.mark.promise("H-06")
async def test_a_conversation_in_a_terminal_asks_and_goes_on(tmp_path: Any) -> None:
    with ServerProcess(f"sqlite:///{tmp_path / 'legato.db'}", log=tmp_path / "server.log") as server:
        async with Screen.open(server.url, "--new") as (terminal, _):
            await terminal.until("> ")
            terminal.type("/approve")
            await terminal.until("? Send the (imaginary) mail?")
            await terminal.until("[l]ater? ")
            terminal.type("l")
            await terminal.until("> ")
            terminal.type(":quit")
        async with Screen.open(server.url) as (terminal, _):
            before = await terminal.until("? Send the (imaginary) mail?")
            assert "Before I send anything I ask" in before
            await terminal.until("[l]ater? ")
            terminal.type("y")
            said = await terminal.until("Sent (imaginarily).")
            assert "Before I send" not in said, "what was shown is not shown again"
            await terminal.until("> ")
            terminal.type(":quit")
