"""The same traces in another order, other batches, another protocol, several times, in brief: the same findings (R16)."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from analyzer.finding_ids import finding_id
from collector import telling
from collector.allowance import Allowance
from collector.app.engine_room import EngineRoom
from collector.app.query_room import ExplainingStore
from collector.app.receiver_room import ReceiverRoom
from collector.app.source import DirectSource
from collector.config import check
from collector.contracts import FindingQuery
from tests.support.planted import METHOD, Plan

TRACES = 50
PLAN = Plan(16, every=5)
SEEDS = range(3)

Spans = list[ResourceSpans]  # one span each
Batches = list[bytes]
Found = dict[str, tuple[object, ...]]  # by trace id


def spans() -> Spans:
    found = ExportTraceServiceRequest.FromString(PLAN.request(range(TRACES))[0]).resource_spans
    assert all(len(one.scope_spans) == 1 and len(one.scope_spans[0].spans) == 1 for one in found)
    return list(found)


def batches(parts: Spans, sizes: Callable[[], int]) -> Batches:
    made, at = [], 0
    while at < len(parts):
        size = sizes()
        made.append(ExportTraceServiceRequest(resource_spans=parts[at : at + size]).SerializeToString())
        at += size
    return made


def in_order() -> Batches:
    return batches(spans(), lambda: 100)


def permuted(seed: int) -> Batches:
    rng = random.Random(seed)
    parts = spans()
    rng.shuffle(parts)
    return batches(parts, lambda: rng.randint(1, 200))


def thrice(seed: int) -> Batches:
    found = permuted(seed) * 3
    random.Random(seed).shuffle(found)
    return found


def as_json(payload: bytes) -> dict[str, object]:
    """OTLP/JSON: protobuf's mapping, but ids are hex and enums numbers."""
    request = ExportTraceServiceRequest.FromString(payload)
    found: dict[str, object] = MessageToDict(request, use_integers_for_enums=True)
    for resource, drawn in zip(found["resourceSpans"], request.resource_spans, strict=True):  # type: ignore[call-overload]
        span, real = resource["scopeSpans"][0]["spans"][0], drawn.scope_spans[0].spans[0]
        span["traceId"], span["spanId"] = real.trace_id.hex(), real.span_id.hex()
        if real.parent_span_id:
            span["parentSpanId"] = real.parent_span_id.hex()
    return found


class Doors:
    """The rooms of a server in this process, with a directory of their own."""

    def __init__(self, folder: Path) -> None:
        protocols = {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}
        config = check(
            {
                "receivers": {"otlp": {"protocols": protocols}},
                # Nothing is released before all has come: what is late is another test's.
                "assembly": {"root_idle_s": 60, "root_idle_min_s": 60, "root_idle_max_s": 60, "idle_s": 60},
                "storage": {"path": str(folder), "clean_traces_per_second": 0},
                "durability": "memory",
            }
        )
        self._folder = folder
        source = DirectSource("receiver-0", 2**27)
        self._engine = EngineRoom(config, source)
        self._receivers = ReceiverRoom(config, source, shared_port=False)
        self._engine.start()
        self._receivers.start()
        ports = self._receivers.ports
        self._channel = grpc.insecure_channel(
            f"127.0.0.1:{ports['otlp_grpc']}", [("grpc.use_local_subchannel_pool", 1)]
        )
        self._export = self._channel.unary_unary(METHOD)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{ports['otlp_http']}", trust_env=False)

    def grpc(self, payload: bytes) -> None:
        self._export(payload, timeout=20)

    def protobuf(self, payload: bytes) -> None:
        headers = {"content-type": "application/x-protobuf"}
        assert self._client.post("/v1/traces", content=payload, headers=headers).status_code == 200

    def json(self, payload: bytes) -> None:
        assert self._client.post("/v1/traces", json=as_json(payload)).status_code == 200

    def findings(self) -> Found:
        """Stop, which releases all; trace id -> (finding id, origin spans, verdict, culprit).

        The culprit by its name: whether that is known to be a service rests on what was learned until it was explained.
        """
        self._channel.close()
        self._client.close()
        self._receivers.stop(10.0)
        assert self._engine.stop(60.0)
        self.brief_traces = int(self._engine.snapshot()["analyzer_brief_traces"])
        store = ExplainingStore.open(self._folder, read_only=True)  # as who asks: told in brief is explained then
        try:
            found: Found = {}
            for row in store.findings(FindingQuery(limit=1000)).rows:
                answer = store.find(bytes.fromhex(row.trace_id)).answer
                assert answer is not None
                first = answer.root_causes[0]
                origins = tuple(span.span_id for span in first.origin_spans)
                identity = finding_id("", row.trace_id, first.rule, origins[0])
                found[row.trace_id] = (identity, origins, answer.verdict, first.entity.name)
            return found
        finally:
            store.close()


Answered = Callable[..., Found]


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answered:
    ways = {"grpc": Doors.grpc, "protobuf": Doors.protobuf, "json": Doors.json}

    def answer(requests: Batches, protocol: str, *, in_brief: bool = False) -> Found:
        # How many are told in full is a matter of the machine's speed; here it is all, or none.
        saved_ns = {telling.EXPLAIN_SHARE: 0 if in_brief else 2**60, telling.BRIEF_SHARE: 2**60}
        monkeypatch.setattr(telling, "Allowance", lambda share, now_ns: Allowance(share, now_ns, saved_ns[share]))
        doors = Doors(tmp_path / f"{protocol}-{len(list(tmp_path.iterdir()))}")
        for number, payload in enumerate(requests):
            way = list(ways)[number % len(ways)] if protocol == "mixed" else protocol
            ways[way](doors, payload)
        found = doors.findings()
        assert doors.brief_traces == (len(found) if in_brief else 0)
        return found

    return answer


def test_findings_do_not_depend_on_how_traces_come(answered: Answered) -> None:
    """Identical ids, origin spans and verdicts, and nobody else is accused."""
    expected = answered(in_order(), "grpc")
    assert set(expected) == {PLAN.trace_id(number).hex() for number in range(TRACES) if PLAN.fault(number)}

    assert answered(in_order(), "protobuf") == expected
    assert answered(in_order(), "json") == expected
    for seed in SEEDS:
        assert answered(permuted(seed), "mixed") == expected
    assert answered(thrice(9), "mixed") == expected


def test_findings_do_not_depend_on_when_they_are_put_into_words(answered: Answered) -> None:
    """Under load they are told in brief, and explained when somebody asks, with what was learned until then."""
    assert answered(in_order(), "grpc", in_brief=True) == answered(in_order(), "grpc")
    assert answered(permuted(5), "mixed", in_brief=True) == answered(permuted(5), "mixed")
