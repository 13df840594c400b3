"""The simulator: labelled faults in drawn systems, written down as real instrumentations would.

In: an archetype, a seed, settings. Out: `SimulatedCase`: the spans of a fault-free baseline and of a window, and
beside them the truth (whose fault it is; in which span of each trace it began). Pure and seeded; it knows nothing of
the analyzer's rules, and no part of the analyzer imports it.
"""

from analyzer.simulator.archetypes import ARCHETYPES, TRUE_NEGATIVES
from analyzer.simulator.case import CaseSettings, SimulatedCase, SimulatedSpans
from analyzer.simulator.dialects import DIALECTS
from analyzer.simulator.draw import simulate_case
from analyzer.simulator.faults import GRANULARITIES
from analyzer.simulator.plan import plan_cases

__all__ = [
    "ARCHETYPES",
    "DIALECTS",
    "GRANULARITIES",
    "TRUE_NEGATIVES",
    "CaseSettings",
    "SimulatedCase",
    "SimulatedSpans",
    "plan_cases",
    "simulate_case",
]
