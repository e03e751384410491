"""What a transaction has to write is small, whatever the file says."""

import pytest

from legato.core.model import TextPart
from legato.transfer.arriving import arrive
from legato.transfer.records import (
    MessageLine,
    SessionLine,
    TurnLine,
)
from tests.transfer.making import lines, message, read, session, turn

pytestmark = pytest.mark.promise("S-13")


def test_no_piece_has_more_than_a_few_messages() -> None:
    """Of a turn or of none; a long message has a piece for itself."""
    many = [message(f"m{number}", TextPart("x")) for number in range(1_000)]
    apart = [message(f"n{number}", TextPart("x"), turn_id="gone") for number in range(1_000)]
    long = [message(f"l{number}", TextPart("x" * 60_000), turn_id="v", role="assistant") for number in range(5)]
    ended = (turn("t", message_id="m0", answer_id="m999"), turn("v", message_id="l0", answer_id="l1"))
    whole = lines(SessionLine(session()), *map(MessageLine, [*many, *apart, *long]), *map(TurnLine, ended))
    (conversation,), _ = read(whole)
    pieces = arrive(conversation, "demo").pieces
    assert sum(len(piece.messages) for piece in pieces) == 2_005
    assert max(len(piece.messages) for piece in pieces) <= 16
    assert max(piece.size for piece in pieces) < 100_000
    assert [len(piece.messages) for piece in pieces if piece.turn] == [1, 1]
    assert sum(piece.turn is not None for piece in pieces) == 2
