"""What the canary plants, and what is true of it.

    shop POST /checkout -> stock   POST /reserve -> database
                        -> payment POST /charge  -> bank POST /authorise
    shop GET /history   -> stock   GET /history  -> database

Every fault is one such request with one thing wrong. What is asked for is what a person would call a right answer:
the span (or, of a service that says nothing, the call to it) and the name to blame.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.findings import Answer
from collector import probe_traces
from collector.probe_traces import CLIENT, SERVER, PlannedSpan, PlantedTrace

PREFIX = "firstfault-canary-"
SHOP, STOCK, PAYMENT, BANK = (PREFIX + name for name in ("shop", "stock", "payment", "bank"))
JITTER = 0.08  # healthy requests take up to so much more or less
SLOW_MS = 800.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault and its truth.

    spans : what is sent
    origins : keys of spans of which one must be named first; empty: nothing may be found
    blamed : service (or peer) that must be named
    verdict : kind of trouble that must be told
    user_visible : whether the answer must say that the user saw it
    learned : healthy traces of this kind are sent before each: slow is what is rare, once it is known what is usual
    """

    name: str
    injected: str
    spans: tuple[PlannedSpan, ...]
    origins: tuple[str, ...] = ()
    blamed: str = ""
    verdict: str = "none"
    user_visible: bool = False
    learned: bool = False

    def plant(self, now_ns: int) -> PlantedTrace:
        """Make one; it ended at `now_ns`."""
        return probe_traces.plant(self.spans, now_ns)


@dataclass(frozen=True, slots=True)
class Truth:
    """What must be said of one trace that was planted; small enough to be kept for a day."""

    fault: str
    trace_id: str
    span_ids: tuple[str, ...]
    blamed: str
    verdict: str
    user_visible: bool

    def wrong(self, answer: Answer) -> str:
        """Say what is not right; "" when all is."""
        cause = answer.root_causes[0] if answer.root_causes else None
        if not self.span_ids:
            named = f" and names {cause.entity.name} ({cause.rule})" if cause is not None else ""
            return "" if answer.status == "clean" and cause is None else f"expected clean; found {answer.status}{named}"
        if cause is None or answer.status != "finding":
            return f"expected {self.blamed}; found {answer.status}, without a root cause"
        if self.blamed not in (cause.entity.name, cause.entity.service):
            return f"expected {self.blamed}; found {cause.entity.name} ({cause.rule})"
        if not set(self.span_ids) & {span.span_id for span in cause.origin_spans[:1]}:
            return f"{self.blamed} is named with another span than the one where it began ({cause.rule})"
        if answer.verdict != self.verdict:
            return f"expected the verdict {self.verdict}; found {answer.verdict} ({cause.rule})"
        if answer.user_visible != self.user_visible:
            return f"expected user_visible {self.user_visible}; found {answer.user_visible} ({cause.rule})"
        return ""


def truth_of(fault: Fault, planted: PlantedTrace) -> Truth:
    """What must be said of this trace."""
    origins = tuple(planted.span_ids[key] for key in fault.origins)
    return Truth(fault.name, planted.trace_id, origins, fault.blamed, fault.verdict, fault.user_visible)


def healthy(fault: Fault, count: int, now_ns: int, draw: random.Random) -> list[PlantedTrace]:
    """Make traces as they are without the fault, each a little faster or slower, over the last seconds."""
    plan = _HEALTHY[fault.spans[0].name]
    return [
        probe_traces.plant(plan, now_ns - number * 1_000_000, 1 + draw.uniform(-JITTER, JITTER))
        for number in range(count)
    ]


def _http(method: str, status: int = 0, **more: str | int) -> dict[str, str | int]:
    """Attributes of a request; without a status no answer came."""
    found: dict[str, str | int] = {"http.request.method": method}
    if status:
        found["http.response.status_code"] = status
    if status >= 400:
        found["error.type"] = str(status)
    return found | {key.replace("_", "."): value for key, value in more.items()}


def _root(route: str, end_ms: float, status: int = 200) -> PlannedSpan:
    method, path = route.split(" ")
    return PlannedSpan(
        "root", "", SHOP, route, SERVER, 0, end_ms, _http(method, status, http_route=path), error=status >= 500
    )


def _call(key: str, to: str, start_ms: float, end_ms: float, status: int = 200, by: str = SHOP) -> PlannedSpan:
    parent = "root" if by == SHOP else "charge"
    attributes = _http("POST", status, server_address=to)
    return PlannedSpan(key, parent, by, "POST", CLIENT, start_ms, end_ms, attributes, error=status >= 400)


def _silent(key: str, to: str, start_ms: float, end_ms: float, thrown: str, said: str) -> PlannedSpan:
    """A call that nobody answered."""
    attributes = _http("POST", server_address=to, error_type=thrown)
    return PlannedSpan(key, "root", SHOP, "POST", CLIENT, start_ms, end_ms, attributes, True, (thrown, said))


def _query(key: str, parent: str, name: str, start_ms: float, end_ms: float) -> PlannedSpan:
    return PlannedSpan(
        key,
        parent,
        STOCK,
        name,
        CLIENT,
        start_ms,
        end_ms,
        {"db.system.name": "postgresql", "db.namespace": PREFIX + "stock", "server.address": PREFIX + "db"},
    )


def _serve(
    key: str, parent: str, service: str, path: str, times: tuple[float, float], status: int = 200
) -> PlannedSpan:
    attributes = _http("POST", status, http_route=path)
    return PlannedSpan(key, parent, service, f"POST {path}", SERVER, *times, attributes, error=status >= 500)


def _reserve(begin_ms: float = 5, mark: str = "") -> tuple[PlannedSpan, ...]:
    return (
        _call("reserve" + mark, STOCK, begin_ms, begin_ms + 25),
        _serve("stock" + mark, "reserve" + mark, STOCK, "/reserve", (begin_ms + 2, begin_ms + 23)),
        _query("update" + mark, "stock" + mark, "UPDATE stock", begin_ms + 5, begin_ms + 20),
    )


def _charge(begin_ms: float = 40) -> tuple[PlannedSpan, ...]:
    return (
        _call("pay", PAYMENT, begin_ms, begin_ms + 50),
        _serve("charge", "pay", PAYMENT, "/charge", (begin_ms + 2, begin_ms + 48)),
        _call("ask", BANK, begin_ms + 10, begin_ms + 40, by=PAYMENT),
        _serve("authorise", "ask", BANK, "/authorise", (begin_ms + 12, begin_ms + 38)),
    )


def _history(query_ms: float = 15) -> tuple[PlannedSpan, ...]:
    return (
        _root("GET /history", query_ms + 25),
        _call("list", STOCK, 5, query_ms + 20),
        _serve("stock", "list", STOCK, "/history", (7, query_ms + 18)),
        _query("select", "stock", "SELECT orders", 10, query_ms + 10),
    )


def _deep_error() -> tuple[PlannedSpan, ...]:
    failed = ("CanaryError", "planted by firstfault canary")
    begun = _serve("authorise", "ask", BANK, "/authorise", (52, 78), 500)
    return (
        _root("POST /checkout", 100, 500),
        *_reserve(),
        _call("pay", PAYMENT, 40, 90, 500),
        _serve("charge", "pay", PAYMENT, "/charge", (42, 88), 500),
        _call("ask", BANK, 50, 80, 500, by=PAYMENT),
        PlannedSpan(
            begun.key, begun.parent, BANK, begun.name, SERVER, 52, 78, {**begun.attributes, "error.type": failed[0]},
            True, failed,
        ),
    )  # fmt: skip


def _retry() -> tuple[PlannedSpan, ...]:
    return (
        _root("POST /checkout", 118),
        _call("first", STOCK, 5, 12, 503),
        _serve("refused", "first", STOCK, "/reserve", (7, 10), 503),
        *_reserve(22, "-again"),
        *_charge(57),
    )


_CHECKOUT = (_root("POST /checkout", 100), *_reserve(), *_charge())
_HEALTHY = {"POST /checkout": _CHECKOUT, "GET /history": _history()}

FAULTS: tuple[Fault, ...] = (
    Fault(
        "deep_error",
        "the bank fails three calls below the shop; everybody above passes it on",
        _deep_error(),
        ("authorise",),
        BANK,
        "error",
        user_visible=True,
    ),
    Fault(
        "client_timeout",
        "the shop gives up on the stock after 300 ms; the stock says nothing",
        (
            _root("POST /checkout", 310, 504),
            _silent("reserve", STOCK, 5, 305, "TimeoutError", "timed out after 300 ms"),
        ),
        ("reserve",),
        STOCK,
        "error",
        user_visible=True,
    ),
    Fault(
        "refused_connection",
        "payment does not listen",
        (
            _root("POST /checkout", 50, 500),
            *_reserve(),
            _silent("pay", PAYMENT, 40, 41, "ConnectionRefusedError", "[Errno 111] Connection refused"),
        ),
        ("pay",),
        PAYMENT,
        "error",
        user_visible=True,
    ),
    Fault(
        "slow_call",
        f"one query deep below takes {SLOW_MS:.0f} ms more; nothing fails",
        _history(15 + SLOW_MS),
        ("select",),
        STOCK,
        "latency",
        user_visible=True,
        learned=True,
    ),
    Fault(
        "retry_recovers",
        "the stock answers 503 once; the second try succeeds",
        _retry(),
        ("refused",),
        STOCK,
        "error",
    ),
    Fault("clean", "nothing", _CHECKOUT),
)


def chosen(names: Sequence[str]) -> tuple[Fault, ...]:
    """Faults by their names; all when none is given.

    Raises
    ------
    ValueError
        A name is not known.
    """
    known: dict[str, Fault] = {fault.name: fault for fault in FAULTS}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"{unknown[0][:80]!r} is no fault of the canary; expected of {', '.join(known)}")
    return tuple(known[name] for name in names) or FAULTS
