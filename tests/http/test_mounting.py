"""Legato inside somebody else's application, under any path, several times."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from legato import Legato
from tests.http.conftest import by_header
from tests.http.puppets import echo
from tests.http.serving import listening
from tests.http.speaking import Api, client, user_of
from tests.support.brief import BRIEF

pytestmark = pytest.mark.anyio


def by_cookie(request: Request) -> str | None:
    return request.cookies.get("guest")


def chat_in(directory: Path, name: str) -> Legato:
    chat = Legato(f"sqlite:///{directory / name}.db", settings=BRIEF, environment={})
    chat.agent(name)(echo)
    return chat


class Under:
    """A user's way to what is mounted under a path."""

    def __init__(self, url: str, path: str, headers: dict[str, str]) -> None:
        self._http = client(f"{url}{path}", headers)

    async def __aenter__(self) -> Api:
        return Api(await self._http.__aenter__())

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()


@pytest.mark.promise("X-01", "E-06", "H-03")
async def test_one_legato_twice_in_a_host_application(tmp_path: Path) -> None:
    """Members and guests come in by doors of their own, to one store and one hub."""
    chat = chat_in(tmp_path, "one")
    app = FastAPI(lifespan=chat.lifespan)

    @app.get("/own")
    async def own() -> dict[str, str]:
        return {"of": "the host"}

    app.mount("/members/chat", chat.asgi(auth=by_header))
    app.mount("/guests", chat.asgi(auth=by_cookie))
    async with (
        listening(app, lifespan="on") as url,
        Under(url, "/members/chat", {"X-User": "anna"}) as anna,
        Under(url, "/guests", {"Cookie": "guest=g"}) as guest,
    ):
        with anyio.fail_after(60):
            session = await anna.session("one")
            async with anna.follow(session, "0") as stream:
                await anna.answered(session, "Hi")
                await stream.until("done")
            assert stream.text == "You said: Hi"
            await guest.refused(404, "session_not_found", "GET", session)
            await guest.answered(await guest.session("one"), "Hej")
            async with Under(url, "/guests", {"Cookie": "guest=anna"}) as same_name:
                assert await same_name.texts(session) == ["Hi", "You said: Hi"]
            for api in (anna, guest):
                assert "v1/sessions" in (await api.ask("GET", "/openapi.json")).text
                assert (await api.ask("GET", "/")).text.startswith("<!doctype html>")
                await api.refused(404, "not_found", "GET", "/nowhere")
            async with user_of(url) as outside:
                assert (await outside.http.get("/own")).json() == {"of": "the host"}
                assert (await outside.http.get("/v1/sessions")).status_code == 404
            async with Under(url, "/members/chat", {}) as nobody:
                await nobody.refused(401, "unauthenticated", "GET", "/v1/sessions")


async def test_two_legatos_in_one_host_application(tmp_path: Path) -> None:
    red, blue = chat_in(tmp_path, "red"), chat_in(tmp_path, "blue")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with red.lifespan(app), blue.lifespan(app):
            yield

    routes = [Mount("/red", red.asgi(by_header)), Mount("/blue", blue.asgi(by_header))]
    async with listening(Starlette(routes=routes, lifespan=lifespan), lifespan="on") as url:
        sessions = {}
        for name in ("red", "blue"):
            async with Under(url, f"/{name}", {"X-User": "anna"}) as api:
                assert [agent["id"] for agent in (await api.call("GET", "/v1/agents"))["data"]] == [name]
                sessions[name] = await api.session(name)
                assert (await api.answered(sessions[name]))["status"] == "completed"
        async with Under(url, "/blue", {"X-User": "anna"}) as api:
            await api.refused(404, "session_not_found", "GET", sessions["red"])


async def test_a_mounted_legato_without_its_lifespan_says_what_is_missing(tmp_path: Path) -> None:
    app = FastAPI()
    app.mount("/chat", chat_in(tmp_path, "one").asgi(by_header))
    async with listening(app, lifespan="on") as url, Under(url, "/chat", {"X-User": "anna"}) as api:
        problem = await api.refused(503, "not_started", "GET", "/v1/sessions")
        assert "lifespan=chat.lifespan" in problem["detail"]


async def test_a_host_may_use_the_engine_beside_the_routes(tmp_path: Path) -> None:
    chat = chat_in(tmp_path, "one")
    app = FastAPI(lifespan=chat.lifespan)

    @app.post("/thread")
    async def thread(owner: str = Depends(lambda: "anna")) -> dict[str, str]:
        return {"id": (await chat.engine.create_session(owner, title="By the host")).id}

    app.mount("/chat", chat.asgi(by_header))
    async with listening(app, lifespan="on") as url, Under(url, "/chat", {"X-User": "anna"}) as api:
        async with client(url) as http:
            made = (await http.post("/thread")).json()
        assert (await api.state(f"/v1/sessions/{made['id']}"))["session"]["title"] == "By the host"


async def test_a_legato_starts_again_after_it_was_stopped(tmp_path: Path) -> None:
    chat = chat_in(tmp_path, "one")
    async with listening(chat.asgi(by_header)) as url, user_of(url) as api:
        async with chat.lifespan():
            session = await api.session("one")
            await api.answered(session)
        await api.refused(503, "not_started", "GET", session)
        async with chat.lifespan():
            assert (await api.answered(session, "Again"))["status"] == "completed"
            assert (await api.http.get("/readyz")).status_code == 200
