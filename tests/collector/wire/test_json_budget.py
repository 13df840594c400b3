"""Counting a JSON text before it is parsed: equal to counting what a parser made of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.wire.json_budget import count_json
from tests.support.naive import json_budget as naive

TEXT = st.text(alphabet=st.sampled_from('ab{}[],:"\\ é\n'), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("{}", (1, 1, 1)),
        ("[]", (0, 1, 1)),
        ("7", (0, 0, 0)),
        ('{"a": [1, 2, {"b": 3}]}', (2, 5, 3)),
        (r'{"a": "}{][,\"{"}', (1, 1, 1)),
        (r'["\\", {}]', (1, 3, 2)),
        ('{"a": 1, "a": 2}', (1, 2, 1)),
        ("[" * 50 + "]" * 50, (0, 50, 50)),
    ],
)
def test_drawn_texts(text: str, counts: tuple[int, int, int]):
    """Brackets and commas inside strings do not count."""
    assert count_json(text.encode()) == counts == naive.count_json(text.encode())


@given(TREES, st.sampled_from([None, 1]), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
def test_any_json_is_counted_as_its_twin_does(tree: object, indent: int | None, ascii_only: bool):
    text = json.dumps(tree, indent=indent, ensure_ascii=ascii_only).encode()

    assert count_json(text) == naive.count_json(text)


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
def test_any_bytes_are_survived(junk: bytes):
    """Whatever it says of them: the parser refuses them afterwards."""
    objects, values, deepest = count_json(junk)

    assert 0 <= objects <= values <= len(junk)
    assert 0 <= deepest <= values


@pytest.mark.parametrize("text", [b"", b'"', b'"\\', b"\\", b'{"a": "', b"}" * 10])
def test_texts_that_end_early(text: bytes):
    """The reader never looks behind the end."""
    assert count_json(text)[2] <= 1
