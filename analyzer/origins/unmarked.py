"""A span failed and none of its children says so: did one of them fail in silence?

Much code returns an error without marking the span it came from; only the caller records it. The child
is then found by what speaks for it: it ended at the moment of failure, calls that usually follow are
missing, the message names it, it carries a bad response code, or lacks what successes carry.
In: a `Scene` and a failed node. Out: the likeliest silent child and how likely it is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from analyzer.error_classes import ErrorClass
from analyzer.findings import Evidence
from analyzer.origins.entities import dependency_in, has_peer
from analyzer.origins.scene import Scene
from analyzer.origins.shares import claim
from analyzer.spans import SpanKind
from analyzer.words import ms

# Points of evidence, in log-odds. Starting values set by the drawn situations of tests/analyzer/test_origins.py;
# the prior says that a failed span without failed children failed by itself nine times out of ten.
PRIOR = -2.2
ENDS_AT_FAILURE = 1.2
CALLS_OUT = 0.8
MISSING_CALLS = 1.0
MESSAGE_NAMES_IT = 2.0
MESSAGE_NAMES_DEPENDENCY = 1.2
REMOTE_CLASS = 1.0
UNANSWERED = 1.5
BAD_ATTRIBUTE = 2.2
ABSENT_ATTRIBUTE = 1.5
SAYS_OK = -2.5
OWN_MISTAKE = -1.5

MISSING_SURPRISE_MIN = 1.0  # nats
USUALLY_ANSWERED = 0.8  # share of calls with a server span below them
MOMENT_MIN_NS = 2_000_000  # two clocks readings and an exception's way up
MOMENT_SHARE = 0.05
AROUND_MIN_NS = 100_000  # what a server span does around the span of its own work: routing, writing the answer
AROUND_SHARE = 0.05
CHILDREN_MAX = 64  # the last to end are looked at; bounds the reading of details
DEPTH_MAX = 64
OUTLIVED_MIN_NS = 1_000_000
SUBTREE_MAX = 1_000  # spans below a call that was given up
_REMOTE = (ErrorClass.TIMEOUT, ErrorClass.UNAVAILABLE, ErrorClass.THROTTLED, ErrorClass.BUSINESS)
_OWN_MISTAKES = re.compile(
    r"(?:^|\.)(?:KeyError|ValueError|TypeError|IndexError|AttributeError|NameError|ZeroDivisionError|AssertionError"
    r"|NullPointerException|IllegalArgumentException|IllegalStateException|ClassCastException|ArithmeticException"
    r"|NumberFormatException|IndexOutOfBoundsException|ReferenceError|RangeError|NullReferenceException"
    r"|ArgumentException|ArgumentNullException|InvalidCastException|NoMethodError)$"
)
_RESULT_KEY = re.compile(r"(?:^|[._])(?:response_?code|status_?code|status|result|outcome|error_?code|return_?code)$")
_BAD_RESULT = re.compile(
    r"declin|fail|error|timeout|timed.?out|refus|denied|reject|unavailable|invalid|abort|exception|^ko$|^[45]\d\d$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Silent:
    """A child that failed without saying so.

    node : where it leads: the deepest call out of the process that ended at the moment of failure
    """

    child: int
    node: int
    probability: float
    evidence: tuple[Evidence, ...]


def work_span(scene: Scene, node: int) -> int:
    """The span in which a failed server did all of its work: of its own process, quiet, nearly as long; else `node`.

    Where only server spans are marked, it is in there that the failure came up.
    """
    if scene.kind(node) not in (SpanKind.SERVER, SpanKind.CONSUMER):
        return node
    around_ns = max(AROUND_MIN_NS, int(AROUND_SHARE * scene.duration_ns(node)))
    for child in scene.children(node):
        same = scene.kind(child) == SpanKind.INTERNAL and scene.service(child) == scene.service(node)
        long = scene.duration_ns(node) - scene.duration_ns(child) <= around_ns
        if same and long and not scene.failed(child) and not scene.says_ok(child) and not has_peer(scene, child):
            return child
    return node


def silent_child(scene: Scene, node: int) -> Silent | None:
    """The likeliest child of failed `node` to have failed in silence; None when it has no quiet children."""
    quiet = [child for child in scene.children(work_span(scene, node)) if not scene.failed(child)]
    quiet = sorted(quiet, key=lambda child: (scene.end_ns(child), child))[-CHILDREN_MAX:]
    if not quiet:
        return None
    last_end = scene.end_ns(quiet[-1])
    found = [_weigh(scene, node, child, last_end) for child in quiet]
    return max(found, key=lambda silent: silent.probability)


def abandoned(scene: Scene, call: int) -> bool:
    """The call has ended and its server has not: somebody stopped waiting."""
    server = scene.server_child(call)
    slack_ns = max(OUTLIVED_MIN_NS, scene.duration_ns(call) // 50)  # as in the kernels of blame
    return server is not None and scene.end_ns(server) > scene.end_ns(call) + slack_ns


def slow_below(scene: Scene, node: int, call: int) -> int | None:
    """The span that held the time when `node` gave up on a call that does not say so; None when it did not."""
    return slowest_below(scene, call) if scene.error_class(node) == ErrorClass.TIMEOUT else None


def slowest_below(scene: Scene, call: int) -> int | None:
    """The longest own time beyond the usual below an abandoned call, unclipped; None: it was not abandoned."""
    server = scene.server_child(call)
    if server is None or not abandoned(scene, call):
        return None
    below, at = [server], 0
    while at < len(below) < SUBTREE_MAX:
        below += [child for child in scene.children(below[at]) if scene.kind(child) != SpanKind.CONSUMER]
        at += 1
    own, expected = scene.analysis.own_ns, scene.analysis.own.expected_ns
    beyond = {one: int(own[one]) - (float(expected[one]) if expected[one] > 0 else 0.0) for one in below}
    return max(below, key=lambda one: (beyond[one], -one))


def moment_ns(scene: Scene, node: int) -> int:
    """How close two times must be to be one moment in the life of `node`."""
    return max(MOMENT_MIN_NS, int(MOMENT_SHARE * scene.duration_ns(node)))


def _weigh(scene: Scene, node: int, child: int, last_end_ns: int) -> Silent:
    points, evidence = PRIOR, []
    origin = _deepest_call(scene, node, child)
    gap_ns = scene.failure_ns(node) - scene.end_ns(child)
    at_the_moment = scene.end_ns(child) == last_end_ns and abs(gap_ns) <= moment_ns(scene, node)
    messages = scene.messages(node)
    if at_the_moment:
        points += ENDS_AT_FAILURE
        text = f"{scene.operation(child)} was the last to end, {ms(max(gap_ns, 0))} before the failure"
        evidence.append(claim(scene, text, child, node, gap_ms=gap_ns / 1e6))
        if scene.analysis.structure.missing[node] > MISSING_SURPRISE_MIN:
            points += MISSING_CALLS
            surprise = float(scene.analysis.structure.missing[node])
            evidence.append(claim(scene, "calls that usually follow it are missing", node, surprise_nats=surprise))
    unanswered = scene.error_class(node) in _REMOTE and _is_unanswered(scene, child)
    if unanswered:
        points += UNANSWERED
        share = float(scene.analysis.structure.server_share[child])
        text = "this call usually has a server span below it; here it has none"
        evidence.append(claim(scene, text, child, server_share=share))
    if (at_the_moment or unanswered) and scene.error_class(node) in _REMOTE:
        points += REMOTE_CLASS
        text = f"the failure is of a kind that comes from outside ({scene.error_class(node).name.lower()})"
        evidence.append(claim(scene, text, node))
    named = next((word for one in {child, origin} for word in _names(scene, node, one, messages)), "")
    if named:
        points += MESSAGE_NAMES_IT
        evidence.append(claim(scene, f"the message or stack of the failure names {named!r}", node, child))
    dependency = next((word for word in map(dependency_in, messages) if word), "")
    if dependency and at_the_moment:
        points += MESSAGE_NAMES_DEPENDENCY
        evidence.append(claim(scene, f"the message speaks of another system: {dependency!r}", node))
    bad = _bad_attribute(scene, child) or (_bad_attribute(scene, origin) if origin != child else "")
    if bad:
        points += BAD_ATTRIBUTE
        evidence.append(claim(scene, f"it carries {bad}", child))
    usual = scene.usual_attributes.get(int(scene.row(child)["operation"]), frozenset())
    absent = sorted(usual - set(scene.detail(child).attributes)) if usual else []
    if absent:
        points += ABSENT_ATTRIBUTE
        text = f"{', '.join(absent[:3])} is absent, where successes of {scene.operation(child)} have it"
        evidence.append(claim(scene, text, child))
    if scene.kind(origin) in (SpanKind.CLIENT, SpanKind.PRODUCER) or has_peer(scene, origin):
        points += CALLS_OUT
    if scene.says_ok(child) or scene.says_ok(origin):
        points += SAYS_OK
    if _OWN_MISTAKES.search(scene.text(node, "exception_type")) and not named:
        points += OWN_MISTAKE
    return Silent(child, origin, 1.0 / (1.0 + math.exp(-points)), tuple(evidence))


def _is_unanswered(scene: Scene, child: int) -> bool:
    """A quiet call without a server span, where calls like it have one."""
    if scene.kind(child) != SpanKind.CLIENT or scene.server_child(child) is not None:
        return False
    return float(scene.analysis.structure.server_share[child]) >= USUALLY_ANSWERED  # False for nan


def _deepest_call(scene: Scene, node: int, child: int) -> int:
    """Down the chain of last-ended quiet children: its deepest span that calls out, else `child` itself."""
    path, eps = [child], moment_ns(scene, node)
    for _ in range(DEPTH_MAX):
        at = path[-1]
        quiet = [one for one in scene.children(at) if not scene.failed(one) and not scene.says_ok(one)]
        if not quiet:
            break
        last = max(quiet, key=lambda one: (scene.end_ns(one), one))
        if abs(scene.end_ns(child) - scene.end_ns(last)) > eps:
            break
        path.append(last)
    for at in reversed(path):
        if scene.kind(at) in (SpanKind.CLIENT, SpanKind.PRODUCER) or has_peer(scene, at):
            return at
    return child


def _names(scene: Scene, node: int, child: int, messages: list[str]) -> list[str]:
    """Names of the child that the failure speaks of."""
    spoken = [*messages, *scene.stacks(node)]
    if not spoken:
        return []
    squeezed = _squeeze(" ".join(spoken)[:20_000])
    attributes = scene.detail(child).attributes
    function = str(attributes.get("code.function.name") or attributes.get("code.function") or "")
    names = [scene.operation(child), function.rpartition(".")[2], scene.text(child, "peer")]
    if scene.service(child) != scene.service(node):
        names.append(scene.service(child))
    names.append(scene.text(child, "system"))
    own = {_squeeze(scene.operation(node)), _squeeze(scene.service(node))}
    found = []
    for name in names:
        short = _squeeze(name)
        if len(short) >= 5 and short not in own and short in squeezed:
            found.append(name)
    return found


def _squeeze(text: str) -> str:
    """Letters and digits only, lower case: "chargeCard", "charge card" and "charge_card" are one name."""
    return "".join(filter(str.isalnum, text.lower()))


def _bad_attribute(scene: Scene, node: int) -> str:
    """An attribute that reads like a failed response; empty when there is none."""
    if scene.weak(node):
        return "an exception or an error code, though its status is not an error"
    row = scene.row(node)
    if int(row["http_status"]) >= 400:
        return f"HTTP status {int(row['http_status'])}"
    for key, value in scene.detail(node).attributes.items():
        if isinstance(value, bool):
            if not value and key.rpartition(".")[2] in ("success", "ok", "succeeded"):
                return f"{key} = false"
        elif isinstance(value, (str, int)) and _RESULT_KEY.search(key.lower()) and _BAD_RESULT.search(str(value)):
            return f"{key} = {str(value)[:60]!r}"
    return ""
