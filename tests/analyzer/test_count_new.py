"""Whether a batch shows anything new is counted before anything is looked for: the count against the plain rule."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.kernels.call_shapes import CLIENT, count_new

NODES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(-1, 30), st.integers(-1, 0), st.integers(-1, 0)),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(NODES)
def test_a_node_is_new_when_its_operation_or_its_call_has_no_row(nodes: list[tuple[int, int, int, int, int]]):
    """Operations without calls have no row and need none, unless they are calls; below a CLIENT no call is kept."""
    count = len(nodes)
    operation = np.array([node[0] for node in nodes], np.uint32)
    kind = np.array([node[1] for node in nodes], np.uint8)
    parent = np.array([min(node[2], at - 1) for at, node in enumerate(nodes)], np.int32)
    own, pair = (np.array([node[column] for node in nodes], np.int32) for column in (3, 4))
    children = [int(np.count_nonzero(parent == at)) for at in range(count)]
    child_ptr = np.cumsum([0, *children]).astype(np.int32)

    expected = 0
    for at in range(count):
        above = int(parent[at])
        alone = own[at] < 0 and (children[at] > 0 or kind[at] == CLIENT)
        called = pair[at] < 0 and above >= 0 and operation[above] != 0 and kind[above] != CLIENT
        expected += bool(operation[at] != 0 and (alone or called))

    assert expected == count_new(operation, kind, parent, child_ptr, own, pair)
