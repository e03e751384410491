"""Prints what our fold makes of many sequences of events, as JSON: what the TypeScript client's fold is held against.

``[{"events": [{"type", "data"}], "state"}]``; each begins with a state, as every stream does.
"""

import sys
from typing import Any, Final

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from legato.core.events import ApprovalEvent, Done, Event, MessageEvent, Snapshot, UsageEvent, encode_data
from legato.core.fold import Fold
from legato.core.model import Gauge, Message, State
from tests.support.strategies import (
    approvals,
    errors,
    events,
    messages,
    names,
    sessions,
    states,
    terminal,
    texts,
    times,
    tokens,
    turns,
)

_COUNT: Final = 400
_gauges: Final = st.builds(Gauge, tokens, tokens)
#: What meets things that are there more often than any event at all does.
_telling: Final[st.SearchStrategy[Event]] = st.one_of(
    st.builds(
        lambda op, message, leaf: MessageEvent(op, message.id, message, leaf=leaf),
        st.sampled_from(["added", "changed"]),
        messages,
        st.booleans(),
    ),
    st.builds(
        UsageEvent,
        turn_id=names,
        prompt_tokens=tokens,
        completion_tokens=tokens,
        cached_tokens=tokens,
        total_tokens=tokens,
        cost_usd=st.none(),
        estimated=st.booleans(),
        gauge=st.none() | _gauges,
    ),
    st.builds(Done, names, terminal, st.just("stop"), times, st.none() | errors, st.none() | texts),
    st.builds(
        lambda turn, approval, at: ApprovalEvent(turn, msgspec.structs.replace(approval, decided_at=at)),
        names,
        approvals,
        st.none() | times,
    ),
    events,
)


def _chain(told: tuple[Message, ...]) -> tuple[Message, ...]:
    ids = ("a", "b", "c")
    parents = (None, *ids)
    return tuple(
        msgspec.structs.replace(message, id=own, parent_id=parent, status="in_progress")
        for message, own, parent in zip(told, ids, parents, strict=False)
    )


#: A branch of three messages, and turns that brought them, so that what is told shows.
_sound: Final = st.builds(
    State,
    session=sessions,
    messages=st.tuples(messages, messages, messages).map(_chain),
    turns=st.lists(turns, min_size=2, max_size=3, unique_by=lambda turn: turn.id).map(tuple),
    leaf_id=st.just("c"),
    has_more=st.booleans(),
    approvals=st.lists(approvals, max_size=2, unique_by=lambda approval: approval.id).map(tuple),
    gauge=st.none() | _gauges,
)


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
    @given(_sound | states, st.lists(_telling, min_size=8, max_size=20))
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
