"""What a reader gets to see of a service graph: marks, labels that stay labels, sums of many traces."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace

import pytest

from analyzer.calls import RULES
from analyzer.findings import Answer, CausalStep, Entity, RootCause, SpanRef
from analyzer.service_graph import NODES_MAX, aggregate, to_dot, to_json, to_mermaid
from tests.support.drawing import Drawing, draw
from tests.support.graphs import edge, edges, graph_of

HOSTILE = (
    '"]; evil [label="x',
    "</script><script>alert(1)</script>",
    'a"|b|c-->d',
    "back\\slash\\N\\G",
    "line\nbreak\r\x00\x1b[31m",
    "\u202egnp.exe",
    "`rm`;%%{init: {}}%%#quot;&lt;",
    "click n0 javascript:alert(1)",
    "]]>]]--)}}",
    "",
)


def answer(*causes: Entity, chain: tuple[str, ...] = ()) -> Answer:
    return Answer(
        trace_id="00" * 15 + "01",
        status="finding",
        root_causes=[
            RootCause(rank=i + 1, entity=entity, origin_spans=[], probability=0.9 - 0.4 * i, rule="r", sentence="s")
            for i, entity in enumerate(causes)
        ],
        causal_chain=[
            CausalStep(span=SpanRef(span_id="01" * 8, service=name, operation="o"), effect="propagated", sentence="s")
            for name in chain
        ],
    )


def test_root_cause_and_chain_are_marked():
    """Payment is the culprit, the error went up to the gateway; the database is the second suspect."""
    graph = graph_of(
        """
        gateway   GET /checkout            0..100  ERROR
          gateway   CLIENT payment.Charge    40..90  ERROR
            payment   Charge                   45..80  ERROR
              payment   CLIENT SELECT            50..60   db.system=mysql server.address=db1
          gateway   CLIENT cart              2..9
            cart      get                      3..8
        """,
        answer(
            Entity(kind="service", name="payment", service="payment"),
            Entity(kind="peer", name="db1", service="payment", peer="db1"),
            chain=("payment", "payment", "gateway"),
        ),
    )

    assert (
        graph.nodes["service:payment"]["root_cause_rank"],
        graph.nodes["service:payment"]["probability"],
    ) == (1, 0.9)
    assert graph.nodes["database:db1"]["root_cause_rank"] == 2
    assert graph.nodes["service:cart"]["root_cause_rank"] is None
    assert edge(graph, "service:gateway", "service:payment")["on_causal_chain"]
    assert not edge(graph, "service:gateway", "service:cart")["on_causal_chain"]
    assert "#c00000" in to_dot(graph)
    assert "rootcause" in to_mermaid(graph)


def test_an_edge_can_be_the_root_cause():
    """The network between two services: the edge is marked, the services are not."""
    graph = graph_of(
        "a GET /x 0..100\n  a CLIENT call 10..90\n    b GET /y 40..50",
        answer(Entity(kind="edge", name="a -> b", caller="a", callee="b")),
    )

    assert edge(graph, "service:a", "service:b")["root_cause_rank"] == 1
    assert graph.nodes["service:b"]["root_cause_rank"] is None


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_labels(name: str):
    """No name can end its quotes, become a statement, open a tag or turn the line around."""
    drawing = draw("plain GET 0..10\n  plain CLIENT q 1..5 peer.service=x")
    spans = (drawing.spans[0], replace(drawing.spans[1], attributes=(("peer.service", name),)))
    spans = tuple(replace(span, service=name) for span in spans)
    graph = graph_of(Drawing(spans, drawing.trace_id))

    dot, mermaid = to_dot(graph), to_mermaid(graph)

    statement = re.compile(r'  (n\d+( -> n\d+)? \[.*\]|rankdir=LR|node \[fontname="sans-serif"\]);')
    lines = dot.splitlines()
    assert (lines[0], lines[-1]) == ("digraph service_graph {", "}")
    for line in lines[1:-1]:
        assert statement.fullmatch(line), line
        for quoted in re.findall(r'"([^"]*)"', line):
            assert re.fullmatch(r"(?:[^\\<>\x00-\x1f\u202e]|\\\\)*", quoted), quoted
        assert line.count('"') % 2 == 0
    for label in re.findall(r'"(.*?)"', mermaid):
        assert re.fullmatch(r"(?:[A-Za-z0-9 .,_-]|#\d+;)*", label), label
    assert {0} == {line.count('"') % 2 for line in mermaid.splitlines()}
    assert len(mermaid.splitlines()) == len(re.findall(r"(?m)^(flowchart|  (n\d|class|classDef|linkStyle))", mermaid))
    assert to_json(graph) == json.loads(json.dumps(to_json(graph)))


def test_json_names_every_rule_it_uses():
    """What a reader meets under `rule` is in the list of rules."""
    graph = to_json(graph_of("a GET /x 0..100\n  a CLIENT call 10..90\n    b GET /y 40..50"))

    assert {"nodes", "edges", "kind", "trace_id", "folded_node_count", "linked_traces", "details_left_out"} == set(
        graph
    )
    assert {edge["rule"] for edge in graph["edges"]} <= set(RULES)


def test_a_service_per_span_is_folded():
    """A hostile trace names 1 200 services; the graph keeps its bound and says what it folded."""
    lines = ["a0 GET 0..10"] + [f"  s{i} GET 1..2" for i in range(NODES_MAX + 200)]
    graph = graph_of("\n".join(lines))

    assert len(graph) == NODES_MAX + 1
    assert "other:<other>" in graph
    assert graph.graph["folded_node_count"] >= 200
    assert sum(count for _, count in graph.nodes(data="span_count")) == NODES_MAX + 201


@dataclass(frozen=True)
class EdgeLine:
    caller: str
    callee: str
    callee_kind: str
    rule: str
    count: int = 1
    error_count: int = 0
    duration_sum_ns: int = 0


@dataclass(frozen=True)
class OperationLine:
    service: str
    kind: int
    count: int
    error_count: int = 0


def test_aggregated_graph_sums_and_keeps_rules():
    """Two minutes of one edge are one edge; a peer that sends spans itself is that service; a lonely service stays."""
    graph = aggregate(
        [
            EdgeLine("a", "b", "service", "client_server", 10, 1, 100),
            EdgeLine("a", "b", "service", "client_server", 5, 0, 50),
            EdgeLine("a", "b", "peer", "peer_attribute", 2, 2, 20),
            EdgeLine("b", "db1", "database", "peer_attribute", 30, 3, 300),
            EdgeLine("b", "api.example", "peer", "peer_attribute", 1),
        ],
        [
            OperationLine("a", 2, 20, 1),
            OperationLine("a", 3, 15),
            OperationLine("b", 2, 15, 1),
            OperationLine("lonely", 1, 4),
        ],
    )

    assert edges(graph) == [
        "service:a -> service:b [client_server] 15/1",
        "service:a -> service:b [missing_server] 2/2",
        "service:b -> database:db1 [peer_attribute] 30/3",
        "service:b -> external:api.example [peer_attribute] 1/0",
    ]
    assert {"service:a", "service:b", "service:lonely", "database:db1", "external:api.example"} == set(graph)
    assert tuple(graph.nodes["service:a"][key] for key in ("call_count", "error_count", "span_count", "observed")) == (
        20,
        1,
        35,
        True,
    )
    assert tuple(graph.nodes["database:db1"][key] for key in ("call_count", "error_count", "observed")) == (
        30,
        3,
        False,
    )
    assert "service:a" in {node["id"] for node in to_json(graph)["nodes"]}
    assert to_dot(graph).startswith("digraph")
    assert to_mermaid(graph).startswith("flowchart")
