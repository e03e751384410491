"""What isn't yours looks like what doesn't exist (guarantee G13)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from legato.core.errors import BadCursor, LegatoError, SessionNotFound, TurnNotFound
from legato.core.ids import new_id
from legato.store import accepting, ending, locked, sessions, snapshots
from legato.store.ending import Ending
from legato.store.port import Store
from tests.support.conversation import Conversation, meter

CANCEL = Ending(status="cancelled", reason="cancelled")
Ask = Callable[[Store, str, str, str], Awaitable[Any]]


def _accept(**fields: Any) -> Ask:
    def ask(store: Store, session_id: str, owner: str, turn_id: str) -> Awaitable[Any]:
        known: dict[str, Any] = {"source_turn_id": turn_id} if fields else {}
        send = accepting.Send(
            session_id=session_id, owner=owner, client_message_id="m", body_hash="h", **(fields | known)
        )
        return store.write(accepting.accept, send, meter)

    return ask


#: Everything that names a session and an owner.
ASKS: dict[str, Ask] = {
    "get": lambda store, ses, owner, trn: store.read(sessions.get, ses, owner),
    "stats": lambda store, ses, owner, trn: store.read(sessions.stats, ses, owner),
    "readable": lambda store, ses, owner, trn: store.read(locked.readable, ses, owner),
    "snapshot": lambda store, ses, owner, trn: store.read(snapshots.snapshot, ses, owner, 10),
    "history": lambda store, ses, owner, trn: store.read(snapshots.history, ses, owner, 10, None),
    "turn": lambda store, ses, owner, trn: store.read(snapshots.turn, ses, owner, trn),
    "done_seq": lambda store, ses, owner, trn: store.read(snapshots.done_seq, ses, owner, trn),
    "change": lambda store, ses, owner, trn: store.write(sessions.change, ses, owner, {"title": "mine"}),
    "clear": lambda store, ses, owner, trn: store.write(ending.clear, ses, owner, meter),
    "cancel": lambda store, ses, owner, trn: store.write(ending.cancel, ses, owner, trn, CANCEL, meter),
    "withdraw": lambda store, ses, owner, trn: store.write(ending.withdraw, ses, owner, trn, meter),
    "send": _accept(),
    "continue": _accept(kind="continue"),
    "retry": _accept(kind="retry"),
}
#: Those that name a turn as well.
TURN_ASKS = ("turn", "done_seq", "cancel", "withdraw", "continue", "retry")


async def _refusal(work: Awaitable[Any]) -> tuple[type[LegatoError], str, dict[str, object]]:
    with pytest.raises(LegatoError) as caught:
        await work
    return type(caught.value), caught.value.message, caught.value.details


class Isolation:
    @pytest.mark.promise("S-16")
    @pytest.mark.parametrize("name", ASKS)
    async def test_a_foreign_session_is_no_session(self, conversation: Conversation, name: str) -> None:
        await conversation.start()
        turn_id = (await conversation.send()).turn.id
        before = await conversation.moment()
        ask = partial(ASKS[name], conversation.store)

        foreign = await _refusal(ask(conversation.id, "bob", turn_id))
        unknown = await _refusal(ask(new_id("ses"), "bob", turn_id))
        nonsense = await _refusal(ask("ses_'; drop table sessions; --", "bob", turn_id))

        assert foreign == unknown == nonsense == (SessionNotFound, SessionNotFound().message, {})
        assert await conversation.moment() == before

    @pytest.mark.promise("S-16")
    @pytest.mark.parametrize("name", TURN_ASKS)
    async def test_the_turn_of_another_session_is_no_turn(
        self, store: Store, conversation: Conversation, name: str
    ) -> None:
        theirs = await Conversation.begin(store, "bob")
        mine_too = await Conversation.begin(store)
        ask = partial(ASKS[name], store, conversation.id, "ann")

        foreign = [await _refusal(ask((await other.send()).turn.id)) for other in (theirs, mine_too)]
        unknown = await _refusal(ask(new_id("trn")))

        assert foreign == [unknown, unknown] == [(TurnNotFound, TurnNotFound().message, {})] * 2

    @pytest.mark.promise("S-16")
    async def test_a_message_of_another_session_is_no_place_in_this_one(
        self, store: Store, conversation: Conversation
    ) -> None:
        other = await Conversation.begin(store)
        await other.answer()
        for message_id in [(await other.state()).messages[0].id, new_id("msg"), "", "msg_%"]:
            with pytest.raises(BadCursor):
                await store.read(snapshots.history, conversation.id, "ann", 10, message_id)

    @pytest.mark.promise("S-01")
    async def test_sessions_do_not_mix(self, store: Store, conversation: Conversation) -> None:
        other = await Conversation.begin(store)
        await conversation.answer("here", "this")
        await other.answer("there", "that")

        assert await conversation.texts() == ["this", "here"]
        assert await other.texts() == ["that", "there"]
