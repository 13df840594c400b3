"""How right is an answer: rankings of known faults, scored; published methods on the same columns.

In: facts of a fault-free and a faulty window (`TraceFacts`), and, for scoring only, which services were broken.
Out: accuracy with intervals, calibration. Never reads a file, never shows a label to a method.
"""

from __future__ import annotations

from analyzer.evaluation.calibration import calibrate
from analyzer.evaluation.metrics import CaseResult, Label, mcnemar, strict_rank, summarise
from analyzer.evaluation.words import Method, Ranked, Scores

__all__ = ["CaseResult", "Label", "Method", "Ranked", "Scores", "calibrate", "mcnemar", "strict_rank", "summarise"]
