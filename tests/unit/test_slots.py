"""A provider's places: background requests leave one to people, and whoever goes gives back what he held or waited for."""

import asyncio
from types import TracebackType

import anyio
import pytest
from anyio.abc import TaskGroup

from legato.providers.slots import Slots

pytestmark = [pytest.mark.anyio, pytest.mark.promise("R-15")]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def settle() -> None:
    """Everybody who may go on does."""
    for _ in range(20):
        await asyncio.sleep(0)


class Guest:
    """A request: ``inside`` once it has its place, until it is told to ``leave``; or ``go`` in mid-wait."""

    def __init__(self, slots: Slots, group: TaskGroup, *, background: bool) -> None:
        self.inside = False
        self._slots = slots
        self._background = background
        self._leaving = anyio.Event()
        self._scope = anyio.CancelScope()
        group.start_soon(self._stay)

    async def leave(self) -> None:
        self._leaving.set()
        await settle()

    async def go(self) -> None:
        """Cancelled, wherever it is."""
        self._scope.cancel()
        await settle()

    async def _stay(self) -> None:
        with self._scope:
            async with self._slots.taken(background=self._background):
                self.inside = True
                try:
                    await self._leaving.wait()
                finally:
                    self.inside = False


class House:
    """Guests of one provider; all are gone at its end."""

    def __init__(self, places: int | None) -> None:
        self._slots = Slots(places)
        self._group = anyio.create_task_group()

    async def guests(self, count: int, *, background: bool = False) -> list[Guest]:
        """So many more, one after the other."""
        come = []
        for _ in range(count):
            come.append(Guest(self._slots, self._group, background=background))
            await settle()
        return come

    async def __aenter__(self) -> "House":
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(kind, error, trace)


def inside(guests: list[Guest]) -> list[bool]:
    return [guest.inside for guest in guests]


async def test_without_a_limit_everybody_comes_in() -> None:
    async with House(None) as house:
        assert all(inside(await house.guests(20, background=True) + await house.guests(20)))


async def test_background_requests_leave_one_place_to_people() -> None:
    async with House(3) as house:
        patient = await house.guests(5, background=True)
        assert inside(patient) == [True, True, False, False, False]
        [person, second] = await house.guests(2)
        assert (person.inside, second.inside) == (True, False)
        await patient[0].leave()
        assert second.inside, "a person was before the background request that gets the next place"
        assert not patient[2].inside
        await person.leave()
        assert inside(patient) == [False, True, True, False, False]


async def test_people_take_all_places() -> None:
    async with House(3) as house:
        people = await house.guests(4)
        assert inside(people) == [True, True, True, False]
        [patient] = await house.guests(1, background=True)
        await people[0].leave()
        assert (people[3].inside, patient.inside) == (True, False)
        await people[1].leave()
        assert patient.inside


async def test_however_many_can_wait_no_more_than_one_is_before_a_person() -> None:
    async with House(2) as house:
        [first] = await house.guests(1)
        patient = await house.guests(10, background=True)
        assert inside(patient) == [True] + [False] * 9
        [person] = await house.guests(1)
        await first.leave()
        assert person.inside
        assert inside(patient) == [True] + [False] * 9


async def test_a_single_place_is_shared() -> None:
    async with House(1) as house:
        patient = await house.guests(3, background=True)
        assert inside(patient) == [True, False, False]
        [person] = await house.guests(1)
        await patient[0].leave()
        assert (person.inside, patient[1].inside) == (True, False), "of those that can wait none queues before a person"
        await person.leave()
        assert inside(patient) == [False, True, False]
        await patient[1].leave()
        assert inside(patient) == [False, False, True]


@pytest.mark.parametrize("places", [1, 2, 3])
@pytest.mark.parametrize("background", [True, False])
async def test_who_goes_while_waiting_or_inside_gives_everything_back(places: int, background: bool) -> None:
    async with House(places) as house:
        holding = await house.guests(places)
        waiting = await house.guests(3, background=background)
        assert inside(holding + waiting) == [True] * places + [False] * 3
        for guest in (waiting[0], waiting[2], holding[0]):  # at a gate, behind it, inside
            await guest.go()
        for guest in [*holding, waiting[1]]:
            await guest.go()
        patient = await house.guests(places, background=True)
        assert sum(inside(patient)) == max(1, places - 1)
        [person] = await house.guests(1)
        assert person.inside == (places > 1)
        for guest in [*patient, person]:
            await guest.go()
        assert inside(await house.guests(places)) == [True] * places


async def test_who_fails_inside_gives_his_place_back() -> None:
    slots = Slots(1)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="the stream broke"):
            async with slots.taken(background=True):
                raise RuntimeError("the stream broke")
    with anyio.fail_after(10):
        async with slots.taken(background=False):
            pass
