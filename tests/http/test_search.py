"""Search over HTTP: what was said is found by who may read it, marked and harmless; saved searches."""

from typing import Any

import pytest

from legato.core.ids import new_id
from tests.http.speaking import Api

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-14")]


async def told(api: Api, *texts: str, **fields: Any) -> str:
    """A session in which these were said and echoed; its id."""
    session = await api.session("echo", **fields)
    for text in texts:
        await api.answered(session, text)
    return session.rpartition("/")[2]


async def found(api: Api, q: str, **params: Any) -> list[dict[str, Any]]:
    return list((await api.call("GET", "/v1/search", params={"q": q, **params}))["data"])


async def test_hits_say_where_they_are(api: Api) -> None:
    session = await told(api, "Café <b>& harbour</b>", title="Harbour trip")
    hits = await found(api, "harbour")
    assert [hit["role"] for hit in hits[:1]] == [None]
    assert {hit["role"] for hit in hits[1:]} == {"user", "assistant"}
    assert hits[0]["snippet"] == "<mark>Harbour</mark> trip"
    question = next(hit for hit in hits if hit["role"] == "user")
    assert question["snippet"] == "Café &lt;b&gt;&amp; <mark>harbour</mark>&lt;/b&gt;"
    assert question["session"] == {"id": session, "title": "Harbour trip", "agent_id": "echo", "agent_name": "echo"}
    messages = (await api.call("GET", f"/v1/sessions/{session}/messages"))["data"]
    assert {hit["message_id"] for hit in hits[1:]} == {message["id"] for message in messages}
    by_id = {message["id"]: message for message in messages}
    assert question["created_at"] == by_id[question["message_id"]]["created_at"]


async def test_filters_and_pages(api: Api) -> None:
    first = await told(api, *(f"harbour {number}" for number in range(3)))
    second = await told(api, "harbour")
    await api.call("POST", f"/v1/sessions/{second}/close")
    assert {hit["session"]["id"] for hit in await found(api, "harbour", status="closed")} == {second}
    assert {hit["session"]["id"] for hit in await found(api, "harbour", session_id=first)} == {first}
    assert {hit["role"] for hit in await found(api, "harbour", role="user")} == {"user"}
    assert await found(api, "harbour", agent_id="puppet") == []
    assert await found(api, "harbour", after="2999-01-01") == []
    assert await found(api, "harbour", before="2999-01-01T00:00:00Z") == await found(api, "harbour")
    whole = await found(api, "harbour")
    paged: list[Any] = []
    page = await api.call("GET", "/v1/search", params={"q": "harbour", "limit": 3})
    while True:
        paged += page["data"]
        assert page["has_more"] == (page["next"] is not None)
        if page["next"] is None:
            break
        page = await api.call("GET", "/v1/search", params={"q": "harbour", "limit": 3, "cursor": page["next"]})
    assert (len(whole), paged) == (8, whole)


async def test_nobody_finds_what_is_not_theirs(api: Api, stranger: Api) -> None:
    session = await told(api, "harbour", title="harbour")
    assert await found(stranger, "harbour") == []
    assert await found(stranger, "harbour", session_id=session) == []
    assert await found(stranger, "harbour", session_id=new_id("ses")) == []
    assert (await stranger.call("GET", "/v1/sessions", params={"text": "harbour"}))["data"] == []
    page = await api.call("GET", "/v1/search", params={"q": "harbour", "limit": 1})
    assert await found(stranger, "harbour", cursor=page["next"]) == []


async def test_any_string_is_a_question(api: Api) -> None:
    await told(api, "the quick brown fox")
    for text in ("", '"', "AND OR NOT", "a*:(", "x" * 10_000, "\0", "%_\\'", "\u202e京", "fox" + " " * 9_000):
        await found(api, text)
    assert len(await found(api, 'quick "brown fox')) == 2
    refused = await api.ask("GET", "/v1/search")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    for name, value in (
        ("limit", "0"),
        ("status", "open"),
        ("role", "tool"),
        ("after", "soon"),
        ("after", "1e400"),
        ("after", "7"),
    ):
        refused = await api.ask("GET", "/v1/search", params={"q": "fox", name: value})
        assert refused.status_code == 422, (name, value)
    refused = await api.ask("GET", "/v1/search", params={"q": "fox", "cursor": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_cursor")
    for value in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        await found(api, "fox", after=value)


async def test_what_was_cleared_is_not_found(api: Api) -> None:
    session = await told(api, "harbour", title="pier")
    await api.call("POST", f"/v1/sessions/{session}/clear", status=204)
    assert await found(api, "harbour") == []
    assert len(await found(api, "pier")) == 1


@pytest.mark.promise("S-03")
async def test_sessions_by_text_and_context(api: Api) -> None:
    one = await told(api, title="Harbour", context="doc-1")
    two = await told(api, "the harbour", context="doc-2")
    await told(api, "pier")

    async def listed(**params: str) -> list[str]:
        return [session["id"] for session in (await api.call("GET", "/v1/sessions", params=params))["data"]]

    assert await listed(text="harbour") == [two, one]
    assert await listed(text="har", context="doc-1") == [one]
    assert await listed(context="doc-2") == [two]
    assert await listed(text="nothing like this") == []


async def test_searches_are_saved(api: Api, stranger: Api) -> None:
    saved = await api.call("POST", "/v1/searches", {"name": "Ships", "query": 'harbour "two ships"'}, status=201)
    assert (saved["name"], saved["query"]) == ("Ships", 'harbour "two ships"')
    assert saved["id"].startswith("sch_")
    again = await api.call("POST", "/v1/searches", {"name": "Ships", "query": 'harbour "two ships"'}, status=201)
    assert again == saved
    other = await api.call("POST", "/v1/searches", {"name": "Piers", "query": ""}, status=201)
    assert (await api.call("GET", "/v1/searches"))["data"] == [other, saved]
    refused = await api.ask("POST", "/v1/searches", {"name": "Ships", "query": "else"})
    assert (refused.status_code, refused.json()["code"]) == (409, "search_exists")
    for body in ({"name": "", "query": "x"}, {"name": "x" * 201, "query": ""}, {"name": "x", "query": "x" * 2_001}, {}):
        assert (await api.ask("POST", "/v1/searches", body)).status_code == 422

    assert (await stranger.call("GET", "/v1/searches"))["data"] == []
    await stranger.call("POST", "/v1/searches", {"name": "Ships", "query": "mine"}, status=201)
    foreign = await stranger.ask("DELETE", f"/v1/searches/{saved['id']}")
    unknown = await stranger.ask("DELETE", f"/v1/searches/{new_id('sch')}")
    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
    assert foreign.json()["code"] == "search_not_found"

    assert (await api.ask("DELETE", f"/v1/searches/{saved['id']}")).status_code == 204
    assert (await api.ask("DELETE", f"/v1/searches/{saved['id']}")).status_code == 404
    assert (await api.call("GET", "/v1/searches"))["data"] == [other]


async def test_there_is_an_end_to_saved_searches(api: Api) -> None:
    for number in range(200):
        await api.call("POST", "/v1/searches", {"name": f"{number}", "query": ""}, status=201)
    refused = await api.ask("POST", "/v1/searches", {"name": "one more", "query": ""})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
