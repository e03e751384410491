"""What an owner changes of a session, over HTTP: title, pin, archive, keep, metadata (promise S-12)."""

from typing import Any

import pytest

from legato.core.ids import new_id
from tests.http.speaking import Api

pytestmark = [pytest.mark.anyio, pytest.mark.promise("S-12")]


async def test_a_rename_is_kept_and_is_no_activity(api: Api) -> None:
    session, newer = await api.session(), await api.session()
    made = (await api.state(session))["session"]
    assert (made["title"], made["title_source"]) == (None, None)
    for title in ("Wine", "Œuvres & <b>🍷</b>\u202e\n\x00", "x" * 200, "0"):
        changed = await api.call("PATCH", session, {"title": title})
        assert changed["title"] == title.replace("\x00", "\ufffd")
        assert changed["title_source"] == "person"
        assert changed["last_activity"] == made["last_activity"]
    listed = (await api.call("GET", "/v1/sessions"))["data"]
    assert [entry["id"] for entry in listed] == [path.rpartition("/")[2] for path in (newer, session)]
    assert listed[1] == changed == (await api.state(session))["session"]


@pytest.mark.parametrize("nothing", [None, "", " \n\u2003"])
async def test_a_title_is_taken_away(api: Api, nothing: str | None) -> None:
    session = await api.session(title="Wine")
    changed = await api.call("PATCH", session, {"title": nothing})
    assert (changed["title"], changed["title_source"]) == (None, None)
    made = await api.call("POST", "/v1/sessions", {"title": nothing}, status=201)
    assert (made["title"], made["title_source"]) == (None, None)


async def test_marks_are_set_and_taken_away_one_by_one(api: Api) -> None:
    session = await api.session()
    before = (await api.state(session))["session"]
    for mark in ("pinned", "keep", "memory"):
        for value in (True, False, before[mark]):
            changed = await api.call("PATCH", session, {mark: value})
            assert changed == before | {mark: value}
    archived = await api.call("PATCH", session, {"archived": True})
    assert archived["archived_at"] is not None
    assert archived == before | {"archived_at": archived["archived_at"]}
    assert (await api.call("PATCH", session, {"archived": True}))["archived_at"] == archived["archived_at"]
    assert await api.call("PATCH", session, {"archived": False}) == before


async def test_an_archived_session_goes_on_and_stays_archived(api: Api) -> None:
    session = await api.session("echo")
    await api.call("PATCH", session, {"archived": True})
    assert (await api.answered(session))["status"] == "completed"
    state = (await api.state(session))["session"]
    assert (state["archived_at"] is not None, state["read_only"]) == (True, False)
    assert (await api.call("GET", "/v1/sessions", params={"status": "active"}))["data"] == []


async def test_who_closes_again_changes_no_time(api: Api) -> None:
    session = await api.session()
    closed = await api.call("POST", f"{session}/close")
    assert await api.call("POST", f"{session}/close") == closed
    for changed in ({"title": "T"}, {"pinned": True}, {"keep": True}, {"archived": True}, {"metadata": {"a": 1}}):
        assert (await api.call("PATCH", session, changed))["closed_at"] == closed["closed_at"]


async def test_metadata_is_any_json_and_replaced_as_a_whole(api: Api) -> None:
    session = await api.session(metadata={"a": 1, "b": 2})
    value = {"a": [1, -2.5, True, None, {"é🍷": {"": "\u2028\r\n"}}], "b\x00": "c" * 1000}
    changed = await api.call("PATCH", session, {"metadata": value})
    assert changed["metadata"] == {"a": value["a"], "b\ufffd": "c" * 1000}
    assert (await api.call("GET", session))["state"]["session"]["metadata"] == changed["metadata"]
    assert (await api.call("PATCH", session, {"metadata": {}}))["metadata"] == {}


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return {"a": value}


async def test_limits_are_told_and_change_nothing(api: Api) -> None:
    full: tuple[dict[str, Any], ...] = (
        {"title": "é" * 200},
        {"metadata": {str(number): number for number in range(100)}},
        {"metadata": {"a": "x" * (16 * 1024 - len('{"a":""}'))}},
        {"metadata": _deep(31)},
    )
    over: tuple[dict[str, Any], ...] = (
        {"title": "é" * 201},
        {"metadata": {str(number): number for number in range(101)}},
        {"metadata": {"a": "x" * (16 * 1024 - len('{"a":""}') + 1)}},
        {"metadata": {"a": "é" * 9_000}},
        {"metadata": _deep(32)},
        {"metadata": None},
        {"archived": None},
        {"keep": 1},
        {"title": 7},
        {"title": "T", "name": "T"},
        {"owner": "eve"},
        {"closed": True},
    )
    session = await api.session()
    for body in full:
        changed = await api.call("PATCH", session, body)
        made = await api.call("POST", "/v1/sessions", body, status=201)
        assert {key: changed[key] for key in body} == {key: made[key] for key in body} == body
    before = await api.call("GET", session)
    for body in over:
        await api.refused(422, "invalid_request", "PATCH", session, body)
    assert await api.call("GET", session) == before
    for body in over[:5]:
        await api.refused(422, "invalid_request", "POST", "/v1/sessions", body)


async def test_every_change_is_told_to_those_who_follow(api: Api, stranger: Api) -> None:
    """In the session's journal, and as a hint in its owner's list; a stranger's says nothing of it."""
    session, foreign = await api.session(), await stranger.session()
    changes: tuple[dict[str, Any], ...] = (
        {"title": "Wine"},
        {"pinned": True},
        {"archived": True},
        {"keep": True},
        {"metadata": {"a": 1}},
        {"title": None, "pinned": False, "archived": False},
    )
    async with api.stream("GET", "/v1/events") as mine, stranger.stream("GET", "/v1/events") as theirs:
        await mine.until("list")
        await theirs.until("list")
        for change in changes:
            changed = await api.call("PATCH", session, change)
            hint = await mine.until("list")
            assert hint.data == {"session_id": session.rpartition("/")[2], "what": "changed"}
        await stranger.call("PATCH", foreign, {"title": "Theirs"})
        assert (await theirs.until("list")).data["session_id"] == foreign.rpartition("/")[2]
    told = [event["data"]["session"] for event in await api.journal(session)]
    assert len(told) == len(changes) + 1
    assert told[-1] == changed
    assert [entry["title"] for entry in told] == [None, *["Wine"] * 5, None]


async def test_nobody_else_changes_anything(api: Api, stranger: Api) -> None:
    session = await api.session(title="Mine")
    before = await api.call("GET", session)
    bodies: tuple[dict[str, Any], ...] = ({"title": "Theirs"}, {"archived": True}, {"metadata": {}}, {})
    for path in (session, f"/v1/sessions/{new_id('ses')}"):
        for body in bodies:
            await stranger.refused(404, "session_not_found", "PATCH", path, body)
        for verb in ("close", "reopen"):
            await stranger.refused(404, "session_not_found", "POST", f"{path}/{verb}")
    assert await api.call("GET", session) == before
