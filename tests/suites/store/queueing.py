"""The queue, seen and changed by its owner (promise R-03)."""

import asyncio

import pytest

from legato.core.errors import Invalid, SessionNotFound, TurnNotFound, TurnNotQueued
from legato.core.model import Part, Session, TextPart, Turn
from legato.engine import searching
from legato.store import claiming, queueing
from legato.store.port import Store
from legato.store.queueing import Amend, Last
from legato.store.welcoming import Welcome
from tests.support.conversation import Conversation, claimant, text_of


def words(text: str) -> tuple[Part, ...]:
    return (TextPart(text),)


async def queue(conversation: Conversation) -> list[str]:
    """What waits, by its words, as the list and as the state tell it."""
    waiting = await conversation.store.read(queueing.waiting, conversation.id, conversation.owner)
    state = await conversation.state()
    assert [each.turn for each in waiting] == [turn for turn in state.turns if turn.status == "queued"]
    assert [each.message for each in waiting if each.message] == [m for m in state.messages if m.status == "queued"]
    return [text_of(each.message) if each.message else each.turn.kind for each in waiting]


class Queueing:
    @pytest.mark.promise("R-03")
    async def test_what_waits_is_listed_in_its_order(self, store: Store, conversation: Conversation) -> None:
        first = await conversation.answer("a", "A")
        await conversation.start("B")
        await conversation.send("C")
        await conversation.again("retry", first)
        await conversation.edit(first.message_id, "A!")
        await conversation.send("now", mode="interrupt")

        assert await queue(conversation) == ["now", "C", "retry", "A!"]
        with pytest.raises(SessionNotFound):
            await store.read(queueing.waiting, conversation.id, "bob")

    @pytest.mark.promise("R-03")
    async def test_what_waits_can_be_rewritten(self, store: Store, conversation: Conversation) -> None:
        await conversation.start("A")
        waiting = (await conversation.send("herring", client_message_id="once")).turn
        turn = await conversation.amend(waiting.id, parts=words("salmon"))

        assert turn == waiting
        assert await queue(conversation) == ["salmon"]
        assert (await searching.find(store, "ann", "herring")).data == ()
        assert len((await searching.find(store, "ann", "salmon")).data) == 1
        await conversation.finish()
        assert text_of((await conversation.claimed()).message) == "salmon"
        again = await conversation.send("herring", client_message_id="once")  # who sent it knows nothing of that
        assert (again.turn.id, again.fresh) == (waiting.id, False)
        await conversation.agree()

    @pytest.mark.promise("R-03")
    async def test_an_edit_that_waits_can_be_rewritten(self, conversation: Conversation) -> None:
        first = await conversation.answer("a", "A")
        waiting = (await conversation.edit(first.message_id, "A!")).turn
        await conversation.amend(waiting.id, parts=words("A!!"))
        await conversation.claimed()
        assert await conversation.texts() == ["A!!", ""]
        await conversation.agree()

    @pytest.mark.promise("R-03")
    async def test_what_waits_can_be_moved(self, conversation: Conversation) -> None:
        await conversation.start("A")
        turns = {text: (await conversation.send(text)).turn.id for text in "BCDE"}

        for text, before, order in (
            ("E", "B", "EBCD"),
            ("E", "D", "BCED"),
            ("B", None, "CEDB"),
            ("B", None, "CEDB"),
            ("C", "C", "CEDB"),
            ("D", "C", "DCEB"),
        ):
            moved = await conversation.amend(turns[text], before=turns[before] if before else Last())
            assert await queue(conversation) == list(order)
            assert moved.id == turns[text]
        await conversation.send("F")
        await conversation.send("now", mode="interrupt")
        assert await queue(conversation) == ["now", *"DCEBF"]
        await conversation.agree()
        ran = []
        while (claimed := await conversation.claim()) is not None:
            ran.append(text_of(claimed.message))
            await conversation.finish()
        assert ran == ["now", *"DCEBF"]
        await conversation.agree()

    @pytest.mark.promise("R-03")
    async def test_what_is_moved_can_be_rewritten_at_once(self, conversation: Conversation) -> None:
        await conversation.start("A")
        first, second = [(await conversation.send(text)).turn.id for text in "BC"]
        await conversation.amend(second, before=first, parts=words("C!"))
        assert await queue(conversation) == ["C!", "B"]

    @pytest.mark.promise("R-03")
    async def test_what_has_been_claimed_is_changed_no_more(self, conversation: Conversation) -> None:
        running = (await conversation.start("A")).turn
        waiting = (await conversation.send("B")).turn
        for changed in (Amend(parts=words("A!")), Amend(before=waiting.id), Amend(before=Last())):
            with pytest.raises(TurnNotQueued):
                await conversation.store.write(queueing.amend, conversation.id, "ann", running.id, changed)
        with pytest.raises(TurnNotQueued):
            await conversation.amend(waiting.id, before=running.id)
        await conversation.withdraw(waiting.id)
        with pytest.raises(TurnNotQueued):
            await conversation.amend(waiting.id, parts=words("B!"))
        assert await queue(conversation) == []

    @pytest.mark.promise("R-03")
    async def test_who_rewrites_and_who_claims_do_not_miss_each_other(
        self, store: Store, conversation: Conversation
    ) -> None:
        for _ in range(10):
            waiting = (await conversation.send("old")).turn
            changed = Amend(parts=words("new"))
            claimed, amended = await asyncio.gather(
                store.write(claiming.claim, conversation.id, claimant()),
                store.write(queueing.amend, conversation.id, "ann", waiting.id, changed),
                return_exceptions=True,
            )
            assert isinstance(claimed, claiming.Claimed)
            if isinstance(amended, queueing.Amended):
                assert text_of(claimed.message) == "new"
            else:
                assert isinstance(amended, TurnNotQueued)
                assert text_of(claimed.message) == "old"
            rows = claimed.rows + (amended.rows if isinstance(amended, queueing.Amended) else ())
            await conversation.took(sorted(rows, key=lambda row: row.first_seq))
            conversation.running = claimed
            await conversation.finish()
        await conversation.agree()

    async def test_what_is_refused_changes_nothing(self, store: Store, conversation: Conversation) -> None:
        first = await conversation.answer("a", "A")
        await conversation.start("B")
        retry = (await conversation.again("retry", first)).turn
        waiting = (await conversation.send("C")).turn
        head = (await conversation.moment())[1]

        def check(session: Session, turn: Turn, parts: tuple[Part, ...]) -> None:
            raise Invalid("no")

        with pytest.raises(Invalid):
            await conversation.amend(retry.id, parts=words("R"), before=Last())
        changed = Amend(parts=words("C!"), before=retry.id)
        with pytest.raises(Invalid):
            await store.write(queueing.amend, conversation.id, "ann", waiting.id, changed, check)
        for turn_id, before in (("trn_none", Last()), (waiting.id, "trn_none")):
            with pytest.raises(TurnNotFound):
                await conversation.amend(turn_id, before=before)
        with pytest.raises(SessionNotFound):
            await store.write(queueing.amend, conversation.id, "bob", waiting.id, Amend(before=retry.id))
        assert await queue(conversation) == ["retry", "C"]
        assert (await conversation.moment())[1] == head

    @pytest.mark.promise("R-03")
    async def test_a_welcome_that_waits_has_no_words_but_a_place(self, store: Store) -> None:
        conversation = await Conversation.begin(store, welcome=Welcome())
        (welcome,) = (await conversation.state()).turns
        asked = (await conversation.send("A")).turn
        with pytest.raises(Invalid):
            await conversation.amend(welcome.id, parts=words("Hej"))
        await conversation.amend(asked.id, before=welcome.id)
        assert await queue(conversation) == ["A", "welcome"]
        await conversation.agree()

    @pytest.mark.promise("S-10", "R-03")
    async def test_trimming_finds_the_words_of_what_was_moved_and_rewritten(self, conversation: Conversation) -> None:
        await conversation.start("A")
        first = (await conversation.send("secret one")).turn
        second = (await conversation.send("secret two")).turn
        for text in "DE":
            await conversation.send(text)
        await conversation.amend(first.id, before=Last())
        await conversation.amend(first.id, parts=words("secret three"))
        await conversation.amend(second.id, before=Last())
        await conversation.finish()
        while await conversation.claim() is not None:
            await conversation.finish()
        await conversation.answer("z", "Z")
        await conversation.trim(2)

        assert b"secret" not in b"".join(row.payload for row in await conversation.rows())
        assert await conversation.texts() == ["Z", "z"]
        await conversation.agree()

    @pytest.mark.promise("R-03")
    async def test_one_whose_words_go_takes_nobody_elses_place_with_it(self, conversation: Conversation) -> None:
        await conversation.start("A")
        moved, other, third = [(await conversation.send(text)).turn.id for text in "BCD"]
        await conversation.amend(moved, before=Last())
        await conversation.amend(moved, before=other)
        await conversation.amend(third, before=moved)
        await conversation.finish()
        assert (await conversation.claimed()).turn.id == third
        await conversation.send("now", mode="rollback")  # third's rows are buried
        await conversation.agree()
        assert await queue(conversation) == ["now", "B", "C"]
