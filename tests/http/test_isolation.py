"""What isn't yours answers as what doesn't exist: every route and verb of the application, found by asking it."""

from typing import Any, Final

import httpx2
import pytest
from fastapi.routing import iter_route_contexts

from legato import Legato
from legato.core.ids import new_id
from tests.http.speaking import STREAM, Api

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-16")]

# What serves nobody's data, and what serves only the asker's own. A new route without a session in its path has to be
# considered here; one with a session is tested below from the day it is there.
OPEN: Final = {
    "GET /",
    "GET /assets/{name}",
    "GET /docs",
    "GET /healthz",
    "GET /openapi.json",
    "GET /readyz",
    "GET /v1/agents",
    "GET /v1/agents/{agent_id}",
    "GET /v1/models",
    "GET /v1/models/{model_id:path}",
    "HEAD /openapi.json",
}
OWN: Final = {
    "DELETE /v1/files/{file_id}",
    "GET /v1/files/{file_id}",
    "GET /v1/files/{file_id}/content",
    "POST /v1/files",
    "DELETE /v1/searches/{search_id}",
    "GET /v1/diagnostics",
    "GET /v1/diagnostics/streams",
    "POST /v1/diagnostics/streams",
    "GET /v1/events",
    "GET /v1/export",
    "GET /v1/search",
    "GET /v1/searches",
    "GET /v1/sessions",
    "GET /v1/sessions/current",
    "GET /v1/usage",
    "POST /v1/import",
    "POST /v1/searches",
    "POST /v1/sessions",
    "POST /v1/sessions/prune",
}
# What is remembered of the asker: see test_memories.
OWN_MEMORIES: Final = {
    "DELETE /v1/memories",
    "DELETE /v1/memories/{memory_id}",
    "GET /v1/memories",
    "GET /v1/memories/settings",
    "PATCH /v1/memories/{memory_id}",
    "PUT /v1/memories/settings",
}

# What an agent asks the asker, and what he has allowed: see test_approvals.
OWN_APPROVALS: Final = {
    "DELETE /v1/grants/{grant_id}",
    "GET /v1/approvals",
    "GET /v1/approvals/{approval_id}",
    "GET /v1/grants",
    "POST /v1/approvals/{approval_id}",
}

# What is sent where, so that the owner's own request succeeds; the others must fail alike whatever they send.
BODIES: Final[dict[str, list[Any]]] = {
    "PATCH /v1/sessions/{session_id}": [{"title": "Mine"}, {}, {"title": 7}],
    "PATCH /v1/sessions/{session_id}/messages/{message_id}": [{"pinned": True}, {"pinned": "x"}, {}],
    "PATCH /v1/sessions/{session_id}/turns/{turn_id}": [{"text": "Hi"}, {"before": None}, {}],
    "POST /v1/sessions/{session_id}/fork": [{}, {"message_id": "{message_id}"}, {"id": "x"}],
    "POST /v1/sessions/{session_id}/turns": [
        {"text": "Hi"},
        {"text": "x" * 60_000},
        {"text": "x", "model_id": "no"},
        {"text": "x", "edits": "{message_id}"},
    ],
    "PUT /v1/sessions/{session_id}/leaf": [{"message_id": "{message_id}"}, {"message_id": "msg_none"}, {}],
}
QUERIES: Final = {
    "GET /v1/sessions/{session_id}/export": [{"format": each} for each in ("json", "jsonl", "markdown", "html", "no")],
    "GET /v1/sessions/{session_id}/events": [
        {},
        {"after": "{cursor}"},
        {"after": "0", "until": "{turn_id}"},
        {"after": "x"},
    ],
    "GET /v1/sessions/{session_id}/messages": [
        {},
        {"cursor": "{message_id}"},
        {"leaf": "{message_id}"},
        {"limit": "1"},
    ],
}


def routes() -> list[str]:
    """``VERB /path`` of everything that the application answers, documented or not."""
    app = Legato("sqlite:///never-opened.db", environment={}).asgi()
    return sorted(f"{verb} {route.path}" for route in iter_route_contexts(app.routes) for verb in route.methods or ())


ROUTES: Final = routes()
OF_A_SESSION: Final = [route for route in ROUTES if "{session_id}" in route]
OF_A_TURN: Final = [route for route in ROUTES if "{turn_id}" in route]


class Thing:
    """A session with an ended turn, or ids of what isn't there."""

    def __init__(self, session_id: str, turn_id: str, message_id: str, cursor: str) -> None:
        self.ids = {"session_id": session_id, "turn_id": turn_id, "message_id": message_id, "cursor": cursor}

    def filled(self, body: Any) -> Any:
        """A body with its ids, as far as it says where they go."""
        if not isinstance(body, dict):
            return body
        ids = {f"{{{name}}}": value for name, value in self.ids.items()}
        return {key: ids.get(value, value) if isinstance(value, str) else value for key, value in body.items()}

    def request(self, route: str, query: dict[str, str]) -> tuple[str, str, dict[str, str]]:
        verb, _, path = route.partition(" ")
        return verb, path.format(**self.ids), {key: value.format(**self.ids) for key, value in query.items()}


async def something(api: Api) -> Thing:
    session = await api.session("echo")
    turn = await api.answered(session)
    return Thing(session.rpartition("/")[2], turn["id"], turn["message_id"], (await api.call("GET", session))["cursor"])


async def ask(api: Api, route: str, thing: Thing, body: Any, query: dict[str, str], stream: bool) -> httpx2.Response:
    verb, path, params = thing.request(route, query)
    return await api.ask(verb, path, thing.filled(body), params=params, headers=STREAM if stream else {})


def said(response: httpx2.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that tells one answer from another."""
    return (
        response.status_code,
        response.content,
        [item for item in response.headers.multi_items() if item[0] != "date"],
    )


def variants(route: str) -> list[tuple[Any, dict[str, str], bool]]:
    """The bodies, queries and kinds of answer to ask for; the first is a good one."""
    bodies = BODIES.get(route, [None])
    queries = QUERIES.get(route, [{}])
    return [(body, query, stream) for stream in (False, True) for body in bodies for query in queries]


def test_every_route_is_considered() -> None:
    assert {route for route in ROUTES if route not in OF_A_SESSION} == OPEN | OWN | OWN_MEMORIES | OWN_APPROVALS
    assert {route for route in OF_A_SESSION if "{turn_id}" in route} == set(OF_A_TURN)
    assert BODIES.keys() | QUERIES.keys() <= set(OF_A_SESSION)


@pytest.mark.parametrize("route", OF_A_SESSION)
async def test_a_foreign_session_answers_as_an_unknown_one(api: Api, stranger: Api, route: str) -> None:
    mine = await something(api)
    unknown = Thing(new_id("ses"), new_id("trn"), new_id("msg"), mine.ids["cursor"])
    before = await api.call("GET", f"/v1/sessions/{mine.ids['session_id']}")
    for body, query, stream in variants(route):
        foreign = await ask(stranger, route, mine, body, query, stream)
        assert foreign.status_code in (400, 404, 422), foreign.text
        assert said(foreign) == said(await ask(stranger, route, unknown, body, query, stream))
    body, query, _ = variants(route)[0]
    refused = await ask(stranger, route, mine, body, query, stream=False)
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")
    assert await api.call("GET", f"/v1/sessions/{mine.ids['session_id']}") == before
    allowed = await ask(api, route, mine, body, query, stream=False)
    assert allowed.status_code < 300 or allowed.json()["code"] in ("turn_not_queued", "summary_not_found"), allowed.text


@pytest.mark.parametrize("route", OF_A_TURN)
async def test_a_turn_of_elsewhere_answers_as_an_unknown_one(api: Api, stranger: Api, route: str) -> None:
    mine, foreign, other = await something(api), await something(stranger), await something(api)
    answers = []
    for turn_id in (new_id("trn"), foreign.ids["turn_id"], other.ids["turn_id"], mine.ids["message_id"], "x"):
        thing = Thing(mine.ids["session_id"], turn_id, "", "")
        answers.append(said(await ask(api, route, thing, variants(route)[0][0], {}, stream=False)))
    assert answers == answers[:1] * len(answers)
    assert answers[0][0] == 404
    assert b'"turn_not_found"' in answers[0][1]


async def test_a_stream_until_a_turn_of_elsewhere_is_one_until_an_unknown_turn(api: Api, stranger: Api) -> None:
    mine, foreign = await something(api), await something(stranger)
    path = f"/v1/sessions/{mine.ids['session_id']}/events"
    answers = [
        said(await api.ask("GET", path, params={"after": "0", "until": turn_id}, headers=STREAM))
        for turn_id in (new_id("trn"), foreign.ids["turn_id"])
    ]
    assert answers[0] == answers[1]
    assert b'"turn_not_found"' in answers[0][1]


async def test_a_cursor_of_a_foreign_session_tells_nothing(api: Api, stranger: Api) -> None:
    """Cursors are numbers: one from elsewhere is a place in one's own journal, or beyond it."""
    foreign = await something(stranger)
    session = await api.session("echo")
    page = await api.call("GET", f"{session}/events", params={"after": foreign.ids["cursor"]})
    assert [event["type"] for event in page["data"]] == ["snapshot"]
    assert page["data"][0]["data"]["state"]["session"]["owner"] == api.http.headers["x-user"]


async def test_lists_hold_only_what_is_yours(api: Api, stranger: Api) -> None:
    mine = await something(api)
    assert (await stranger.call("GET", "/v1/sessions"))["data"] == []
    assert [session["id"] for session in (await api.call("GET", "/v1/sessions"))["data"]] == [mine.ids["session_id"]]
