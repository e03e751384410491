"""How a session lives: found, begun, closed for the next one or for its silence, reopened."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection

from legato.core.ids import new_id
from legato.store import chores, erasing, lifecycle, sessions
from legato.store.lifecycle import Policy
from legato.store.port import Store
from legato.store.sessions import NewSession
from legato.store.ticks import this_boot
from tests.support.conversation import Conversation, meter, new_session

SINGLE = Policy(single_current=True)


def another(owner: str = "ann") -> NewSession:
    return NewSession(id=new_id("ses"), owner=owner, agent_id="demo", agent_name="Demo")


class Living:
    @pytest.mark.promise("S-04")
    @pytest.mark.parametrize("how", ["begin", "current", "reopen"])
    async def test_a_session_that_is_deleted_after_it_was_listed_is_passed_over(
        self, store: Store, conversation: Conversation, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        """Its deletion is somebody else's success, and nobody's failure."""
        gone = (await new_session(store)).session.id
        await conversation.change(closed=how == "reopen")
        listed = lifecycle._active

        def delete_after(conn: Connection, owner: str, agent_id: str, limit: int) -> Sequence[Any]:
            found = listed(conn, owner, agent_id, limit)
            if gone in {row.id for row in found}:
                erasing.remove(conn, gone, "ann", meter)
            return found

        monkeypatch.setattr(lifecycle, "_active", delete_after)
        match how:
            case "begin":
                begun = await store.write(lifecycle.begin, another(), SINGLE)
            case "current":
                begun = await store.write(lifecycle.current, another(), SINGLE, this_boot(), 0)
            case _:
                begun = await store.write(lifecycle.reopen, conversation.id, "ann", SINGLE)
        await conversation.took([row for row in begun.rows if row.session_id == conversation.id])
        assert begun.created == (how == "begin")
        assert (await store.read(sessions.get, conversation.id, "ann")).read_only == (how == "begin")

    @pytest.mark.promise("S-04", "S-05")
    async def test_who_reopens_a_session_that_was_to_close_keeps_it_open(
        self, store: Store, conversation: Conversation
    ) -> None:
        """Also where somebody is about to close it already."""
        await conversation.start()
        begun = await store.write(lifecycle.begin, another(), SINGLE)
        assert await store.write(chores.take, conversation.id, "close", "wrk_1") is not None
        await conversation.finish()
        reopened = await store.write(lifecycle.reopen, conversation.id, "ann", SINGLE)
        await conversation.took([row for row in reopened.rows if row.session_id == conversation.id])

        visited = await store.write(lifecycle.close_as_asked, conversation.id, SINGLE)
        assert visited is not None
        assert not visited.closed
        assert await store.read(chores.due, "close", "wrk_1", 10) == []
        assert not (await store.read(sessions.get, conversation.id, "ann")).read_only
        assert (await store.read(sessions.get, begun.session.id, "ann")).read_only
        current = await store.write(lifecycle.current, another(), SINGLE, this_boot(), 0)
        assert current.session.id == conversation.id
