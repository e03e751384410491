"""Two servers on one PostgreSQL are one: what happens in one is seen, stopped, ended and continued in the other."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, time
from typing import NamedTuple

import anyio
import pytest
from anyio import to_thread

from legato.core.errors import TurnInProgress
from legato.core.events import Done, Token
from legato.core.model import Message, TextPart
from tests.process.checker import violations
from tests.process.history import History, Life, Numbers, SessionHistory
from tests.process.model_server import ModelServer
from tests.process.nursery import ForkedServer, Nursery
from tests.process.recorder import Access, Recorder, access, reading

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

UPSTREAM_CLOSED_S = 2.0  # G8
RESCUED_S = 15.0  # G5
RUNG_S = 1.0  # without a doorbell the other looks every five seconds
GRACE_S = 12.0  # G15: ten, and two


class Pair(NamedTuple):
    one: ForkedServer
    other: ForkedServer


@pytest.fixture
def pair(nursery: Nursery, model: ModelServer, new_postgresql: Callable[[], str], tmp_path: Path) -> Iterator[Pair]:
    url = new_postgresql()
    pair = Pair(*(ForkedServer(nursery, url, model.environment, log=tmp_path / f"{name}.log") for name in Pair._fields))
    with pair.one, pair.other:
        yield pair


class Ways(NamedTuple):
    """To each of the two, and the record of one session that was made in the first and is followed in the other."""

    one: Access
    other: Access
    session: Recorder


@asynccontextmanager
async def ways(pair: Pair) -> AsyncIterator[Ways]:
    async with access(pair.one.url) as one, access(pair.other.url) as other:
        yield Ways(one, other, Recorder(other, (await one.client.create_session()).id))


def judged(session: SessionHistory, *lives: Life) -> list[str]:
    return violations(History(sessions=(session,), lives=lives, shared=True))


@pytest.mark.promise("E-01", "E-03", "E-06", "X-09")
async def test_both_tell_the_same(pair: Pair) -> None:
    async with ways(pair) as (one, other, session):
        here, there = session.reader("here", through=one), session.reader("there", through=other)
        async with reading(here, there):
            first = await session.send(Numbers(1, 160), per_second=40, through=one)
            await there.until_type("token", 5)
            joined = session.reader("joined", after=here.cursor, through=other)  # with the other's cursor
            async with reading(joined):
                await session.ended(first.turn.id)
                await session.ended((await session.send(Numbers(101, 130), per_second=60, through=other)).turn.id)
                told = await session.history(through=one)
    assert judged(told) == []
    by_here, by_there, _ = told.readers
    assert [entry.data for entry in by_here.entries] == [entry.data for entry in by_there.entries]
    lags = [far.at - near.at for near, far in zip(by_here.entries, by_there.entries, strict=True)]
    assert median(lags) < RUNG_S


@pytest.mark.promise("R-04", "X-09")
async def test_cancel_from_the_other(pair: Pair, model: ModelServer) -> None:
    async with ways(pair) as (one, other, session):
        there = session.reader("there", through=other)
        async with reading(there):
            sent = await session.send(Numbers(1001, 9999), per_second=50, through=one)
            await there.until_type("token", 5)
            turn = await session.cancel(sent.turn.id, through=other)
            took_s = await to_thread.run_sync(model.wait_closed, "count 9999 from 1001 at 50/s")
            assert took_s <= UPSTREAM_CLOSED_S
            assert (turn.status, turn.reason) == ("cancelled", "cancelled")
            assert await session.cancel(sent.turn.id, through=one) == turn
            told = await session.history()
    assert judged(told) == []
    assert told.answers[0].text.startswith("1001 1002 1003 ")
    assert "count 9999 from 1001 at 50/s" in model.with_outcome("closed")


@pytest.mark.promise("R-05", "R-06", "E-02", "E-03", "X-09")
async def test_the_other_ends_what_a_killed_owner_began(pair: Pair) -> None:
    async with ways(pair) as (one, other, session):
        stays, moves = session.reader("stays", through=other), session.reader("moves", through=one)
        async with reading(stays):
            async with reading(moves):
                sent = await session.send(Numbers(1, 9999), per_second=50, through=one)
                await moves.until_type("token", 10)
                await to_thread.run_sync(pair.one.kill)
                killed_at = time()
            moves.move(other.http)
            async with reading(moves):
                with anyio.fail_after(60):
                    turn = await session.ended(sent.turn.id)
                assert (turn.status, turn.reason) == ("incomplete", "worker_lost")
                assert turn.finished_at is not None
                assert turn.finished_at.timestamp() - killed_at <= RESCUED_S
                assert (await session.ended((await session.again("continue", turn.id)).turn.id)).status == "completed"
                assert (await session.ended((await session.send(Numbers(1, 3))).turn.id)).status == "completed"
                told = await session.history()
        await to_thread.run_sync(pair.one.start)
        assert tuple(await one.client.messages(session.id)) == told.messages
    assert judged(told, Life(0.0, killed_at), Life(0.0, None)) == []
    assert told.answers[0].text.startswith("1 2 3 ")


@pytest.mark.promise("R-03", "R-05", "R-06", "E-01", "X-09")
async def test_an_owner_that_was_replaced_while_it_slept_can_not_write(pair: Pair, model: ModelServer) -> None:
    async with ways(pair) as (one, other, session):
        stays = session.reader("stays", through=other)
        async with reading(stays):
            sent = await session.send(Numbers(3001, 9999), per_second=50, through=one)
            await stays.until_type("token", 5)
            os.kill(pair.one.pid, signal.SIGSTOP)
            try:
                slept_at = time()
                with anyio.fail_after(60):
                    turn = await session.ended(sent.turn.id)
                assert (turn.status, turn.reason) == ("incomplete", "worker_lost")
                assert turn.finished_at is not None
                assert turn.finished_at.timestamp() - slept_at <= RESCUED_S
                meanwhile = await session.send(Numbers(1, 20), per_second=40, through=other)
                assert (await session.ended(meanwhile.turn.id)).status == "completed"
                running = await session.send(Numbers(5001, 9999), per_second=50, through=other)
                await stays.until_type("token", stays.count("token") + 5)
                assert "count 9999 from 3001 at 50/s" in model.with_outcome("running")
            finally:
                os.kill(pair.one.pid, signal.SIGCONT)
            took_s = await to_thread.run_sync(model.wait_closed, "count 9999 from 3001 at 50/s")
            assert took_s <= UPSTREAM_CLOSED_S
            assert (await one.client.turn(session.id, sent.turn.id)) == turn
            await stays.until_type("token", stays.count("token") + 50)  # the zombie would have spoken by now
            assert (await session.cancel(running.turn.id, through=one)).status == "cancelled"
            after = await session.send(Numbers(1, 40), per_second=40, through=one)
            assert (await session.ended(after.turn.id)).status == "completed"
            told = await session.history(through=one)
    assert judged(told, Life(0.0, slept_at), Life(0.0, None)) == []
    spoke = [(entry.seq, event.turn_id) for entry in told.journal if isinstance(event := entry.event(), Token)]
    [ended_at] = [e.seq for e in told.journal if isinstance(d := e.event(), Done) and d.turn_id == sent.turn.id]
    assert [seq for seq, turn_id in spoke if turn_id == sent.turn.id and seq > ended_at] == []


@pytest.mark.promise("R-01", "R-05", "E-03", "X-09")
async def test_a_process_that_is_told_to_stop_ends_its_turns_for_the_other(pair: Pair) -> None:
    async with ways(pair) as (one, other, session):
        moves = session.reader("moves", through=one)
        async with reading(moves):
            sent = await session.send(Numbers(1, 9999), per_second=50, through=one)
            await moves.until_type("token", 5)
            began = monotonic()
            await to_thread.run_sync(partial(pair.one.terminate, within_s=40))
            assert monotonic() - began <= GRACE_S
        moves.move(other.http)
        async with reading(moves):
            turn = await session.ended(sent.turn.id)
            assert (turn.status, turn.reason) == ("incomplete", "shutdown")
            assert (await session.ended((await session.again("continue", turn.id)).turn.id)).status == "completed"
            told = await session.history()
    assert judged(told) == []
    assert told.answers[0].text.startswith("1 2 3 ")


@pytest.mark.promise("R-03", "X-09")
async def test_one_queue_for_both(pair: Pair) -> None:
    async with ways(pair) as (one, other, session):
        sent = [
            await session.send(Numbers(start, start + 20), per_second=40, through=through)
            for start, through in ((100, one), (200, other), (300, one), (400, other))
        ]
        withdrawn = await one.client.withdraw(session.id, sent[3].turn.id)
        with pytest.raises(TurnInProgress):
            await session.send(Numbers(1, 2), mode="reject", through=other)
        turns = [await session.ended(each.turn.id) for each in sent]
        told = await session.history()
    assert judged(told) == []
    assert [turn.status for turn in turns] == ["completed"] * 3 + ["cancelled"]
    assert (withdrawn.status, withdrawn.reason) == ("cancelled", "withdrawn")
    finished = [turn.finished_at.timestamp() for turn in turns[:3] if turn.finished_at]
    assert finished == sorted(finished)
    assert [text_of(message) for message in told.messages[1::2]] == [answer.text for answer in told.answers[:3]]


@pytest.mark.promise("R-03", "R-04", "X-09")
async def test_interrupt_from_the_other(pair: Pair, model: ModelServer) -> None:
    async with ways(pair) as (one, other, session):
        there = session.reader("there", through=other)
        async with reading(there):
            first = await session.send(Numbers(2001, 9999), per_second=50, through=one)
            await there.until_type("token", 5)
            second = await session.send(Numbers(1, 20), mode="interrupt", through=other)
            took_s = await to_thread.run_sync(model.wait_closed, "count 9999 from 2001 at 50/s")
            assert took_s <= UPSTREAM_CLOSED_S
            ended = [await session.ended(sent.turn.id) for sent in (first, second)]
            told = await session.history(through=one)
    assert judged(told) == []
    assert [(turn.status, turn.reason) for turn in ended] == [("cancelled", "interrupted"), ("completed", "stop")]
    assert told.answers[0].text.startswith("2001 2002 2003 ")


@pytest.mark.promise("E-01", "S-01", "X-09")
async def test_what_one_was_told_the_other_knows(pair: Pair) -> None:
    async with access(pair.one.url) as one, access(pair.other.url) as other:
        for number in range(10):
            writer, reader = ((one, other), (other, one))[number % 2]
            session = await writer.client.create_session(title="before")
            assert (await reader.client.session(session.id)).state.session == session
            changed = await writer.client.update_session(session.id, title=f"after {number}")
            assert (await reader.client.sessions_page(limit=1)).data == [changed]
            sent = await writer.client.send(session.id, "count 3")
            view = await reader.client.session(session.id)
            assert view.cursor.seq > sent.cursor.seq
            assert sent.turn.message_id in [message.id for message in view.state.messages]
            answer = reader.client.watch(sent)
            await answer.result()
            assert answer.text == "1 2 3 "
            assert text_of((await writer.client.messages(session.id))[-1]) == "1 2 3 "


@pytest.mark.promise("E-01", "X-09")
async def test_a_history_never_goes_backwards(pair: Pair) -> None:
    async with ways(pair) as (one, other, session):
        sent = await session.send(Numbers(1, 60), per_second=60, through=one)
        seen: list[tuple[int, int]] = []
        while not seen or (await other.client.turn(session.id, sent.turn.id)).status != "completed":
            for way in (one, other):
                view = await way.client.session(session.id)
                seen.append((view.cursor.seq, sum(len(text_of(message)) for message in view.state.messages)))
        told = await session.history()
    assert seen == sorted(seen)
    assert len({length for _, length in seen}) > 3
    assert judged(told) == []


def text_of(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))
