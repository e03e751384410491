"""What was used: sums by day that are those of the turns, whoever ends them, and that outlive their sessions."""

import asyncio
import datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, update

from legato.core.errors import Invalid
from legato.core.events import TurnEvent
from legato.core.model import ContextInfo, Usage
from legato.core.spending import Sums, UsageReport, UsageRow
from legato.store import ending, erasing, sessions, spending, usage
from legato.store.ending import Ending
from legato.store.port import Store
from legato.store.schema import turns
from tests.support.conversation import Conversation, meter
from tests.support.spent import check_spent

DAY_US = 86_400_000_000
NOON_US = DAY_US // 2
FOUR = Usage(10, 4, 3, 14, 0.25)
CALLS = (("m:a", FOUR), ("m:b", FOUR))


async def told(store: Store, *by: Any, owner: str = "ann", **fields: Any) -> UsageReport:
    return await store.read(spending.report, owner, by or ("day",), **fields)


def sums(*calls: Usage, unpriced: int = 0, estimated: int = 0) -> dict[str, Any]:
    """What these calls are together."""
    return msgspec.structs.asdict(
        Sums(
            calls=len(calls),
            prompt_tokens=sum(call.prompt_tokens for call in calls),
            completion_tokens=sum(call.completion_tokens for call in calls),
            cached_tokens=sum(call.cached_tokens for call in calls),
            total_tokens=sum(call.total_tokens for call in calls),
            cost_usd=sum(call.cost_usd or 0.0 for call in calls),
            unpriced=unpriced,
            estimated=estimated,
        )
    )


def numbers(of: Sums) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Sums.__struct_fields__}


async def used(conversation: Conversation, *calls: tuple[str, Usage]) -> None:
    """A turn that called these models."""
    await conversation.start()
    await conversation.say("Hi")
    whole = calls[0][1]
    for _, call in calls[1:]:
        whole = Usage(*(one + other for one, other in zip(_all(whole), _all(call), strict=True)))
    await conversation.finish(usage=whole, calls=calls)


def _all(of: Usage) -> tuple[Any, ...]:
    return (of.prompt_tokens, of.completion_tokens, of.cached_tokens, of.total_tokens, of.cost_usd)


async def on(store: Store, day: int, *, agent: str = "demo", model: str | None = "m:a", kind: str = "turn") -> None:
    """A call at noon of a day (days since 1970)."""
    await store.write(usage.add, "ann", agent, model, kind, FOUR, day * DAY_US + NOON_US)


def as_if_imported(conn: Connection, turn_id: str) -> None:
    conn.execute(update(turns).where(turns.c.id == turn_id).values(epoch=None, start_seq=None, worker_id=None))


class Spending:
    @pytest.mark.promise("R-11")
    async def test_the_end_of_a_turn_counts_what_it_used(self, conversation: Conversation) -> None:
        await used(conversation, ("m:a", FOUR))
        await used(conversation, ("m:a", Usage(1, 1, 0, 2, None)))

        report = await told(conversation.store, "day", "agent", "model", "kind")
        (row,) = report.data
        assert numbers(row) == sums(FOUR, Usage(1, 1, 0, 2), unpriced=1)
        assert (row.agent_id, row.model_id, row.kind) == ("demo", "m:a", "turn")
        finished_at = (await conversation.state()).turns[0].finished_at
        assert finished_at is not None
        assert row.day == finished_at.date()
        assert row.session_id is msgspec.UNSET
        assert numbers(report.total) == numbers(row)
        assert not report.has_more

    @pytest.mark.promise("R-11")
    async def test_each_model_of_a_turn_has_its_own_sums(self, conversation: Conversation) -> None:
        await used(conversation, ("m:b", FOUR), ("m:a", Usage(1, 2, 0, 3, 0.5)), ("m:b", FOUR))

        report = await told(conversation.store, "model")
        assert [row.model_id for row in report.data] == ["m:b", "m:a"]
        assert numbers(report.data[0]) == sums(FOUR, FOUR)
        assert numbers(report.data[1]) == sums(Usage(1, 2, 0, 3, 0.5))

    @pytest.mark.promise("R-11")
    @pytest.mark.parametrize("how", ["cancel", "rescue", "rollback", "interrupt", "clear", "delete"])
    async def test_an_end_from_outside_counts_an_estimate(self, store: Store, how: str) -> None:
        conversation = await Conversation.begin(store, model_id="m:a")
        turn = (await conversation.start()).turn
        planned = ContextInfo(messages=1, tokens=10, dropped=0, budget=100)
        await conversation.tell(TurnEvent(msgspec.structs.replace(turn, context=planned)))
        await conversation.say("four")
        match how:
            case "cancel":
                await conversation.cancel(turn.id)
            case "rescue":
                await conversation.rescue(turn.id)
            case "clear":
                await conversation.clear()
            case "delete":
                await store.write(erasing.remove, conversation.id, "ann", meter)
            case _:
                await conversation.send("Next", mode=how)

        (row,) = (await told(store, "model")).data
        assert numbers(row) == sums(Usage(10, 4, 0, 14), unpriced=1, estimated=1)
        assert row.model_id == "m:a"

    @pytest.mark.promise("R-11")
    async def test_without_a_model_none_is_named_and_what_used_nothing_is_no_call(self, store: Store) -> None:
        conversation = await Conversation.begin(store, model_id="m:a")
        await conversation.answer("four")  # by an agent that called none
        waiting = (await conversation.send()).turn
        await conversation.withdraw(waiting.id)
        await conversation.start()
        await conversation.finish(usage=Usage(cost_usd=0.0))

        (row,) = (await told(store, "model")).data
        assert (row.model_id, row.calls) == (None, 1)

    @pytest.mark.promise("R-11")
    async def test_a_turn_counts_once_however_many_end_it(self, conversation: Conversation) -> None:
        turn = (await conversation.start()).turn
        await conversation.say("four")
        await conversation.finish()
        await conversation.finish()
        await conversation.rescue(turn.id)
        await conversation.cancel(turn.id)

        assert (await told(conversation.store)).total.calls == 1

    @pytest.mark.promise("R-11")
    async def test_endings_at_once_lose_nothing_and_never_wait_crosswise(self, store: Store) -> None:
        """Each calls two models, half of them in the other order."""
        one_way = Ending(status="completed", reason="stop", usage=Usage(20, 8, 6, 28, 0.5), calls=CALLS)
        other_way = msgspec.structs.replace(one_way, calls=CALLS[::-1])
        for _ in range(3):
            talks = [await Conversation.begin(store) for _ in range(12)]
            claims = [await talk.start() for talk in talks]
            ends = [
                store.write(ending.finish, talk.id, claimed.turn.id, claimed.epoch, how, meter)
                for talk, claimed, how in zip(talks, claims, [one_way, other_way] * 6, strict=True)
            ]
            assert all(await asyncio.gather(*ends))

        report = await told(store, "model")
        assert [numbers(row) for row in report.data] == [sums(*[FOUR] * 36)] * 2
        await store.read(check_spent, "ann")

    @pytest.mark.promise("R-11")
    async def test_sums_outlive_sessions_and_those_by_session_do_not(self, store: Store) -> None:
        gone, stays = await Conversation.begin(store), await Conversation.begin(store, title="Stays")
        for conversation in (gone, stays, stays):
            await used(conversation, ("m:a", FOUR))
        report = await told(store, "session")
        assert [(row.session_id, row.title, row.calls) for row in report.data] == [
            (stays.id, "Stays", 2),
            (gone.id, None, 1),
        ]
        assert numbers(report.total) == numbers((await told(store, "day")).total) == sums(FOUR, FOUR, FOUR)

        await store.write(erasing.remove, gone.id, "ann", meter)
        assert [row.session_id for row in (await told(store, "session")).data] == [stays.id]
        assert (await told(store, "day")).total.calls == 3

    @pytest.mark.promise("R-11")
    async def test_by_session_every_other_group_may_be_added(self, store: Store) -> None:
        conversation = await Conversation.begin(store, model_id="m:a")
        await used(conversation, ("m:a", FOUR))
        await conversation.answer("by no model")

        report = await told(store, "session", "day", "agent", "model", "kind")
        assert [(row.model_id, row.calls, row.unpriced, row.estimated) for row in report.data] == [
            ("m:a", 1, 0, 0),
            (None, 1, 1, 1),
        ]
        assert {(row.session_id, row.agent_id, row.kind) for row in report.data} == {(conversation.id, "demo", "turn")}
        day = await told(store, "day", "agent", "model", "kind")
        assert [numbers(row) for row in report.data] == [numbers(row) for row in day.data]
        assert {row.day for row in report.data} == {row.day for row in day.data}

    @pytest.mark.promise("R-11", "S-16")
    async def test_everybody_sees_his_own(self, store: Store) -> None:
        await used(await Conversation.begin(store, "ann"), ("m:a", FOUR))
        await used(await Conversation.begin(store, "bob"), ("m:a", FOUR), ("m:a", FOUR))

        for by in ("day", "session"):
            assert (await told(store, by, owner="ann")).total.calls == 1
            assert (await told(store, by, owner="bob")).total.calls == (2 if by == "day" else 1)
            for nobody in ("eve", "", "ann%", "\x00"):
                report = await told(store, by, owner=nobody)
                assert (report.data, numbers(report.total)) == ((), sums())

    @pytest.mark.promise("R-11")
    async def test_side_work_is_told_by_its_kind(self, store: Store) -> None:
        today = datetime.datetime.now(datetime.UTC).date().toordinal() - datetime.date(1970, 1, 1).toordinal()
        await on(store, today, kind="title")
        await on(store, today, kind="title")
        await on(store, today)

        report = await told(store, "kind")
        assert [(row.kind, row.calls) for row in report.data] == [("title", 2), ("turn", 1)]

    @pytest.mark.promise("R-11")
    async def test_days_are_included_at_both_ends_and_the_newest_comes_first(self, store: Store) -> None:
        day = datetime.date(2026, 2, 27)
        for offset in range(4):
            await on(store, 20_511 + offset)
        report = await told(store, first=day + datetime.timedelta(1), last=day + datetime.timedelta(2))
        assert [row.day for row in report.data] == [datetime.date(2026, 3, 1), datetime.date(2026, 2, 28)]
        assert (report.first, report.last) == (datetime.date(2026, 2, 28), datetime.date(2026, 3, 1))
        assert report.total.calls == 2
        with pytest.raises(Invalid):
            await told(store, first=day, last=day - datetime.timedelta(1))
        with pytest.raises(Invalid):
            await told(store, first=datetime.date.max)

    @pytest.mark.promise("R-11")
    async def test_midnight_in_utc_parts_the_days(self, store: Store) -> None:
        for at in (20_511 * DAY_US - 1, 20_511 * DAY_US):
            await store.write(usage.add, "ann", "demo", "m:a", "turn", FOUR, at)
        report = await told(store, first=datetime.date(2026, 1, 1), last=datetime.date(2026, 12, 31))
        assert [str(row.day) for row in report.data] == ["2026-02-27", "2026-02-26"]

    @pytest.mark.promise("R-11")
    async def test_without_days_they_are_the_last_thirty(self, store: Store) -> None:
        report = await told(store)
        changed = await (await Conversation.begin(store)).change(pinned=True)
        assert report.last == changed.session.created_at.date()
        assert (report.last - report.first).days == 29
        early = await told(store, last=datetime.date.min)
        assert (early.first, early.last) == (datetime.date.min, datetime.date.min)
        number = report.last.toordinal() - datetime.date(1970, 1, 1).toordinal()
        for offset in (0, 29, 30):
            await on(store, number - offset)
        assert (await told(store)).total.calls == 2

    @pytest.mark.promise("R-11")
    async def test_rows_are_bounded_and_the_total_is_not(self, store: Store) -> None:
        for number, agent in enumerate(("a", "b", "c")):
            for _ in range(number + 1):
                await on(store, 20_511, agent=agent)
        day = datetime.date(2026, 2, 27)
        report = await told(store, "agent", first=day, last=day, limit=2)
        assert [(row.agent_id, row.calls) for row in report.data] == [("c", 3), ("b", 2)], "what cost most comes first"
        assert report.has_more
        assert report.total.calls == 6
        assert not (await told(store, "agent", first=day, last=day, limit=3)).has_more

    @pytest.mark.promise("R-11")
    async def test_old_turns_count_on_the_day_when_they_ended(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        await used(conversation, ("m:a", FOUR))
        (row,) = (await told(store, "session", "day")).data
        assert isinstance(row, UsageRow)
        assert isinstance(row.day, datetime.date)
        before = row.day - datetime.timedelta(1)
        assert (await told(store, "session", first=before, last=before)).data == ()
        assert len((await told(store, "session", first=row.day, last=row.day)).data) == 1

    @pytest.mark.promise("R-11")
    async def test_turns_that_never_ran_here_are_not_counted(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        await used(conversation, ("m:a", FOUR))
        await used(conversation, ("m:a", FOUR))
        await store.write(as_if_imported, (await conversation.state()).turns[0].id)

        assert [row.calls for row in (await told(store, "session")).data] == [1]

    @pytest.mark.promise("S-11")
    async def test_stats_are_those_of_the_session(self, store: Store) -> None:
        conversation = await Conversation.begin(store)
        await used(conversation, ("m:a", FOUR))
        stats = await store.read(sessions.stats, conversation.id, "ann")
        (row,) = (await told(store, "session")).data
        assert stats.usage.total_tokens == row.total_tokens
        assert stats.usage.cost_usd == row.cost_usd
