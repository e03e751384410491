"""Two failures within 30 seconds, and a model is left alone for 90."""

import pytest

from legato.providers.circuit import Circuit

pytestmark = pytest.mark.promise("A-05")


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def failing(*pauses_s: float) -> tuple[Clock, Circuit]:
    """A circuit after failures with these pauses before each."""
    clock = Clock()
    circuit = Circuit(clock)
    for pause_s in pauses_s:
        clock.now_s += pause_s
        circuit.failed()
    return clock, circuit


@pytest.mark.parametrize(
    ("pauses_s", "opens"),
    [((), False), ((0,), False), ((0, 0), True), ((0, 30), True), ((0, 30.1), False), ((0, 31, 29), True)],
)
def test_two_failures_in_half_a_minute_open_it(pauses_s: tuple[float, ...], opens: bool) -> None:
    _, circuit = failing(*pauses_s)

    assert circuit.open == opens


def test_it_is_open_for_90_seconds_however_many_still_fail_meanwhile() -> None:
    clock, circuit = failing(0, 0)
    clock.now_s += 89
    circuit.failed()
    states = [circuit.open]
    clock.now_s += 1
    states.append(circuit.open)
    circuit.failed()
    states.append(circuit.open)  # what failed while it was open does not count
    circuit.failed()
    states.append(circuit.open)

    assert states == [True, False, False, True]
