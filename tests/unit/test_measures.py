"""Measures of the last hour: what they tell, and that they forget."""

from hypothesis import given
from hypothesis import strategies as st

from legato.core.measures import MINUTES, Durations, Level, Spread, Tally


@given(st.lists(st.floats(0.0002, 500), min_size=1))
def test_a_quantile_lies_in_the_bucket_of_the_one_that_is_there(seconds: list[float]) -> None:
    measured = Durations()
    for each in seconds:
        measured.add(7, each)
    told = measured.total(7)
    assert told.count == len(seconds)
    assert told.max_s == max(seconds)
    for part, quantile in ((0.5, told.p50_s), (0.95, told.p95_s)):
        exact = sorted(seconds)[max(0, -(-int(part * 100 * len(seconds)) // 100) - 1)]
        assert exact / 1.51 <= quantile <= exact * 1.51
    assert list(measured.minutes(7)) == [(7, told)]


def test_after_an_hour_nothing_is_left() -> None:
    measured, counted = Durations(), Tally()
    measured.add(7, 1.0)
    counted.add(7, "stop")
    last = 7 + MINUTES - 1
    assert (measured.total(last).count, counted.total(last)) == (1, {"stop": 1})
    assert (measured.total(last + 1), counted.total(last + 1)) == (Spread(), {})
    measured.add(7 + MINUTES, 2.0)  # the same place in the ring
    assert [minute for minute, _ in measured.minutes(7 + MINUTES)] == [7 + MINUTES]


def test_a_level_is_known_where_nothing_changed() -> None:
    level = Level()
    level.change(3, 1)
    level.change(5, 1)
    level.change(5, -1)
    level.change(8, -1)
    assert level.minutes(9)[-8:] == [(2, 0), (3, 1), (4, 1), (5, 2), (6, 1), (7, 1), (8, 1), (9, 0)]
    assert len(level.minutes(9)) == MINUTES


def test_a_level_from_before_the_hour_is_known() -> None:
    level = Level()
    level.change(3, 2)
    assert {many for _, many in level.minutes(3 + 2 * MINUTES)} == {2}
