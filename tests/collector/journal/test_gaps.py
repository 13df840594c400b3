"""What is missing is known by the numbers, whatever the order in which the rest is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.journal.gaps import Gaps


@given(st.integers(0, 10), st.lists(st.integers(1, 40)))
def test_gaps_are_what_a_set_says(passed: int, numbers: list[int]):
    """Below the newest, above what was passed; twice and backwards make no difference."""
    gaps = Gaps(passed)
    for number in numbers:
        gaps.see(number)

    assert gaps.count == len(set(range(passed + 1, max([passed, *numbers]) + 1)) - set(numbers))
