"""Local variables in a report: those of the frames where the trouble began.

In: an answer, and the exceptions of its trace. Out: `VariablesAt`, the frame to look at first, first. Text from
telemetry is made safe to show; secrets were masked when it was read.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.errors.fingerprint import fact_at_origin
from analyzer.errors.frame_variables import first_of, place_of
from analyzer.errors.model import ExceptionFact
from analyzer.findings import Answer
from analyzer.reports.model import Variable, VariablesAt
from analyzer.words import shown

FRAMES_MAX = 5  # who needs more looks into the trace


def variables_at(answer: Answer, facts: Sequence[ExceptionFact]) -> list[VariablesAt]:
    """What stood in the frames of the exception at the origin; empty when its program sent none."""
    origin = fact_at_origin(answer, facts)
    first = first_of(origin) if origin is not None else None
    if origin is None or first is None:
        return []
    frames = [first, *(one for one in origin.variables if one is not first)]
    return [
        VariablesAt(
            location=shown(place_of(one)),
            function=shown(one.function),
            span_id=origin.span_id,
            variables=[Variable(name=shown(name), value=shown(value)) for name, value in one.variables],
            left_out=one.left_out,
        )
        for one in frames[:FRAMES_MAX]
    ]
