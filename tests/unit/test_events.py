"""Events and their bytes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.errors import Corrupted
from legato.core.events import (
    EVENT_TYPES,
    Event,
    Token,
    UsageEvent,
    decode_event,
    decode_lines,
    encode_data,
    encode_lines,
    split_lines,
)
from legato.core.model import Usage
from tests.support import story
from tests.support.strategies import events


@pytest.mark.promise("E-04")
def test_the_types_on_the_wire() -> None:
    promised = "token status_update usage done message turn session tool_call tool_result approval snapshot reset error warning"

    assert sorted(EVENT_TYPES) == sorted(promised.split())


@given(events)
def test_what_is_encoded_is_decoded(event: Event) -> None:
    data = encode_data(event)

    assert decode_event(event.event, data) == event
    assert decode_event(event.event, data.decode("utf-8")) == event
    assert b"\n" not in data
    assert b"\r" not in data


@given(st.lists(events, min_size=1, max_size=6), st.integers(1, 10**12))
def test_a_row_has_a_line_for_each_seq(told: list[Event], first_seq: int) -> None:
    payload = encode_lines(told)

    assert list(decode_lines(first_seq, payload)) == list(enumerate(told, first_seq))
    assert payload.count(b"\n") == len(told) - 1


def test_tombstones_keep_the_seqs_of_their_neighbours() -> None:
    one, other = (encode_lines([story.token(text)]) for text in ("one", "other"))

    assert list(decode_lines(7, b"\n" + one + b"\n\n" + other)) == [(8, story.token("one")), (10, story.token("other"))]
    assert list(split_lines(7, b"")) == []


def test_the_bytes_of_a_token() -> None:
    told = Token("trn_1", "msg_1", 0, "text", "é\u2028\r\n")

    assert encode_lines([told]) == (
        b'token {"turn_id":"trn_1","message_id":"msg_1","part":0,"kind":"text","text":"\xc3\xa9\xe2\x80\xa8\\r\\n"}'
    )


def test_fields_of_a_newer_server_are_ignored() -> None:
    data = msgspec.json.encode({**msgspec.to_builtins(story.token("x")), "colour": "red"})

    assert decode_event("token", data) == story.token("x")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("telegram", b"{}"),
        ("", b"{}"),
        ("token", b""),
        ("token", b"{}"),
        ("token", b"[]"),
        ("token", b"{"),
        ("token", b'{"turn_id":"t","message_id":"m","part":"0","kind":"text","text":""}'),
        ("done", b'{"turn_id":"t","status":"queued","reason":"","finished_at":"2026-01-01T00:00:00Z"}'),
        ("token", b'{"turn_id":"\xff","message_id":"m","part":0,"kind":"text","text":""}'),
    ],
)
def test_what_is_no_event_is_corrupted(name: str, data: bytes) -> None:
    with pytest.raises(Corrupted):
        decode_event(name, data)


def test_a_line_that_is_no_event_is_corrupted() -> None:
    with pytest.raises(Corrupted):
        list(decode_lines(1, b"\xff\xfe {}"))


def test_usage_as_the_model_has_it() -> None:
    told = UsageEvent(
        turn_id="trn_1",
        prompt_tokens=3,
        completion_tokens=4,
        cached_tokens=2,
        total_tokens=7,
        cost_usd=0.5,
        estimated=True,
    )

    assert told.usage() == Usage(3, 4, 2, 7, 0.5, True)
