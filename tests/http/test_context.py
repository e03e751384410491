"""What an owner sees and decides of a session's context: pins and the summary, over HTTP, the client and the command line."""

import pytest

from legato.client import AsyncClient
from legato.core.errors import MessageNotFound, SummaryNotFound
from legato.core.ids import new_id
from legato.store import summaries
from tests.http.acting import running
from tests.http.conftest import Served
from tests.http.puppets import Puppets
from tests.http.speaking import Api, folded, state_of

pytestmark = [pytest.mark.anyio, pytest.mark.promise("C-03")]


async def test_a_message_is_pinned_and_every_reader_sees_it(api: Api) -> None:
    session = await api.session("echo")
    turn = await api.answered(session, "one")
    opened = await api.call("GET", session)
    path = f"{session}/messages/{turn['message_id']}"
    pinned = await api.call("PATCH", path, {"pinned": True})
    assert (pinned["id"], pinned["pinned"]) == (turn["message_id"], True)
    last = await api.answered(session, "two")
    async with api.follow(session, opened["cursor"], until=last["id"]) as stream:
        state = folded(state_of(opened["state"]), await stream.rest())
    assert state == state_of(await api.state(session))
    assert [message.pinned for message in state.messages] == [True, False, False, False]
    assert "pinned" not in await api.call("PATCH", path, {"pinned": False})


async def test_what_is_not_there_or_runs_can_not_be_pinned(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn = await api.call("GET", f"{session}/turns/{await running(api, puppets, session)}")
    body = {"pinned": True}
    await api.refused(409, "turn_not_finished", "PATCH", f"{session}/messages/{turn['message_id']}", body)
    await api.refused(404, "message_not_found", "PATCH", f"{session}/messages/{new_id('msg')}", body)
    await api.refused(422, "invalid_request", "PATCH", f"{session}/messages/{turn['message_id']}", {"pinned": 1})
    (await puppets.of(turn["id"])).end()


async def test_a_summary_is_shown(api: Api, served: Served) -> None:
    session = await api.session("echo")
    turn = await api.answered(session, "one")
    await api.refused(404, "summary_not_found", "GET", f"{session}/summary")
    session_id = session.rpartition("/")[2]
    assert await served.chat.engine.store.write(summaries.keep, session_id, turn["answer_id"], 2, "They counted.")
    found = await api.call("GET", f"{session}/summary")
    assert (found["text"], found["messages"], found["message_id"]) == ("They counted.", 2, turn["answer_id"])


@pytest.mark.promise("H-05")
async def test_the_client_pins_and_shows(served: Served, api: Api) -> None:
    async with AsyncClient(served.url, headers={"X-User": api.http.headers["x-user"]}) as client:
        session = await client.create_session("echo")
        answer = await client.answer(session.id, "one")
        await answer.result()
        turn = answer.turn
        assert (await client.pin(session.id, turn.message_id)).pinned
        assert not (await client.pin(session.id, turn.message_id, pinned=False)).pinned
        with pytest.raises(MessageNotFound):
            await client.pin(session.id, new_id("msg"))
        with pytest.raises(SummaryNotFound):
            await client.summary(session.id)
