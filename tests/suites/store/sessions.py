"""Sessions: create, find, list, change, sum up."""

from typing import Any

import pytest

from legato.core.errors import BadCursor, SessionExists
from legato.core.events import SessionEvent
from legato.core.model import Session, Usage
from legato.store import sessions
from legato.store.port import Store
from tests.support.conversation import Conversation, new_session


async def listed(store: Store, owner: str = "ann", **fields: Any) -> list[str]:
    """All pages, two sessions each."""
    found: list[Session] = []
    cursor: str | None = None
    while True:
        page = await store.read(sessions.page, owner, limit=2, cursor=cursor, **fields)
        found += page.data
        cursor = page.next
        if cursor is None:
            return [session.id for session in found]


class Sessions:
    @pytest.mark.promise("S-02")
    async def test_a_session_has_what_it_was_made_with(self, store: Store) -> None:
        created = await new_session(
            store,
            "ann",
            "demo",
            parent_role="guide",
            model_id="openai:m",
            title="Wine",
            context="cellar/7",
            metadata={"colour": "rouge 🍷\x00", "n": [1, None]},
        )
        session = await store.read(sessions.get, created.session.id, "ann")

        assert session == created.session
        assert (session.owner, session.agent_id, session.agent_name) == ("ann", "demo", "Demo")
        assert (session.parent_role, session.model_id, session.title) == ("guide", "openai:m", "Wine")
        assert (session.context, session.metadata) == ("cellar/7", {"colour": "rouge 🍷\x00", "n": [1, None]})
        assert (session.closed_at, session.archived_at, session.pinned, session.read_only) == (None, None, False, False)
        assert session.created_at == session.last_activity
        assert session.created_at.tzinfo is not None

    @pytest.mark.promise("E-01")
    async def test_the_journal_begins_with_the_session(self, conversation: Conversation) -> None:
        state, head = await conversation.moment()

        assert await conversation.events() == [(1, SessionEvent(state.session))]
        assert head == 1

    async def test_an_id_is_taken_once_whoever_asks(self, store: Store) -> None:
        created = await new_session(store)
        for owner in ("ann", "bob"):
            again = sessions.NewSession(id=created.session.id, owner=owner, agent_id="other", agent_name="Other")
            with pytest.raises(SessionExists):
                await store.write(sessions.create, again)

        assert await store.read(sessions.get, created.session.id, "ann") == created.session

    @pytest.mark.promise("S-03")
    async def test_a_list_has_the_newest_activity_first_page_by_page(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(5)]
        await told[1].send()
        await told[3].send()

        assert await listed(store) == [told[place].id for place in (3, 1, 4, 2, 0)]

    @pytest.mark.promise("S-03")
    async def test_a_page_that_is_full_to_the_brim_has_no_next(self, store: Store) -> None:
        ids = [(await new_session(store)).session.id for _ in range(3)]

        page = await store.read(sessions.page, "ann", limit=3)

        assert [session.id for session in page.data] == ids[::-1]
        assert page.next is None
        assert (await store.read(sessions.page, "nobody", limit=3)).data == ()

    @pytest.mark.promise("S-03")
    async def test_a_session_that_moves_between_two_pages_hides_no_other(self, store: Store) -> None:
        told = [await Conversation.begin(store) for _ in range(4)]
        first = await store.read(sessions.page, "ann", limit=2)
        await told[0].send()

        rest = await store.read(sessions.page, "ann", limit=2, cursor=first.next)

        assert [session.id for session in first.data + rest.data] == [told[3].id, told[2].id, told[1].id]

    @pytest.mark.promise("S-03")
    async def test_filters_by_status_and_agent(self, store: Store) -> None:
        plain, closed, archived, pinned, other = [
            await Conversation.begin(store, agent_id=agent) for agent in ("demo", "demo", "demo", "demo", "other")
        ]
        await closed.change(closed=True)
        await archived.change(archived=True)
        await pinned.change(pinned=True)
        stranger = await Conversation.begin(store, owner="bob")

        assert await listed(store, status="active") == [other.id, pinned.id, plain.id]
        assert await listed(store, status="closed") == [closed.id]
        assert await listed(store, status="archived") == [archived.id]
        assert await listed(store, status="pinned") == [pinned.id]
        assert await listed(store, agent_id="other") == [other.id]
        assert await listed(store, agent_id="demo", status="active") == [pinned.id, plain.id]
        assert await listed(store, agent_id="nobody") == []
        assert await listed(store, "bob") == [stranger.id]

    async def test_a_page_says_which_of_its_sessions_run(self, store: Store) -> None:
        running, waiting = [await Conversation.begin(store) for _ in range(2)]
        await running.start()
        await waiting.send()

        assert (await store.read(sessions.page, "ann")).running == (running.id,)

    @pytest.mark.parametrize("cursor", ["", "x", "eA==", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5LnNlc18w", "MS5zZXNfAA=="])
    async def test_a_cursor_from_elsewhere_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(BadCursor):
            await store.read(sessions.page, "ann", cursor=cursor)

    async def test_what_is_changed_is_told_and_the_rest_stays(self, conversation: Conversation) -> None:
        before = (await conversation.state()).session
        changed = (await conversation.change(title="New", pinned=True, metadata={"a": 1})).session

        assert (changed.title, changed.pinned, changed.metadata) == ("New", True, {"a": 1})
        assert changed.last_activity == before.last_activity
        assert (await conversation.events())[-1][1] == SessionEvent(changed)

        again = (await conversation.change(title=None)).session
        assert (again.title, again.pinned, again.metadata) == (None, True, {"a": 1})

    async def test_closed_and_archived_can_be_undone(self, conversation: Conversation) -> None:
        changed = (await conversation.change(closed=True, archived=True)).session
        assert changed.read_only
        assert changed.closed_at is not None
        assert changed.archived_at is not None

        changed = (await conversation.change(closed=False, archived=False)).session
        assert (changed.closed_at, changed.archived_at, changed.read_only) == (None, None, False)

    async def test_nobody_can_change_what_is_not_theirs_to_change(self, conversation: Conversation) -> None:
        before = (await conversation.state()).session

        assert (await conversation.change(owner="bob", head=0, epoch=0, id="ses_")).session == before

    @pytest.mark.promise("S-11", "R-11")
    async def test_stats_are_sums(self, conversation: Conversation) -> None:
        stats = await conversation.store.read(sessions.stats, conversation.id, "ann")
        assert (stats.message_count, stats.turn_count, stats.usage) == (0, 0, Usage())

        await conversation.answer("four")
        await conversation.start()
        await conversation.finish(usage=Usage(5, 7, 3, 12, 0.25))
        await conversation.start()
        await conversation.finish(usage=Usage(1, 1, 0, 2, 0.5))
        await conversation.send()
        stats = await conversation.store.read(sessions.stats, conversation.id, "ann")

        assert (stats.message_count, stats.turn_count) == (7, 4)
        assert stats.usage == Usage(16, 12, 3, 28, 0.75, estimated=True)
        assert stats.last_activity == (await conversation.state()).session.last_activity
        assert 0 <= stats.age_s < 60

    async def test_whose_sessions_these_are(self, store: Store) -> None:
        hers, his = (await new_session(store)).session.id, (await new_session(store, "bob")).session.id

        assert await store.read(sessions.owners, [hers, his, "ses_none"]) == {hers: ("ann", False), his: ("bob", False)}
