"""Who may ask: this machine's user, the holder of a token, or whoever the host application knows."""

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import anyio.to_thread
import httpx2
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from legato.core.ids import new_id
from legato.web import page
from legato.web.auth import Authenticate, BearerToken, is_loopback
from tests.http.conftest import make_chat
from tests.http.puppets import Puppets
from tests.http.serving import listening, serving
from tests.http.speaking import Api, check_problem, client
from tests.http.test_isolation import OPEN, ROUTES

pytestmark = [pytest.mark.anyio, pytest.mark.promise("X-01")]

ASSET: Final = min(file.name for file in (page.DIST / "assets").glob("*.js"))
NO_DATA: Final = {route for route in OPEN if not route.startswith("GET /v1/")}
FOREIGN_HOSTS: Final = (
    "evil.example",
    "evil.example:80",
    "127.0.0.1.evil.example",
    "10.0.0.7",
    "localhost.evil.example",
)
# What a browser says when a page of another site, or of another port, makes it send something.
FOREIGN_PAGES: Final[tuple[dict[str, str], ...]] = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://["},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
)


@pytest.fixture(scope="module")
async def url(anyio_backend: object, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server for the single user of this machine, as ``legato serve`` starts it."""
    chat = make_chat(f"sqlite:///{tmp_path_factory.mktemp('access') / 'legato.db'}", Puppets())
    async with serving(chat) as url:
        yield url


@pytest.fixture
async def local(url: str) -> AsyncIterator[Api]:
    async with client(url) as http:
        yield Api(http)


def request_of(route: str) -> tuple[str, str]:
    """A request for a route, with ids of what isn't there."""
    verb, _, path = route.partition(" ")
    return verb, path.replace("{model_id:path}", "m").format(
        session_id=new_id("ses"),
        turn_id=new_id("trn"),
        message_id=new_id("msg"),
        agent_id="a",
        memory_id=new_id("mem"),
        search_id=new_id("sch"),
        file_id=new_id("fil"),
        approval_id=new_id("apr"),
        grant_id="0" * 32,
        name=ASSET,
    )


async def test_the_user_of_this_machine_needs_no_login(local: Api) -> None:
    session = await local.session("echo")
    assert (await local.answered(session))["status"] == "completed"
    assert (await local.state(session))["session"]["owner"] == "local"
    port = local.http.base_url.port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "localhost"):
        await local.call("GET", "/v1/sessions", headers={"Host": host})


async def test_a_name_that_points_here_from_elsewhere_is_refused(local: Api) -> None:
    """DNS rebinding: the browser believes that it talks to the page's own site."""
    for host in FOREIGN_HOSTS:
        for route in ROUTES:
            if route not in NO_DATA:
                verb, path = request_of(route)
                await local.refused(403, "forbidden_origin", verb, path, headers={"Host": host})


async def test_pages_of_other_sites_change_nothing(local: Api) -> None:
    session = await local.session("echo")
    before = await local.call("GET", session), await local.call("GET", "/v1/sessions")
    own = str(local.http.base_url).rstrip("/")
    for template in FOREIGN_PAGES:
        headers = {name: value.format(own=own) for name, value in template.items()}
        for route in ROUTES:
            if route not in NO_DATA:
                verb, path = request_of(route)
                await local.refused(403, "forbidden_origin", verb, path, headers=headers)
        await local.refused(403, "forbidden_origin", "POST", f"{session}/turns", {"text": "Hi"}, headers=headers)
        await local.refused(403, "forbidden_origin", "PATCH", session, {"title": "Mine"}, headers=headers)
    assert (await local.call("GET", session), await local.call("GET", "/v1/sessions")) == before


@pytest.mark.promise("S-04")
async def test_pages_of_other_sites_begin_nothing_by_reading(sqlite: str) -> None:
    """An image, a frame, a window of theirs: the browser fetches it without asking, and says what for and for whom."""
    async with serving(make_chat(sqlite, Puppets())) as url, client(url) as http:
        api = Api(http)
        for site in ("cross-site", "same-site"):
            for mode in ("no-cors", "cors", "navigate"):
                headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
                await api.refused(403, "forbidden_origin", "GET", "/v1/sessions/current", headers=headers)
        assert (await api.call("GET", "/v1/sessions"))["data"] == []
        begun = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
        await api.call("GET", "/v1/sessions/current", headers=begun, status=201)


async def test_a_link_leads_to_the_page_from_anywhere(local: Api) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for route in NO_DATA:
        verb, path = request_of(route)
        assert (await local.ask(verb, path, headers=headers)).status_code == 200, route


async def test_its_own_page_may_do_everything(local: Api) -> None:
    own = str(local.http.base_url).rstrip("/")
    headers = {"Origin": own, "Sec-Fetch-Site": "same-origin"}
    made = await local.call("POST", "/v1/sessions", {}, headers=headers, status=201)
    await local.call("PATCH", f"/v1/sessions/{made['id']}", {"title": "Mine"}, headers=headers)
    for site in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}, {}):  # typed; our page's; a program's
        await local.call("GET", "/v1/sessions", headers=site)


async def test_who_knows_his_users_decides_which_pages_they_come_from(sqlite: str) -> None:
    """A host application's page may stand on another origin."""
    for auth in (by_name, BearerToken("secret", foreign_pages=True)):
        async with serving(make_chat(sqlite, Puppets()), auth) as url, client(url) as http:
            headers = {"X-User": "anna", "Authorization": "Bearer secret"}
            for site in FOREIGN_PAGES[:2]:
                await Api(http).call("GET", "/v1/sessions", headers=headers | site)


async def test_no_page_of_another_site_can_read_an_answer(local: Api) -> None:
    for path in ("/v1/sessions", "/", "/openapi.json", "/v1/agents"):
        response = await local.ask("GET", path, headers={"Origin": "https://evil.example"})
        assert not [name for name in response.headers if name.startswith("access-control-")]
    preflight = await local.ask(
        "OPTIONS", "/v1/sessions", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert preflight.status_code in (403, 405)


async def test_a_strange_host_header_is_no_error_of_ours(url: str) -> None:
    for host in ("", "[", "[::1", "a b", "127.0.0.1:x", "é", "/", "@127.0.0.1", "127.0.0.1@evil.example"):
        status = await anyio.to_thread.run_sync(_status_for, url, host)
        assert status < 500, host


def _status_for(url: str, host: str) -> int:
    parsed = httpx2.URL(url)
    with socket.create_connection((str(parsed.host), parsed.port or 0), timeout=10) as connection:
        request = f"GET /v1/sessions HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        return int(connection.makefile("rb").readline().split(b" ")[1])


def _answer_to_what_does_not_end(url: str, begins: bytes) -> bytes:
    """Headers are sent until that is refused."""
    parsed = httpx2.URL(url)
    with socket.create_connection((str(parsed.host), parsed.port or 0), timeout=10) as connection:
        try:
            connection.sendall(begins)
            for _ in range(1_000):
                connection.sendall(b"X: " + b"x" * 65_536 + b"\r\n")
        except (ConnectionResetError, BrokenPipeError):
            with contextlib.suppress(ConnectionResetError):
                return connection.makefile("rb").readline()
            return b""
    raise AssertionError("all of it was taken")


async def test_a_token_opens_everything_and_nothing_opens_without(sqlite: str) -> None:
    secret = "a-token-of-the-test"
    async with serving(make_chat(sqlite, Puppets()), BearerToken(secret)) as url, client(url) as http:
        api = Api(http)
        wrong = (
            "",
            "Bearer",
            f"Bearer {secret}x",
            f"Basic {secret}",
            secret,
            f"Bearer {secret.upper()}",
            "Bearer \xe9",
        )
        for route in ROUTES:
            verb, path = request_of(route)
            if route in NO_DATA:
                assert (await api.ask(verb, path)).status_code == 200, route
                continue
            for value in wrong if "turns" in route else wrong[:2]:
                headers = {"Authorization": value.encode("latin-1")} if value else {}
                response = await api.ask(verb, path, headers=headers)
                assert (response.status_code, response.json()["code"]) == (401, "unauthenticated"), route
                assert response.headers["www-authenticate"] == "Bearer"
        for scheme in ("Bearer", "bearer"):
            http.headers["Authorization"] = f"{scheme} {secret}"
            session = await api.session("echo")
            assert (await api.answered(session))["status"] == "completed"
            await api.call("GET", session, headers={"Host": "chat.example"})
            # A proxy may add the token to what any page makes a browser send.
            for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
                await api.refused(403, "forbidden_origin", "GET", "/v1/sessions/current", headers=foreign)
                await api.refused(403, "forbidden_origin", "POST", "/v1/import", content=b"[]", headers=foreign)


@pytest.mark.promise("X-04")
async def test_a_head_without_an_end_is_refused_before_anybody_is_asked_for(sqlite: str) -> None:
    async with serving(make_chat(sqlite, Puppets()), BearerToken("secret")) as url:
        line = await anyio.to_thread.run_sync(_answer_to_what_does_not_end, url, b"GET / HTTP/1.1\r\n")
        assert b" 431 " in line
        # Nor may a head follow what has a body, and has been answered.
        trailed = b"POST /v1/sessions HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
        await anyio.to_thread.run_sync(_answer_to_what_does_not_end, url, trailed)
        assert (await anyio.to_thread.run_sync(_status_for, f"{url}/", "here")) == 401


def by_name(request: Request) -> str | None:
    return request.headers.get("x-user")


async def by_name_after_a_while(request: Request) -> str | None:
    await anyio.lowlevel.checkpoint()
    return request.headers.get("x-user")


class ByName:
    """An object of the host application."""

    async def __call__(self, request: Request) -> str | None:
        await anyio.lowlevel.checkpoint()
        return request.headers.get("x-user")


@pytest.mark.parametrize("auth", [by_name, by_name_after_a_while, ByName()], ids=["function", "coroutine", "object"])
async def test_the_host_application_says_who_asks(sqlite: str, auth: Authenticate) -> None:
    async with serving(make_chat(sqlite, Puppets()), auth) as url, client(url) as http:
        api = Api(http)
        for name in ({}, {"X-User": ""}, {"X-User": "x" * 256}):
            await api.refused(401, "unauthenticated", "GET", "/v1/sessions", headers=name)
        for owner in ("anna", "ünï'--", "x" * 255):
            headers = {"X-User": owner.encode("latin-1")}
            made = await api.call("POST", "/v1/sessions", {}, headers=headers, status=201)
            assert made["owner"] == owner
            listed = await api.call("GET", "/v1/sessions", headers=headers)
            assert [session["id"] for session in listed["data"]] == [made["id"]]
        await api.refused(404, "session_not_found", "GET", f"/v1/sessions/{made['id']}", headers={"X-User": "anna"})


async def test_an_authenticator_may_refuse_in_its_own_words_and_its_bugs_are_not_told(
    sqlite: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def moody(request: Request) -> str | None:
        if request.headers["x-user"] == "banned":
            raise HTTPException(403, "Not you.", headers={"X-Reason": "manners"})
        raise ValueError("canary-of-a-secret")

    async with serving(make_chat(sqlite, Puppets()), moody) as url, client(url) as http:
        refused = await http.get("/v1/sessions", headers={"X-User": "banned"})
        assert (refused.status_code, refused.json()["detail"], refused.headers["x-reason"]) == (
            403,
            "Not you.",
            "manners",
        )
        broken = await http.get("/v1/sessions", headers={"X-User": "anna"})
        assert (broken.status_code, broken.json()["code"]) == (500, "internal_error")
        assert broken.headers["content-type"] == "application/problem+json"
    assert "canary-of-a-secret" not in broken.text + caplog.text
    assert "ValueError" in caplog.text


async def test_a_legato_that_was_not_started_says_so(sqlite: str) -> None:
    chat = make_chat(sqlite, Puppets())
    async with listening(chat.asgi()) as url, client(url) as http:
        for route in ROUTES:
            verb, path = request_of(route)
            response = await http.request(verb, path)
            if route == "GET /readyz":
                assert response.status_code == 503
            elif route in NO_DATA:
                assert response.status_code == 200, route
            else:
                check_problem(response)
                assert (response.status_code, response.json()["code"]) == (503, "not_started"), route
                assert "lifespan" in response.json()["detail"]


async def test_readiness_follows_the_life_of_the_server(sqlite: str) -> None:
    chat = make_chat(sqlite, Puppets())
    async with listening(chat.asgi()) as url, client(url) as http:
        seen: list[Any] = []

        async def look() -> None:
            seen.append([(await http.get(path)).status_code for path in ("/healthz", "/readyz")])

        await look()
        async with chat.lifespan():
            await look()
            chat.drain()
            await look()
        await look()
    assert seen == [[200, 503], [200, 200], [200, 503], [200, 503]]


def test_what_is_loopback() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""):
        assert not is_loopback(host)
