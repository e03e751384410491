"""The live list: hints about one's own sessions, each once, and none about anybody else's (promise E-06)."""

from functools import partial

import anyio
import pytest

from legato import Legato
from legato.engine import lists as engine_lists
from legato.engine.lists import Watcher
from tests.engine.talking import PATIENCE_S, Talk
from tests.http.puppets import Puppets

pytestmark = pytest.mark.anyio


async def hints_until(watcher: Watcher, session_id: str, wanted: str) -> list[str]:
    """What was hinted about a session, up to the wanted hint."""
    seen: list[str] = []
    while wanted not in seen:
        seen += [what for about, what in (await watcher.next(PATIENCE_S)).items() if about == session_id]
    return seen


@pytest.mark.promise("E-06")
async def test_the_life_of_a_session_is_hinted_to_its_owner_alone(chat: Legato, puppets: Puppets) -> None:
    lists = chat.engine.lists
    with lists.watch("ann") as ann, lists.watch("bob") as bob:
        assert await ann.next(0) == await bob.next(0) == {"": "refetch"}
        talk = await Talk.begin(chat.engine)
        await hints_until(ann, talk.id, "changed")
        turn = await talk.send()
        await hints_until(ann, talk.id, "running")
        puppet = await puppets.of(turn.id)
        puppet.say("Words, which interest no list.")
        puppet.end()
        await hints_until(ann, talk.id, "finished")
        await chat.engine.change_session("ann", talk.id, {"title": "Titled"})
        assert (await hints_until(ann, talk.id, "changed"))[-1] == "changed"
        await chat.engine.clear("ann", talk.id)
        await hints_until(ann, talk.id, "changed")
        assert await bob.next(0) == {}
    await talk.send()  # nobody watches any more


@pytest.mark.promise("E-06", "U-05")
async def test_a_question_is_hinted(chat: Legato, puppets: Puppets) -> None:
    """However long after its turn began an agent asks, an inbox hears of it."""
    talk = await Talk.begin(chat.engine)
    puppet = await puppets.of((await talk.send()).id)
    with chat.engine.lists.watch("ann") as watcher:
        while await watcher.next(0.3):
            pass  # what came with the turn's beginning
        puppet.do(partial(puppet.turn.ask, "Send?", tool="mail"))
        await hints_until(watcher, talk.id, "running")


async def test_who_is_slow_gets_each_session_once_and_at_worst_everything() -> None:
    watcher = Watcher("ann")
    assert await watcher.next(0) == {"": "refetch"}
    watcher.hint("ses_1", "running")
    watcher.hint("ses_1", "finished")
    assert await watcher.next(0) == {"ses_1": "finished"}
    for number in range(201):
        watcher.hint(f"ses_{number}", "changed")
    assert await watcher.next(0) == {"": "refetch"}


async def test_rings_are_gathered_and_a_lost_one_is_a_refetch(
    chat: Legato, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_lists, "_GATHER_S", 0.0)
    lists = chat.engine.lists
    other = await Talk.begin(chat.engine, owner="bob")
    lists.heard([talk.id])  # nobody watches
    with lists.watch("ann") as watcher:
        await watcher.next(0)
        lists.heard([talk.id])
        lists.heard([talk.id, other.id, "ses_gone"])
        assert await watcher.next(PATIENCE_S) == {talk.id: "changed"}
        lists.heard([talk.id])
        assert await watcher.next(PATIENCE_S) == {talk.id: "changed"}
        lists.heard(None)
        assert await watcher.next(0) == {"": "refetch"}


async def test_stop_wakes_who_waits(chat: Legato) -> None:
    with chat.engine.lists.watch("ann") as watcher:
        await watcher.next(0)
        async with anyio.create_task_group() as group:
            group.start_soon(watcher.next, PATIENCE_S)
            await anyio.wait_all_tasks_blocked()
            chat.engine.lists.stop()
