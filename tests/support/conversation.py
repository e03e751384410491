"""One session of a store, driven by hand: every transaction that the engine makes, as a step of a test.

After each step a reader who followed from the beginning, the store's snapshot, and everybody who would resume from an
earlier step agree (guarantee G17), and the journal is a row after another without gap or overlap.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Self

from legato.core.events import Done, Event, Token, TokenKind, TurnEvent, UsageEvent, decode_lines, encode_lines
from legato.core.fold import Fold
from legato.core.ids import new_id
from legato.core.model import ErrorInfo, Message, State, TextPart, Turn, Usage
from legato.engine.hub import after
from legato.store import (
    accepting,
    branching,
    claiming,
    clearing,
    compaction,
    ending,
    journal,
    pinning,
    queueing,
    rescuing,
    sessions,
    snapshots,
    steering,
    trimming,
)
from legato.store.accepting import Accepted
from legato.store.claiming import Claimant, Claimed
from legato.store.ending import Cleared, Ended, Ending
from legato.store.port import Batch, Row, Store
from legato.store.queueing import Amend
from legato.store.steering import Steered
from legato.store.trimming import Trimmed
from tests.support.search_index import check_index
from tests.support.spent import check_spent

EVERYTHING = 10_000  # messages


def meter(turn: Turn, answers: tuple[Message, ...]) -> Usage:
    """A prompt of ten tokens, and one for each character of text that was answered."""
    said = sum(len(part.text) for answer in answers for part in answer.parts if isinstance(part, TextPart))
    return Usage(10, said, 0, 10 + said, None, estimated=True)


def claimant(worker_id: str = "wrk_1", *agents: str, **limits: Any) -> Claimant:
    """A worker that runs these agents (``demo`` if none is named), as many of their turns as it likes."""
    return Claimant(worker_id=worker_id, agents=dict.fromkeys(agents or ("demo",)), **limits)


def batch(claimed: Claimed, number: int, *events: Event, epoch: int | None = None, again: bool = False) -> Batch:
    """What a running turn says, as its owner would commit it, for the first time or ``again``."""
    session_id, payload = claimed.session.id, encode_lines(events)
    owned = claimed.epoch if epoch is None else epoch
    crc = journal.payload_crc(session_id, payload)
    return Batch(session_id, claimed.turn.id, owned, number, len(events), payload, crc, claimed.after, again)


async def new_session(store: Store, owner: str = "ann", agent_id: str = "demo", **fields: Any) -> sessions.Changed:
    new = sessions.NewSession(id=new_id("ses"), owner=owner, agent_id=agent_id, agent_name=agent_id.title(), **fields)
    return await store.write(sessions.create, new)


class Conversation:
    """``owner``'s session ``id``. ``running`` is the turn that was claimed last, ``answer_id`` where its words go."""

    def __init__(self, store: Store, created: sessions.Changed) -> None:
        self.store = store
        self.id = created.session.id
        self.owner = created.session.owner
        self.agent_id = created.session.agent_id
        self.running: Claimed | None = None
        self.answer_id = ""
        self.number = 0
        self.moments: list[tuple[State, int]] = []
        self._live = Fold()
        self._follow(created.rows)
        self._sent = 0

    @classmethod
    async def begin(cls, store: Store, owner: str = "ann", agent_id: str = "demo", **fields: Any) -> Self:
        return cls(store, await new_session(store, owner, agent_id, **fields))

    def ask(self, text: str = "Hello", **fields: Any) -> accepting.Send:
        """A send that the store has not seen, unless ``client_message_id`` says otherwise."""
        self._sent += 1
        usual: dict[str, Any] = {
            "client_message_id": f"mine-{self._sent}",
            "body_hash": hashlib.sha256(text.encode()).hexdigest(),
            "owner": self.owner,
            "parts": (TextPart(text),),
        }
        return accepting.Send(session_id=self.id, **(usual | fields))

    async def send(self, text: str = "Hello", **fields: Any) -> Accepted:
        accepted = await self.store.write(accepting.accept, self.ask(text, **fields), meter)
        await self._stepped(accepted.rows)
        return accepted

    async def again(self, kind: Any, source: Turn, **fields: Any) -> Accepted:
        """Continue or retry a turn."""
        parts = (TextPart("Go on."),) if kind == "continue" else ()
        return await self.send(kind, kind=kind, source_turn_id=source.id, parts=parts, **fields)

    async def edit(self, message_id: str, text: str = "Rather", **fields: Any) -> Accepted:
        """Send something in the place of an earlier message."""
        return await self.send(text, kind="edit", edits=message_id, **fields)

    async def edited(self, message_id: str, text: str, answer: str) -> Turn:
        """The whole turn of an edit."""
        await self.edit(message_id, text)
        return await self._answered(answer)

    async def retried(self, source: Turn, answer: str) -> Turn:
        """The whole turn of a retry."""
        await self.again("retry", source)
        return await self._answered(answer)

    async def _answered(self, answer: str) -> Turn:
        await self.claimed()
        await self.say(answer)
        ended = await self.finish()
        assert ended is not None
        return ended.turn

    async def switch(self, message_id: str) -> None:
        """As the engine does it."""
        plan = await self.store.read(branching.plan, self.id, self.owner, message_id)
        switched = await self.store.write(branching.switch, self.id, self.owner, plan)
        assert switched is not None
        await self._stepped(switched.rows)

    async def amend(self, turn_id: str, **what: Any) -> Turn:
        amended = await self.store.write(queueing.amend, self.id, self.owner, turn_id, Amend(**what))
        await self._stepped(amended.rows)
        return amended.turn

    async def page(self, **options: Any) -> branching.Page:
        return await self.store.read(branching.history, self.id, self.owner, EVERYTHING, **options)

    async def claim(self, worker_id: str = "wrk_1", agents: Sequence[str] = ("demo",), **limits: Any) -> Claimed | None:
        claimed = await self.store.write(
            claiming.claim, self.id, Claimant(worker_id=worker_id, agents=dict.fromkeys(agents), **limits)
        )
        if claimed is not None:
            self.running, self.number = claimed, 0
            self.answer_id = claimed.turn.answer_id or ""
            await self._stepped(claimed.rows)
        return claimed

    async def claimed(self, worker_id: str = "wrk_1") -> Claimed:
        claimed = await self.claim(worker_id)
        assert claimed is not None
        return claimed

    async def start(self, text: str = "Hello", **fields: Any) -> Claimed:
        """Send and claim."""
        await self.send(text, **fields)
        return await self.claimed()

    def token(self, text: str, part: int = 0, kind: TokenKind = "text") -> Token:
        assert self.running is not None
        return Token(self.running.turn.id, self.answer_id, part, kind, text)

    async def tell(self, *events: Event, number: int | None = None, epoch: int | None = None) -> Row | None:
        """Append as the running turn's owner; a ``number`` of before is a repeat."""
        assert self.running is not None
        fresh = number is None
        self.number += fresh
        told = batch(self.running, number or self.number, *events, epoch=epoch, again=not fresh)
        (row,) = await self.store.append([told])
        await self._stepped([row] if row is not None and fresh else [])
        return row

    async def say(self, text: str, part: int = 0) -> Row | None:
        return await self.tell(self.token(text, part))

    async def finish(self, status: Any = "completed", reason: str = "stop", **fields: Any) -> Ended | None:
        assert self.running is not None
        ended = await self.store.write(
            ending.finish,
            self.id,
            self.running.turn.id,
            self.running.epoch,
            Ending(status=status, reason=reason, **fields),
            meter,
        )
        await self._stepped(ended.rows if ended else ())
        return ended

    async def answer(self, text: str = "Hi", question: str = "Hello") -> Turn:
        """A whole turn."""
        await self.send(question)
        return await self._answered(text)

    async def cancel(self, turn_id: str, owner: str | None = None) -> Ended:
        how = Ending(status="cancelled", reason="cancelled")
        ended = await self.store.write(ending.cancel, self.id, owner or self.owner, turn_id, how, meter)
        await self._stepped(ended.rows)
        return ended

    async def rescue(self, turn_id: str, worker_id: str = "wrk_1") -> Ended | None:
        how = Ending(status="incomplete", reason="worker_lost")
        ended = await self.store.write(rescuing.rescue, self.id, turn_id, worker_id, how, meter)
        await self._stepped(ended.rows if ended else ())
        return ended

    async def withdraw(self, turn_id: str) -> Ended:
        ended = await self.store.write(ending.withdraw, self.id, self.owner, turn_id, meter)
        await self._stepped(ended.rows)
        return ended

    async def steer(self, epoch: int | None = None) -> Steered | None:
        assert self.running is not None
        owned = self.running.epoch if epoch is None else epoch
        steered = await self.store.write(steering.steer, self.id, self.running.turn.id, owned)
        if steered is not None:
            self.answer_id = steered.turn.answer_id or ""
        await self._stepped(steered.rows if steered else ())
        return steered

    async def clear(self) -> Cleared:
        cleared = await self.emptied()
        while not await self.store.write(clearing.remove, self.id):
            await self._stepped(())
        await self._stepped(())
        return cleared

    async def emptied(self) -> Cleared:
        """Cleared, and what there was not yet taken away."""
        cleared = await self.store.write(ending.clear, self.id, self.owner, meter)
        await self._stepped(cleared.rows)
        return cleared

    async def pin(self, message_id: str, *, pinned: bool = True) -> Message:
        changed = await self.store.write(pinning.pin, self.id, self.owner, message_id, pinned=pinned)
        await self._stepped(changed.rows)
        return changed.message

    async def trim(self, limit: int) -> int:
        """To at most so many messages; how many transactions it took."""
        plan = await self.store.read(trimming.plan, self.id, limit)
        for piece in plan.slices:
            assert (await self.cut(plan, piece)).rows
        assert (await self.store.read(trimming.plan, self.id, limit)).slices == ()
        return len(plan.slices)

    async def cut(self, plan: trimming.Plan, piece: trimming.Slice) -> Trimmed:
        trimmed = await self.store.write(trimming.cut, self.id, plan.epoch, piece)
        await self._stepped(trimmed.rows)
        return trimmed

    async def change(self, **values: Any) -> sessions.Changed:
        changed = await self.store.write(sessions.change, self.id, self.owner, values)
        await self._stepped(changed.rows)
        return changed

    async def compact(self, turn_id: str) -> bool:
        done = await self.store.write(compaction.compact, self.id, turn_id)
        await self._stepped(())
        return done

    async def took(self, rows: Sequence[Row]) -> None:
        """Somebody else has made a step, which appended this."""
        await self._stepped(rows)

    async def rows(self, after_seq: int = 0, limit_bytes: int = journal.READ_BYTES) -> list[Row]:
        return await self.store.read(journal.read_rows, self.id, after_seq, limit_bytes)

    async def events(self, after_seq: int = 0) -> list[tuple[int, Event]]:
        """What somebody gets who resumes after a seq, in the middle of a row or not."""
        rows = await self.rows(after_seq)
        return [line for row in rows for line in decode_lines(*_cut(row, after_seq))]

    async def state(self) -> State:
        return (await self.moment())[0]

    async def moment(self) -> tuple[State, int]:
        return await self.store.read(snapshots.snapshot, self.id, self.owner, EVERYTHING)

    async def texts(self) -> list[str]:
        """What stands in the history, message by message; those that wait included."""
        return [text_of(message) for message in (await self.state()).messages]

    async def agree(self, *, erased: bool = False) -> None:
        """Everybody who resumes, from wherever, ends with the state that the store has, and the sums are those of the turns.

        ``erased``: so were sessions of the owner, whose use stays in the sums.
        """
        state, head = await self.moment()
        told = await self.events()
        await self._check_journal(told, head)
        for taken, seq in [*self.moments, (None, 0)]:
            fold = Fold(taken).apply_all([event for at, event in told if at > seq])
            assert fold.state() == state, f"resumed from {seq} of {head}"
        await check_index(self.store, self.id)
        await self.store.read(check_spent, self.owner, erased)

    async def _stepped(self, rows: Sequence[Row]) -> None:
        self._follow(rows)
        state, head = await self.moment()
        assert self._live.state() == state, "a live reader and the snapshot differ"
        self.moments.append((state, head))
        await check_index(self.store, self.id)

    def _follow(self, rows: Sequence[Row]) -> None:
        self._live.apply_all(journal.turn_events(rows))

    async def _check_journal(self, told: list[tuple[int, Event]], head: int) -> None:
        reached = 0
        for row in await self.rows():
            assert row.first_seq == reached + 1
            assert row.payload == b"" or row.payload.count(b"\n") == row.last_seq - row.first_seq
            reached = row.last_seq
        assert reached == head
        check_endings([event for _, event in told])


def check_endings(told: list[Event]) -> None:
    """Exactly one ending: ``usage`` at most once and right before ``done``, nothing of a turn after it (guarantee G4)."""
    ended: set[str] = set()
    metered: set[str] = set()
    for at, event in enumerate(told):
        turn_id = event.turn.id if isinstance(event, TurnEvent) else getattr(event, "turn_id", None)
        assert turn_id not in ended, f"{event} after the end"
        if isinstance(event, Done):
            ended.add(event.turn_id)
        elif isinstance(event, UsageEvent):
            assert event.turn_id not in metered
            metered.add(event.turn_id)
            following = told[at + 1]
            assert isinstance(following, Done)
            assert following.turn_id == event.turn_id


def _cut(row: Row, after_seq: int) -> tuple[int, bytes]:
    rest = after(row, after_seq)
    return rest.first_seq, rest.payload


def text_of(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


def error_of(message: Message) -> ErrorInfo:
    assert message.error is not None
    return message.error
