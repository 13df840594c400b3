"""Bits and columns that the tree kernels write, as plain numbers.

`analyzer.forest.NodeFlag` and `Defect` are the words for them; forest imports the tree kernels, so the
numbers stand here a second time. tests/analyzer/test_forest.py holds the two equal.
"""

from __future__ import annotations

ORPHAN = 1 << 0
SELF_PARENT = 1 << 1
CYCLE_CUT = 1 << 2
NO_TIME = 1 << 3
NEGATIVE_DURATION = 1 << 4
SPLIT_ID = 1 << 5
SKEW_ADJUSTED = 1 << 6
DETACHED = 1 << 7
ERROR_LOG = 1 << 8
EXCEPTION_LOG = 1 << 9
OUTLIVES_PARENT = 1 << 10

DEFECT_SELF_PARENT = 0
DEFECT_CYCLE = 1
DEFECT_ROOTLESS = 2
DEFECT_MULTI_ROOT = 3
DEFECT_MISSING_PARENT = 4
DEFECT_DUPLICATE = 5
DEFECT_DUP_SPAN_ID = 6
DEFECT_NEGATIVE_DURATION = 7
DEFECT_NO_TIME = 8
DEFECT_TIME_OUT_OF_RANGE = 9
DEFECT_SKEW_ADJUSTED = 10
DEFECT_SKEW_INCONSISTENT = 11
DEFECT_MISSING_SERVICE = 12
DEFECT_BAD_TEXT = 13
DEFECT_BAD_PARENT_ID = 14
DEFECT_TRUNCATED = 15
DEFECT_LOG_WITHOUT_SPAN = 16
DEFECT_OWN_SCOPE = 17
DEFECT_MISSING_NAME = 18
