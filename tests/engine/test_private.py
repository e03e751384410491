"""The stage of an answer that nobody stores: what its reader gets, and what it refuses to do (promise R-14)."""

from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from legato.core.errors import Unavailable
from legato.core.events import Reset, StatusUpdate, ToolCall, ToolResult, TurnEvent
from legato.core.model import Turn
from legato.core.sse import Parser
from legato.engine.private import Private
from legato.providers.catalog import Catalog

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-14")]

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def answer() -> Private:
    turn = Turn(
        id="trn_1",
        session_id="ses_1",
        message_id="msg_1",
        answer_id="msg_2",
        agent_id="demo",
        status="in_progress",
        created_at=NOW,
    )
    return Private(turn=turn, catalog=Catalog(providers={}), locale=None)


async def taken(answer: Private) -> list[tuple[str, str]]:
    frames = await answer.next(0)
    assert frames is not None
    return [(frame.event, frame.data) for frame in Parser().feed(frames)]


async def test_words_thoughts_and_what_is_taken_back(answer: Private) -> None:
    answer.say("reasoning", "Hm.")
    answer.say("text", "Once \ud83c")
    answer.say("text", "\udfbc upon")
    answer.emit(StatusUpdate("trn_1", "planning"))
    answer.emit(Reset("trn_1", "msg_2"))
    answer.say("text", "Anew\x00")
    answer.end(None, in_time=True)
    told = await taken(answer)
    assert [event for event, _ in told] == [
        "warning",
        "token",
        "token",
        "token",
        "status_update",
        "reset",
        "token",
        "done",
    ]
    assert '"part":0,"kind":"reasoning","text":"Hm."' in told[1][1]
    assert '"part":1,"kind":"text","text":"Once "' in told[2][1]
    assert '"text":"🎼 upon"' in told[3][1]
    assert '"part":0,"kind":"text","text":"Anew�"' in told[6][1]
    assert '"status":"completed","reason":"degraded"' in told[-1][1]


async def test_what_must_be_on_disk_is_refused(answer: Private) -> None:
    refused: list[Any] = [
        ToolCall("trn_1", "msg_2", 0, "call_1", "weather", ""),
        ToolResult("trn_1", "msg_2", 0, "call_1", "sun"),
        TurnEvent(answer.state),
    ]
    for event in refused:
        with pytest.raises(Unavailable):
            answer.emit(event)
    for verb in (answer.open_part, answer.call, answer.open_call, answer.argue, answer.result):
        with pytest.raises(Unavailable):
            verb()
    for act in (answer.end_step, answer.ask):
        with pytest.raises(Unavailable):
            await act()
    with pytest.raises(Unavailable):
        await answer.begin_step("step", "pay", "digest")
    step, known = await answer.begin_step("stream", "openai:m", "digest")
    assert (step.name, known) == ("openai:m", False)
    await answer.keep_step(step)
    answer.answered_by("openai:n")
    assert answer.state.model_id == "openai:n"
    assert [event for event, _ in await taken(answer)] == ["warning"]


async def test_a_reader_who_is_slow_holds_its_agent_up_and_nobody_else(answer: Private) -> None:
    answer.say("text", "x" * 300_000)
    held = anyio.Event()

    async def speak() -> None:
        held.set()
        await answer.room()
        answer.say("text", "y")
        answer.end(None, in_time=True)
        answer.close()

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(speak)
            await held.wait()
            await anyio.lowlevel.checkpoint()
            assert [event for event, _ in await taken(answer)] == ["warning", "token"]
    assert [event for event, _ in await taken(answer)] == ["token", "done"]
    assert await answer.next(0) is None
