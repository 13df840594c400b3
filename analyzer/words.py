"""A node in words that are safe to show. Used by every topic that writes sentences.

In: an `Analysis` and a node, or text from telemetry. Out: `SpanRef`, `Entity`, short printable text. Decides nothing.
"""

from __future__ import annotations

import numpy as np

from analyzer.analysis import Analysis
from analyzer.findings import Answer, Entity, SpanRef
from analyzer.node_words import NodeFlag
from analyzer.spans import MISSING_NAME, MISSING_SERVICE, PeerKind, SpanFlag, SpanKind, hex_id

TEXT_SHOWN_MAX = 300
_SAMPLED = int(SpanFlag.SAMPLED)
_DETACHED = int(NodeFlag.DETACHED)
_MESSAGING = ("publish", "send", "create", "process", "receive", "poll", "consume", "settle")
_KIND_NAMES = {int(kind): kind.name for kind in SpanKind}


def shown(text: str) -> str:
    """Text from telemetry, made safe for a sentence: no control characters, not too long."""
    if len(text) <= TEXT_SHOWN_MAX and text.isprintable():
        return text  # nearly always
    clean = "".join(letter if letter.isprintable() else " " for letter in text[: TEXT_SHOWN_MAX + 1])
    return clean if len(clean) <= TEXT_SHOWN_MAX else clean[: TEXT_SHOWN_MAX - 3] + "..."


def named(service: str, operation: str) -> str:
    """An operation by its names, safe to show, also when it has none."""
    return f"{shown(service) or MISSING_SERVICE} {shown(operation) or MISSING_NAME}"


def who_saw(answer: Answer) -> str:
    """Whether a user met with it; a check or a bot is none."""
    if answer.asked_by:
        return f"{shown(answer.asked_by)} asked, no user"
    return "the user saw it" if answer.user_visible else "the user did not see it"


def ms(duration_ns: float) -> str:
    """A duration for people."""
    value = duration_ns / 1e6
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.3g} ms"


def row_of(analysis: Analysis, node: int) -> np.void:
    """The row of a node, as a view."""
    record: np.void = analysis.traces.rows[analysis.forest.row[node]]
    return record


def kind_of(analysis: Analysis, node: int) -> SpanKind:
    return SpanKind(int(row_of(analysis, node)["kind"]))


def duration_ns(analysis: Analysis, node: int) -> int:
    return int(analysis.forest.end_ns[node] - analysis.forest.start_ns[node])


def span_ref(analysis: Analysis, node: int) -> SpanRef:
    """A span by id and in words."""
    row = row_of(analysis, node)
    # Made of our own columns, so nothing is left to check, and an answer has dozens of them.
    return SpanRef.model_construct(
        span_id=hex_id(row["span_id"]),
        service=analysis.service(node),
        operation=analysis.operation(node),
        kind=_KIND_NAMES[int(row["kind"])],
        start_ns=int(analysis.forest.start_ns[node]),
        duration_ns=duration_ns(analysis, node),
        trace_flags=int(bool(int(row["flags"]) & _SAMPLED)),
    )


def server_below(analysis: Analysis, node: int) -> int | None:
    """The SERVER span that a CLIENT span called; None when it was not seen."""
    for child in analysis.forest.children(node)[:64]:
        if kind_of(analysis, int(child)) == SpanKind.SERVER and not int(analysis.forest.flags[child]) & _DETACHED:
            return int(child)
    return None


def peer_name(analysis: Analysis, node: int) -> str:
    """What the span says of the other side; empty when it says nothing."""
    row, strings = row_of(analysis, node), analysis.traces.vocabulary.strings
    return shown(strings.text(int(row["peer"])) or strings.text(int(row["system"])))


def service_entity(analysis: Analysis, node: int) -> Entity:
    """The service, operation and process of a span."""
    resource = analysis.traces.vocabulary.resources.resource(int(row_of(analysis, node)["resource"]))
    service = shown(analysis.service(node))
    return Entity(
        kind="service",
        name=service,
        service=service,
        operation=shown(analysis.operation(node)),
        instance=shown(resource.instance),
        version=shown(resource.version),
        host=shown(resource.host),
    )


def edge_entity(analysis: Analysis, node: int, server: int) -> Entity:
    """The way between a call and the service that answered it."""
    caller, callee = shown(analysis.service(node)), shown(analysis.service(server))
    return Entity(kind="edge", name=f"{caller} -> {callee}", service=caller, caller=caller, callee=callee)


def peer_entity(analysis: Analysis, node: int) -> Entity:
    """The other side of a call whose spans were not seen: a service when they usually are, else a peer."""
    name, service = peer_name(analysis, node), shown(analysis.service(node))
    row = row_of(analysis, node)
    if float(analysis.structure.server_share[node]) >= 0.5:  # False for nan: nothing learned
        return Entity(kind="service", name=name, service=name, caller=service, peer=name)
    queue = int(row["peer_kind"]) == PeerKind.QUEUE or kind_of(analysis, node) == SpanKind.PRODUCER
    return Entity(
        kind="queue" if queue else "peer",
        name=name,
        service=service,
        operation=shown(analysis.operation(node)),
        peer=name,
    )


def destination_in(analysis: Analysis, node: int) -> str:
    """The queue that the name of a messaging span speaks of: "orders publish", "send orders" -> "orders".

    Source: OpenTelemetry's messaging conventions, old ("<destination> <operation>") and new.
    """
    name = shown(analysis.operation(node))
    words = [word for word in name.split() if word.lower() not in _MESSAGING]
    return words[0] if len(words) == 1 else name


def queue_entity(analysis: Analysis, consumer: int) -> Entity:
    """The queue between a consumer and its producer."""
    producer = int(analysis.forest.parent[consumer])
    name = peer_name(analysis, consumer) or (peer_name(analysis, producer) if producer >= 0 else "")
    name = name or destination_in(analysis, producer if producer >= 0 else consumer)
    return Entity(
        kind="queue",
        name=name,
        service=shown(analysis.service(consumer)),
        operation=shown(analysis.operation(consumer)),
        peer=name,
    )
