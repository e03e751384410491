"""``legato doctor``: what it says of damage, and what ``--rebuild`` does (promise X-06)."""

from typing import Any

import anyio
import pytest
from anyio import to_thread

from legato.store import quarantine, upgrade
from legato.store.opening import open_store
from legato.store.port import Store
from tests.http.test_command_line import legato
from tests.suites.store.damage import flip
from tests.support.attachments import keep, part, rot
from tests.support.conversation import Conversation

pytestmark = [pytest.mark.anyio, pytest.mark.promise("X-06")]


class _Patients:
    """Two sessions of a database: of one a message is damaged, of the other the journal."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.restorable = self.message_id = self.lost = ""

    async def fall_ill(self, store: Store) -> None:
        told = await Conversation.begin(store)
        turn = await told.answer("what was said", "Well?")
        other = await Conversation.begin(store)
        await other.answer("what is lost", "And?")
        await store.write(flip, "messages", told.id)
        await store.write(flip, "journal", other.id)
        self.restorable, self.message_id, self.lost = told.id, turn.answer_id or "", other.id

    async def doctor(self, *arguments: str) -> tuple[int, str]:
        """What it says, and whether all is well."""
        run = await to_thread.run_sync(lambda: legato("doctor", *arguments, "--database", self.url))
        assert run.stderr == ""
        return run.returncode, run.stdout


async def _in_store(url: str, work: Any) -> Any:
    store = open_store(url)
    await store.start()
    try:
        return await work(store)
    finally:
        await store.stop()


async def test_it_explains_restores_and_says_what_is_left(own_database: str) -> None:
    ill = _Patients(own_database)
    with anyio.fail_after(60):
        await _in_store(own_database, ill.fall_ill)
        before = await _in_store(own_database, lambda store: store.write(upgrade.incarnation))

        code, said = await ill.doctor()
        assert code == 1
        assert f"2 damaged sessions: {ill.restorable}, {ill.lost}" in said
        assert f"{ill.restorable}: not yet in quarantine" in said
        assert f"message {ill.message_id}: damaged; it is restored" in said
        assert "journal (lost) seq " in said
        assert "`--rebuild` restores all of it" in said
        assert "all of its 2 messages can be read, and exported" in said
        assert await _in_store(own_database, lambda store: store.write(upgrade.incarnation)) == before

        code, said = await ill.doctor("--rebuild", ill.restorable)
        assert code == 0, said
        assert "everything checks out: it takes turns again" in said
        assert ill.lost not in said
        assert await _in_store(own_database, lambda store: store.write(upgrade.incarnation)) != before

        code, said = await ill.doctor("--rebuild")
        assert code == 1
        assert f"1 damaged sessions: {ill.lost}" in said
        assert "it stays in quarantine" in said
        code, said = await ill.doctor()
        assert f"{ill.lost}: in quarantine" in said
        assert "`--rebuild` restores" not in said

        code, said = await ill.doctor("ses_of_nobody")
        assert (code, "ses_of_nobody: There is no such session." in said) == (1, True)


@pytest.mark.promise("S-18")
async def test_of_a_damaged_file_it_says_which_and_ends_a_quarantine_all_the_same(own_database: str) -> None:
    async def damage(store: Store) -> tuple[str, str]:
        told = await Conversation.begin(store)
        file = await keep(store)
        await told.send("Look", parts=(part(file),))
        await told.claimed()
        await told.finish()
        await store.write(rot, file.id)
        return told.id, file.id

    ill = _Patients(own_database)
    with anyio.fail_after(60):
        session_id, file_id = await _in_store(own_database, damage)
        code, said = await ill.doctor()
        assert (code, f"{session_id}: it takes turns, without" in said) == (1, True)
        assert f"file (lost) {file_id}: its bytes are damaged" in said

        await _in_store(own_database, lambda store: store.write(quarantine.mark, session_id, "page"))
        code, said = await ill.doctor()
        assert (code, "`--rebuild` ends its quarantine" in said) == (1, True)
        code, said = await ill.doctor("--rebuild")
        assert (code, "it takes turns again, without" in said, file_id in said) == (1, True, True)
        code, said = await ill.doctor()
        assert f"{session_id}: it takes turns, without" in said
