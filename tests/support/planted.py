"""Load with planted faults: the oracle of every test of reliability.

    plan = Plan(seed=7)
    with Load(server, plan, rate=5_000) as load:
        ...                                        # kill, fill, hang, overload
    assert verify(server, plan, load.acked) == Verdict()
    conserve(server, load)

One trace in `EVERY` carries one of the error faults of the drawn shop, whose true origin is known; the others are
healthy. Which trace is which follows from seed and number, so whoever knows what was acknowledged knows what must be
answered. Requests are made of serialised drawings whose trace id is replaced: the generator costs next to nothing.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType

import grpc
import httpx

from tests.support.drawing import draw
from tests.support.running import Server
from tests.support.shop import FAULTS, HEALTHY, DrawnFault

EVERY = 50
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RETRY_KEYS = {"google.rpc.retryinfo-bin", "grpc-status-details-bin"}
REFUSED_PAUSE_S = 0.02  # a patient client would wait longer
_ID = b"\xf1" * 16  # stands for the trace id in a template


@dataclass(frozen=True)
class Shape:
    """A trace with `_ID` as its id."""

    payload: bytes
    span_count: int
    fault: DrawnFault | None


@cache
def _shapes() -> tuple[list[Shape], list[Shape]]:
    def shape(text: str, fault: DrawnFault | None) -> Shape:
        drawing = draw(text, _ID, seed=len(text))
        return Shape(drawing.requests()[0], len(drawing.spans), fault)

    return (
        [shape(text, None) for text in HEALTHY],
        [shape(fault.text, fault) for fault in FAULTS if fault.verdict == "error"],
    )


class Plan:
    """Every trace of a seed, by number."""

    def __init__(self, seed: int, every: int = EVERY) -> None:
        self._seed, self._every = seed, every

    def trace_id(self, number: int) -> bytes:
        return hashlib.blake2b(b"%d/%d" % (self._seed, number), digest_size=16).digest()

    def shape(self, number: int) -> Shape:
        clean, planted = _shapes()
        if number % self._every == 0:
            return planted[number // self._every % len(planted)]
        return clean[number % len(clean)]

    def fault(self, number: int) -> DrawnFault | None:
        return self.shape(number).fault

    def request(self, numbers: Iterable[int]) -> tuple[bytes, int]:
        """Whole traces in one request -> (bytes, spans). Protobuf merges messages that stand behind one another."""
        parts, spans = [], 0
        for number in numbers:
            shape = self.shape(number)
            parts.append(shape.payload.replace(_ID, self.trace_id(number)))
            spans += shape.span_count
        return b"".join(parts), spans


@dataclass
class Sent:
    """What one sender saw."""

    acked: list[int] = field(default_factory=list)
    wire_spans: int = 0
    acked_spans: int = 0
    unanswered_spans: int = 0  # nobody knows what became of them: the connection broke
    refusals: Counter[tuple[str, bool]] = field(default_factory=Counter)  # (status, says when to come again)
    last_refusal_s: float = 0.0
    refused_after_s: list[float] = field(default_factory=list)
    called_s: float = 0.0


class Load:
    """Sends in threads, the last one over HTTP, until it is left. A refused request is not sent again."""

    def __init__(
        self, server: Server, plan: Plan, *, rate: float = 0.0, threads: int = 3, traces: int = 20, first: int = 0
    ) -> None:
        self._server, self._plan = server, plan
        self._rate, self._traces = rate, traces
        self._next, self._spans = first, 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._sent = [Sent() for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._http if n and n == threads - 1 else self._grpc, args=(sent,), daemon=True)
            for n, sent in enumerate(self._sent)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)
            assert not thread.is_alive(), "a call was not answered in 40 s"

    def set_rate(self, rate: float) -> None:
        """Spans a second from now on; 0: as fast as it goes."""
        with self._lock:
            self._rate, self._spans, self._began = rate, 0, time.monotonic()

    @property
    def acked(self) -> list[int]:
        return sorted(number for sent in self._sent for number in sent.acked)

    @property
    def next_number(self) -> int:
        return self._next

    def total(self, name: str) -> int:
        return sum(getattr(sent, name) for sent in self._sent)

    @property
    def refusals(self) -> Counter[tuple[str, bool]]:
        return sum((sent.refusals for sent in self._sent), Counter())

    @property
    def last_refusal_s(self) -> float:
        """When a request was refused last, on the monotonic clock."""
        return max(sent.last_refusal_s for sent in self._sent)

    @property
    def refused_after_s(self) -> list[float]:
        """How long each refused call had to wait for its refusal, sorted."""
        return sorted(seconds for sent in self._sent for seconds in sent.refused_after_s)

    def _take(self) -> tuple[list[int], bytes, int] | None:
        with self._lock:
            numbers = list(range(self._next, self._next + self._traces))
            payload, spans = self._plan.request(numbers)
            ahead_s = self._spans / self._rate - (time.monotonic() - self._began) if self._rate else 0.0
            if ahead_s > 0 and self._stop.wait(ahead_s):
                return None
            self._next += self._traces
            self._spans += spans
        return None if self._stop.is_set() else (numbers, payload, spans)

    def _note(self, sent: Sent, numbers: list[int], spans: int, status: str, says_when: bool) -> None:
        sent.wire_spans += spans
        if status == "OK":
            sent.acked += numbers
            sent.acked_spans += spans
            return
        sent.last_refusal_s = time.monotonic()
        sent.refused_after_s.append(sent.last_refusal_s - sent.called_s)
        sent.refusals[status, says_when] += 1
        if not says_when:
            sent.unanswered_spans += spans
        self._stop.wait(REFUSED_PAUSE_S)

    def _grpc(self, sent: Sent) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._server.otlp_grpc, options=options) as channel:
            export = channel.unary_unary(METHOD)
            while (taken := self._take()) is not None:
                numbers, payload, spans = taken
                sent.called_s = time.monotonic()
                try:
                    export(payload, timeout=30.0)
                except grpc.RpcError as error:
                    keys = {key for key, _ in error.trailing_metadata() or ()}
                    self._note(sent, numbers, spans, error.code().name, bool(keys & RETRY_KEYS))
                else:
                    self._note(sent, numbers, spans, "OK", True)

    def _http(self, sent: Sent) -> None:
        with httpx.Client(base_url=self._server.otlp_http, timeout=30, trust_env=False, verify=False) as client:
            while (taken := self._take()) is not None:
                numbers, payload, spans = taken
                sent.called_s = time.monotonic()
                try:
                    answer = client.post(
                        "/v1/traces", content=payload, headers={"content-type": "application/x-protobuf"}
                    )
                except httpx.TransportError:
                    self._note(sent, numbers, spans, "UNAVAILABLE", False)
                else:
                    status = "OK" if answer.status_code == 200 else f"HTTP {answer.status_code}"
                    self._note(sent, numbers, spans, status, "retry-after" in answer.headers)


@dataclass
class Verdict:
    """What was not as it should be, by trace id; empty: all is well."""

    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    accused: list[str] = field(default_factory=list)


def verify(server: Server, plan: Plan, acked: Sequence[int], sent_below: int = 0, wait_s: float = 20.0) -> Verdict:
    """Ask for every acknowledged planted trace, and list every finding: only planted traces may be accused.

    Parameters
    ----------
    sent_below : numbers below were sent, acknowledged or not; default: the last acknowledged
    """
    verdict = Verdict()
    planted = {number: fault for number in acked if (fault := plan.fault(number)) is not None}
    with httpx.Client(base_url=server.url, timeout=40, trust_env=False, verify=False) as client:
        for number, fault in planted.items():
            trace_id = plan.trace_id(number).hex()
            found = client.get(f"/api/v1/traces/{trace_id}/root-cause?wait={wait_s:g}")
            answer = found.json() if found.status_code == 200 else {}
            if answer.get("status") != "finding":
                verdict.missing.append(f"{trace_id}: {found.status_code} {answer.get('status')}")
            elif not _names(answer, fault):
                verdict.wrong.append(f"{trace_id}: {fault.name}, {answer['summary']}")
        sent = range(max(sent_below, *acked, 0) + 1) if acked else range(sent_below)
        guilty = {plan.trace_id(number).hex() for number in sent if plan.fault(number) is not None}
        verdict.accused = sorted(_found_ids(client) - guilty)
    return verdict


def _names(answer: dict[str, object], fault: DrawnFault) -> bool:
    causes = answer["root_causes"]
    first = causes[0]["origin_spans"][0]  # type: ignore[index]
    return f"{first['service']} {first['operation']}" in fault.origins


def _found_ids(client: httpx.Client) -> set[str]:
    found: set[str] = set()
    cursor = ""
    while True:
        page = client.get("/api/v1/findings?limit=1000" + (f"&cursor={cursor}" if cursor else "")).json()
        found |= {row["trace_id"] for row in page["findings"]}
        cursor = page["next_cursor"]
        if not cursor:
            return found


def conserve(server: Server, load: Load | None = None) -> dict[str, float]:
    """Wait until nothing moves, then hold the books against one another, with `==`; the metrics they were read from."""

    def sides(metrics: dict[str, float]) -> dict[str, tuple[float, float]]:
        def total(*names: str) -> float:
            return sum(metrics.get(name, 0.0) for name in names)

        found = {
            "in": (
                total("receiver_accepted_spans", "receiver_accepted_log_records", "journal_replayed_spans"),
                total(
                    "receiver_untraced_log_records",
                    "assembly_released_spans",
                    "assembly_deduped_spans",
                    "assembly_dropped_spans",
                    "assembly_open_spans",
                ),
            ),
            "stored": (total("analyzer_findings", "analyzer_asked_traces"), total("store_stored_findings")),
            "out": (
                total("outbox_added_messages", "outbox_restored_messages"),
                total(
                    "exporter_sent_messages",
                    "exporter_dead_letter_items",
                    "outbox_dropped_messages",
                    "exporter_queue_size",
                ),
            ),
        }
        if load is not None and not load.total("unanswered_spans"):
            kinds = ("accepted", "refused", "rejected", "failed")
            found["wire"] = (load.total("wire_spans"), total(*(f"receiver_{kind}_spans" for kind in kinds)))
        return found

    def balanced() -> dict[str, float] | None:
        metrics = server.metrics()
        return metrics if all(left == right for left, right in sides(metrics).values()) else None

    try:
        metrics: dict[str, float] = server.until(balanced, "balanced books", 60.0)
    except AssertionError:
        raise AssertionError(f"the books do not balance: {sides(server.metrics())}") from None
    return metrics
