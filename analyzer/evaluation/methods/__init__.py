"""The methods of the evaluation by name: ours, and the published ones, a file each.

All of them work on the same columns (`TraceFacts`) of a fault-free and a faulty window, and on nothing else.
"""

from __future__ import annotations

from analyzer.evaluation.methods import (
    alert_counter,
    deepest_error,
    firstfault,
    max_z,
    micro_hecl,
    micro_rank,
    random_order,
    shapley_iq,
    simple_rca,
    trace_rca,
)
from analyzer.evaluation.words import Method, Rank, Ranked
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

OURS = "firstfault"


def all_methods() -> dict[str, Method]:
    """Return every method that can be run, ours first."""
    found = [
        _published("random", random_order.rank, False, "chance"),
        _published("max_z", max_z.rank, False, "the loudest service"),
        _published("alert_counter", alert_counter.rank, True, "most alerts"),
        _published("deepest_error", deepest_error.rank, False, "common practice"),
        _published("simple_rca", simple_rca.rank, True, "Fang et al., FSE 2026 (its rule-based baseline)"),
        _published("trace_rca", trace_rca.rank, True, "Li et al., IWQoS 2021"),
        _published("micro_rank", micro_rank.rank, True, "Yu et al., WWW 2021; Ochiai"),
        _published("shapley_iq", shapley_iq.rank, False, "Li et al., ASPLOS 2023"),
        _published("micro_hecl", micro_hecl.rank, True, "Liu et al., ICSE-SEIP 2021"),
    ]
    if firstfault.available():
        found.insert(0, Method(OURS, firstfault.judge, True, "this program"))
    return {method.name: method for method in found}


def _published(name: str, rank: Rank, can_abstain: bool, source: str) -> Method:
    def judge(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Ranked:
        return Ranked(rank(reference, window, vocabulary))

    return Method(name, judge, can_abstain, source)
