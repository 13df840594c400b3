"""The words out: what is said of a trace.

One model, `Answer`, is what REST, gRPC, the command line, exports and reports all
carry. Its JSON Schema is stable and versioned (`schema_version`); fields are added,
never renamed. Ids are lower-case hex, times and durations integer nanoseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from analyzer.finding_ids import trace_name

SCHEMA_VERSION = "1"
# `status_reason` of a trace that was only told in brief; who asks for it gets it explained.
NOT_EXPLAINED = (
    "more traces had something to say at that moment than there was time to explain "
    "(see firstfault_analyzer_brief_traces_total); ask for this one and it is explained"
)

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Nanoseconds = int

Status = Literal["finding", "clean", "in_progress", "partial", "dropped", "unknown"]
VerdictKind = Literal["error", "latency", "structure", "mixed", "none"]
EntityKind = Literal["service", "operation", "instance", "version", "host", "edge", "peer", "queue", "unknown"]
Role = Literal["origin", "propagated", "transformed", "victim", "recovered", "handled", "noise", "unseen_dependency"]
Effect = Literal["began", "propagated", "transformed", "timed_out", "retried", "handled", "cancelled", "slowed"]
PeerState = Literal["answered", "open", "expired", "dropped", "unknown", "failed"]
ExcessKind = Literal["work", "wait", "network", "retry", "fan_out", "serialised", "unknown"]


class Word(BaseModel):
    """Base of all words out: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SpanRef(Word):
    """A span by id and in words."""

    span_id: str
    service: str
    operation: str
    kind: str = "UNSPECIFIED"
    start_ns: Nanoseconds = 0
    duration_ns: Nanoseconds = 0
    trace_flags: int = 0  # W3C trace flags of the span, copied to what is written back about it


class Entity(Word):
    """Who is to blame.

    `name` is always the culprit's own name. `service` is the culprit's service when it is observed or
    its name is known from its callers; of an uninstrumented peer or a queue, the service that uses it.
    """

    kind: EntityKind
    name: str
    service: str = ""
    operation: str = ""
    instance: str = ""
    version: str = ""
    host: str = ""
    caller: str = ""  # edges: the calling service
    callee: str = ""  # edges: the called service
    peer: str = ""  # peers and queues: address, destination or system


class Evidence(Word):
    """One claim, and what it rests on."""

    claim: str
    span_ids: list[str] = []
    log_ids: list[str] = []
    numbers: dict[str, float] = {}


class Refuted(Word):
    """A culprit that was considered and is not it."""

    entity: Entity
    reason: str
    span_ids: list[str] = []


class RootCause(Word):
    """One candidate culprit."""

    rank: int
    entity: Entity
    origin_spans: list[SpanRef]
    probability: Probability
    rule: str  # the named rule that decided, e.g. "error.origin.local"
    sentence: str
    error_type: str = ""
    error_message: str = ""
    evidence: list[Evidence] = []
    refuted: list[Refuted] = []


class CausalStep(Word):
    """One step from the origin towards the entry."""

    span: SpanRef
    effect: Effect
    sentence: str


class SpanRole(Word):
    """What an erroring (or missing, or silent) span was in the story."""

    span_id: str
    service: str
    operation: str
    role: Role
    error_class: str = ""


class PathSegment(Word):
    """Time on the critical path that one span itself accounts for."""

    span: SpanRef
    self_ns: Nanoseconds


class Excess(Word):
    """Milliseconds that are abnormal, and whose they are."""

    span: SpanRef
    excess_ns: Nanoseconds
    observed_ns: Nanoseconds  # own time of the span
    expected_ns: Nanoseconds  # median of its baseline
    p_value: Probability
    kind: ExcessKind = "work"
    baseline_count: int = 0  # observations the baseline rests on
    context: str = ""  # which level of the baseline was used


class Latency(Word):
    """The time side of the trace. sum(excess) + unexplained_ns == excess_ns."""

    duration_ns: Nanoseconds
    expected_ns: Nanoseconds | None = None  # None: no baseline yet
    excess_ns: Nanoseconds = 0
    unexplained_ns: Nanoseconds = 0
    critical_path: list[PathSegment] = []
    excess: list[Excess] = []


class Warning_(Word):
    """A defect of the data that was repaired, and what it means for the answer."""

    code: str
    message: str
    count: int = 1


class Completeness(Word):
    """How much of the trace was there."""

    complete: bool
    span_count: int
    service_count: int = 0
    root_seen: bool = True
    missing_parents: int = 0
    late_spans: int = 0
    dropped_spans: int = 0
    sampled: bool = False
    release_reason: str = ""
    warnings: list[Warning_] = []


class Judgement(Word):
    """A value of the taxonomy and why."""

    value: str
    reason: str


class TraceGroup(Word):
    """Which group of errors the trace belongs to: the group of its origin."""

    id: str  # of GET /api/v1/groups/{id}
    fine: str  # same way into the same failure
    coarse: str  # same heart of the failure
    tier: str  # what it rests on: custom, stack, message, status
    version: str  # of the rules; groups of different versions never equal


class AskedPeer(Word):
    """What another instance of firstfault said when it was asked for the trace."""

    peer: str  # the address that was asked, or the name that has none
    name: str = ""  # as it calls itself
    state: PeerState  # failed: it did not say, so what it holds is missing here
    reason: str = ""
    status: str = ""  # of its own answer
    revision: int = 0
    span_count: int = 0


class Answer(Word):
    """What firstfault says of one trace."""

    schema_version: str = SCHEMA_VERSION
    trace_id: str
    status: Status
    status_reason: str = ""
    verdict: VerdictKind = "none"
    summary: str = ""
    user_visible: bool = False
    severity: Judgement | None = None
    type: Judgement | None = None
    observability: Judgement | None = None
    root_service: str = ""
    root_operation: str = ""
    start_ns: Nanoseconds = 0
    end_ns: Nanoseconds = 0
    root_causes: list[RootCause] = []
    causal_chain: list[CausalStep] = []
    roles: list[SpanRole] = []
    latency: Latency | None = None
    completeness: Completeness | None = None
    next_probe: str | None = None
    finding_ids: list[str] = []
    revision: int = 0
    engine_version: str = ""
    links: dict[str, str] = {}
    tenant: str = ""  # whose credential sent it: the same id of another tenant, or of none, is another trace
    asked_by: str = ""  # who made the request, if not a person: "a synthetic check (Pingdom)"; empty: not said
    group: TraceGroup | None = None  # of traces that failed with an error somebody wrote down
    answered_by: str = ""  # name of the instance that analysed it; empty: there are no others
    merged_from: list[str] = []  # names of the instances whose spans were put together; empty: one held all of them
    asked_peers: list[AskedPeer] = []

    @property
    def name(self) -> str:
        """What the trace is asked for by."""
        return trace_name(self.trace_id, self.tenant)


def answer_schema() -> dict[str, object]:
    """JSON Schema of `Answer`."""
    return Answer.model_json_schema()
