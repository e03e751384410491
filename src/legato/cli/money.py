"""Amounts of money as people read them."""

import math
from typing import Final

_MOST_DIGITS: Final = 6


def dollars(amount: float) -> str:
    """``$12.30``, ``$0.0021``: cents, and of less than a dollar two digits that say something, down to millionths."""
    if amount >= 1:
        return f"${amount:,.2f}"
    least = 10**-_MOST_DIGITS
    if 0 < amount < least:
        return f"<${least:.{_MOST_DIGITS}f}"
    digits = 2 if amount <= 0 else min(_MOST_DIGITS, 1 - math.floor(math.log10(amount)))
    return f"${amount:.{max(2, digits)}f}"
