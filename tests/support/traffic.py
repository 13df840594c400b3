"""Minutes of drawn traffic through the analyzer, under a clock that is moved by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from analyzer.analysis import Analysis
from analyzer.engine import Analyzer, Verdicts
from analyzer.findings import Entity, Evidence
from analyzer.incident_words import Suspect, Symptom
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary
from analyzer.strings import new_vocabulary
from tests.support.drawing import Drawing, batch, draw
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS

MINUTE_NS = 60 * SECOND_NS

CHECKOUT = """
frontend POST /checkout 0..100 http.response.status_code=200
  frontend CLIENT POST 5..95 server.address=checkout http.response.status_code=200
    checkout POST /checkout 10..90 http.response.status_code=200
      checkout CLIENT POST 20..70 server.address=payment http.response.status_code=200
        payment POST /charge 25..65 http.response.status_code=200
"""
PAYMENT_DOWN = """
frontend POST /checkout 0..50 ERROR http.response.status_code=500
  frontend CLIENT POST 5..45 ERROR server.address=checkout http.response.status_code=500
    checkout POST /checkout 10..40 ERROR http.response.status_code=500
      checkout CLIENT POST 20..35 ERROR server.address=payment http.response.status_code=503
        payment POST /charge 22..33 ERROR http.response.status_code=503 !PoolError: "no connection left"
"""
HOME = """
frontend GET /home 0..20 http.response.status_code=200
  frontend CLIENT GET 2..18 server.address=cart http.response.status_code=200
    cart GET /items 4..16 http.response.status_code=200
"""
CART_DOWN = """
frontend GET /home 0..20 ERROR http.response.status_code=500
  frontend CLIENT GET 2..18 ERROR server.address=cart http.response.status_code=500
    cart GET /items 4..16 ERROR http.response.status_code=500 !IndexError: "stock"
"""


@dataclass(frozen=True)
class FakeEntity:
    kind: str
    service: str
    operation: str = ""
    callee: str = ""
    instance: str = ""


@dataclass(frozen=True)
class FakeAlarm:
    """What a detector raises."""

    service: str
    symptom: Symptom = "errors"
    onset_ns: int = 0
    cleared: bool = False
    callee: str = ""
    e_value: float = 1e6

    @property
    def entity(self) -> FakeEntity:
        return FakeEntity("edge" if self.callee else "service", self.service, callee=self.callee)

    def gone(self) -> FakeAlarm:
        return replace(self, cleared=True)


@dataclass(frozen=True)
class FakeRanking:
    """What a ranking says."""

    suspects: list[Suspect] = field(default_factory=list)
    services: list[tuple[str, float]] = field(default_factory=list)
    probability: float = 0.9
    insufficient: bool = False
    candidate_set: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    coverage: float = 1.0
    next_probe: str | None = None


def suspect(service: str, rank: int = 1, probability: float = 0.9) -> Suspect:
    return Suspect(
        rank=rank,
        entity=Entity(kind="service", name=service, service=service),
        probability=probability,
        score=5.0 - rank,
        rule="incident.failing",
        sentence=f"{service} fails by itself.",
        evidence=[Evidence(claim="failures began here")],
    )


def rank_by_blame(reference: TraceFacts, window: TraceFacts, words: Vocabulary) -> FakeRanking:
    """Services by the blame that came to rest on them; every one with a fifth of it is a root."""
    sums: dict[str, float] = {}
    for service, share in zip(window.service.tolist(), window.blame.tolist(), strict=True):
        name = words.strings.text(service)
        sums[name] = sums.get(name, 0.0) + share
    order = sorted((name for name in sums if sums[name] > 0), key=lambda name: -sums[name])
    whole = sum(sums.values())
    return FakeRanking(
        suspects=[suspect(name, rank) for rank, name in enumerate(order, 1)],
        services=[(name, sums[name]) for name in order],
        insufficient=not order,
        candidate_set=order[:1],
        roots=[name for name in order if sums[name] >= whole / 5],
        next_probe=None if order else "ask the callee",
    )


def at(drawing: Drawing, seconds: float) -> Drawing:
    """The same trace so many seconds after `EPOCH_NS`."""
    ms = seconds * 1000.0
    spans = (replace(span, start_ms=span.start_ms + ms, end_ms=span.end_ms + ms) for span in drawing.spans)
    return Drawing(tuple(spans), drawing.trace_id)


class Traffic:
    """Draws traces and has them measured, judged and learned."""

    def __init__(self) -> None:
        self.analyzer, self.words = Analyzer(), new_vocabulary()
        self.now_ns = EPOCH_NS
        self._seed = 0

    def verdicts(self, *texts: str, count: int = 1) -> Verdicts:
        """So many traces of each drawing, now."""
        drawings = []
        for text in texts:
            drawing = draw(text)
            for _ in range(count):
                self._seed += 1
                drawings.append(at(drawing.jitter(self._seed), (self.now_ns - EPOCH_NS) / SECOND_NS))
        verdicts = self.analyzer.analyse(batch(drawings, self.words))
        self.analyzer.learn(verdicts, self.now_ns)
        return verdicts

    def analysis(self, *texts: str, count: int = 1) -> Analysis:
        return self.verdicts(*texts, count=count).analysis


def ids(hex_ids: Iterable[str]) -> set[bytes]:
    return {bytes.fromhex(one) for one in hex_ids}
