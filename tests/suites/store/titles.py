"""Titles that nobody has chosen: what they are made from, and that a person's stays."""

import pytest

from legato.core.errors import SessionNotFound
from legato.core.events import SessionEvent
from legato.engine.searching import find
from legato.store import erasing, sessions, titles
from legato.store.port import Store
from legato.store.titles import Untitled
from legato.store.welcoming import Welcome
from tests.support.conversation import Conversation, meter


class Titles:
    @pytest.mark.promise("T-01")
    async def test_a_title_is_given_once_and_is_no_activity(self, store: Store, conversation: Conversation) -> None:
        await conversation.answer("Hi", "Hello")
        before = (await conversation.state()).session

        named = await store.write(titles.entitle, conversation.id, "Small Talk", "model")
        assert named is not None
        await conversation.took(named.rows)

        after = (await conversation.state()).session
        assert (after.title, after.title_source) == ("Small Talk", "model")
        assert after.last_activity == before.last_activity
        ((_, told),) = (await conversation.events())[-1:]
        assert told == SessionEvent(after)
        assert await store.write(titles.entitle, conversation.id, "25 November 2026", "date") is None
        assert await store.read(titles.untitled, conversation.id) is None
        await conversation.agree()

    @pytest.mark.promise("T-01")
    async def test_a_persons_title_stays_and_is_gone_when_he_takes_it_back(
        self, store: Store, conversation: Conversation
    ) -> None:
        await conversation.answer("Hi", "Hello")
        await conversation.change(title="Mine")
        assert await store.write(titles.entitle, conversation.id, "Small Talk", "model") is None
        assert (await conversation.state()).session.title == "Mine"

        await conversation.change(title=None)
        found = await store.read(titles.untitled, conversation.id)
        assert found is not None
        assert found.question == "Hello"

    @pytest.mark.promise("T-01", "S-14")
    async def test_it_is_found_as_long_as_it_is_the_title(self, store: Store, conversation: Conversation) -> None:
        named = await store.write(titles.entitle, conversation.id, "Small Talk", "model")
        assert named is not None
        await conversation.took(named.rows)
        (hit,) = (await find(store, "ann", "talk")).data
        assert (hit.message_id, hit.session.title) == (None, "Small Talk")
        await conversation.change(title="Mine")
        assert (await find(store, "ann", "talk")).data == ()
        await conversation.agree()

    @pytest.mark.promise("T-01", "S-07")
    async def test_none_is_made_from_what_was_deleted(self, store: Store) -> None:
        """Its words stand there until they are erased, and are shown to no model."""
        conversation = await Conversation.begin(store)
        await conversation.answer("Hi", "Hello")
        await store.write(erasing.remove, conversation.id, "ann", meter)
        assert await store.read(titles.untitled, conversation.id) is None

    @pytest.mark.promise("T-01")
    async def test_it_is_made_from_the_first_answered_question(self, store: Store, conversation: Conversation) -> None:
        assert await self._of(store, conversation) == ("", "", None)
        withdrawn = await conversation.send("Never mind", locale="de")
        await conversation.withdraw(withdrawn.turn.id)
        await conversation.start("Hello", locale="sv-SE")
        await conversation.say("Hej")
        await conversation.finish()
        await conversation.answer("Later", "Other")

        assert await self._of(store, conversation) == ("Hello", "Hej", "de")

    async def test_of_a_question_whose_answer_broke_off_it_is_what_went_on(
        self, store: Store, conversation: Conversation
    ) -> None:
        turn = (await conversation.start("Tell me all")).turn
        await conversation.say("It begins")
        await conversation.rescue(turn.id)
        for text in ("and goes", "and ends"):
            await conversation.again("continue", turn)
            turn = (await conversation.claimed()).turn
            await conversation.say(text)
            await conversation.finish()

        assert (await self._of(store, conversation))[:2] == ("Tell me all", "and goes")

    @pytest.mark.promise("T-01", "T-05")
    async def test_a_welcome_is_not_what_it_is_made_from(self, store: Store) -> None:
        conversation = await Conversation.begin(store, welcome=Welcome(locale="ru"))
        await conversation.claimed()
        await conversation.say("Welcome!")
        await conversation.finish()
        assert await self._of(store, conversation) == ("", "", "ru")

        await conversation.answer("Hi", "Hello")
        assert await self._of(store, conversation) == ("Hello", "Hi", "ru")

    async def test_nothing_is_read_of_what_was_cleared(self, store: Store, conversation: Conversation) -> None:
        await conversation.answer("Hi", "Hello")
        await conversation.clear()
        assert (await self._of(store, conversation))[:2] == ("", "")

    async def test_a_session_that_is_gone_has_no_title(self, store: Store, conversation: Conversation) -> None:
        assert await store.read(titles.untitled, "ses_none") is None
        with pytest.raises(SessionNotFound):
            await store.write(titles.entitle, "ses_none", "Title", "model")
        page = await store.read(sessions.page, conversation.owner)
        assert [session.title for session in page.data] == [None]

    async def _of(self, store: Store, conversation: Conversation) -> tuple[str, str, str | None]:
        found: Untitled | None = await store.read(titles.untitled, conversation.id)
        assert found is not None
        assert found.session.id == conversation.id
        return found.question, found.answer, found.locale
