"""A call was given up: was the callee slow, or is the deadline too short, or did the request come too late?

In: a `Scene` and a call that was given up. Out: the evidence that the callee is not to blame, or None.
"""

from __future__ import annotations

from analyzer.findings import Evidence
from analyzer.origins.scene import Scene
from analyzer.origins.shares import claim
from analyzer.words import ms

# One in five healthy calls takes longer than this one was waited for. A deadline that was there while the usual
# times were learned has cut them off, so that hardly any is longer than it.
USUALLY_LONGER_MIN = 0.2
# Calls of many kinds may share one name ("POST"); the server below says which one this was. A deadline this many
# times what that server usually takes is not too short.
SERVER_RATIO_MAX = 1.5
COUNT_MIN = 20.0
LATE_SHARE = 0.8  # of the wait went by before the server had the request


def too_impatient(scene: Scene, node: int) -> Evidence | None:
    """Return why the deadline of a call that was given up is too short; None when it is not, or nothing is known."""
    usual = scene.analysis.duration
    longer = float(usual.p[node])
    if usual.level[node] == 0 or usual.count[node] < COUNT_MIN or longer < USUALLY_LONGER_MIN:
        return None
    waited_ns, expected_ns = scene.duration_ns(node), float(usual.expected_ns[node])
    server = scene.server_child(node)
    if server is not None and waited_ns > SERVER_RATIO_MAX * float(usual.expected_ns[server]):
        return None
    text = (
        f"the call was given up after {ms(waited_ns)}; {longer:.0%} of such calls take longer when all is well "
        f"({ms(expected_ns)} is usual)"
    )
    return claim(scene, text, node, waited_ms=waited_ns / 1e6, expected_ms=expected_ns / 1e6, p=longer)


def came_too_late(scene: Scene, node: int) -> Evidence | None:
    """Return why a call that was given up had spent its time on the way; None when it had not, or has no server."""
    server = scene.server_child(node)
    if server is None:
        return None
    waited_ns, way_ns = scene.duration_ns(node), scene.start_ns(server) - scene.start_ns(node)
    if way_ns < LATE_SHARE * waited_ns:
        return None
    text = f"the call was given up after {ms(waited_ns)}; its request reached the server after {ms(way_ns)}"
    return claim(scene, text, node, server, waited_ms=waited_ns / 1e6, way_ms=way_ns / 1e6)
