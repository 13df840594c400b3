"""Service graphs: of one trace, and of a window of time.

In: a measured batch (one trace), or sums per edge and operation (a window). Out: a networkx graph whose nodes are
services, databases, queues and peers without spans, and its JSON, DOT and Mermaid text. The only room of the
analyzer that imports networkx. Text in the graph is as it was sent; every writer escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import networkx as nx
import numpy as np

from analyzer.analysis import Analysis
from analyzer.calls import Call, Party, find_calls
from analyzer.findings import Answer, Entity, RootCause
from analyzer.graph_text import dot_text, mermaid_text
from analyzer.spans import SpanKind

Graph: TypeAlias = "nx.MultiDiGraph[str]"

NODES_MAX = 1_000  # more than that nobody reads, and a hostile trace can name a service per span
WORDS_MAX = 20  # versions, instances, ... kept per node
OTHER = Party("other", "<other>")

# Why a node without spans is in the graph, and how sure that is.
_REASONS = {
    "database": ("high", "client spans name it; databases send no spans"),
    "queue": ("high", "producer or consumer spans name it; brokers send no spans"),
    "external": ("medium", "client spans name it and no server span answered"),
    "service": ("medium", "its server spans are missing: it was called, and it sends spans elsewhere"),
    "client": ("high", "a root server span: who called it is not traced"),
    "missing": ("low", "a server span names a parent that is not in the trace"),
    "other": ("low", f"more than {NODES_MAX} parties; the rest are summed here"),
}
_UNNAMED_REASON = ("low", "client spans had no server below and no attribute that names the other side")
_RESOURCE_WORDS = ("version", "instance", "host", "namespace", "environment", "zone", "language")


class EdgeSum(Protocol):
    """Calls along one edge in a window (`collector.contracts.EdgeRollup` is one)."""

    @property
    def caller(self) -> str: ...
    @property
    def callee(self) -> str: ...
    @property
    def callee_kind(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def error_count(self) -> int: ...
    @property
    def duration_sum_ns(self) -> int: ...


class OperationSum(Protocol):
    """Spans of one operation in a window (`collector.contracts.Rollup` is one)."""

    @property
    def service(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def error_count(self) -> int: ...


def trace_graph(analysis: Analysis, trace: int, answer: Answer | None = None) -> Graph:
    """Draw the services of one trace and the calls between them.

    Parameters
    ----------
    analysis : the measured batch
    trace : number of the trace in it
    answer : what is said of the trace; marks root causes and the causal chain

    Returns
    -------
    MultiDiGraph
        Edge key is the rule that saw the calls. Node attributes: kind, name, system, observed, confidence, reason,
        call_count, error_count, span_count, own_ns (sums over all nodes to the own time of the trace), critical_ns,
        root_cause_rank, probability, on_causal_chain, and lists of versions, instances, ... . Edge attributes: count,
        error_count, duration_sum_ns, duration_max_ns, network_gap_count, network_gap_sum_ns, queue_wait_count,
        queue_wait_sum_ns, queue_wait_max_ns, root_cause_rank, on_causal_chain.

    Raises
    ------
    IndexError
        There is no trace of that number in the batch.
    """
    if not 0 <= trace < analysis.traces.trace_count:
        raise IndexError(f"trace {trace} of {analysis.traces.trace_count}; expected 0 or more and less than the count")
    graph: Graph = nx.MultiDiGraph()
    graph.graph.update(kind="trace", trace_id=answer.trace_id if answer else "", folded_node_count=0)
    _add_services(graph, analysis, trace)
    found = find_calls(analysis, trace)
    for node in found.entries:
        attributes = graph.nodes[_place(graph, Party("service", analysis.service(node)))]
        attributes["call_count"] += 1
        attributes["error_count"] += bool(analysis.failed[node])
    for call in found.calls:
        _add_call(graph, call)
    graph.graph.update(linked_traces=found.linked_traces, details_left_out=found.details_left_out)
    if answer is not None:
        _mark_answer(graph, answer)
    return graph


def aggregate(edges: Iterable[EdgeSum], services: Iterable[OperationSum] = ()) -> Graph:
    """Draw the services of a window; single services without any call are shown too.

    Parameters
    ----------
    edges : sums per caller, callee and rule
    services : sums per operation; they make a node observed, and its calls are the spans that enter it

    Returns
    -------
    MultiDiGraph
        As `trace_graph`, without own times, waits and marks.
    """
    graph: Graph = nx.MultiDiGraph()
    graph.graph.update(kind="window", trace_id="", folded_node_count=0, linked_traces=[], details_left_out=0)
    edges = list(edges)
    names: set[str] = set()
    for total in services:
        names.add(total.service)
        attributes = graph.nodes[_place(graph, Party("service", total.service))]
        _observe(attributes)
        attributes["span_count"] += total.count
        if total.kind in (SpanKind.SERVER, SpanKind.CONSUMER):
            attributes["call_count"] += total.count
            attributes["error_count"] += total.error_count
    for edge in edges:
        # A caller has spans of its own, or there would be no edge; so has a callee seen by its spans.
        names.add(edge.caller)
        if edge.rule != "peer_attribute":
            names.add(edge.callee)
    for edge in edges:
        caller = _place(graph, Party("service", edge.caller))
        _observe(graph.nodes[caller])
        party, rule = Party(_party_kind(edge.callee_kind), edge.callee), edge.rule
        if party.kind == "external" and edge.callee in names:
            party, rule = Party("service", edge.callee), "missing_server"
        callee = _place(graph, party)
        if party.kind == "service":
            _observe(graph.nodes[callee])
        else:
            graph.nodes[callee]["call_count"] += edge.count
            graph.nodes[callee]["error_count"] += edge.error_count
        attributes = _edge(graph, caller, callee, rule)
        attributes["count"] += edge.count
        attributes["error_count"] += edge.error_count
        attributes["duration_sum_ns"] += edge.duration_sum_ns
        attributes["duration_max_ns"] = None  # the rollups do not keep it
    return graph


def to_json(graph: Graph) -> dict[str, Any]:
    """Write a graph as plain values: {kind, trace_id, ..., nodes: [...], edges: [...]}."""
    return {
        **graph.graph,
        "nodes": [{"id": name, **attributes} for name, attributes in graph.nodes(data=True)],
        "edges": [
            {"caller": caller, "callee": callee, "rule": rule, **attributes}
            for caller, callee, rule, attributes in graph.edges(keys=True, data=True)
        ],
    }


def to_dot(graph: Graph) -> str:
    """Write a graph as Graphviz DOT; names cannot leave their quotes."""
    return dot_text(to_json(graph))


def to_mermaid(graph: Graph) -> str:
    """Write a graph as a Mermaid flowchart; names are letters, digits and character codes only."""
    return mermaid_text(to_json(graph))


def _party_kind(callee_kind: str) -> str:
    return callee_kind if callee_kind in ("service", "database", "queue") else "external"


def _node_id(party: Party) -> str:
    return f"{party.kind}-unnamed:{party.scope}" if party.scope else f"{party.kind}:{party.name}"


def _place(graph: Graph, party: Party) -> str:
    """Find or make the node of a party; over `NODES_MAX` all go to one."""
    name = _node_id(party)
    if name in graph:
        return name
    if len(graph) >= NODES_MAX:
        graph.graph["folded_node_count"] += 1  # counts visits, an upper bound of the parties folded
        party, name = OTHER, _node_id(OTHER)
        if name in graph:
            return name
    confidence, reason = _UNNAMED_REASON if party.scope else _REASONS[party.kind]
    graph.add_node(
        name,
        kind=party.kind,
        name=party.name,
        system=party.system,
        observed=False,
        confidence=confidence,
        reason=reason,
        call_count=0,
        error_count=0,
        span_count=0,
        own_ns=0,
        critical_ns=0,
        root_cause_rank=None,
        probability=None,
        on_causal_chain=False,
        **{f"{word}s": [] for word in _RESOURCE_WORDS},
    )
    return name


def _observe(attributes: dict[str, Any]) -> None:
    if attributes["kind"] == "service":
        attributes.update(observed=True, confidence="observed", reason="it sent spans")


def _add_services(graph: Graph, analysis: Analysis, trace: int) -> None:
    """Sum the spans per service and resource, services in the order of their first span."""
    nodes = analysis.forest.nodes(trace)
    span = slice(nodes.start, nodes.stop)
    rows = analysis.traces.rows[analysis.forest.row[span]]
    pairs = rows["service"].astype(np.uint64) << np.uint64(32) | rows["resource"]
    _, first, group = np.unique(pairs, return_index=True, return_inverse=True)
    span_count = np.bincount(group, minlength=len(first))
    own_ns, critical_ns = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    np.add.at(own_ns, group, analysis.own_ns[span])
    np.add.at(critical_ns, group, analysis.critical_ns[span])
    for pair in np.argsort(first):
        node = nodes.start + int(first[pair])
        attributes = graph.nodes[_place(graph, Party("service", analysis.service(node)))]
        _observe(attributes)
        attributes["span_count"] += int(span_count[pair])
        attributes["own_ns"] += int(own_ns[pair])
        attributes["critical_ns"] += int(critical_ns[pair])
        resource = analysis.traces.vocabulary.resources.resource(int(rows["resource"][first[pair]]))
        for word in _RESOURCE_WORDS:
            text, texts = getattr(resource, word), attributes[f"{word}s"]
            if text and text not in texts and len(texts) < WORDS_MAX:
                texts.append(text)


def _edge(graph: Graph, caller: str, callee: str, rule: str) -> dict[str, Any]:
    if not graph.has_edge(caller, callee, key=rule):
        graph.add_edge(
            caller,
            callee,
            key=rule,
            count=0,
            error_count=0,
            duration_sum_ns=0,
            duration_max_ns=0,
            network_gap_count=0,
            network_gap_sum_ns=0,
            queue_wait_count=0,
            queue_wait_sum_ns=0,
            queue_wait_max_ns=0,
            root_cause_rank=None,
            on_causal_chain=False,
        )
    attributes: dict[str, Any] = graph.edges[caller, callee, rule]
    return attributes


def _add_call(graph: Graph, call: Call) -> None:
    caller, callee = _place(graph, call.caller), _place(graph, call.callee)
    if call.callee.kind != "service":
        graph.nodes[callee]["call_count"] += 1
        graph.nodes[callee]["error_count"] += call.failed
    edge = _edge(graph, caller, callee, call.rule)
    edge["count"] += 1
    edge["error_count"] += int(call.failed)
    edge["duration_sum_ns"] += call.duration_ns
    edge["duration_max_ns"] = max(edge["duration_max_ns"], call.duration_ns)
    if call.network_gap_ns is not None:
        edge["network_gap_count"] += 1
        edge["network_gap_sum_ns"] += call.network_gap_ns
    if call.queue_wait_ns is not None:
        edge["queue_wait_count"] += 1
        edge["queue_wait_sum_ns"] += call.queue_wait_ns
        edge["queue_wait_max_ns"] = max(edge["queue_wait_max_ns"], call.queue_wait_ns)


def _mark_answer(graph: Graph, answer: Answer) -> None:
    """Mark culprits by rank (the best rank stays) and the way from the origin to the entry."""
    graph.graph.update(status=answer.status, verdict=answer.verdict, revision=answer.revision)
    for cause in answer.root_causes:
        _mark_cause(graph, cause)
    chain = [f"service:{step.span.service}" for step in answer.causal_chain]
    for name in chain:
        if name in graph:
            graph.nodes[name]["on_causal_chain"] = True
    for callee, caller in pairwise(chain):  # origin first: each step was called by the next
        for _, attributes in _edges_between(graph, caller, callee):
            attributes["on_causal_chain"] = True


def _mark_cause(graph: Graph, cause: RootCause) -> None:
    entity = cause.entity
    if entity.kind == "edge":
        for caller in _called(graph, entity.caller):
            for callee in _called(graph, entity.callee):
                for _, attributes in _edges_between(graph, caller, callee):
                    if attributes["root_cause_rank"] is None:
                        attributes["root_cause_rank"] = cause.rank
        return
    for name in _culprits(graph, entity):
        attributes = graph.nodes[name]
        if attributes["root_cause_rank"] is None:
            attributes.update(root_cause_rank=cause.rank, probability=cause.probability)


def _culprits(graph: Graph, entity: Entity) -> list[str]:
    """Nodes an entity stands for: its service, or the peer or queue of that name."""
    if entity.kind in ("peer", "queue"):
        named = [
            name
            for name, attributes in graph.nodes(data=True)
            if attributes["name"] in (entity.peer, entity.name) and not attributes["observed"]
        ]
        return named or [
            name for name in graph if name.endswith(f"-unnamed:{entity.service}") and not name.startswith("service:")
        ]
    return [name for name in (f"service:{entity.service or entity.name}",) if name in graph]


def _called(graph: Graph, name: str) -> list[str]:
    return [node for node, attributes in graph.nodes(data=True) if attributes["name"] == name]


def _edges_between(graph: Graph, caller: str, callee: str) -> list[tuple[str, dict[str, Any]]]:
    if caller == callee or not graph.has_edge(caller, callee):
        return []
    return list(graph.adj[caller][callee].items())
