"""``legato search``: hits on a screen and in a pipe, whatever they say."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from legato.client import AsyncClient, Hit, SavedSearch
from legato.core.errors import SearchExists
from legato.core.found import FoundIn
from tests.support.story import SESSION
from tests.support.wire import Naps, Wire, cut, json_reply, problem
from tests.unit.test_cli_chat import ENVIRONMENT, finished, wire

__all__ = ["ENVIRONMENT", "wire"]
pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-14")]

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)


def hit(snippet: str = "the <mark>harbour</mark>", **fields: Any) -> Hit:
    session = FoundIn(SESSION, "Trip\x1b[2J [red]", "demo", "Demo")
    usual: dict[str, Any] = {"message_id": "msg_1", "role": "user", "created_at": AT, "score": 1}
    return Hit(session=session, snippet=snippet, **(usual | fields))


def page(*hits: Hit, following: str | None = None) -> dict[str, Any]:
    return {"data": list(hits), "has_more": following is not None, "next": following}


@pytest.mark.promise("H-06")
async def test_hits_are_shown(wire: Wire) -> None:
    title = hit("&lt;mark&gt; <mark>Harbour</mark> &amp; \x1b[2J", role=None, message_id=None)
    wire.on("GET", "/v1/search", json_reply(page(title, hit(), hit(active=False))))
    command = await finished(
        wire, "search", "two ships", "harb", "--agent", "demo", "--status", "active", "--role", "user", "--limit", "7"
    )
    assert command.status == 0
    lines = command.out.decode().splitlines()
    assert lines[0].startswith(f"{SESSION} · title · 2026-11-25 ")
    assert lines[0].endswith(" · Trip�[2J [red]")
    assert lines[1] == "<mark> *Harbour* & �[2J"
    assert " · user · " in lines[3]
    assert lines[4] == "the *harbour*"
    assert not lines[3].endswith("on another branch")
    assert lines[6].endswith(" · on another branch")
    assert wire.requests[0].query == {
        "q": '"two ships" harb',
        "agent_id": "demo",
        "status": "active",
        "role": "user",
        "limit": "7",
    }


@pytest.mark.promise("H-06")
async def test_hits_as_json_and_no_more_than_asked_for(wire: Wire) -> None:
    wire.on("GET", "/v1/search", json_reply(page(hit(), following="more")))
    command = await finished(wire, "search", "harbour", "--limit", "2", "--json", "--since", "2026-11-01")
    assert [one["snippet"] for one in msgspec.json.decode(command.out)] == ["the <mark>harbour</mark>"] * 2
    assert [request.query.get("cursor") for request in wire.requests] == [None, "more"]
    after = datetime.fromisoformat(wire.requests[0].query["after"])
    assert (after.tzinfo is not None, after.strftime("%Y-%m-%d")) == (True, "2026-11-01")


async def test_nothing_is_found(wire: Wire) -> None:
    wire.on("GET", "/v1/search", json_reply(page()))
    assert (await finished(wire, "search", "harbour")).out == b"Nothing was found.\n"
    wire.on("GET", "/v1/sessions", json_reply(page()))
    await finished(wire, "sessions", "list", "--text", "harbour", "--context", "doc-1")
    assert wire.requests[-1].query == {"text": "harbour", "context": "doc-1", "limit": "50"}


@pytest.mark.promise("H-05")
async def test_the_client_searches_and_saves(wire: Wire) -> None:
    wire.on("GET", "/v1/search", json_reply(page(hit(), following="more")), json_reply(page(hit())))
    saved = SavedSearch(id="sch_1", name="Ships", query="harbour", created_at=AT)
    wire.on("GET", "/v1/searches", json_reply({"data": [saved]}))
    wire.on("POST", "/v1/searches", cut(), json_reply(saved, 201), problem(409, "search_exists", "It is another one."))
    wire.on("DELETE", "/v1/searches/sch_1", problem(404, "search_not_found", "There is none."))
    async with AsyncClient(wire.url, sleep=Naps(), random=lambda: 0.0) as client:
        found = [one async for one in client.search("a\ud800", after=AT, before=AT, session_id=SESSION)]
        assert found == [hit(), hit()]
        assert wire.requests[0].query["q"] == "a\ufffd"
        assert wire.requests[0].query["session_id"] == SESSION
        assert await client.saved_searches() == [saved]
        assert await client.save_search("Ships", "harbour") == saved
        assert wire.requests[-1].json() == {"name": "Ships", "query": "harbour"}
        with pytest.raises(SearchExists):
            await client.save_search("Ships", "pier")
        await client.delete_search("sch_1")
