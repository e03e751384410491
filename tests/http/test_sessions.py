"""Sessions over HTTP: making, listing, changing, emptying them, and what is in them."""

import base64
from datetime import datetime
from typing import Any

import anyio
import pytest

from legato.core.ids import is_id, new_id
from tests.http.conftest import Served
from tests.http.puppets import Puppets
from tests.http.speaking import Api, folded, state_of, text_of

pytestmark = pytest.mark.anyio

FIELDS = {
    "id",
    "owner",
    "agent_id",
    "agent_name",
    "parent_role",
    "model_id",
    "title",
    "created_at",
    "last_activity",
    "closed_at",
    "archived_at",
    "pinned",
    "keep",
    "memory",
    "title_source",
    "context",
    "metadata",
    "read_only",
    "forked_from",
    "quarantined",
}


async def listed(api: Api, **params: Any) -> list[str]:
    """The ids on all pages of a list."""
    ids: list[str] = []
    while True:
        page = await api.call("GET", "/v1/sessions", params=params)
        ids += [session["id"] for session in page["data"]]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            return ids
        params["cursor"] = page["next"]


def id_of(session: str) -> str:
    return session.rpartition("/")[2]


@pytest.mark.promise("S-02", "S-01")
async def test_a_session_has_all_its_fields(api: Api) -> None:
    body = {"agent_id": "puppet", "title": "Måndag 🎼", "context": "ticket/7", "metadata": {"a": [1, {"b": None}]}}
    made = await api.call("POST", "/v1/sessions", body, status=201)
    assert made.keys() == FIELDS
    assert is_id(made["id"], "ses")
    assert made["owner"] == api.http.headers["x-user"]
    assert (made["agent_id"], made["agent_name"], made["parent_role"]) == ("puppet", "The puppet", "toybox")
    assert {key: made[key] for key in body} == body
    assert made["created_at"] == made["last_activity"]
    assert datetime.fromisoformat(made["created_at"]).utcoffset() is not None
    assert (made["closed_at"], made["archived_at"], made["pinned"]) == (None, None, False)
    assert (made["read_only"], made["quarantined"]) == (False, False)
    assert (await api.state(f"/v1/sessions/{made['id']}"))["session"] == made
    assert (await api.call("GET", "/v1/sessions"))["data"] == [made]


async def test_the_default_agent_is_the_first_that_can_answer(api: Api) -> None:
    assert (await api.call("POST", "/v1/sessions", {}, status=201))["agent_id"] == "puppet"


@pytest.mark.promise("S-02")
async def test_a_session_takes_the_model_of_its_agent_or_another(api: Api) -> None:
    assert (await api.call("POST", "/v1/sessions", {"agent_id": "model"}, status=201))["model_id"] == "openai:m"
    body = {"agent_id": "model", "model_id": "openai:small"}
    assert (await api.call("POST", "/v1/sessions", body, status=201))["model_id"] == "openai:small"


@pytest.mark.promise("S-16")
async def test_a_client_may_bring_an_id_once(api: Api, stranger: Api) -> None:
    own = new_id("ses")
    assert (await api.call("POST", "/v1/sessions", {"id": own}, status=201))["id"] == own
    await api.refused(409, "session_exists", "POST", "/v1/sessions", {"id": own})
    await stranger.refused(409, "session_exists", "POST", "/v1/sessions", {"id": own})
    await stranger.refused(404, "session_not_found", "GET", f"/v1/sessions/{own}")


async def test_an_id_of_another_form_is_refused(api: Api) -> None:
    zeros = "0" * 25
    for bad in (
        "",
        "ses_",
        "chat",
        f"ses_{zeros}",
        f"ses_{zeros}00",
        f"ses_{zeros}I",
        f"msg_{zeros}0",
        f"ses_{zeros}\n",
        7,
    ):
        await api.refused(422, "invalid_request", "POST", "/v1/sessions", {"id": bad})


async def test_an_unknown_field_is_refused(api: Api) -> None:
    problem = await api.refused(422, "invalid_request", "POST", "/v1/sessions", {"titel": "A slip"})
    assert problem["errors"][0]["where"] == "body.titel"


@pytest.mark.promise("S-17")
async def test_an_unknown_agent_or_model_is_named(api: Api) -> None:
    problem = await api.refused(404, "agent_not_found", "POST", "/v1/sessions", {"agent_id": "nobody"})
    assert "'nobody'" in problem["detail"]
    body = {"agent_id": "model", "model_id": "elsewhere:m"}
    problem = await api.refused(404, "model_not_found", "POST", "/v1/sessions", body)
    assert "'elsewhere:m'" in problem["detail"]
    session = await api.session("model")
    problem = await api.refused(404, "model_not_found", "POST", f"{session}/turns", {"text": "Hi", "model_id": "no:m"})
    assert "'no:m'" in problem["detail"]
    assert (await api.state(session))["turns"] == []


@pytest.mark.promise("S-03")
async def test_the_list_is_in_the_order_of_activity_page_by_page(api: Api, stranger: Api) -> None:
    paths = [await api.session("echo") for _ in range(5)]
    await stranger.session()
    await api.answered(paths[1])
    wanted = [id_of(path) for path in (paths[1], paths[4], paths[3], paths[2], paths[0])]
    for limit in (1, 2, 3, 5, 200):
        assert await listed(api, limit=limit) == wanted
    assert await listed(api) == wanted


@pytest.mark.promise("S-03")
async def test_a_page_goes_on_where_the_one_before_ended_whatever_came_since(api: Api) -> None:
    paths = [await api.session() for _ in range(3)]
    page = await api.call("GET", "/v1/sessions", params={"limit": 2})
    newest = await api.session()
    rest = await api.call("GET", "/v1/sessions", params={"limit": 2, "cursor": page["next"]})
    assert [session["id"] for session in page["data"] + rest["data"]] == [id_of(path) for path in paths[::-1]]
    assert (await listed(api))[0] == id_of(newest)


@pytest.mark.promise("S-03")
async def test_the_list_is_filtered(api: Api) -> None:
    plain, closed, archived, pinned = [id_of(await api.session()) for _ in range(4)]
    other = id_of(await api.session("echo"))
    await api.call("POST", f"/v1/sessions/{closed}/close")
    await api.call("PATCH", f"/v1/sessions/{archived}", {"archived": True})
    await api.call("PATCH", f"/v1/sessions/{pinned}", {"pinned": True})
    assert await listed(api, status="active") == [other, pinned, plain]
    assert await listed(api, status="closed") == [closed]
    assert await listed(api, status="archived") == [archived]
    assert await listed(api, status="pinned") == [pinned]
    assert await listed(api, agent_id="echo") == [other]
    assert await listed(api, agent_id="puppet", status="active", limit=1) == [pinned, plain]
    assert await listed(api, agent_id="nobody") == []
    await api.call("PATCH", f"/v1/sessions/{archived}", {"archived": False})
    assert await listed(api, status="archived") == []


async def test_a_filter_that_is_none_is_refused(api: Api) -> None:
    filters: tuple[dict[str, Any], ...] = ({"status": "open"}, {"limit": 0}, {"limit": 201}, {"limit": "many"})
    for params in filters:
        await api.refused(422, "invalid_request", "GET", "/v1/sessions", params=params)


async def test_a_cursor_that_is_not_the_lists_is_refused(api: Api) -> None:
    forged = [f"{activity}.{session_id}" for activity in (1, "9" * 24) for session_id in ("", "ses_\0", new_id("ses"))]
    cursors = [base64.urlsafe_b64encode(place.encode()).decode() for place in forged if place != forged[2]]
    for cursor in ("", "x", "MTIz", "é", *cursors):
        await api.refused(400, "bad_cursor", "GET", "/v1/sessions", params={"cursor": cursor})


@pytest.mark.promise("S-02")
async def test_what_a_patch_leaves_out_stays(api: Api) -> None:
    session = await api.session(title="Before", metadata={"a": 1})
    changed = await api.call("PATCH", session, {"pinned": True})
    assert (changed["title"], changed["metadata"], changed["pinned"]) == ("Before", {"a": 1}, True)
    changed = await api.call("PATCH", session, {"title": "After", "metadata": {}})
    assert (changed["title"], changed["metadata"], changed["pinned"]) == ("After", {}, True)
    changed = await api.call("PATCH", session, {"title": None, "pinned": False, "archived": True})
    assert (changed["title"], changed["pinned"]) == (None, False)
    assert changed["archived_at"] is not None
    assert (await api.state(session))["session"] == changed
    assert [event["type"] for event in await api.journal(session)] == ["session"] * 4


async def test_a_patch_of_the_wrong_kind_changes_nothing(api: Api) -> None:
    session = await api.session()
    before = await api.call("GET", session)
    for body in ({"pinned": None}, {"archived": "yes"}, {"metadata": [1]}, {"title": "x" * 201}, {"id": 1}):
        await api.refused(422, "invalid_request", "PATCH", session, body)
    assert await api.call("GET", session) == before


async def test_a_closed_session_is_read_only_until_it_is_reopened(api: Api) -> None:
    session = await api.session("echo")
    first = await api.answered(session, message_id="one")
    closed = await api.call("POST", f"{session}/close")
    assert closed["read_only"]
    assert closed["closed_at"] is not None
    await api.refused(409, "session_closed", "POST", f"{session}/turns", {"text": "Hello"})
    await api.refused(409, "session_closed", "POST", f"{session}/turns/{first['id']}/retry")
    assert (await api.send(session, message_id="one", status=200))["id"] == first["id"]  # a repeat is no new turn
    assert (await api.state(session))["session"]["read_only"]
    reopened = await api.call("POST", f"{session}/reopen")
    assert (reopened["read_only"], reopened["closed_at"]) == (False, None)
    assert (await api.answered(session))["status"] == "completed"


@pytest.mark.promise("S-08")
async def test_clear_empties_a_session_and_keeps_it(api: Api, puppets: Puppets) -> None:
    session = await api.session(title="Kept")
    before = (await api.state(session))["session"]
    first = await puppets.of((await api.send(session, "One"))["id"])
    first.say("Eins")
    first.end()
    running, waiting = await api.send(session, "Two"), await api.send(session, "Three")
    second = await puppets.of(running["id"])
    second.say("Zwei")
    async with api.follow(session, "0") as reader, api.follow(session) as newcomer:
        await reader.until(lambda event: event.type == "token" and event.data["text"] == "Zwei")
        await newcomer.until("snapshot")
        response = await api.ask("POST", f"{session}/clear")
        assert (response.status_code, response.content) == (204, b"")
        await second.gone.wait()
        for stream in (reader, newcomer):
            snapshot = await stream.until("snapshot")
            assert snapshot.data["state"]["messages"] == []
            assert [event.data["reason"] for event in stream.events if event.type == "done"][-2:] == ["cleared"] * 2
        assert folded(None, reader.events) == folded(None, newcomer.events) == state_of(await api.state(session))
    state = await api.state(session)
    assert (state["messages"], state["leaf_id"], state["has_more"]) == ([], None, False)
    assert state["session"] | {"last_activity": ""} == before | {"last_activity": ""}
    for turn in (running, waiting):
        assert (await api.turn(session, turn["id"]))["status"] == "cancelled"
    assert not puppets.plays(waiting["id"])
    assert all("Eins" not in str(event) for event in await api.journal(session))
    assert (await api.texts(session)) == []
    again = await api.send(session, "Four")
    fourth = await puppets.of(again["id"])
    assert fourth.turn.history == (fourth.turn.message,)
    fourth.say("Vier")
    fourth.end()
    await api.over(session, again["id"])
    assert await api.texts(session) == ["Four", "Vier"]


@pytest.mark.promise("S-08")
async def test_a_send_that_was_cleared_is_not_sent_again_by_its_repeat(api: Api) -> None:
    """Its key stays for the session's life."""
    session = await api.session("echo")
    turn = await api.answered(session, message_id="once")
    await api.call("POST", f"{session}/clear", status=204)
    assert (await api.send(session, message_id="once", status=200))["id"] == turn["id"]
    assert await api.texts(session) == []


@pytest.mark.promise("S-11", "R-11")
async def test_stats_sum_a_session_up(api: Api) -> None:
    session = await api.session("model")
    stats = await api.call("GET", f"{session}/stats")
    assert (stats["session_id"], stats["message_count"], stats["turn_count"]) == (id_of(session), 0, 0)
    turns = [await api.answered(session, f"count {number}") for number in (3, 5)]
    stats = await api.call("GET", f"{session}/stats")
    assert (stats["message_count"], stats["turn_count"]) == (4, 2)
    assert stats["age_s"] > 0
    assert stats["last_activity"] == (await api.state(session))["session"]["last_activity"]
    assert [turn["usage"]["completion_tokens"] for turn in turns] == [3, 5]
    for key in ("prompt_tokens", "completion_tokens", "cached_tokens", "total_tokens"):
        assert stats["usage"][key] == sum(turn["usage"].get(key, 0) for turn in turns), key
    assert stats["usage"]["cost_usd"] == pytest.approx(sum(turn["usage"]["cost_usd"] for turn in turns))
    assert stats["usage"]["cost_usd"] > 0
    assert stats["usage"]["estimated"] is False


@pytest.mark.promise("S-17")
async def test_messages_have_their_fields(api: Api) -> None:
    session = await api.session("model")
    turn = await api.answered(session, "count 3", message_id="mine")
    asked, answer = (await api.call("GET", f"{session}/messages"))["data"]
    assert (asked["role"], asked["status"], asked["client_message_id"]) == ("user", "completed", "mine")
    assert asked["parts"] == [{"type": "text", "text": "count 3"}]
    assert (asked["id"], asked["turn_id"]) == (turn["message_id"], turn["id"])
    assert (answer["id"], answer["turn_id"], answer["parent_id"]) == (turn["answer_id"], turn["id"], asked["id"])
    assert (answer["role"], answer["status"]) == ("assistant", "completed")
    assert (answer["agent_id"], answer["model_id"]) == ("model", "openai:m")
    assert answer["parts"] == [{"type": "text", "text": "1 2 3 "}]
    assert answer["usage"] == turn["usage"]
    failed = await api.answered(session, "status 400")
    assert (await api.call("GET", f"{session}/messages"))["data"][-1]["error"] == failed["error"]
    assert failed["error"]["code"] == "provider_refused"


async def test_messages_come_in_pages_the_newest_first_each_in_its_order(api: Api, puppets: Puppets) -> None:
    session = await api.session("echo")
    for number in range(4):
        await api.answered(session, str(number))
    wanted = [text for number in range(4) for text in (str(number), f"You said: {number}")]
    for limit in (1, 3, 8, 200):
        found: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        while True:
            page = await api.call("GET", f"{session}/messages", params=params)
            found = [text_of(message) for message in page["data"]] + found
            assert len(page["data"]) == limit or not page["has_more"]
            if not page["has_more"]:
                break
            params["cursor"] = page["next"]
        assert found == wanted
    snapshot = await api.call("GET", session, params={"limit": 3})
    assert [text_of(message) for message in snapshot["state"]["messages"]] == wanted[-3:]
    assert snapshot["state"]["has_more"]


async def test_messages_show_a_running_answer_as_far_as_it_is(api: Api, puppets: Puppets) -> None:
    session = await api.session()
    turn = await api.send(session)
    puppet = await puppets.of(turn["id"])
    puppet.say("So far")
    async with api.follow(session, "0") as stream:
        await stream.until("token")
    assert await api.texts(session) == ["Hello", "So far"]
    assert (await api.call("GET", f"{session}/messages"))["data"][1]["status"] == "in_progress"
    puppet.end()
    await api.over(session, turn["id"])


async def test_a_cursor_of_messages_is_one_of_this_session(api: Api, stranger: Api) -> None:
    foreign = await stranger.session("echo")
    turn = await stranger.answered(foreign)
    session = await api.session("echo")
    for cursor in (turn["message_id"], new_id("msg"), "", "x"):
        await api.refused(400, "bad_cursor", "GET", f"{session}/messages", params={"cursor": cursor})


@pytest.mark.promise("S-01")
async def test_sessions_do_not_mix(served: Served, api: Api, stranger: Api, puppets: Puppets) -> None:
    """Two sessions of one owner and one of another, all talking at once: each agent sees its own history only."""
    sessions = [(api, await api.session()), (api, await api.session()), (stranger, await stranger.session())]
    for round_ in range(2):
        turns = [await who.send(session, f"{number}-{round_}") for number, (who, session) in enumerate(sessions)]
        for number, turn in enumerate(turns):
            puppet = await puppets.of(turn["id"])
            said = [part.text for message in puppet.turn.history for part in message.parts if hasattr(part, "text")]
            assert said
            assert all(text.startswith(f"{number}-") for text in said)
            puppet.say(f"{number}-answer")
            puppet.end()
        async with anyio.create_task_group() as group:
            for (who, session), turn in zip(sessions, turns, strict=True):
                group.start_soon(who.over, session, turn["id"])
    assert await api.texts(sessions[1][1]) == ["1-0", "1-answer", "1-1", "1-answer"]
