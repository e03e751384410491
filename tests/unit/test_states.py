"""Which status may follow which."""

from typing import get_args

import pytest

from legato.core.states import TERMINAL, TerminalStatus, TurnStatus, is_terminal, may_follow

STATUSES: tuple[TurnStatus, ...] = get_args(TurnStatus)


@pytest.mark.promise("R-05")
def test_a_terminal_status_is_never_left() -> None:
    ended = [status for status in STATUSES if is_terminal(status)]

    assert set(ended) == TERMINAL == set(get_args(TerminalStatus))
    assert [(before, after) for before in ended for after in STATUSES if may_follow(before, after)] == []


@pytest.mark.promise("R-05")
def test_every_status_leads_to_an_end() -> None:
    for start in STATUSES:
        reached, before = {start}, set[TurnStatus]()
        while reached != before:
            before = set(reached)
            reached |= {after for status in before for after in STATUSES if may_follow(status, after)}
        assert reached & TERMINAL


def test_the_table() -> None:
    follows = {before: {after for after in STATUSES if may_follow(before, after)} for before in STATUSES}

    assert follows["queued"] == {"in_progress", "completed", "cancelled"}
    assert follows["in_progress"] == TERMINAL
