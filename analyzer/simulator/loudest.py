"""Which service shouts loudest: the plain rule that a root cause is the largest symptom.

In: spans of the two windows. Out: a service's name. Only used to say of a case whether it is easy.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import numpy as np

from analyzer.simulator.case import SimulatedSpans

_COUNT_MIN = 5


def loudest_service(baseline: SimulatedSpans, fault: SimulatedSpans) -> str:
    """Return the service with the largest z of a mean duration or of a share of failed spans; "" for none.

    The z of an operation (service, name, kind): its mean duration in the window against the baseline's mean and
    standard deviation, or its share of failed spans against the baseline's (0.5 % at least).
    """
    before, after = _operations(baseline), _operations(fault)
    best, name = 0.0, ""
    for key in sorted(after):
        if key not in before:
            continue
        durations, failed = np.array(after[key][0]), after[key][1]
        usual, usual_failed = np.array(before[key][0]), before[key][1]
        if len(durations) < _COUNT_MIN or len(usual) < _COUNT_MIN:
            continue
        slow = (durations.mean() - usual.mean()) / (usual.std() + 0.01 * usual.mean() + 1)
        share = max(usual_failed / len(usual), 0.005)
        failing = (failed / len(durations) - share) / sqrt(share * (1 - min(share, 0.99)))
        z = float(max(slow, failing))
        if z > best:
            best, name = z, key[0]
    return name


def _operations(spans: SimulatedSpans) -> dict[tuple[str, str, int], tuple[list[int], int]]:
    found: dict[tuple[str, str, int], tuple[list[int], int]] = {}
    rows: Iterable[tuple[str, str, int, int, bool]] = zip(
        spans.service,
        spans.name,
        spans.kind.tolist(),
        (spans.end_ns - spans.start_ns).tolist(),
        ((spans.status == 2) | _told(spans)).tolist(),
        strict=True,
    )
    for service, name, kind, duration, failed in rows:
        durations, count = found.get((service, name, kind), ([], 0))
        durations.append(duration)
        found[service, name, kind] = (durations, count + failed)
    return found


def _told(spans: SimulatedSpans) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool[n]: an exception, an error flag or a 5xx, whatever the status says."""
    told = [
        exception is not None
        or any(
            key == "error" or (key.endswith("status_code") and isinstance(value, int) and value >= 500)
            for key, value in attributes
        )
        for exception, attributes in zip(spans.exception, spans.attributes, strict=True)
    ]
    return np.array(told, np.bool_)
