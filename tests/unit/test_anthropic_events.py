"""What Anthropic streams, told as deltas in our words."""

import json
from typing import Any

import pytest

from legato.core.errors import (
    ProviderBusy,
    ProviderError,
    ProviderNonsense,
    ProviderRefused,
    ProviderTimeout,
)
from legato.providers.anthropic_events import Events, decode_event
from legato.providers.port import Delta, ReasoningDelta, StopDelta, TextDelta, ToolCallDelta, UsageDelta
from legato.providers.refusal import may_pass

pytestmark = pytest.mark.promise("A-03")


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind} | fields).encode()


def began(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def more(index: int = 0, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


def text(said: str) -> bytes:
    return more(type="text_delta", text=said)


def ended(index: int) -> bytes:
    return event("content_block_stop", index=index)


def stopped(reason: str, **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, **({"usage": usage} if usage else {}))


def started(**usage: int) -> bytes:
    return event("message_start", message={"id": "msg_1", "content": [], "usage": usage})


END = event("message_stop")


def told(*events: bytes) -> list[Delta]:
    return Events().read(list(events))


def test_text_and_thoughts_are_told_apart_and_signatures_are_not_told() -> None:
    deltas = told(
        started(input_tokens=1),
        began(0, type="thinking", thinking="", signature=""),
        more(0, type="thinking_delta", thinking="Hm. "),
        more(0, type="signature_delta", signature="EqQBCgIYAhIM"),
        ended(0),
        began(1, type="redacted_thinking", data="EmwKAhgBEgy3va3pzix"),
        ended(1),
        event("ping"),
        began(2, type="text", text=""),
        more(2, type="text_delta", text="Hello"),
        more(2, type="citations_delta", citation={"type": "char_location"}),
        event("something_new", index=2),
        ended(2),
    )

    assert deltas == [ReasoningDelta("Hm. "), TextDelta("Hello")]


def test_what_a_block_begins_with_is_not_lost() -> None:
    assert told(began(0, type="text", text="Hel"), text("lo")) == [TextDelta("Hel"), TextDelta("lo")]


def test_tool_calls_come_in_pieces_of_json() -> None:
    deltas = told(
        began(0, type="text", text=""),
        text("Let me see."),
        ended(0),
        began(1, type="tool_use", id="toolu_1", name="weather", input={}),
        more(1, type="input_json_delta", partial_json=""),
        more(1, type="input_json_delta", partial_json='{"city": "Pa'),
        more(1, type="input_json_delta", partial_json='ris"}'),
        ended(1),
        began(2, type="tool_use", id="toolu_2", name="now", input={}),
        more(2, type="input_json_delta", partial_json=""),
        ended(2),
    )

    assert deltas == [
        TextDelta("Let me see."),
        ToolCallDelta(0, "toolu_1", "weather", ""),
        ToolCallDelta(0, "toolu_1", "weather", '{"city": "Pa'),
        ToolCallDelta(0, "toolu_1", "weather", 'ris"}'),
        ToolCallDelta(1, "toolu_2", "now", ""),
        ToolCallDelta(1, "toolu_2", "now", "{}"),
    ]


def test_what_the_server_calls_by_itself_is_no_call_of_ours() -> None:
    assert (
        told(
            began(0, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
            more(0, type="input_json_delta", partial_json='{"query": "wine"}'),
            ended(0),
        )
        == []
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
    ],
)
def test_reasons_to_stop_are_told_in_our_words(reason: str, expected: str) -> None:
    events = Events()
    events.read([stopped(reason), END])

    assert events.finished
    assert events.ending() == [StopDelta(expected)]


@pytest.mark.promise("R-11")
@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ({"input_tokens": 9, "output_tokens": 1}, {"output_tokens": 40}, UsageDelta(9, 40)),
        (
            {
                "input_tokens": 9,
                "cache_creation_input_tokens": 100,
                "cache_read_input_tokens": 1000,
                "output_tokens": 1,
            },
            {"output_tokens": 40},
            UsageDelta(1109, 40, 1000),
        ),
        ({}, {"input_tokens": 9, "cache_read_input_tokens": 5, "output_tokens": 40}, UsageDelta(14, 40, 5)),
        ({"input_tokens": 9}, {"input_tokens": 0, "output_tokens": 40}, UsageDelta(9, 40)),
    ],
)
def test_cached_and_written_tokens_are_tokens_of_the_prompt(
    first: dict[str, int], last: dict[str, int], expected: UsageDelta
) -> None:
    events = Events()
    events.read([started(**first), stopped("end_turn", **last), END])

    assert events.ending() == [expected, StopDelta("stop")]


@pytest.mark.promise("R-11", "R-12")
def test_an_answer_without_its_counts_claims_none_and_absurd_ones_are_none() -> None:
    silent, absurd = Events(), Events()
    silent.read([started(input_tokens=9, output_tokens=1), stopped("end_turn"), END])
    absurd.read([started(input_tokens=2**70), stopped("end_turn", output_tokens=3), END])

    assert silent.ending() == [StopDelta("stop")]
    assert absurd.ending() == [StopDelta("stop")]


@pytest.mark.promise("R-12")
@pytest.mark.parametrize(
    ("kind", "expected", "passes"),
    [
        ("overloaded_error", ProviderBusy, True),
        ("rate_limit_error", ProviderBusy, True),
        ("api_error", ProviderError, True),
        ("timeout_error", ProviderTimeout, True),
        ("invalid_request_error", ProviderRefused, False),
        ("authentication_error", ProviderRefused, False),
        ("billing_error", ProviderRefused, False),
        ("not_yet_invented", ProviderError, False),
        (None, ProviderError, False),
    ],
)
def test_an_error_comes_after_what_was_said_before_it(
    kind: str | None, expected: type[ProviderError], passes: bool
) -> None:
    events = Events()
    error = event("error", error={"type": kind, "message": "So it is."})

    assert events.read([text("a"), error, text("b")]) == [TextDelta("a")]
    with pytest.raises(ProviderError) as caught:
        events.read([])
    assert type(caught.value) is expected
    assert may_pass(caught.value) == passes
    assert "So it is." in caught.value.message or kind == "authentication_error"


@pytest.mark.promise("R-12")
@pytest.mark.parametrize("error", [None, "no", [1], {}, {"type": ["odd"]}])
def test_an_error_of_any_shape_is_one(error: object) -> None:
    with pytest.raises(ProviderError):
        told(event("error", error=error))


@pytest.mark.promise("R-12")
@pytest.mark.parametrize(
    "data",
    [b"", b"null", b"[]", b'{"type": 1}', b'{"type": "message_delta", "usage": 3}', b"[" * 100_000, b"\xff"],
)
def test_nonsense_is_told_from_events(data: bytes) -> None:
    with pytest.raises(ProviderNonsense):
        decode_event(data)


@pytest.mark.promise("R-12")
@pytest.mark.parametrize(
    "odd",
    [
        event("content_block_delta"),
        event("content_block_start"),
        event("message_start"),
        event("message_delta"),
        more(7, type="input_json_delta", partial_json="{}"),
        ended(7),
        event(""),
        b"{}",
    ],
)
def test_an_event_that_lacks_its_half_says_nothing(odd: bytes) -> None:
    assert told(odd, text("a")) == [TextDelta("a")]


def test_nothing_after_the_end_is_read() -> None:
    assert told(text("a"), END, text("b")) == [TextDelta("a")]


@pytest.mark.promise("R-12")
def test_half_a_pair_and_torn_utf8_cost_a_character_and_not_the_answer() -> None:
    half = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\\ud83c"}}'
    torn = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a\xe2\x82b"}}'

    assert told(half, torn) == [TextDelta("a\ud83c"), TextDelta("a\ufffdb")]


@pytest.mark.promise("R-07")
@pytest.mark.parametrize(
    ("unsent", "pieces", "expected"),
    [
        ("", [" two"], " two"),
        (" ", [" two", " three"], "two three"),
        (" ", ["two", " three"], "two three"),
        ("\n\n", ["\n", "\n", "Next"], "Next"),
        ("\n\n", ["\nNext", "\nlast"], "Next\nlast"),
        (" ", [" ", " ", "two"], " two"),
    ],
)
def test_white_space_that_a_prefill_could_not_end_with_is_not_said_twice(
    unsent: str, pieces: list[str], expected: str
) -> None:
    deltas = Events(unsent).read([text(piece) for piece in pieces])

    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == expected
    assert TextDelta("") not in deltas
