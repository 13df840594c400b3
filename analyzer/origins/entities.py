"""Who a span points at: an observed service, a callee nobody saw, a queue, or the way between two.

In: a `Scene` and a node. Out: `Entity`. Decides nothing.
"""

from __future__ import annotations

import math
import re

from analyzer.findings import Entity
from analyzer.origins.scene import Scene
from analyzer.spans import PeerKind, SpanKind
from analyzer.words import service_entity, shown

# Things that programs depend on, as messages call them.
_ALONE = "gateway|database|redis|memcached|kafka|rabbitmq|postgres|postgresql|mysql|mongodb|elasticsearch|bank|broker"
_WITH_NAME = "gateway|database|db|cache|service|api|provider|broker|bank|queue|store|cluster|processor|backend"
_NOT_A_NAME = frozenset(
    {"a", "an", "the", "to", "of", "from", "by", "with", "at", "in", "on", "for", "our", "via", "this", "that", "and"}
    | {"or", "while", "no", "not", "could", "cannot", "bad", "unknown", "error", "failed", "failure", "call", "calling"}
    | {"connect", "connecting", "reaching", "internal", "external", "remote", "upstream", "downstream", "called"}
)
_NAMED = re.compile(rf"((?:[A-Za-z][\w-]*\s+){{1,2}})({_WITH_NAME})\b", re.IGNORECASE)
_BARE = re.compile(rf"\b({_ALONE})\b", re.IGNORECASE)


def dependency_in(text: str) -> str:
    """The dependency a message speaks of ("payment gateway error: ..." -> "payment gateway"); empty: none."""
    for part in re.split(r":\s|;\s", text[:2_000]):
        for match in _NAMED.finditer(part):
            words: list[str] = []
            for word in reversed(match[1].split()):
                if word.lower() in _NOT_A_NAME:
                    break
                words.insert(0, word)
            if words:
                return shown(" ".join([*words, match[2]])).lower()
        bare = _BARE.search(part)
        if bare and not part[: bare.start()].lower().rstrip().endswith("bad"):
            return bare[1].lower()
    return ""


def observed(scene: Scene, node: int) -> Entity:
    """The service and operation of a span that was seen."""
    return service_entity(scene.analysis, node)


def has_peer(scene: Scene, node: int) -> bool:
    row = scene.row(node)
    return bool(row["peer"] or row["system"] or row["peer_kind"])


def answers_usually(scene: Scene, node: int) -> bool:
    """Whether a server span is below this call when all is well, as far as is known."""
    share = float(scene.analysis.structure.server_share[node])
    if not math.isnan(share):
        return share >= 0.5
    known = scene.memory.is_answered(int(scene.row(node)["operation"]), scene.analysis.traces.vocabulary)
    return known or bool(scene.usual_callee(node))


def callee(scene: Scene, node: int) -> Entity:
    """The other side of a call without a server span.

    A service when its spans are usually seen, so that it should have been there; else a peer that is not
    instrumented, or a queue.
    """
    row = scene.row(node)
    name = scene.memory.callee(int(row["operation"]), scene.analysis.traces.vocabulary) or scene.usual_callee(node)
    peer = scene.text(node, "peer")
    if answers_usually(scene, node):
        known = shown(_service_behind(peer, name) or f"callee of {scene.operation(node)}")
        return Entity(kind="service", name=known, service=known, caller=shown(scene.service(node)), peer=shown(peer))
    label = peer or scene.text(node, "system") or name
    if not label:
        told = [dependency_in(text) for text in scene.messages(node)]
        label = next((text for text in told if text), f"callee of {scene.operation(node)}")
    queue = int(row["peer_kind"]) == PeerKind.QUEUE or scene.kind(node) == SpanKind.PRODUCER
    return Entity(
        kind="queue" if queue else "peer",
        name=shown(label),
        service=shown(scene.service(node)),
        operation=shown(scene.operation(node)),
        peer=shown(peer or scene.text(node, "system")),
    )


def _service_behind(peer: str, learned: str) -> str:
    """The name of the service that was called.

    What the call itself says goes before what calls of its operation usually reach: an HTTP client calls
    everybody under one name, "POST". The learned name is used where it is the same service by its own name
    ("payment.prod.svc:8080" is "payment"), and where the call names no more than a number.
    """
    host = peer.rpartition("://")[2].strip("[").partition("]")[0]
    if not learned or not host:
        return learned or peer
    if host.count(":") < 2:
        host = host.partition(":")[0]
    first = host.partition(".")[0].lower()
    numeric = ":" in host or host.replace(".", "").isdigit() or first == "localhost"
    return learned if numeric or first in learned.lower() or learned.lower() in first else peer


def named_peer(scene: Scene, node: int, name: str) -> Entity:
    """A dependency known only from a message; `node` is the span that used it."""
    return Entity(
        kind="peer",
        name=shown(name),
        service=shown(scene.service(node)),
        operation=shown(scene.operation(node)),
        peer=shown(name),
    )


def edge(scene: Scene, node: int, server: int | None) -> Entity:
    """The way between a call and its other side: network, proxy, load balancer."""
    caller = shown(scene.service(node))
    other = shown(scene.service(server)) if server is not None else callee(scene, node).name
    return Entity(kind="edge", name=f"{caller} -> {other}", service=caller, caller=caller, callee=other)
