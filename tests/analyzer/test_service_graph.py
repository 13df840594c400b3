"""Who called whom, and how that was seen."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.calls import RULES, find_calls
from analyzer.service_graph import to_dot, to_json, trace_graph
from tests.support.drawing import MS, batch, draw
from tests.support.graphs import drawn, edge, edges, graph_of
from tests.support.measured import measure


def test_client_and_server_make_one_call():
    """The call is the client span; what it lasted beyond the server is the network."""
    graph = graph_of("""
        gateway   GET /checkout            0..100
          gateway   CLIENT payment.Charge    40..90
            payment   Charge                   45..80
    """)

    assert edges(graph) == [
        "client:user -> service:gateway [entry] 1/0",
        "service:gateway -> service:payment [client_server] 1/0",
    ]
    call = edge(graph, "service:gateway", "service:payment")
    assert 50 * MS == call["duration_sum_ns"] == call["duration_max_ns"]
    assert (call["network_gap_count"], call["network_gap_sum_ns"]) == (1, 15 * MS)


def test_internal_span_between_client_and_server_does_not_hide_the_call():
    """An HTTP client with an INTERNAL span below it still is the caller, and has no unknown peer."""
    graph = graph_of("""
        a   GET /x              0..100
          a   CLIENT GET          10..90
            a   INTERNAL connect    20..80
              b   GET /y              30..70
    """)

    assert edges(graph) == ["client:user -> service:a [entry] 1/0", "service:a -> service:b [client_server] 1/0"]


def test_a_service_that_calls_itself_has_a_loop():
    """Client and server of the same service: another instance of it answered."""
    graph = graph_of("""
        a   GET /x          0..100
          a   CLIENT GET      10..90
            a   SERVER GET      20..80
    """)

    assert "service:a -> service:a [client_server] 1/0" in edges(graph)
    assert graph.nodes["service:a"]["call_count"] == 2


def test_spans_without_kinds_make_edges_by_parenthood():
    """No span.kind anywhere: the parent's service called the child's."""
    graph = graph_of("""
        web     INTERNAL page     0..100
          api     INTERNAL load     10..60
            store   UNSPECIFIED get   20..50
    """)

    assert edges(graph) == [
        "service:api -> service:store [parent_child] 1/0",
        "service:web -> service:api [parent_child] 1/0",
    ]
    assert edge(graph, "service:web", "service:api")["network_gap_count"] == 0


def test_database_without_spans_is_a_node_of_its_own():
    """Twelve statements, one failed: one inferred database, one edge with all of it."""
    statements = "\n".join(
        f"          shop CLIENT SELECT {i * 5}..{i * 5 + 4} {'ERROR' if i == 3 else ''} MYSQL" for i in range(12)
    )
    graph = graph_of(f"        shop GET /x 0..100\n{statements}")

    database = graph.nodes["database:orders-db"]
    assert tuple(
        database[key] for key in ("kind", "system", "observed", "confidence", "call_count", "error_count")
    ) == ("database", "mysql", False, "high", 12, 1)
    assert "databases send no spans" in database["reason"]
    assert "service:shop -> database:orders-db [peer_attribute] 12/1" in edges(graph)
    assert edge(graph, "service:shop", "database:orders-db")["duration_sum_ns"] == 48 * MS


def test_nested_clients_are_one_call():
    """ORM over driver: the driver speaks. Cloud SDK over HTTP: the SDK speaks, it knows more."""
    graph = graph_of("""
        shop   GET /x                 0..100
          shop   CLIENT orm.load        10..40   MYSQL
            shop   CLIENT SELECT          12..38   MYSQL
          shop   CLIENT GetItem         50..90   db.system.name=dynamodb db.namespace=carts
            shop   CLIENT POST            52..88   server.address=dynamodb.amazonaws.example
    """)

    assert edges(graph) == [
        "client:user -> service:shop [entry] 1/0",
        "service:shop -> database:carts [peer_attribute] 1/0",
        "service:shop -> database:orders-db [peer_attribute] 1/0",
    ]


def test_broker_stands_between_producer_and_consumer_with_the_wait():
    """Produce 10 ms, wait 60 ms, consume 20 ms: each on its own edge."""
    graph = graph_of("""
        shop    POST /order                0..40
          shop    PRODUCER orders publish    10..20   TOPIC
            ship    CONSUMER orders process    80..100  ERROR TOPIC
    """)

    assert edges(graph) == [
        "client:user -> service:shop [entry] 1/0",
        "queue:orders -> service:ship [producer_consumer] 1/1",
        "service:shop -> queue:orders [producer_consumer] 1/0",
    ]
    sent, taken = edge(graph, "service:shop", "queue:orders"), edge(graph, "queue:orders", "service:ship")
    assert (sent["duration_sum_ns"], sent["queue_wait_count"]) == (10 * MS, 0)
    assert (taken["duration_sum_ns"], taken["queue_wait_count"], taken["queue_wait_sum_ns"]) == (20 * MS, 1, 60 * MS)
    assert tuple(graph.nodes["queue:orders"][key] for key in ("kind", "system", "observed")) == (
        "queue",
        "kafka",
        False,
    )


def test_one_message_two_consumers():
    """The message was sent once and taken twice."""
    graph = graph_of("""
        shop   PRODUCER orders publish   0..10   TOPIC
          ship   CONSUMER orders process   20..30  messaging.system=kafka
          bill   CONSUMER orders process   40..50  messaging.system=kafka
    """)

    assert edges(graph) == [
        "queue:orders -> service:bill [producer_consumer] 1/0",
        "queue:orders -> service:ship [producer_consumer] 1/0",
        "service:shop -> queue:orders [producer_consumer] 1/0",
    ]


def test_queue_without_a_name_makes_a_direct_edge_with_the_wait():
    """No attribute names the broker: nothing is invented, the wait is kept."""
    graph = graph_of("""
        shop   PRODUCER publish   0..10
          ship   CONSUMER process   25..30
    """)

    assert edges(graph) == ["service:shop -> service:ship [producer_consumer] 1/0"]
    assert edge(graph, "service:shop", "service:ship")["queue_wait_sum_ns"] == 15 * MS


def test_consumer_finds_its_producers_by_link():
    """A batch of two messages: both were sent, one processing, the oldest wait."""
    graph = graph_of("""
        shop   POST /a                    0..40
          shop   PRODUCER orders publish    10..20   name:p1 TOPIC
          shop   PRODUCER orders publish    30..40   name:p2 TOPIC
        ship   CONSUMER orders process   100..120  link:p1 link:p2 TOPIC
    """)

    assert "service:shop -> queue:orders [link] 2/0" in edges(graph)
    assert "queue:orders -> service:ship [link] 1/0" in edges(graph)
    assert edge(graph, "queue:orders", "service:ship")["queue_wait_max_ns"] == 80 * MS


def test_link_to_another_trace_is_named():
    """The other trace is not here; its id is."""
    drawing = drawn("ship CONSUMER process 0..10 name:p link:p TOPIC")
    traces = batch(drawing)
    other = trace_graph(measure(replace(traces, details=lambda raw, *, log: _linked(traces, raw))), 0)

    assert other.graph["linked_traces"] == ["ab" * 16]


def _linked(traces, raw):  # type: ignore[no-untyped-def]
    detail = traces.details(raw, log=False)
    return replace(detail, links=[replace(link, trace_id="ab" * 16) for link in detail.links])


def test_plain_link_between_services_is_an_edge():
    """No messaging at all: a span of b links to one of a."""
    graph = graph_of("""
        a   GET /x       0..10   name:origin
        b   INTERNAL job   50..60  link:origin
    """)

    assert "service:a -> service:b [link] 1/0" in edges(graph)


def test_consumer_alone_knows_its_queue():
    """Nobody saw the producer; receive and process are one call."""
    graph = graph_of("""
        ship   CONSUMER orders receive    0..50   TOPIC
          ship   CONSUMER orders process    10..40  TOPIC
    """)

    assert edges(graph) == ["queue:orders -> service:ship [peer_attribute] 1/0"]


def test_receiving_client_is_called_by_the_queue():
    """New conventions: `receive` is a CLIENT span; the message flows from the queue."""
    graph = graph_of("""
        ship   INTERNAL loop            0..50
          ship   CLIENT orders receive    10..20   TOPIC messaging.operation.type=receive
    """)

    assert edges(graph) == ["queue:orders -> service:ship [peer_attribute] 1/0"]


def test_missing_server_of_a_service_that_is_in_the_trace():
    """The second call has no server span, but the service is known: no peer is invented."""
    graph = graph_of("""
        a   GET /x                0..100
          a   CLIENT b.one          10..30   peer.service=b
            b   one                   12..28
          a   CLIENT b.two          40..90   ERROR  peer.service=b
    """)

    assert edges(graph) == [
        "client:user -> service:a [entry] 1/0",
        "service:a -> service:b [client_server] 1/0",
        "service:a -> service:b [missing_server] 1/1",
    ]
    assert graph.nodes["service:b"]["observed"]


def test_missing_server_of_a_service_that_usually_answers():
    """Learned: nine of ten fine calls have a server span below. Its name comes from the client, unseen."""
    analysis = measure(
        batch(
            draw("""
        a   GET /x                0..100
          a   CLIENT b.two          40..90   ERROR  peer.service=b
    """)
        )
    )
    share = analysis.structure.server_share.copy()
    share[1] = 0.9
    graph = trace_graph(replace(analysis, structure=replace(analysis.structure, server_share=share)), 0)

    assert "service:a -> service:b [missing_server] 1/1" in edges(graph)
    assert (graph.nodes["service:b"]["observed"], graph.nodes["service:b"]["confidence"]) == (False, "medium")


def test_client_without_any_attribute_has_an_unnamed_peer():
    """Nobody is named, and the graph says so instead of leaving the call out."""
    graph = graph_of("""
        a   GET /x       0..100
          a   CLIENT GET   10..20
    """)

    assert "service:a -> external-unnamed:a [peer_attribute] 1/0" in edges(graph)
    assert graph.nodes["external-unnamed:a"]["confidence"] == "low"


def test_orphan_server_has_a_missing_caller():
    """Its parent id is not in the trace: that caller sends spans, they were lost."""
    graph = graph_of("b GET /y 0..10 parent:lost")

    assert edges(graph) == ["missing:missing caller -> service:b [missing_client] 1/0"]


def test_single_service_is_shown():
    """No call at all: still a node."""
    graph = graph_of("cron INTERNAL tick 0..10")

    assert list(graph) == ["service:cron"]
    assert graph.number_of_edges() == 0


def test_own_time_is_conserved():
    """Own times of the nodes sum to the own time of the trace, exactly."""
    analysis = measure(
        batch(
            draw("""
        gateway   GET /checkout            0..100
          gateway   CLIENT payment.Charge    40..90
            payment   Charge                   45..80
              payment   CLIENT SELECT            50..60   db.system=mysql
    """)
        )
    )
    graph = trace_graph(analysis, 0)

    assert int(analysis.own_ns.sum()) == sum(own for _, own in graph.nodes(data="own_ns"))


def test_versions_and_instances_of_a_service():
    """Two instances of two versions: all of it at the node, each once."""
    graph = graph_of("""
        a   GET /x   0..100   @service.version=1.0 @service.instance.id=a-1
          a   one      10..20   @service.version=1.1 @service.instance.id=a-2
          a   two      30..40   @service.version=1.1 @service.instance.id=a-2
    """)

    assert (
        graph.nodes["service:a"]["versions"],
        graph.nodes["service:a"]["instances"],
    ) == (["1.0", "1.1"], ["a-1", "a-2"])


def test_deep_chain_needs_no_recursion():
    """Ten thousand spans below each other."""
    traces = batch(draw("\n".join(" " * i + f"s{i % 7} INTERNAL step 0..10" for i in range(3_000))))

    assert len(find_calls(measure(traces), 0).calls) == 2_999


def test_trace_number_is_checked():
    with pytest.raises(IndexError, match="trace 1 of 1"):
        trace_graph(measure(batch(draw("a GET 0..1"))), 1)


def test_order_of_arrival_does_not_matter():
    """Rows shuffled: the same nodes and edges with the same numbers."""
    traces = batch(
        draw("""
        gateway   GET /checkout            0..100
          gateway   CLIENT payment.Charge    40..90
            payment   Charge                   45..80
              payment   CLIENT SELECT            50..60   db.system=mysql server.address=db1
    """)
    )
    order = np.random.default_rng(3).permutation(len(traces.rows))
    shuffled = replace(traces, rows=traces.rows[order])

    assert to_json(trace_graph(measure(traces), 0)) == to_json(trace_graph(measure(shuffled), 0))


@given(st.integers(0, 2**32 - 1), st.integers(1, 14))
@settings(max_examples=150, deadline=None)
def test_any_shape_makes_a_sound_graph(seed: int, count: int):
    """Random trees of random kinds, peers and links: no call is made up, none is counted twice, nothing is lost."""
    choose = random.Random(seed)
    lines, depth = [], 0
    for i in range(count):
        depth = choose.randrange(0, depth + 2) if i else 0
        kind = choose.choice(["SERVER", "CLIENT", "INTERNAL", "PRODUCER", "CONSUMER", "UNSPECIFIED"])
        peer = choose.choice(["", "", "peer.service=s1", "MYSQL", "TOPIC", "messaging.system=kafka", "parent:lost"])
        link = f"link:n{choose.randrange(i)}" if i and choose.random() < 0.2 else ""
        begin = choose.randrange(50)
        lines.append(
            f"{' ' * depth}s{choose.randrange(3)} {kind} op {begin}..{begin + choose.randrange(40)} name:n{i} {peer} {link}"
        )
    analysis = measure(batch(drawn("\n".join(lines))))
    graph = trace_graph(analysis, 0)

    nodes = to_json(graph)["nodes"]
    assert sum(node["own_ns"] for node in nodes) == int(analysis.own_ns.sum())
    assert sum(node["span_count"] for node in nodes) == count
    calls = find_calls(analysis, 0).calls
    assert {call.rule for call in calls} <= set(RULES)
    # A span is the far end of at most one call, links aside (a batch links to many).
    seen = [call for call in calls if call.rule not in ("link", "missing_server") and call.callee.kind == "service"]
    ends = [call.spans[-1] for call in seen]
    assert len(ends) == len(set(ends))
    # The near end of a call to a party without spans speaks once.
    unseen = [call.spans[0] for call in calls if call.callee.kind in ("database", "external")]
    assert len(unseen) == len(set(unseen))
    assert all(call.duration_ns >= 0 and (call.queue_wait_ns or 0) >= 0 for call in calls)
    assert {"n0"} <= set(re.findall(r"\bn\d+\b", to_dot(graph)))
