"""A search for many words at once finds what a search for each of them finds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.needles import Needles

WORDS = [b"password", b"pwd=", b"ASIA", b"eyJh", b"key\x12"]


@settings(deadline=None)
@given(st.binary(max_size=64), st.sampled_from([*WORDS, b"PassWord", b"asia", b"pass", b""]), st.binary(max_size=64))
def test_needles_are_found_as_the_plain_way_finds_them(before: bytes, word: bytes, after: bytes):
    data = before + word + after
    expected = any(one in data.lower() for one in (b"password", b"pwd=", b"key\x12")) or any(
        one in data for one in (b"ASIA", b"eyJh")
    )

    assert Needles([b"password", b"pwd=", b"key\x12"], [b"ASIA", b"eyJh"]).stand_in(data) == expected


def test_a_needle_that_is_too_short_is_said():
    with pytest.raises(ValueError, match="4 or more"):
        Needles([b"pwd"])
