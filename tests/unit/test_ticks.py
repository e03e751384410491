"""When the wall clock of SQLite's machine can be trusted by whoever removes what is old (guarantee G11)."""

from hypothesis import given
from hypothesis import strategies as st

from legato.store.ticks import TOLERANCE_US, Boot, Ticks, following, this_boot

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
WINDOW_US = 24 * HOUR_US

jumps = st.sampled_from([0, 0, 0, 1, -1]).flatmap(
    lambda sign: st.sampled_from([MINUTE_US // 2, TOLERANCE_US, HOUR_US, 30 * 24 * HOUR_US]).map(lambda us: sign * us)
)
steps = st.lists(st.tuples(st.sampled_from([MINUTE_US, 5 * HOUR_US, WINDOW_US]), jumps), max_size=60)


def ticking(*ahead_us: int) -> Ticks:
    """A tick a minute."""
    ticks = None
    for number, ahead in enumerate(ahead_us):
        ticks = following(ticks, "boot", ahead, number * MINUTE_US, WINDOW_US)
    assert ticks is not None
    return ticks


@given(steps)
def test_what_is_younger_than_the_window_never_looks_older(steps: list[tuple[int, int]]) -> None:
    """Whenever the clock is trusted, nothing stamped within the window looks older than it is, but for the tolerance."""
    ticks, elapsed_us, ahead_us = None, 0, 0
    stamps: list[tuple[int, int]] = []
    for step_us, jump_us in steps:
        elapsed_us += step_us
        ahead_us += jump_us
        stamps.append((elapsed_us, ahead_us))
        ticks = following(ticks, "boot", ahead_us, elapsed_us, WINDOW_US)
        if ticks.sane:
            recent = [ahead for at, ahead in stamps if elapsed_us - at < WINDOW_US]
            assert ahead_us - min(recent) <= 2 * TOLERANCE_US


@given(steps)
def test_a_clock_that_goes_steadily_is_trusted_in_the_end(steps: list[tuple[int, int]]) -> None:
    ticks, elapsed_us, ahead_us = None, 0, 0
    for step_us, jump_us in [*steps, (WINDOW_US, 0), (WINDOW_US, 0)]:
        elapsed_us += step_us
        ahead_us += jump_us
        ticks = following(ticks, "boot", ahead_us, elapsed_us, WINDOW_US)
    assert ticks is not None
    assert ticks.sane


def test_a_clock_that_is_put_forward_is_not_trusted_until_it_is_back() -> None:
    assert ticking(0, 0).sane
    assert not ticking(0, HOUR_US).sane
    assert not ticking(0, HOUR_US, HOUR_US).sane
    assert ticking(0, HOUR_US, 0).sane


def test_a_clock_that_went_back_makes_nothing_look_old_until_it_is_put_right() -> None:
    assert ticking(0, -HOUR_US).sane
    assert not ticking(0, -HOUR_US, 0).sane


def test_a_clock_that_creeps_is_found_out() -> None:
    assert not ticking(*range(0, 10 * TOLERANCE_US, TOLERANCE_US // 2)).sane


def test_after_a_restart_of_the_machine_its_clock_is_believed() -> None:
    before = ticking(0, HOUR_US)
    assert not following(before, "boot", HOUR_US, 0, WINDOW_US).sane
    assert following(before, "another boot", 900 * HOUR_US, 0, WINDOW_US).sane


def test_a_boot_has_a_name_and_goes_on() -> None:
    boots: list[Boot] = [this_boot(), this_boot()]
    assert boots[0].id
    earlier = boots[0].elapsed_us()
    assert earlier <= boots[1].elapsed_us()
