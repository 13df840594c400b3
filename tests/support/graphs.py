"""Service graphs of drawn traces, and their edges as lines of text."""

from __future__ import annotations

from analyzer.findings import Answer
from analyzer.service_graph import Graph, trace_graph
from tests.support.drawing import Drawing, batch, draw
from tests.support.measured import measure

WORDS = {
    "TOPIC": "messaging.system=kafka messaging.destination.name=orders",
    "MYSQL": "db.system.name=mysql server.address=orders-db",
}


def drawn(text: str) -> Drawing:
    for word, attributes in WORDS.items():
        text = text.replace(word, attributes)
    return draw(text)


def graph_of(drawing: Drawing | str, answer: Answer | None = None) -> Graph:
    return trace_graph(measure(batch(drawn(drawing) if isinstance(drawing, str) else drawing)), 0, answer)


def edges(graph: Graph) -> list[str]:
    return sorted(
        f"{a} -> {b} [{rule}] {e['count']}/{e['error_count']}" for a, b, rule, e in graph.edges(keys=True, data=True)
    )


def edge(graph: Graph, caller: str, callee: str) -> dict[str, object]:
    (only,) = graph.get_edge_data(caller, callee).values()
    return only
