"""What the journal of an arrival tells is what the store holds, whatever the file says."""

import pytest

from legato.core.events import decode_lines
from legato.core.fold import Fold
from legato.core.model import TextPart
from legato.transfer.arriving import arrive
from legato.transfer.records import MessageLine, SessionLine, TurnLine
from tests.transfer.making import lines, message, read, session, turn

pytestmark = pytest.mark.promise("S-13")


def test_a_turn_does_not_end_the_answer_of_another_one() -> None:
    asked = [message("m1", TextPart("?")), message("m2", TextPart("?"), turn_id="u", parent_id="a1")]
    answer = message("a1", TextPart("!"), role="assistant", parent_id="m1", status="incomplete")
    turns = (
        turn("t", message_id="m1", answer_id="a1", status="incomplete"),
        turn("u", message_id="m2", answer_id="a1", status="completed"),
    )
    whole = lines(SessionLine(session()), *map(MessageLine, [asked[0], answer, asked[1]]), *map(TurnLine, turns))
    (conversation,), _ = read(whole)

    arrival = arrive(conversation, "demo")

    fold = Fold()
    for piece in arrival.pieces:
        fold.apply_all(event for _, event in decode_lines(1, piece.payload))
    for piece in arrival.pieces:
        for told in piece.messages:
            assert fold.message(told.id) == told
