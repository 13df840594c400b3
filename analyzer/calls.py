"""Calls of one trace: who called whom, and how that was seen.

In: a measured batch and the number of a trace. Out: `Call` records between parties (services, databases,
queues, peers without spans of their own). Kinds first (client with server, producer with consumer), then
parents, links and attributes; every call names its rule. Never builds a graph, never raises on data; four passes
over the spans, no recursion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from analyzer.analysis import Analysis
from analyzer.node_words import NodeFlag
from analyzer.spans import MISSING_SERVICE, PeerKind, SpanDetail, SpanKind, hex_id

DETAILS_MAX = 2_000  # spans whose links or messaging verb are read from their bytes, per trace
LINKED_TRACES_MAX = 100
# Half of the fine calls of this operation had a server span below: then its absence is worth a name of its own.
SERVER_EXPECTED_SHARE = 0.5
RECEIVING_VERBS = frozenset({"receive", "poll", "process", "deliver"})

RULES = (
    "client_server",
    "parent_child",
    "peer_attribute",
    "producer_consumer",
    "link",
    "missing_server",
    "missing_client",
    "entry",
)


class Party(NamedTuple):
    """One end of a call. `kind`: service, database, queue, external, client, missing, other."""

    kind: str
    name: str
    system: str = ""
    scope: str = ""  # the service that speaks of a party without a name

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two parties the same."""
        return self.kind, self.name, self.scope


@dataclass(frozen=True, slots=True)
class Call:
    """One call. `spans` are node indexes of the forest, caller first; None times are not known."""

    caller: Party
    callee: Party
    rule: str
    failed: bool
    duration_ns: int
    network_gap_ns: int | None = None
    queue_wait_ns: int | None = None
    spans: tuple[int, ...] = ()


@dataclass(slots=True)
class Calls:
    """All calls of a trace.

    entries : node indexes that a service began its work with
    linked_traces : other traces that spans link to, hex
    details_left_out : spans with links that were not read, over `DETAILS_MAX`
    """

    calls: list[Call] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    linked_traces: list[str] = field(default_factory=list)
    details_left_out: int = 0


_CALLING = frozenset({int(SpanKind.CLIENT), int(SpanKind.PRODUCER)})
_UNKINDED = frozenset({int(SpanKind.UNSPECIFIED), int(SpanKind.INTERNAL)})  # SDKs write INTERNAL when nothing was said
_MESSAGING = frozenset({int(SpanKind.PRODUCER), int(SpanKind.CONSUMER)})
_PARTY_KINDS = {int(PeerKind.DATABASE): "database", int(PeerKind.QUEUE): "queue"}
_SPECIAL = frozenset({int(PeerKind.DATABASE), int(PeerKind.QUEUE)})


def find_calls(analysis: Analysis, trace: int) -> Calls:
    """Find every call of one trace.

    Returns
    -------
    Calls
        In the order of the forest, so the same whatever order the spans came in.

    Notes
    -----
    Like the service graph connector of the Collector and the dependency job of Jaeger a call is a CLIENT span with
    the SERVER span below it; ours also looks through INTERNAL spans between the two, counts a call once when clients
    are nested (ORM over driver, SDK over HTTP), and falls back to parents, links and peer attributes.
    """
    return _Finder(analysis, trace).find()


class _Finder:
    """Columns of one trace as lists; indexes are local, `base` added gives nodes."""

    def __init__(self, analysis: Analysis, trace: int) -> None:
        forest = analysis.forest
        nodes = forest.nodes(trace)
        self.analysis = analysis
        self.base = nodes.start
        self.count = len(nodes)
        span = slice(nodes.start, nodes.stop)
        rows = analysis.traces.rows[forest.row[span]]
        self.service: list[int] = rows["service"].tolist()
        self.kind: list[int] = rows["kind"].tolist()
        self.peer: list[int] = rows["peer"].tolist()
        self.peer_kind: list[int] = rows["peer_kind"].tolist()
        self.system: list[int] = rows["system"].tolist()
        self.link_count: list[int] = rows["link_count"].tolist()
        self.span_id: list[int] = rows["span_id"].tolist()
        self.trace_id = hex_id(rows["trace_id_0"][0], rows["trace_id_1"][0]) if self.count else ""
        self.parent: list[int] = np.where(forest.parent[span] < 0, -1, forest.parent[span] - self.base).tolist()
        self.start: list[int] = forest.start_ns[span].tolist()
        self.end: list[int] = forest.end_ns[span].tolist()
        self.flags: list[int] = forest.flags[span].tolist()
        self.failed: list[bool] = analysis.failed[span].tolist()
        self.share: list[float] = analysis.structure.server_share[span].tolist()
        self.found = Calls()
        self.details_left = DETAILS_MAX
        self.observed = {self._service_name(identity) for identity in set(self.service)}

    def find(self) -> Calls:
        self._mark_calling()
        self._pair_by_parent()
        self._pair_by_link()
        self._make_answered()
        self._make_messages()
        self._make_unanswered()
        self._make_entries()
        return self.found

    def _mark_calling(self) -> None:
        """Find, for every span, the calling span at or above it inside the same stretch of one service."""
        self.calling = [self._is_calling(i) for i in range(self.count)]
        self.above = [-1] * self.count  # the calling span this one is part of, itself included
        self.outer = [-1] * self.count  # the calling span around a calling span
        self.quiet = [False] * self.count  # an outer span says more (DynamoDB over HTTP)
        for i, p in enumerate(self.parent):
            outer = -1
            entering = self.kind[i] in (SpanKind.SERVER, SpanKind.CONSUMER)
            if p >= 0 and self.service[p] == self.service[i] and not entering:
                outer = self.above[p]
            self.above[i] = i if self.calling[i] else outer
            if self.calling[i] and outer >= 0:
                self.outer[i] = outer
                speaks = self.peer_kind[outer] in _SPECIAL or self.quiet[outer]
                self.quiet[i] = speaks and self.peer_kind[i] not in _SPECIAL

    def _is_calling(self, i: int) -> bool:
        if self.kind[i] in _CALLING:
            return True
        if self.kind[i] not in _UNKINDED:
            return False
        p = self.parent[i]
        inside = p >= 0 and self.service[p] == self.service[i]
        return self.peer_kind[i] in _SPECIAL or (inside and self.peer[i] != 0)

    def _pair_by_parent(self) -> None:
        """Note for each span that enters a service the span it was called by."""
        self.answers: dict[int, list[int]] = {}  # calling span -> spans of the other side
        self.caller = [-1] * self.count  # entering span -> calling span, or its plain parent
        self.producers: dict[int, tuple[list[int], str]] = {}  # consumer -> its producers, rule
        for i, p in enumerate(self.parent):
            if p < 0:
                self.found.entries.append(self.base + i)
                continue
            above = self.above[p]
            crossing = self.service[p] != self.service[i]
            calls_itself = above >= 0 and (self.kind[above], self.kind[i]) in (
                (SpanKind.CLIENT, SpanKind.SERVER),
                (SpanKind.PRODUCER, SpanKind.CONSUMER),
            )
            if not crossing and not calls_itself:
                continue
            self.found.entries.append(self.base + i)
            if above >= 0 and self._is_message(above):
                rule = "producer_consumer" if self.kind[i] == SpanKind.CONSUMER else "parent_child"
                self.producers[i] = ([above], rule)
            elif self.kind[i] == SpanKind.CONSUMER and self._names_queue(i):
                self.producers[i] = ([p], "parent_child")
            else:
                self.caller[i] = above if above >= 0 else p
                self.answers.setdefault(self.caller[i], []).append(i)

    def _is_message(self, i: int) -> bool:
        return self.kind[i] == SpanKind.PRODUCER or self.peer_kind[i] == PeerKind.QUEUE

    def _names_queue(self, i: int) -> bool:
        if self.peer_kind[i] == PeerKind.QUEUE:
            return self.peer[i] != 0 or self.system[i] != 0
        return self.kind[i] in _MESSAGING and self.peer[i] != 0

    def _pair_by_link(self) -> None:
        """Follow links: a consumer to its producers, any span to one of another service."""
        self.linked: list[tuple[int, int]] = []  # plain links between services: from, to
        if not any(self.link_count):
            return
        place = {identity: i for i, identity in reversed(list(enumerate(self.span_id)))}
        elsewhere: dict[str, None] = {}
        for i in range(self.count):
            if not self.link_count[i]:
                continue
            detail = self._detail(i)
            if detail is None:
                self.found.details_left_out += 1
                continue
            targets: list[int] = []
            for link in detail.links:
                if link.trace_id != self.trace_id:
                    if len(elsewhere) < LINKED_TRACES_MAX:
                        elsewhere[link.trace_id] = None
                    continue
                target = place.get(int.from_bytes(bytes.fromhex(link.span_id), "little"))
                if target is not None and target != i:
                    targets.append(target)
            self._use_links(i, targets)
        self.found.linked_traces = list(elsewhere)

    def _use_links(self, i: int, targets: Sequence[int]) -> None:
        if not targets or i in self.producers:
            return
        messages = [target for target in targets if self._is_message(target)]
        if messages and (self.kind[i] == SpanKind.CONSUMER or self._is_message(i)):
            self.producers[i] = (messages, "link")
            return
        p = self.parent[i]
        for target in dict.fromkeys(targets):
            known = p >= 0 and self.service[p] == self.service[target]
            if self.service[target] != self.service[i] and not known:
                self.linked.append((target, i))

    def _make_answered(self) -> None:
        for i, caller in enumerate(self.caller):
            if caller < 0:
                continue
            own = self._duration(i)
            rule = "parent_child"
            duration, gap = own, None
            alone = len(self.answers[caller]) == 1
            if self.kind[caller] == SpanKind.CLIENT and self.calling[caller]:
                rule = "client_server" if self.kind[i] == SpanKind.SERVER else "parent_child"
                # Several servers under one client: its time is not the time of any one of them.
                if alone:
                    duration = self._duration(caller)
                    gap = max(0, duration - own)
            failed = self.failed[i] or (alone and self.calling[caller] and self.failed[caller])
            self._add(self._service(caller), self._service(i), rule, failed, duration, gap=gap, spans=(caller, i))
        for target, i in self.linked:
            self._add(
                self._service(target), self._service(i), "link", self.failed[i], self._duration(i), spans=(target, i)
            )

    def _make_messages(self) -> None:
        """Producer -> queue -> consumer; the queue is a party of its own when it has a name."""
        sent: set[int] = set()
        for i, (producers, rule) in self.producers.items():
            first = producers[0]
            queue = self._queue_of(first, i)
            # Of a batch the oldest message waited longest; that is the wait people look for.
            wait = max(max(0, self.start[i] - self.end[producer]) for producer in producers)
            for producer in producers:
                self.answers.setdefault(producer, []).append(i)
                if queue is not None and producer not in sent:
                    sent.add(producer)
                    failed, took = self.failed[producer], self._duration(producer)
                    if not self._is_message(producer):  # a plain parent: its time is not the time of sending
                        failed, took = False, 0
                    self._add(self._service(producer), queue, rule, failed, took, spans=(producer,))
            source, spans = (self._service(first), (first, i)) if queue is None else (queue, (i,))
            self._add(source, self._service(i), rule, self.failed[i], self._duration(i), wait=wait, spans=spans)
        self._make_consumers_alone()

    def _make_consumers_alone(self) -> None:
        """Consumers whose producer was not seen: the queue is known by its attributes alone."""
        fed = set(self.producers) | {i for i, caller in enumerate(self.caller) if caller >= 0}
        inner = {
            p
            for i, p in enumerate(self.parent)
            if p >= 0 and self.kind[i] == SpanKind.CONSUMER and self.service[p] == self.service[i]
        }
        for i in range(self.count):
            if self.kind[i] != SpanKind.CONSUMER or i in fed or i in inner or not self._names_queue(i):
                continue
            p = self.parent[i]
            if p in fed and self.kind[p] == SpanKind.CONSUMER:
                continue  # "process" under the "receive" that already made the call
            queue = self._peer(i)
            self._add(queue, self._service(i), "peer_attribute", self.failed[i], self._duration(i), spans=(i,))

    def _make_unanswered(self) -> None:
        """Calling spans with nobody below: a database, a queue, a peer without spans, or a lost server span."""
        covered = [False] * self.count
        calls: list[tuple[int, Party, str]] = []
        for i in range(self.count - 1, -1, -1):  # children first: the innermost of nested clients speaks
            if not self.calling[i]:
                continue
            if i in self.answers or covered[i]:
                if self.outer[i] >= 0:
                    covered[self.outer[i]] = True
                continue
            if self.quiet[i]:
                continue
            if self.outer[i] >= 0:
                covered[self.outer[i]] = True
            peer = self._peer(i)
            rule = "peer_attribute"
            if peer.kind == "external" and peer.name in self.observed and not peer.scope:
                peer, rule = Party("service", peer.name), "missing_server"
            elif peer.kind == "external" and self.share[i] >= SERVER_EXPECTED_SHARE:
                peer, rule = Party("service", peer.name, scope=peer.scope), "missing_server"
            calls.append((i, peer, rule))
        for i, peer, rule in reversed(calls):
            caller, callee = self._service(i), peer
            if peer.kind == "queue" and self.kind[i] != SpanKind.PRODUCER and self._receives(i):
                caller, callee = callee, caller
            self._add(caller, callee, rule, self.failed[i], self._duration(i), spans=(i,))

    def _make_entries(self) -> None:
        """Name who stands before a server span without a caller."""
        for i, p in enumerate(self.parent):
            if p >= 0 or self.kind[i] != SpanKind.SERVER:
                continue
            if self.flags[i] & NodeFlag.ORPHAN:
                caller, rule = Party("missing", "missing caller"), "missing_client"
            else:
                caller, rule = Party("client", "user"), "entry"
            self._add(caller, self._service(i), rule, self.failed[i], self._duration(i), spans=(i,))

    def _receives(self, i: int) -> bool:
        detail = self._detail(i)
        if detail is None:
            return False
        verb = detail.attributes.get("messaging.operation.type") or detail.attributes.get("messaging.operation")
        return verb in RECEIVING_VERBS

    def _detail(self, i: int) -> SpanDetail | None:
        if self.details_left <= 0:
            return None
        self.details_left -= 1
        return self.analysis.detail(self.base + i)

    def _queue_of(self, producer: int, consumer: int) -> Party | None:
        for i in (producer, consumer):
            if self._names_queue(i) and self.peer[i]:
                return self._peer(i)
        for i in (producer, consumer):
            if self._names_queue(i):
                return self._peer(i)
        return None

    def _peer(self, i: int) -> Party:
        """Who stands on the other side of a span, as its attributes say."""
        system, name = self._text(self.system[i]), self._text(self.peer[i])
        kind = "queue" if self.kind[i] in _MESSAGING else _PARTY_KINDS.get(self.peer_kind[i], "external")
        if name or (system and kind != "external"):
            return Party(kind, name or system, system)
        return Party(kind, "unknown", system, scope=self._service_name(self.service[i]))

    def _service(self, i: int) -> Party:
        return Party("service", self._service_name(self.service[i]))

    def _service_name(self, identity: int) -> str:
        return self._text(identity) or MISSING_SERVICE

    def _text(self, identity: int) -> str:
        return self.analysis.traces.vocabulary.strings.text(identity)

    def _duration(self, i: int) -> int:
        return self.end[i] - self.start[i]

    def _add(
        self,
        caller: Party,
        callee: Party,
        rule: str,
        failed: bool,
        duration: int,
        *,
        gap: int | None = None,
        wait: int | None = None,
        spans: tuple[int, ...] = (),
    ) -> None:
        nodes = tuple(self.base + i for i in spans)
        self.found.calls.append(Call(caller, callee, rule, failed, duration, gap, wait, nodes))
