"""The OpenAPI document is valid, complete, and true of the running server."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Any, Final

import httpx2
import pytest
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.result import Ok

from legato import Legato
from legato.core.events import EVENT_TYPES
from legato.core.ids import new_id
from tests.http.conftest import by_header, make_chat
from tests.http.puppets import Puppets
from tests.http.serving import serving
from tests.http.speaking import CODES
from tests.http.test_isolation import ROUTES
from tests.support.attachments import png

pytestmark = pytest.mark.promise("H-01")

USER: Final = {"X-User": "anna"}
UNDOCUMENTED: Final = {"GET /", "GET /assets/{name}", "GET /docs", "GET /openapi.json", "HEAD /openapi.json"}
# Endless: what it says is read by test_events.
ENDLESS: Final = "GET /v1/events"
# Of several operations in a row, which these tests don't follow; and what no schema says: text or parts, not both.
NOT_CHECKED: Final = {
    "use_after_free",
    "ensure_resource_availability",
    "object_level_authorization",
    "ignored_auth",
    "positive_data_acceptance",
}

# As clients read it.
DOCUMENT: Final[dict[str, Any]] = json.loads(
    json.dumps(Legato("sqlite:///never-opened.db", environment={}).asgi().openapi())
)
SCHEMA: Final = schemathesis.openapi.from_dict(deepcopy(DOCUMENT))
OPERATIONS: Final = {read.ok().label: read.ok() for read in SCHEMA.get_all_operations() if isinstance(read, Ok)}


class Live:
    """A server in a thread of its own, for schemathesis, which waits for its answers; and ids of what is there."""

    def __init__(self, url: str) -> None:
        self.url = url
        with httpx2.Client(base_url=url, headers=USER) as http:
            session_id = http.post("/v1/sessions", json={"agent_id": "echo"}).json()["id"]
            turn = http.post(f"/v1/sessions/{session_id}/turns", json={"text": "Hi"}).json()["turn"]
            file = http.post("/v1/files", params={"name": "cat.png"}, content=png()).json()
            search = http.post("/v1/searches", json={"name": "Greetings", "query": "Hi"}).json()
        self.ids = {
            "session_id": session_id,
            "turn_id": turn["id"],
            "message_id": turn["message_id"],
            "agent_id": "echo",
            "model_id": "openai:m",
            "search_id": search["id"],
            "memory_id": new_id("mem"),
            "approval_id": new_id("apr"),
            "grant_id": "0" * 32,
            "file_id": file["id"],
        }


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    chat = make_chat(f"sqlite:///{tmp_path_factory.mktemp('openapi') / 'legato.db'}", Puppets())
    with start_blocking_portal("asyncio") as portal:
        served: AbstractContextManager[str] = portal.wrap_async_context_manager(serving(chat, by_header))
        with served as url:
            yield Live(url)


def checks() -> list[Any]:
    load_all_checks()
    return [check for check in CHECKS.get_all() if check.__name__ not in NOT_CHECKED]


@pytest.mark.parametrize("label", sorted(OPERATIONS.keys() - {ENDLESS}))
def test_an_operation_does_what_its_document_says(live: Live, label: str) -> None:
    """Good and bad requests, to what is there and to what is not: never a 5xx, always what is documented."""
    operation = OPERATIONS[label]
    cases = [operation.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]
    seen: set[int] = set()

    @given(case=st.one_of(cases), known=st.booleans())
    @settings(max_examples=16, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Case[Any], known: bool) -> None:
        if known:
            case.path_parameters = {name: live.ids[name] for name in case.path_parameters}
        if "wait" in case.query:
            case.query = case.query | {"wait": 0}
        seen.add(case.call_and_validate(base_url=live.url, headers=USER, checks=checks()).status_code)

    check()
    assert seen


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    SCHEMA.validate()


def test_every_route_is_documented() -> None:
    documented = {
        f"{verb.upper()} {path}"
        for path, operations in DOCUMENT["paths"].items()
        for verb in operations
        if verb != "parameters"
    }
    assert documented == {route.replace(":path", "") for route in ROUTES} - UNDOCUMENTED == OPERATIONS.keys()
    ids = [operation["operationId"] for operations in DOCUMENT["paths"].values() for operation in operations.values()]
    assert len(ids) == len(set(ids))


def test_every_operation_documents_its_problems_and_describes_itself() -> None:
    for path, operations in DOCUMENT["paths"].items():
        for verb, operation in operations.items():
            assert operation["description"], (verb, path)
            problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
    assert (
        "text/event-stream"
        in DOCUMENT["paths"]["/v1/sessions/{session_id}/events"]["get"]["responses"]["200"]["content"]
    )


def test_no_reference_leads_nowhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    found: set[str] = set()

    def look(node: Any) -> None:
        if isinstance(node, dict):
            found.update([node["$ref"]] if "$ref" in node else [])
            for inner in node.values():
                look(inner)
        elif isinstance(node, list):
            for inner in node:
                look(inner)

    look(DOCUMENT)
    assert {reference.rpartition("/")[2] for reference in found} <= schemas.keys()
    assert all(reference.startswith("#/components/schemas/") for reference in found)


def test_the_server_hands_out_this_document(live: Live) -> None:
    with httpx2.Client(base_url=live.url) as http:
        assert http.get("/openapi.json").json() == DOCUMENT
        page = http.get("/docs")
    assert page.headers["content-security-policy"] == "default-src 'none'"
    for path in DOCUMENT["paths"]:
        assert path in page.text


@pytest.mark.promise("R-15")
def test_the_document_knows_priorities() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    sent, turn = schemas["SendTurn"]["properties"]["priority"], schemas["Turn"]["properties"]["priority"]
    for said in (sent, turn):
        assert set(said["enum"]) == {"interactive", "background"}
        assert said["default"] == "interactive"
    assert "priority" not in schemas["Turn"]["required"]
    assert "priority" not in schemas["Again"]["properties"]


def test_the_protocol_names_what_there_is() -> None:
    """The table of problems in the protocol was found, and its events are the journal's."""
    assert {400, 401, 403, 404, 409, 413, 422, 429, 503} <= CODES.keys()
    assert {"token", "usage", "done", "snapshot"} <= set(EVENT_TYPES)
