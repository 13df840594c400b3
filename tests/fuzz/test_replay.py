"""Fuzzing without a fuzzer: seeds, everything that was found before, and mutations that follow from a seed."""

from __future__ import annotations

import pytest
from numba.core import config

from tests.fuzz.__main__ import NAMES, load

MUTATIONS = {"protobuf": 500, "otlp_json": 2_000, "http_body": 500, "assembly": 40, "text": 4_000, "query": 500}


@pytest.mark.parametrize("name", NAMES)
def test_seeds_and_what_was_found_before(name: str):
    target = load(name)
    assert target.seeds

    for data in [*target.seeds, *target.found.values()]:
        target.check_shown(data)


@pytest.mark.parametrize("name", NAMES)
def test_mutations_of_a_fixed_seed(name: str):
    """The same inputs everywhere, so what fails here fails again."""
    load(name).mutated(MUTATIONS[name] // (20 if config.DISABLE_JIT else 1), seed=20261127)
