"""Recorded steps: what an attempt is given of those that were before it (promise R-08)."""

import pytest

from legato.core.steps import Step, StepKind, Steps, encoded

pytestmark = pytest.mark.promise("R-08")


def done(number: int, asked: str, result: str, call_id: str | None = None, kind: StepKind = "step") -> Step:
    return Step(number=number, kind=kind, name="n", digest=asked, call_id=call_id, result=encoded(result))


def given(steps: Steps, asked: str, kind: StepKind = "step") -> str | None:
    step, known = steps.begin(kind, "n", asked)
    return step.value() if known else None


def test_the_same_is_given_in_its_order_and_once_wherever_an_attempt_begins() -> None:
    steps = Steps([done(0, "old", "", kind="stream"), done(1, "a", "first"), done(2, "b", ""), done(3, "a", "second")])
    assert [given(steps, asked) for asked in "aaab"] == ["first", "second", None, ""]
    assert steps.unsaved == [], "each has its place already"


@pytest.mark.parametrize("kind", ["stream", "step", "ask"])
def test_what_was_answered_before_counts_though_something_else_is_asked_first(kind: StepKind) -> None:
    steps = Steps([done(0, "old", "no", kind=kind), done(1, "a", "yes", kind=kind)])
    assert [given(steps, "new", kind), given(steps, "a", kind)] == [None, "yes"]


def test_what_is_new_has_a_place_of_its_own() -> None:
    steps = Steps([done(0, "a", ""), done(4, "b", "")])
    assert [steps.begin("step", "n", asked)[0].number for asked in ("c", "b", "d")] == [5, 4, 6]


@pytest.mark.parametrize("asked", ["pay 5", "pay 6"])
def test_a_call_has_no_other_one_s_result(asked: str) -> None:
    """Some servers number the calls of each answer anew."""
    recorded = [done(0, "pay 5", "paid 5", "1"), done(1, "pay 7", "paid 7", "2")]
    steps = Steps(recorded)
    step, known = steps.begin("step", "n", asked, "2")
    assert (step.call_id, known) == ("2", asked == "pay 5")
    stored = {each.number: each for each in [*recorded, *steps.unsaved, step]}
    assert [each.digest for each in stored.values() if each.call_id == "2"] == [asked]
    assert steps.begin("step", "n", "pay 7", "3")[0].value() == "paid 7"
