"""Attachments (promise S-18): stored once for each owner, one message's each, gone with it."""

import hashlib
from typing import Any

import anyio
import pytest
from sqlalchemy import Connection, delete, update

from legato.core.errors import Corrupted, FileInUse, FileNotFound, FilesFull, Invalid
from legato.core.files import PIECE_BYTES
from legato.core.ids import new_id
from legato.core.model import FilePart, Message, TextPart
from legato.engine.attachments import load
from legato.engine.searching import find
from legato.store import attaching, erasing, file_contents, files, schema, snapshots
from legato.store.attaching import Carried
from legato.store.files import NewFile
from legato.store.finding import Filters
from legato.store.port import Store
from legato.store.ticks import Boot
from tests.support.attachments import attachments, content_of, counted, file, keep, noise, part, png
from tests.support.conversation import Conversation, meter, new_session
from tests.support.transferring import Ferry

HOUR_US = 3_600_000_000


def files_of(message: Message) -> list[FilePart]:
    return [each for each in message.parts if isinstance(each, FilePart)]


async def sent(conversation: Conversation, *kept: Any, text: str = "Look") -> Message:
    """A message with these files, in the history; its turn is over."""
    parts = (*(part(each) for each in kept), TextPart(text))
    accepted = await conversation.send(text, parts=parts)
    await conversation.claimed()
    await conversation.say("Nice")
    await conversation.finish()
    found = {message.id: message for message in (await conversation.state()).messages}
    return found[accepted.turn.message_id]


async def cleaned(store: Store) -> None:
    await attachments(store).clean()


def spoil(conn: Connection, content_id: str) -> None:
    pieces = schema.file_pieces
    conn.execute(update(pieces).where(pieces.c.content_id == content_id).values(payload=b"\x89PNGwrong"))


def lose(conn: Connection, number: int) -> None:
    conn.execute(delete(schema.file_pieces).where(schema.file_pieces.c.number == number))


def age(conn: Connection, by_us: int) -> None:
    for table in (schema.files, schema.file_contents):
        conn.execute(update(table).values(created_at=table.c.created_at - by_us))


@pytest.mark.promise("S-18")
class Attaching:
    async def test_a_file_is_kept_as_it_was(self, store: Store) -> None:
        for content in (png(), noise(PIECE_BYTES), noise(PIECE_BYTES + 1), noise(5 * PIECE_BYTES), b"few words"):
            kept = await keep(store, content, "a/b/cat.png")
            assert (kept.name, kept.size, kept.session_id) == ("cat.png", len(content), None)
            assert kept.digest == hashlib.sha256(content).hexdigest()
            assert await content_of(store, kept.id) == content

    async def test_an_owner_has_equal_content_once_and_two_owners_have_two(self, store: Store) -> None:
        one, two = await keep(store, name="one.png"), await keep(store, name="two.png")
        assert one.id != two.id
        assert await counted(store) == (2, 1, 1)
        await keep(store, owner="bob")
        assert await counted(store) == (3, 2, 2)

    async def test_equal_files_that_come_at_once_are_one_in_the_end(self, store: Store) -> None:
        content = noise(3 * PIECE_BYTES)
        kept = []

        async def upload(number: int) -> None:
            kept.append(await keep(store, content, f"{number}.png"))

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(upload, number)
        await cleaned(store)
        assert await counted(store) == (8, 1, 3)
        for each in kept:
            assert await content_of(store, each.id) == content

    async def test_nobody_else_has_it(self, store: Store) -> None:
        kept = await keep(store)
        for owner in ("bob", "", "ANN"):
            with pytest.raises(FileNotFound):
                await attachments(store).get(owner, kept.id)
            with pytest.raises(FileNotFound):
                await content_of(store, kept.id, owner)
            with pytest.raises(FileNotFound):
                await attachments(store).remove(owner, kept.id)
        other = await Conversation.begin(store, owner="bob")
        for missing in (kept.id, new_id("fil"), "nonsense"):
            with pytest.raises(FileNotFound) as refused:
                await other.send(parts=(part(missing),))
            assert refused.value.details == {"file_id": missing}
        assert await other.texts() == []

    async def test_room_is_counted_by_what_is_stored(self, store: Store) -> None:
        content = noise(700_000)
        mine = attachments(store, max_files_mb=1)
        await mine.keep("ann", file(content), "a.png")
        await mine.keep("ann", file(content), "again.png")
        with pytest.raises(FilesFull) as full:
            await mine.keep("ann", file(noise(700_000, seed=2)), "b.png")
        assert full.value.details == {"limit": 1 << 20, "used": 700_000, "needed": 700_000}
        await mine.keep("bob", file(noise(700_000, seed=2)), "b.png")
        assert (await counted(store))[:2] == (3, 2)

    async def test_what_is_given_up_half_written_leaves_nothing(self, store: Store) -> None:
        class Torn:
            def __init__(self) -> None:
                self.content, self.twice = file(noise(4 * PIECE_BYTES)), False

            def read(self, count: int) -> bytes:
                if self.twice and self.content.tell() > PIECE_BYTES:
                    raise OSError("the disk is gone")
                return self.content.read(count)

            def tell(self) -> int:
                return self.content.tell()

            def seek(self, to: int) -> int:
                self.twice = True
                return self.content.seek(to)

        with pytest.raises(OSError, match="gone"):
            await attachments(store).keep("ann", Torn(), "torn.png")
        assert (await counted(store))[2] > 0
        await cleaned(store)
        assert await counted(store) == (0, 0, 0)

    async def test_an_empty_file_is_none(self, store: Store) -> None:
        with pytest.raises(Invalid, match="empty"):
            await keep(store, b"")

    async def test_a_message_has_its_files_from_then_on(self, store: Store, conversation: Conversation) -> None:
        kept = await keep(store)
        message = await sent(conversation, kept)
        assert message.parts == (FilePart(kept.id, "cat.png", "image/png", kept.size, 800), TextPart("Look"))
        assert (await attachments(store).get("ann", kept.id)).message_id == message.id
        with pytest.raises(FileInUse):
            await attachments(store).remove("ann", kept.id)
        assert await load(store, conversation.id, kept.id) == png()
        assert await load(store, new_id("ses"), kept.id) is None

    async def test_a_repeat_takes_nothing_again(self, store: Store, conversation: Conversation) -> None:
        kept = await keep(store)
        first = await conversation.send(parts=(part(kept),), client_message_id="x")
        again = await conversation.send(parts=(part(kept),), client_message_id="x")
        assert again.turn.id == first.turn.id
        assert await counted(store) == (1, 1, 1)

    async def test_another_message_gets_one_of_its_own(self, store: Store) -> None:
        conversation, kept = await Conversation.begin(store), await keep(store)
        one = await sent(conversation, kept, kept)
        two = await sent(conversation, kept)
        other = await Conversation.begin(store)
        three = await sent(other, kept)
        ids = [each.file_id for message in (one, two, three) for each in files_of(message)]
        assert ids[:2] == [kept.id, kept.id]
        assert len(set(ids)) == 3
        assert await counted(store) == (3, 1, 1)
        await store.write(erasing.remove, conversation.id, "ann", meter)
        assert await content_of(store, ids[3]) == png()
        with pytest.raises(FileNotFound):
            await content_of(store, kept.id)
        await store.write(attaching.forget_session, conversation.id, 100)
        await cleaned(store)
        assert await counted(store) == (1, 1, 1)
        assert await content_of(store, ids[3]) == png()

    async def test_what_was_cleared_is_nobodys_at_once(self, store: Store) -> None:
        conversation, kept = await Conversation.begin(store), await keep(store)
        await sent(conversation, kept)
        await conversation.emptied()
        for gone in (attachments(store).get("ann", kept.id), content_of(store, kept.id)):
            with pytest.raises(FileNotFound):
                await gone
        assert await load(store, conversation.id, kept.id) is None
        with pytest.raises(FileNotFound):
            await conversation.send(parts=(part(kept),))
        await conversation.clear()
        await cleaned(store)
        assert await counted(store) == (0, 0, 0)

    @pytest.mark.promise("R-03")
    async def test_new_words_leave_the_files_and_new_parts_change_them(
        self, store: Store, conversation: Conversation
    ) -> None:
        one, two = await keep(store, noise(1_000)), await keep(store, noise(1_001))
        await conversation.start("first")
        waiting = (await conversation.send(parts=(part(one), TextPart("Look")))).turn
        await conversation.amend(waiting.id, parts=(TextPart("See"),), keeps_files=True)
        message = (await conversation.state()).messages[-1]
        assert [each.file_id for each in files_of(message)] == [one.id]
        assert message.parts[-1] == TextPart("See")
        await conversation.amend(waiting.id, parts=(part(two), TextPart("This")))
        message = (await conversation.state()).messages[-1]
        assert [each.size for each in files_of(message)] == [1_001]
        with pytest.raises(FileNotFound):
            await attachments(store).get("ann", one.id)
        with pytest.raises(FileNotFound):
            await conversation.amend(waiting.id, parts=(FilePart(new_id("fil"), "", "", 0),))
        await cleaned(store)
        assert await counted(store) == (1, 1, 1)

    @pytest.mark.promise("S-15")
    async def test_a_fork_has_files_of_its_own(self, store: Store) -> None:
        conversation, kept = await Conversation.begin(store), await keep(store)
        await sent(conversation, kept, kept)
        ferry = Ferry(store)
        fork = await ferry.forking.fork("ann", conversation.id)
        state, _ = await store.read(snapshots.snapshot, fork.id, "ann", 10)
        first, second = files_of(state.messages[0])
        assert first == second
        assert first.file_id != kept.id
        await store.write(erasing.remove, conversation.id, "ann", meter)
        assert await content_of(store, first.file_id) == png()

    async def test_what_is_rolled_back_can_be_sent_again_with_its_files(
        self, store: Store, conversation: Conversation
    ) -> None:
        kept = await keep(store)
        await conversation.start("first", parts=(part(kept),))
        again = await conversation.send("again", parts=(part(kept), part(kept)), mode="rollback")
        await cleaned(store)
        (message,) = (await conversation.state()).messages
        assert message.turn_id == again.turn.id
        first, second = files_of(message)
        assert first == second != part(kept)
        assert await content_of(store, first.file_id) == png()
        assert await counted(store) == (1, 1, 1)

    async def test_a_waiting_message_can_have_others_instead(self, store: Store, conversation: Conversation) -> None:
        one, two, three = [await keep(store, noise(1_000 + number)) for number in range(3)]
        waiting = await conversation.send(parts=(part(one), part(two)))
        place = conversation.id, waiting.turn.message_id
        parts = await store.write(attaching.replace, "ann", *place, (part(two), part(three), TextPart("So")))
        await cleaned(store)
        assert await counted(store) == (2, 2, 2)
        contents = [await content_of(store, each.file_id) for each in parts if isinstance(each, FilePart)]
        assert contents == [noise(1_001), noise(1_002)]
        with pytest.raises(FileNotFound):
            await store.write(attaching.replace, "ann", *place, (part(one),))

    async def test_cleared_is_gone(self, store: Store, conversation: Conversation) -> None:
        kept = await keep(store)
        await sent(conversation, kept)
        await conversation.clear()
        with pytest.raises(FileNotFound):
            await attachments(store).get("ann", kept.id)
        await cleaned(store)
        assert await counted(store) == (0, 0, 0)

    async def test_trimmed_is_gone_and_the_rest_stays(self, store: Store, conversation: Conversation) -> None:
        old, shared, new = [await keep(store, noise(size)) for size in (2_000, 3_000, 4_000)]
        await sent(conversation, old, shared)
        kept = files_of(await sent(conversation, shared, new))
        await conversation.trim(2)
        await cleaned(store)
        assert await counted(store) == (2, 2, 2)
        assert [await content_of(store, each.file_id) for each in kept] == [noise(3_000), noise(4_000)]

    async def test_withdrawn_and_rolled_back_is_gone(self, store: Store, conversation: Conversation) -> None:
        await conversation.start("first", parts=(part(await keep(store)),))
        waiting = await conversation.send(parts=(part(await keep(store, noise(2_000))),))
        await conversation.withdraw(waiting.turn.id)
        assert await counted(store) == (1, 2, 2)
        await conversation.send("instead", mode="rollback")
        await cleaned(store)
        assert await counted(store) == (0, 0, 0)

    async def test_erased_with_its_session(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        await sent(conversation, *[await keep(store, noise(1_000 + number)) for number in range(10)])
        unsent = await keep(store, noise(999))
        await store.write(erasing.remove, conversation.id, "ann", meter)
        while not (await store.write(erasing.erase, conversation.id, 4)).last:
            pass
        await store.write(erasing.forget, conversation.id)
        await cleaned(store)
        assert await counted(store) == (1, 1, 1)
        assert await content_of(store, unsent.id) == noise(999)

    async def test_what_nobody_sends_goes_after_a_day(self, store: Store, conversation: Conversation) -> None:
        kept = await keep(store)
        await sent(conversation, kept)
        unused = await keep(store, noise(2_000))
        mine = attachments(store)
        await store.write(age, 23 * HOUR_US)
        await mine.sweep()
        assert (await mine.get("ann", unused.id)).id == unused.id
        await store.write(age, HOUR_US)
        await mine.sweep()
        with pytest.raises(FileNotFound):
            await mine.get("ann", unused.id)
        await mine.clean()
        assert await counted(store) == (1, 1, 1)
        assert await content_of(store, kept.id) == png()

    async def test_nothing_goes_by_a_clock_that_jumped(self, store: Store) -> None:
        kept = await keep(store)
        elapsed = 10 * HOUR_US
        boot = Boot("boot", lambda: elapsed)
        await store.write(files.sweep, boot, 24 * HOUR_US, HOUR_US, 10)
        await store.write(age, 25 * HOUR_US)
        elapsed -= 2 * HOUR_US  # the wall clock has gone further than the machine has run
        swept = await store.write(files.sweep, boot, 24 * HOUR_US, HOUR_US, 10)
        if store.shared:  # PostgreSQL's clock is one for all
            assert swept.count == 1
        else:
            assert (swept.count, swept.jumped_s > 7_000) == (0, True)
            assert (await attachments(store).get("ann", kept.id)).id == kept.id

    async def test_what_a_dead_process_was_writing_goes_after_an_hour(self, store: Store) -> None:
        new = NewFile(owner="ann", name="x", media_type="image/png", size=10, digest="d", tokens=1)
        content_id = await store.write(files.begin, new, 1 << 30)
        assert isinstance(content_id, str)
        await store.write(file_contents.put, content_id, 0, b"0123456789")
        mine = attachments(store)
        await mine.sweep()
        await mine.clean()
        assert await counted(store) == (0, 1, 1)
        await store.write(age, HOUR_US + 1)
        await mine.sweep()
        await mine.clean()
        assert await counted(store) == (0, 0, 0)

    async def test_a_name_can_be_found_until_it_is_gone(self, store: Store, conversation: Conversation) -> None:
        await sent(conversation, await keep(store, name="Rumpelstilzchen.png"), text="")
        found = await find(store, "ann", "rumpelst", Filters(), limit=10)
        assert [hit.snippet for hit in found.data] == ["<mark>Rumpelstilzchen</mark>.png "]

    async def test_damage_is_detected(self, store: Store) -> None:
        for seed, number in enumerate((1, 0, 2)):
            kept = await keep(store, noise(3 * PIECE_BYTES, seed))
            await store.write(lose, number)
            with pytest.raises(Corrupted):
                await content_of(store, kept.id)
        kept = await keep(store, noise(1_000))
        content_id = await store.write(file_contents.ready, "ann", kept.digest)
        assert content_id is not None
        await store.write(spoil, content_id)
        with pytest.raises(Corrupted):
            await content_of(store, kept.id)

    async def test_what_comes_in_takes_over_what_is_the_owners(self, store: Store, conversation: Conversation) -> None:
        mine, used, foreign = await keep(store), await keep(store, noise(2_000)), await keep(store, owner="bob")
        await sent(conversation, used)
        fork = (await new_session(store)).session.id
        carried = [Carried(new_id("fil"), each.id, new_id("msg")) for each in (mine, used, foreign)]
        await store.write(attaching.take_over, fork, carried)
        assert await content_of(store, carried[0].file_id) == png()
        assert await content_of(store, carried[1].file_id) == noise(2_000)
        assert await content_of(store, used.id) == noise(2_000)
        for gone in (mine.id, carried[2].file_id):
            with pytest.raises(FileNotFound):
                await content_of(store, gone)
        assert await content_of(store, foreign.id, "bob") == png()
