"""Events folded into the state they describe."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.events import (
    ErrorEvent,
    Event,
    MessageEvent,
    Reset,
    SessionEvent,
    Snapshot,
    StatusUpdate,
    Token,
    TokenKind,
    ToolCall,
    ToolResult,
    TurnEvent,
    Warning,
)
from legato.core.fold import Fold
from legato.core.model import (
    Part,
    ReasoningPart,
    State,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from tests.support import story
from tests.support.story import ANSWER, NOW, QUESTION, TURN
from tests.support.strategies import events, split, texts

OPEN: list[Event] = [SessionEvent(story.session()), *story.opening()]


def folded(*told: Event, on: Fold | None = None) -> Fold:
    return (on or Fold().apply_all(OPEN)).apply_all(told)


def parts(fold: Fold) -> tuple[Part, ...]:
    answer = fold.message(ANSWER)
    assert answer is not None
    return answer.parts


def token(text: str, part: int = 0, kind: TokenKind = "text") -> Token:
    return Token(TURN, ANSWER, part, kind, text)


def waiting(number: int, *, rank: int) -> list[Event]:
    turn = story.turn(id=f"trn_{number}", message_id=f"msg_{number}", rank=rank)
    said = msgspec.structs.replace(story.question(), id=turn.message_id, turn_id=turn.id, status="queued")
    return [MessageEvent("added", said.id, said), TurnEvent(turn)]


@pytest.mark.promise("E-01")
def test_a_snapshot_taken_anywhere_and_what_comes_after_it_is_the_whole() -> None:
    told: list[Event] = [SessionEvent(story.session()), *story.whole()]
    whole = Fold().apply_all(told).state()

    for taken in range(1, len(told)):
        state = Fold().apply_all(told[:taken]).state()
        assert Fold(state).apply_all(told[taken:]).state() == whole
    assert whole.messages[-1].parts == (
        TextPart("".join(story.PIECES)),
        ToolCallPart("call_1", "weather", '{"city":"京都"}'),
        ToolResultPart("call_1", "☀️"),
        TextPart("".join(story.AFTER_TOOL)),
    )


@pytest.mark.promise("E-01")
@given(texts.flatmap(lambda text: st.tuples(st.just(text), split(text))), st.sampled_from(["text", "reasoning"]))
def test_tokens_come_to_their_text_however_it_was_cut(told: tuple[str, list[str]], kind: TokenKind) -> None:
    text, pieces = told
    fold = folded(*[token(piece, kind=kind) for piece in pieces])

    assert parts(fold) == ((ReasoningPart if kind == "reasoning" else TextPart)(text),)


@given(st.lists(events, max_size=12))
def test_whatever_the_order_a_fold_goes_on(told: list[Event]) -> None:
    fold = Fold(State(session=story.session())).apply_all(told)

    state = fold.state()

    assert Fold(state).state() == state


@given(st.lists(events, max_size=12), st.integers(0, 12))
def test_looking_at_a_fold_changes_nothing(told: list[Event], at: int) -> None:
    watched, unwatched = Fold(State(session=story.session())), Fold(State(session=story.session()))
    watched.apply_all(told[:at])
    watched.state()
    watched.apply_all(told[at:])

    assert watched.state() == unwatched.apply_all(told).state()


def test_nothing_is_known_before_the_session_is() -> None:
    with pytest.raises(ValueError, match="nothing is known"):
        Fold().apply_all(story.whole()).state()


def test_what_was_never_seen_to_begin_changes_nothing() -> None:
    fold = Fold(State(session=story.session()))
    before = fold.state()

    folded(
        token("x"),
        ToolCall(TURN, ANSWER, 0, "call_1", "f", ""),
        Reset(TURN, ANSWER),
        Snapshot(message=story.answer(parts=(TextPart("x"),))),
        MessageEvent("removed", ANSWER),
        StatusUpdate(TURN, "planning"),
        story.ending()[0],
        on=fold,
    )

    assert fold.state() == before
    assert fold.message(ANSWER) is None


def test_arguments_stream_into_their_call() -> None:
    call = ToolCall(TURN, ANSWER, 0, "call_1", "weather", "")
    fold = folded(call, token('{"ci', kind="tool_arguments"), token('ty":1}', kind="tool_arguments"))

    assert parts(fold) == (ToolCallPart("call_1", "weather", '{"city":1}'),)


def test_a_result_is_not_lengthened_by_a_stray_token() -> None:
    fold = folded(ToolResult(TURN, ANSWER, 0, "call_1", "sun"), token("x"))

    assert parts(fold) == (ToolResultPart("call_1", "sun"),)


def test_a_call_told_again_replaces_what_was_said_of_it() -> None:
    call = ToolCall(TURN, ANSWER, 0, "call_1", "weather", "")
    fold = folded(call, token("{}", kind="tool_arguments"), call)

    assert parts(fold) == (ToolCallPart("call_1", "weather"),)


def test_parts_that_are_missing_before_one_are_empty_text() -> None:
    assert parts(folded(token("x", part=2))) == (TextPart(""), TextPart(""), TextPart("x"))


def test_a_reset_takes_back_the_parts_from_its_number_on() -> None:
    fold = folded(token("a"), token("b", part=1), token("c", part=2), Reset(TURN, ANSWER, 1), token("d", part=1))

    assert parts(fold) == (TextPart("a"), TextPart("d"))
    assert parts(folded(Reset(TURN, ANSWER), on=fold)) == ()


@pytest.mark.promise("E-03")
def test_a_reader_in_the_middle_of_compacted_tokens_ends_with_the_message() -> None:
    whole = story.answer(parts=(TextPart("Bonjour"), TextPart("!")))
    fold = folded(token("Bon"), Snapshot(message=whole))

    assert parts(fold) == whole.parts


def test_a_snapshot_of_the_state_replaces_everything() -> None:
    state = State(session=story.session(), has_more=True)

    assert folded(token("x"), Snapshot(state=state)).state() == state


def test_who_enters_the_history_becomes_its_end_and_who_leaves_hands_over_to_its_parent() -> None:
    fold = Fold().apply_all(OPEN)
    ends = [fold.state().leaf_id]
    for gone in (ANSWER, QUESTION):
        fold.apply(MessageEvent("removed", gone))
        ends.append(fold.state().leaf_id)

    assert ends == [ANSWER, QUESTION, None]
    assert fold.state().messages == ()


def test_a_circle_of_parents_is_walked_once() -> None:
    circle = msgspec.structs.replace(story.question(), parent_id=ANSWER)
    fold = folded(MessageEvent("changed", QUESTION, circle))

    assert sorted(message.id for message in fold.state().messages) == [QUESTION, ANSWER]


def test_a_message_off_the_branch_can_go_without_moving_its_end() -> None:
    again = msgspec.structs.replace(story.answer(), id="msg_again")
    fold = folded(MessageEvent("added", again.id, again), MessageEvent("removed", ANSWER))

    assert fold.leaf_id == again.id


def test_a_message_that_only_changes_stays_where_it_is() -> None:
    said = msgspec.structs.replace(story.question(), parts=(TextPart("Hello, you"),))
    fold = folded(MessageEvent("changed", QUESTION, said))

    assert [message.id for message in fold.state().messages] == [QUESTION, ANSWER]
    assert fold.state().messages[0] == said


def test_those_who_wait_follow_the_branch_in_the_order_of_their_turns() -> None:
    fold = folded(*waiting(1, rank=5), *waiting(2, rank=-9), *waiting(3, rank=7))

    state = fold.state()

    assert [message.id for message in state.messages] == [QUESTION, ANSWER, "msg_2", "msg_1", "msg_3"]
    assert [turn.id for turn in state.turns] == [TURN, "trn_2", "trn_1", "trn_3"]
    assert state.leaf_id == ANSWER


def test_a_waiting_retry_shows_no_message_twice() -> None:
    again = story.turn(id="trn_2", kind="retry")

    assert [message.id for message in folded(TurnEvent(again)).state().messages] == [QUESTION, ANSWER]


def test_the_end_of_a_turn_is_the_end_of_its_answer() -> None:
    fold = folded(StatusUpdate(TURN, "executing", "looking"), token("x"))
    assert (fold.turns[TURN].phase, fold.turns[TURN].detail) == ("executing", "looking")

    folded(*story.ending("incomplete", "length"), on=fold)
    turn, answer = fold.turns[TURN], fold.message(ANSWER)

    assert (turn.status, turn.reason, turn.phase, turn.detail) == ("incomplete", "length", None, None)
    assert answer is not None
    assert (answer.status, answer.usage) == ("incomplete", turn.usage)
    assert turn.usage is not None


def test_only_the_turn_that_ended_last_is_kept() -> None:
    fold = folded(*story.ending(), *waiting(2, rank=9))
    ended = msgspec.structs.replace(story.done("cancelled", "withdrawn"), turn_id="trn_2")

    assert list(folded(ended, on=fold).turns) == ["trn_2"]


def test_activity_never_goes_back() -> None:
    later, earlier = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    fold = folded(TurnEvent(story.turn(id="trn_2", created_at=later)))
    assert fold.state().session.last_activity == later

    folded(TurnEvent(story.turn(id="trn_3", created_at=earlier)), on=fold)
    assert fold.state().session.last_activity == later


def test_what_is_only_shown_changes_no_state() -> None:
    before = Fold().apply_all(OPEN).state()

    shown = (
        ErrorEvent(TURN, "agent_error", "no"),
        Warning(TURN, "slow", "slow"),
    )

    assert folded(*shown).state() == before


def test_an_overlay_tells_more_about_what_is_known_and_brings_nothing_else() -> None:
    fold = Fold(State(session=story.session(), messages=(story.question(), story.answer()), leaf_id=ANSWER))
    other = folded(token("more"))
    stranger = msgspec.structs.replace(story.answer(), id="msg_stranger")
    other.show(stranger)

    fold.overlay(other)

    assert parts(fold) == (TextPart("more"),)
    assert fold.message("msg_stranger") is None
    assert list(fold.turns) == [TURN]


def test_a_message_that_is_shown_has_no_place() -> None:
    fold = Fold(State(session=story.session()))
    fold.show(story.question())

    assert fold.state().messages == ()
    assert fold.message(QUESTION) == story.question()


def test_text_that_grows_costs_what_it_is_long() -> None:
    """n tokens cost n: their pieces are joined once, when somebody looks."""
    fold = folded(*[token("x") for _ in range(1000)])
    draft = fold.messages[ANSWER]

    assert draft.base.parts == ()
    assert parts(fold) == (TextPart("x" * 1000),)
