"""Where an error began: marks, blame that sums to one, and the story of one trace."""

from __future__ import annotations

from analyzer.kernels import blame, errors, propagation
from analyzer.kernels.failure_rules import NodeState
from analyzer.origins.marks import Blame, StringClasses, classify, spread_blame
from analyzer.origins.memory import PropagationMemory
from analyzer.origins.story import ErrorStory, explain_errors

__all__ = [
    "explain_errors",
    "ErrorStory",
    "PropagationMemory",
    "classify",
    "StringClasses",
    "spread_blame",
    "Blame",
    "NodeState",
    "warm",
]


def warm() -> None:
    """Load every kernel of the error topic from the cache, or compile it."""
    errors.warm()
    blame.warm()
    propagation.warm()
