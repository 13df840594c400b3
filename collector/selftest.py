"""`firstfault selftest`: send one failing trace, ask for its root cause, say whether the answer is right.

In: the address of an OTLP/gRPC receiver and of the query API, which may be a load balancer's. Out: an exit status: 0
only if the planted origin is named. `firstfault canary` does this with many faults, again and again.

    firstfault-selftest-shop POST /checkout        ERROR   500
      firstfault-selftest-shop POST                ERROR   500
        firstfault-selftest-payment POST /charge   ERROR   500  SelftestError   <- began here
"""

from __future__ import annotations

import sys
import time

from analyzer.findings import Answer
from collector import probe_traces
from collector.probe_traces import CLIENT, SERVER, PlannedSpan, PlantedTrace
from collector.probing import Doors, Keys, ProbeError, address
from collector.verdict_text import plain

NAME = "firstfault-selftest"
SHOP, PAYMENT = f"{NAME}-shop", f"{NAME}-payment"
ORIGIN = "charge"
_FAILED: dict[str, str | int] = {"http.request.method": "POST", "http.response.status_code": 500}
_TROUBLE = ("SelftestError", "planted by firstfault selftest")
SPANS = (
    PlannedSpan("root", "", SHOP, "POST /checkout", SERVER, 0, 100, {**_FAILED, "http.route": "/checkout"}, error=True),
    PlannedSpan("call", "root", SHOP, "POST", CLIENT, 5, 95, {**_FAILED, "server.address": PAYMENT}, error=True),
    PlannedSpan(
        ORIGIN, "call", PAYMENT, "POST /charge", SERVER, 10, 90, {**_FAILED, "http.route": "/charge"}, True, _TROUBLE
    ),
)


def selftest(otlp: str, query: str, timeout_s: float, keys: Keys) -> int:
    """Send, ask, compare, print.

    Parameters
    ----------
    otlp : str
        HOST:PORT of an OTLP/gRPC receiver; https://HOST:PORT with TLS.
    query : str
        Address of the query API.
    timeout_s : float
        For everything together; what refuses connections is tried again until then.
    keys : Keys
        For TLS.

    Returns
    -------
    int
        0: the answer is right; 1: it is wrong, or none came in time; 2: wrong use.
    """
    deadline = time.monotonic() + timeout_s
    planted = plant(time.time_ns())
    try:
        doors = Doors(address(otlp, 4317), address(query, 8080), keys, NAME)
        doors.send(planted.request, deadline)
        sys.stdout.write(plain(_judge(doors.ask(planted.trace_id, deadline), planted)) + "\n")
    except ProbeError as error:
        sys.stderr.write(plain(f"trace {planted.trace_id}: {error}") + "\n")
        return error.status
    return 0


def plant(now_ns: int) -> PlantedTrace:
    """Draw the failing trace; it ended at `now_ns`. Its ids are new each time."""
    return probe_traces.plant(SPANS, now_ns)


def _judge(answer: Answer, planted: PlantedTrace) -> str:
    """Compare with what was planted; the words for a right answer.

    Raises
    ------
    ProbeError
        Somebody else is named first, or nobody.
    """
    cause = answer.root_causes[0] if answer.root_causes else None
    if cause is None or answer.status != "finding":
        raise ProbeError(f"the answer is {answer.status}, without a root cause; expected {PAYMENT}")
    if cause.entity.service != PAYMENT or planted.span_ids[ORIGIN] not in [span.span_id for span in cause.origin_spans]:
        raise ProbeError(f"the answer names {cause.entity.name} ({cause.rule}); expected {PAYMENT}")
    return f"right: {PAYMENT} is named, {cause.probability:.0%} [{cause.rule}], trace {answer.trace_id}"
