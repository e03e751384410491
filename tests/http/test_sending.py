"""Sends over HTTP: accepted once, whatever the network does, and answered in the background."""

from collections.abc import Callable
from typing import Any, Final

import anyio
import pytest

from legato.core.ids import is_id
from tests.http.puppets import Puppets
from tests.http.speaking import Api

pytestmark = pytest.mark.anyio


async def test_a_send_is_accepted_and_answered(api: Api) -> None:
    session = await api.session("echo")
    response = await api.ask("POST", f"{session}/turns", {"text": "Hé 世界\r\n\u2028"})
    assert response.status_code == 202
    turn, cursor = response.json()["turn"], response.json()["cursor"]
    assert is_id(turn["id"], "trn")
    assert turn["status"] == "queued"
    async with api.follow(session, cursor, until=turn["id"]) as stream:
        events = await stream.rest()
    assert [event.type for event in events][:2] == ["message", "turn"]
    assert events[0].data["message"]["id"] == turn["message_id"]
    assert (events[-1].type, events[-1].data["reason"]) == ("done", "stop")
    assert stream.text == "You said: Hé 世界\r\n\u2028"
    ended = await api.turn(session, turn["id"])
    assert (ended["status"], ended["reason"], ended["attempt"]) == ("completed", "stop", 1)
    assert ended["started_at"] <= ended["finished_at"]
    assert await api.texts(session) == ["Hé 世界\r\n\u2028", "You said: Hé 世界\r\n\u2028"]


async def test_parts_may_stand_instead_of_text(api: Api) -> None:
    session = await api.session("echo")
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    turn = (await api.call("POST", f"{session}/turns", {"parts": parts}, status=202))["turn"]
    await api.over(session, turn["id"])
    assert (await api.call("GET", f"{session}/messages"))["data"][0]["parts"] == parts
    assert await api.texts(session) == ["ab", "You said: ab"]


UNCLEAR: Final[list[Any]] = [
    {},
    {"text": ""},
    {"text": " \n"},
    {"text": None},
    {"text": "a", "parts": [{"type": "text", "text": "a"}]},
    {"parts": []},
    {"parts": [{"type": "image", "text": "a"}]},
    {"parts": "a"},
    {"text": "a", "mode": "now"},
    {"text": "a", "priority": "urgent"},
    {"text": "a", "priority": None},
    {"text": "a", "message_id": ""},
    {"text": "a", "message_id": "x" * 129},
    {"text": "a", "on_disconnect": "stop"},
    {"text": "x" * 50_001},
    {"text": "a", "unknown": 1},
    {"text": 7},
    [],
    "a",
]


async def test_a_body_that_says_nothing_clear_is_refused(api: Api) -> None:
    session = await api.session("echo")
    for body in UNCLEAR:
        await api.refused(422, "invalid_request", "POST", f"{session}/turns", body)
    assert [event["type"] for event in await api.journal(session)] == ["session"]


@pytest.mark.promise("R-15")
async def test_a_send_says_whether_somebody_waits_and_who_asks_again_does(api: Api) -> None:
    session = await api.session("echo")
    patient = await api.call("POST", f"{session}/turns", {"text": "a", "priority": "background"}, status=202)
    person = await api.call("POST", f"{session}/turns", {"text": "a", "priority": "interactive"}, status=202)
    silent = await api.call("POST", f"{session}/turns", {"text": "a"}, status=202)
    turns = [sent["turn"] for sent in (patient, person, silent)]
    for turn in turns:
        await api.over(session, turn["id"])
    again = await api.call("POST", f"{session}/turns/{turns[0]['id']}/retry", status=202)
    await api.over(session, again["turn"]["id"])
    further = await api.call("POST", f"{session}/turns/{again['turn']['id']}/continue", status=202)
    turns += [again["turn"], further["turn"]]
    await api.over(session, turns[-1]["id"])
    priorities = [turn.get("priority", "interactive") for turn in turns]
    assert priorities == ["background"] + ["interactive"] * 4
    assert [(await api.turn(session, turn["id"])).get("priority", "interactive") for turn in turns] == priorities
    told = [event["data"]["turn"] for event in await api.journal(session) if event["type"] == "turn"]
    assert len(told) >= 2 * len(turns)
    assert {turn.get("priority", "interactive") for turn in told if turn["id"] == turns[0]["id"]} == {"background"}
    assert {turn.get("priority", "interactive") for turn in told if turn["id"] != turns[0]["id"]} == {"interactive"}


@pytest.mark.promise("R-15", "R-02")
async def test_the_same_message_id_with_another_priority_is_another_message(api: Api) -> None:
    session = await api.session("echo")
    body = {"text": "a", "message_id": "mine"}
    await api.call("POST", f"{session}/turns", body | {"priority": "background"}, status=202)
    await api.call("POST", f"{session}/turns", body | {"priority": "background"}, status=200)
    await api.refused(409, "message_id_reused", "POST", f"{session}/turns", body)


@pytest.mark.promise("R-02")
async def test_a_repeat_is_the_same_turn(api: Api, puppets: Puppets) -> None:
    """Before it runs, while it runs and afterwards; and wherever the session's journal is by then."""
    session = await api.session()
    body = {"text": "Hello", "message_id": "mine"}
    first = await api.call("POST", f"{session}/turns", body, status=202)
    puppet = await puppets.of(first["turn"]["id"])
    again = []
    acts: tuple[Callable[[], None], ...] = (lambda: puppet.say("Hi"), puppet.end)
    for act in acts:
        again.append(await api.call("POST", f"{session}/turns", body, status=200))
        act()
    await api.over(session, first["turn"]["id"])
    again.append(await api.call("POST", f"{session}/turns", body, status=200))
    assert {(sent["turn"]["id"], sent["cursor"]) for sent in again} == {(first["turn"]["id"], first["cursor"])}
    assert [sent["turn"]["status"] for sent in again] == ["in_progress", "in_progress", "completed"]
    assert await api.send(session, "Hello", message_id="mine", status=200) == await api.turn(
        session, first["turn"]["id"]
    )
    parts = {"parts": [{"type": "text", "text": "Hello"}], "message_id": "mine"}
    assert (await api.call("POST", f"{session}/turns", parts))["turn"]["id"] == first["turn"]["id"]
    assert await api.texts(session) == ["Hello", "Hi"]


@pytest.mark.promise("R-02")
async def test_a_repeat_with_another_body_is_refused(api: Api) -> None:
    session = await api.session("echo")
    await api.answered(session, "Hello", message_id="mine")
    for other in ({"text": "Hello!"}, {"text": "Hello", "mode": "reject"}, {"parts": [{"type": "text", "text": "H"}]}):
        await api.refused(409, "message_id_reused", "POST", f"{session}/turns", {"message_id": "mine", **other})
    assert len(await api.texts(session)) == 2


@pytest.mark.promise("R-02")
async def test_many_at_once_with_one_id_are_one_turn(api: Api) -> None:
    session = await api.session("echo")
    answers: list[Any] = []

    async def send() -> None:
        answers.append(await api.ask("POST", f"{session}/turns", {"text": "Hello", "message_id": "mine"}))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(send)
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert len({answer.json()["turn"]["id"] for answer in answers}) == 1
    await api.over(session, answers[0].json()["turn"]["id"])
    assert await api.texts(session) == ["Hello", "You said: Hello"]


@pytest.mark.promise("R-02")
async def test_the_idempotency_key_is_the_message_id_where_the_body_has_none(api: Api) -> None:
    session = await api.session("echo")
    key = {"Idempotency-Key": "k-1"}
    first = await api.call("POST", f"{session}/turns", {"text": "Hello"}, headers=key, status=202)
    again = await api.call("POST", f"{session}/turns", {"text": "Hello"}, headers=key, status=200)
    assert again["turn"]["id"] == first["turn"]["id"]
    assert (await api.send(session, "Hello", message_id="k-1", status=200))["id"] == first["turn"]["id"]
    await api.refused(409, "message_id_reused", "POST", f"{session}/turns", {"text": "Other"}, headers=key)
    other = await api.call("POST", f"{session}/turns", {"text": "Hello", "message_id": "b"}, headers=key, status=202)
    assert other["turn"]["id"] != first["turn"]["id"]


async def test_without_an_id_a_repeat_is_a_new_message(api: Api) -> None:
    session = await api.session("echo")
    assert (await api.answered(session))["id"] != (await api.answered(session))["id"]
    assert len(await api.texts(session)) == 4


async def test_the_same_id_in_another_session_is_another_message(api: Api) -> None:
    turns = [await api.send(await api.session("echo"), message_id="mine") for _ in range(2)]
    assert turns[0]["id"] != turns[1]["id"]


@pytest.mark.promise("R-01")
async def test_a_send_may_be_answered_by_its_stream(api: Api) -> None:
    session = await api.session("echo")
    await api.answered(session, "Before")
    body = {"text": "Hello", "message_id": "mine"}
    async with api.stream("POST", f"{session}/turns", json=body) as stream:
        await stream.rest()
    turn_id = stream.response.headers["legato-turn"]
    assert stream.text == "You said: Hello"
    assert stream.types[0] == "message"
    assert (stream.types[-2:], stream.events[-1].data["turn_id"]) == (["usage", "done"], turn_id)
    async with api.stream("POST", f"{session}/turns", json=body) as again:
        await again.rest()
    assert again.response.headers["legato-turn"] == turn_id
    assert again.frames == stream.frames
    assert len(await api.texts(session)) == 4
