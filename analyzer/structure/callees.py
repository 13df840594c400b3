"""Whom an operation always calls. In: what was learned of it. Out: the name of a service."""

from __future__ import annotations

from analyzer.pair_table import operation_name
from analyzer.spans import Vocabulary
from analyzer.structure.memory import StructureMemory


def usual_callee(memory: StructureMemory, operation: int, vocabulary: Vocabulary) -> str:
    """Return the one other service that nearly every clean execution of an operation calls; empty: none, several.

    So a call is known where span kinds are not written.
    """
    own = operation_name(vocabulary, operation)[0]
    called = {operation_name(vocabulary, callee)[0] for _, callee in memory.expected_calls(operation)}
    return called.pop() if len(called) == 1 and own not in called else ""
