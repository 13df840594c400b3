"""The pattern library: known kinds of failure, recognised in exceptions, codes, rules, shapes and times.

In: an answer and its exception facts. Out: `PatternMatch`es, the best first. To add a pattern, add it to the table of
its family, with a case that matches and a near miss in tests/analyzer/pattern_cases.py.
"""

from analyzer.errors.patterns.match import LIBRARY, match_patterns
from analyzer.errors.patterns.pattern import Pattern

__all__ = ["LIBRARY", "Pattern", "match_patterns"]
