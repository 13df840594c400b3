"""How well alarms are raised: recall of faults, false alarms per hour of healthy traffic, delay.

In: one `StreamResult` a stream. Out: a plain dictionary, ready for JSON. What is raised together is one alarm to who
is woken by it, so incidents are counted, and single alarms beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class StreamResult:
    """What was told of one stream.

    healthy_s : time in which nothing was wrong, the learning of the first minutes included
    false_incidents, false_alarms : opened, raised in that time
    has_fault : whether a fault came afterwards
    delay_s : from its onset to the first alarm raised since; None: none was, while it lasted
    first : the first alarm in words, for people
    """

    archetype: str
    seed: int
    healthy_s: float
    false_incidents: int
    false_alarms: int
    has_fault: bool
    delay_s: float | None = None
    first: str = ""


def score_streams(results: Sequence[StreamResult]) -> dict[str, Any]:
    """Score detection over streams.

    Returns
    -------
    dict
        `healthy_hours`, `false_incidents_per_hour`, `false_alarms_per_hour`; `fault_count`, `recall`,
        `delay_s` (median) and `delay_s_p90` of what was found; the same `by_archetype`; `streams`.
    """
    hours = sum(result.healthy_s for result in results) / 3600.0
    groups: dict[str, list[StreamResult]] = defaultdict(list)
    for result in results:
        if result.has_fault:
            groups[result.archetype].append(result)
    return {
        "healthy_hours": hours,
        "false_incidents_per_hour": sum(result.false_incidents for result in results) / hours if hours else None,
        "false_alarms_per_hour": sum(result.false_alarms for result in results) / hours if hours else None,
        **_found([result for group in groups.values() for result in group]),
        "by_archetype": {name: _found(groups[name]) for name in sorted(groups)},
        "streams": [{name: getattr(result, name) for name in StreamResult.__dataclass_fields__} for result in results],
    }


def _found(results: Sequence[StreamResult]) -> dict[str, Any]:
    delays = [result.delay_s for result in results if result.delay_s is not None]
    return {
        "fault_count": len(results),
        "recall": len(delays) / len(results) if results else None,
        "delay_s": float(np.median(delays)) if delays else None,
        "delay_s_p90": float(np.quantile(delays, 0.9)) if delays else None,
    }
