"""What servers of many makers stream, told as deltas."""

import json
from typing import Any

import pytest

from legato.core.errors import ProviderCut, ProviderError, ProviderNonsense
from legato.providers.chunks import Chunks, decode_chunk
from legato.providers.decoding import error_message
from legato.providers.port import Delta, StopDelta, TextDelta, ToolCallDelta, UsageDelta

pytestmark = pytest.mark.promise("A-03")


def events(*chunks: dict[str, Any] | bytes) -> list[bytes]:
    return [chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode() for chunk in chunks]


def said(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


def call(**fields: Any) -> dict[str, Any]:
    return said(tool_calls=[fields])


def calls_of(deltas: list[Delta]) -> list[ToolCallDelta]:
    return [delta for delta in deltas if isinstance(delta, ToolCallDelta)]


def test_nothing_is_told_that_says_nothing() -> None:
    deltas = Chunks().read(
        events(
            said(role="assistant", content=""),
            said(content=None),
            {"choices": []},
            {"choices": [{}]},
            {},
            said(content="x"),
        )
    )

    assert deltas == [TextDelta("x")]


def test_a_refusal_is_an_answer() -> None:
    assert Chunks().read(events(said(refusal="I can't."))) == [TextDelta("I can't.")]


@pytest.mark.promise("R-12")
@pytest.mark.parametrize(("reason", "error"), [("error", ProviderError), ("abort", ProviderCut)])
def test_a_reason_to_stop_may_be_a_failure(reason: str, error: type[ProviderError]) -> None:
    interpreter = Chunks()
    last = {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": reason}]}

    assert interpreter.read(events(said(content="a"), last)) == [TextDelta("a"), TextDelta("b")]
    with pytest.raises(error):
        interpreter.read([])


@pytest.mark.promise("R-12")
@pytest.mark.parametrize("count", [2**63, -1])
def test_counts_that_no_database_could_hold_are_no_usage(count: int) -> None:
    interpreter = Chunks()
    interpreter.read(events({"usage": {"prompt_tokens": 3, "completion_tokens": count}}))

    assert interpreter.ending() == [StopDelta("stop")]


def test_nothing_after_done_is_read() -> None:
    interpreter = Chunks()

    assert interpreter.read(events(said(content="a"), b"[DONE]", said(content="b"))) == [TextDelta("a")]
    assert interpreter.finished


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4}, UsageDelta(9, 4, 0)),
        (
            {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 5}},
            UsageDelta(9, 4, 5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 6}, UsageDelta(9, 4, 6)),
        ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, UsageDelta(9, 0, 0)),
    ],
)
def test_usage_has_several_shapes_and_the_last_one_counts(usage: dict[str, Any], expected: UsageDelta) -> None:
    interpreter = Chunks()
    interpreter.read(events({"usage": {"prompt_tokens": 1, "completion_tokens": 1}}, {"usage": None}, {"usage": usage}))

    assert interpreter.ending() == [expected, StopDelta("stop")]


def test_an_ending_keeps_its_reason_and_claims_no_usage() -> None:
    interpreter = Chunks()
    interpreter.read(events({"choices": [{"delta": {}, "finish_reason": "content_filter"}]}))

    assert interpreter.ending() == [StopDelta("content_filter")]


def test_a_call_whose_id_is_repeated_is_one_call() -> None:
    deltas = Chunks().read(
        events(
            call(index=0, id="a", function={"name": "f", "arguments": "{"}),
            call(index=0, id="a", function={"name": "f", "arguments": "}"}),
        )
    )

    assert calls_of(deltas) == [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(0, "a", "f", "}")]


def test_calls_that_are_all_numbered_zero_are_several() -> None:
    deltas = Chunks().read(
        events(
            call(index=0, id="a", function={"name": "f", "arguments": "{}"}),
            call(index=0, id="b", function={"name": "g", "arguments": "{}"}),
        )
    )

    assert calls_of(deltas) == [ToolCallDelta(0, "a", "f", "{}"), ToolCallDelta(1, "b", "g", "{}")]


def test_a_call_without_an_id_gets_one_and_keeps_it() -> None:
    deltas = Chunks().read(events(call(function={"name": "f", "arguments": "{"}), call(function={"arguments": "}"})))

    first, second = calls_of(deltas)
    assert first.call_id == second.call_id != ""
    assert second.name == "f"


@pytest.mark.promise("R-12")
def test_a_failure_comes_after_the_deltas_before_it() -> None:
    interpreter = Chunks()

    assert interpreter.read(events(said(content="a"), b"{broken", said(content="b"))) == [TextDelta("a")]
    with pytest.raises(ProviderNonsense):
        interpreter.read([])


@pytest.mark.promise("R-12")
@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'{"choices": 1}', b'{"choices": [', b"[" * 100_000, b"\xff"])
def test_nonsense_is_told_from_chunks(data: bytes) -> None:
    with pytest.raises(ProviderNonsense):
        decode_chunk(data)


@pytest.mark.promise("R-12")
def test_torn_utf8_costs_a_character_and_not_the_answer() -> None:
    assert Chunks().read([b'{"choices":[{"delta":{"content":"a\xe2\x82b"}}]}']) == [TextDelta("a\ufffdb")]


@pytest.mark.promise("R-12")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "no room"}, "no room"),
        ({"detail": "no room"}, "no room"),
        ({"code": "no_room"}, "no_room"),
        ("no room", "no room"),
        ({"message": None}, "The model's provider failed."),
        ({"message": " "}, "The model's provider failed."),
        ([1], "The model's provider failed."),
    ],
)
def test_errors_have_several_shapes(error: object, expected: str) -> None:
    assert error_message(error) == expected
    with pytest.raises(ProviderError, match=expected.replace(".", r"\.")):
        Chunks().read(events({"error": error}))
