"""What `is_number` lets through, `int` reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.digits import DIGITS_MAX, is_number


@pytest.mark.parametrize("text", ["", "²", "١٢", "-1", "+1", "1_0", " 1", "1.0", "0x1", "9" * (DIGITS_MAX + 1)])
def test_what_only_looks_like_a_number_is_none(text: str):
    assert not is_number(text)


@given(
    st.text(st.characters(categories=("Nd", "No", "Nl", "Po")), max_size=6) | st.from_regex(r"\d{1,6}", fullmatch=True)
)
def test_int_reads_what_is_let_through(text: str):
    if is_number(text):
        assert str(int(text)).rjust(len(text), "0") == text
