"""A session that was deleted answers on every route as one that never was (promise S-07, guarantees G12 and G13)."""

import anyio
import pytest

from legato.core.ids import new_id
from tests.http.acting import running
from tests.http.puppets import Puppets
from tests.http.speaking import Api
from tests.http.test_isolation import OF_A_SESSION, Thing, ask, said, something, variants

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-07")]


@pytest.mark.promise("S-16")
@pytest.mark.parametrize("route", OF_A_SESSION)
async def test_a_deleted_session_answers_as_an_unknown_one(api: Api, route: str) -> None:
    mine = await something(api)
    unknown = Thing(new_id("ses"), new_id("trn"), new_id("msg"), mine.ids["cursor"])
    await api.call("DELETE", f"/v1/sessions/{mine.ids['session_id']}", status=204)
    for body, query, stream in variants(route):
        gone = await ask(api, route, mine, body, query, stream)
        assert gone.status_code in (400, 404, 422), gone.text
        assert said(gone) == said(await ask(api, route, unknown, body, query, stream))
    body, query, _ = variants(route)[0]
    refused = await ask(api, route, mine, body, query, stream=False)
    assert (refused.status_code, refused.json()["code"]) == (404, "session_not_found")


async def test_it_leaves_the_lists_and_its_streams_end(api: Api, puppets: Puppets) -> None:
    session, stays = await api.session(), await api.session()
    turn_id = await running(api, puppets, session)
    whole, until = api.follow(session, "0"), api.follow(session, "0", until=turn_id)
    async with whole as one, until as two, api.stream("GET", "/v1/events") as hints:
        await hints.until(lambda event: event.data["what"] == "refetch")
        for stream in (one, two):
            await stream.until("token")
        await api.call("DELETE", session, status=204)
        for stream in (one, two):
            await stream.rest()
            assert stream.types[-1] == "token", "not another word"
            assert len(stream.retries) == 2, "ended as every stream is that may be begun again"
        told = await hints.until(lambda event: event.data["what"] == "deleted")
        assert told.data["session_id"] == session.rpartition("/")[2]
    page = await api.call("GET", "/v1/sessions")
    assert [f"/v1/sessions/{one['id']}" for one in page["data"]] == [stays]
    assert page["running"] == []
    await (await puppets.of(turn_id)).gone.wait()


async def test_a_long_poll_that_waits_is_answered(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    cursor = (await api.call("GET", session))["cursor"]
    async with anyio.create_task_group() as group:
        group.start_soon(api.refused, 404, "session_not_found", "GET", f"{session}/events?after={cursor}&wait=30")
        await anyio.wait_all_tasks_blocked()
        await api.call("DELETE", session, status=204)
