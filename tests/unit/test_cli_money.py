"""Amounts of money as the command line writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.cli.money import dollars


@pytest.mark.promise("H-06")
@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0.0, "$0.00"),
        (0.0021, "$0.0021"),
        (0.00213, "$0.0021"),
        (0.5, "$0.50"),
        (0.1234, "$0.12"),
        (0.0213, "$0.021"),
        (0.000_012_3, "$0.000012"),
        (0.000_001, "$0.000001"),
        (0.000_000_4, "<$0.000001"),
        (1.0, "$1.00"),
        (12.345, "$12.35"),
        (1_234_567.8, "$1,234,567.80"),
    ],
)
def test_dollars(amount: float, written: str) -> None:
    assert dollars(amount) == written


@given(st.floats(0, 1e9))
def test_no_amount_is_written_in_powers_of_ten_nor_far_from_what_it_is(amount: float) -> None:
    written = dollars(amount)
    assert set(written) <= set("<$,.0123456789")
    assert abs(float(written.strip("<$").replace(",", "")) - amount) <= max(0.006, amount / 10) or amount < 1e-6
    assert (float(written.strip("<$").replace(",", "")) > 0) == (amount > 0)
