"""The contract of the sommelier (product P-05)."""

import pytest
from anyio import to_thread

from tests.examples.applications import Visitor
from tests.examples.conftest import Start

pytestmark = [pytest.mark.anyio, pytest.mark.promise("P-05", "H-02")]

SESSIONS = "/chat/sessions"


async def welcomed(ann: Visitor) -> tuple[str, str]:
    """A new session, and how it was opened."""
    session_id = (await ann.call("POST", SESSIONS, status=201))["id"]
    found = await ann.until(
        f"{SESSIONS}/{session_id}", lambda told: told["messages"] and told["messages"][0]["content"].endswith(".")
    )
    assert found["messages"][0]["type"] == "welcome"
    return session_id, found["messages"][0]["content"]


async def test_a_guest_is_known_when_he_comes_back(start: Start) -> None:
    app = start("sommelier")
    async with app.user("ann") as ann, app.user("bob") as bob:
        first, hello = await welcomed(ann)
        assert hello == "Здравствуйте! Сегодня начнём с Riesling."
        said = {"content": "Я люблю Rioja и не люблю Barolo"}
        events = await ann.events("POST", f"{SESSIONS}/{first}/messages", said)
        assert events[-1] == ("done", {"status": "completed", "reason": "stop"})
        assert (await ann.until(f"{SESSIONS}/{first}", lambda told: told["title"]))["title"] == "Выбор вина"

        await to_thread.run_sync(app.again)

        second, _ = await welcomed(ann)
        assert (await ann.call("GET", f"{SESSIONS}/{first}"))["read_only"], "the new one has closed it"
        await ann.call("POST", f"{SESSIONS}/{first}/messages", said, status=409)
        third, hello = await welcomed(ann)
        while "Rioja" not in hello:  # what is remembered is drawn in the background
            third, hello = await welcomed(ann)
        assert "Barolo" not in hello
        assert (await ann.call("GET", f"{SESSIONS}/current"))["id"] == third
        assert second != third
        assert "Rioja" not in (await welcomed(bob))[1]
        await bob.call("GET", f"{SESSIONS}/{first}", status=404)


async def test_the_first_wine_is_another_each_time(start: Start) -> None:
    app = start("sommelier")
    async with app.user("ann") as ann:
        wines = [(await welcomed(ann))[1].split()[-1] for _ in range(4)]
        assert len(set(wines)) == 4


async def test_the_sidebar_titles_and_deleting(start: Start) -> None:
    app = start("sommelier")
    async with app.user("ann") as ann:
        session_id, _ = await welcomed(ann)
        renamed = await ann.call("PATCH", f"{SESSIONS}/{session_id}/title", {"title": "К рыбе"})
        assert renamed["title"] == "К рыбе"
        groups = await ann.call("GET", SESSIONS)
        assert list(groups) == ["today", "yesterday", "older"]
        assert [session["title"] for session in groups["today"]] == ["К рыбе"]
        await ann.call("PATCH", f"{SESSIONS}/{session_id}/title", {"title": ""}, status=422)
        await ann.call("DELETE", f"{SESSIONS}/{session_id}", status=204)
        await ann.call("GET", f"{SESSIONS}/{session_id}", status=404)
        await ann.call("DELETE", f"{SESSIONS}/{session_id}", status=404)
        assert (await ann.call("GET", SESSIONS))["today"] == []
