"""When did it begin: drawn streams of a small shop, broken from a known trace on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.onset import find_onset

MS = 1_000_000
START_NS = 1_760_000_000_000_000_000
PAGE, CART, LEDGER, SEARCH = 1, 2, 3, 4
CHAIN = {PAGE: (-1, 4.0), CART: (0, 10.0), LEDGER: (1, 20.0)}  # operation -> (parent, own milliseconds)


def stream(count: int, seed: int, bad_from: int | None = None, fault: str = "") -> TraceFacts:
    """`count` requests: page -> cart -> ledger (log-normal own times); one in three is a search and stays as it is."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[int]] = {name: [] for name in ("parent", "operation", "own", "failed", "start", "missing")}
    ptr = [0]
    for trace in range(count):
        bad = bad_from is not None and trace >= bad_from
        operations = [SEARCH] if rng.random() < 1 / 3 else list(CHAIN)
        if fault == "absent" and bad and LEDGER in operations and rng.random() < 0.7:
            operations.remove(LEDGER)
        for operation in operations:
            parent, own_ms = CHAIN.get(operation, (-1, 8.0))
            slow = {"slow": 2.0, "very slow": 20.0}.get(fault, 1.0) if bad and operation == LEDGER else 1.0
            fails = rng.random() < (0.3 if fault == "errors" and bad and operation != SEARCH else 0.004)
            columns["parent"].append(ptr[-1] + parent if parent >= 0 else -1)
            columns["operation"].append(operation)
            columns["own"].append(int(own_ms * slow * rng.lognormal(0, 0.3) * MS))
            columns["failed"].append(int(fails))
            columns["start"].append(START_NS + trace * 250 * MS)
            columns["missing"].append(0)
        ptr.append(len(columns["operation"]))
    n = ptr[-1]
    own = np.array(columns["own"], np.int64)
    zeros = np.zeros(n, np.uint32)
    return TraceFacts(
        trace_ptr=np.array(ptr, np.int64),
        trace_id=np.arange(2 * count, dtype=np.uint64).reshape(count, 2),
        fatal=np.zeros(count, np.bool_),
        parent=np.array(columns["parent"], np.int32),
        operation=np.array(columns["operation"], np.uint32),
        service=np.array(columns["operation"], np.uint32),
        name=zeros,
        resource=zeros,
        peer=zeros,
        kind=np.full(n, 2, np.uint8),
        peer_kind=np.zeros(n, np.uint8),
        start_ns=np.array(columns["start"], np.int64),
        duration_ns=own,
        own_ns=own,
        critical_ns=own,
        failed=np.array(columns["failed"], np.bool_),
        weak=np.zeros(n, np.bool_),
        error_class=np.zeros(n, np.uint8),
        blame=np.zeros(n, np.float32),
        missing=np.array(columns["missing"], np.float32),
        flags=np.zeros(n, np.uint16),
    )


REFERENCE = stream(400, seed=0)


@pytest.mark.parametrize(
    ("fault", "signal", "within"),
    [("errors", "errors", 15), ("slow", "latency", 20), ("very slow", "latency", 4), ("absent", "structure", 6)],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_first_bad_trace_is_found(fault: str, signal: str, within: int, seed: int):
    found = find_onset(REFERENCE, stream(400, seed, bad_from=150, fault=fault))

    assert found is not None
    assert found.signals[0] == signal
    assert abs(found.index - 150) <= within
    assert found.at_ns == START_NS + found.index * 250 * MS


@pytest.mark.parametrize("fault", ["errors", "slow", "very slow", "absent"])
def test_a_stream_that_is_bad_from_the_first_on_began_with_it(fault: str):
    found = find_onset(REFERENCE, stream(300, seed=4, bad_from=0, fault=fault))

    assert found is not None
    assert found.index == 0
    assert found.at_ns == START_NS


def test_healthy_streams_have_no_onset():
    assert [find_onset(REFERENCE, stream(400, seed)) for seed in range(10, 40)] == [None] * 30


def test_the_order_in_which_traces_come_does_not_matter():
    bad = stream(300, seed=5, bad_from=100, fault="errors")
    mixed = bad.select(np.random.default_rng(1).permutation(bad.trace_count))

    assert find_onset(REFERENCE, mixed) == find_onset(REFERENCE, bad)


def test_a_few_bad_traces_in_the_reference_do_little_harm():
    """One in twenty of them is as slow as the fault."""
    tainted = stream(400, seed=0, bad_from=380, fault="very slow")
    found = find_onset(tainted, stream(300, seed=6, bad_from=120, fault="very slow"))

    assert found is not None
    assert abs(found.index - 120) <= 6


def test_nothing_to_compare_is_no_onset():
    """No trace at all, no reference, or entries that the reference does not know."""
    none = REFERENCE.select(np.zeros(REFERENCE.trace_count, np.bool_))
    bad = stream(100, seed=7, bad_from=0, fault="errors")
    unknown = replace(bad, operation=bad.operation + np.uint32(100))

    assert find_onset(REFERENCE, none) is None
    assert find_onset(none, bad) is None
    assert find_onset(REFERENCE, unknown) is None
