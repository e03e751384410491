"""Prints what our fold makes of many sequences of events, as JSON: what the TypeScript client's fold is held against.

``[{"events": [{"type", "data"}], "state"}]``; each begins with a state, as every stream does.
"""

import sys
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from legato.core.events import Event, Snapshot, encode_data
from legato.core.fold import Fold
from legato.core.model import State
from tests.support.strategies import events, states

_COUNT: Final = 400


def vectors() -> list[Any]:
    found: list[Any] = []

    @settings(
        max_examples=_COUNT,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(states, st.lists(events, max_size=20))
    def gather(begun: State, told: list[Event]) -> None:
        all_of_it: list[Event] = [Snapshot(state=begun), *told]
        state = Fold().apply_all(all_of_it).state()
        found.append({"events": [_told(event) for event in all_of_it], "state": state})

    gather()
    return found


def _told(event: Event) -> dict[str, Any]:
    return {"type": event.event, "data": msgspec.Raw(encode_data(event))}


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(vectors()))
