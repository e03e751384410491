"""What a client hands back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.core.cursor import Cursor, parse_cursor
from legato.core.errors import BadCursor

incarnations = st.text("0123456789abcdef", min_size=1, max_size=16)


@given(incarnations, st.integers(0, 10**18 - 1))
def test_what_is_written_is_read(incarnation: str, seq: int) -> None:
    cursor = Cursor(incarnation, seq)

    assert parse_cursor(str(cursor)) == cursor


@given(st.text())
def test_anything_else_is_refused(text: str) -> None:
    try:
        cursor = parse_cursor(text)
    except BadCursor:
        return
    assert text.startswith(f"{cursor.incarnation}.")
    assert cursor.seq == int(text.partition(".")[2])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        ".",
        "7f.",
        ".1",
        "7f.-1",
        "7F.1",
        "7f.1 ",
        "7f.1\n",
        "7f.1.1",
        "7f.\u0661",  # a digit, and not one of ours
        "7f." + "9" * 19,
        "a" * 17 + ".1",
    ],
)
def test_a_bad_cursor_says_so(text: str) -> None:
    with pytest.raises(BadCursor) as caught:
        parse_cursor(text)
    assert caught.value.code == "bad_cursor"
