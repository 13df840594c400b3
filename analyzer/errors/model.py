"""The words of the error rooms: frame, stack trace, exception fact, fingerprint, pattern match.

Plain frozen values that every room below `analyzer.errors` and `analyzer.reports` shares. They hold text from
telemetry as it came (cut to size); who shows it makes it safe. No rules here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from analyzer.finding_ids import trace_name

Relation = Literal["thrown", "cause", "context", "suppressed", "member", "goroutine"]


class Frame(NamedTuple):
    """One call of a stack.

    in_app : True application code, False library or runtime, None cannot be told
    line : 0 when it is not said
    """

    function: str
    module: str = ""  # class, package or namespace, as the language writes it
    file: str = ""
    line: int = 0
    column: int = 0
    in_app: bool | None = None


@dataclass(frozen=True, slots=True)
class Thrown:
    """One exception of a chain.

    frames : innermost first, whatever order the language prints
    relation : to the one before it in `StackTrace.chain`; the first is "thrown"
    async_after : indices of frames behind which the stack was joined to another task's (an await, a thread, a promise)
    """

    type: str
    message: str = ""
    frames: tuple[Frame, ...] = ()
    relation: Relation = "thrown"
    async_after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StackTrace:
    """A parsed stack trace.

    chain : outermost first: what was reported, then its cause, and so on; behind these what was printed beside them
        (suppressed, members of a group, other goroutines or threads), each with its own causes; never empty
    language : "java", "python", "javascript", "go", "dotnet", "ruby", "php", "rust", "c", "elixir"
    truncated : the text or the frames were cut to their bounds
    """

    language: str
    chain: tuple[Thrown, ...]
    truncated: bool = False

    @property
    def root(self) -> Thrown:
        """The innermost cause of what was thrown, else what was thrown.

        A group without a cause says nothing itself: its first member and that one's causes do. Causes of what was
        only printed beside it (suppressed exceptions, other members and goroutines) are not its causes.
        """
        found = self.chain[0]
        for thrown in self.chain[1:]:
            if thrown.relation not in ("cause", "context") and not (
                thrown.relation == "member" and found is self.chain[0]
            ):
                break
            found = thrown
        return found

    @property
    def origin(self) -> Frame | None:
        """The frame to look at first: the innermost application frame of the root, else of what wraps it.

        Falls back to the innermost frame of either when nothing is known to be application code.
        """
        wrappers = [thrown for thrown in reversed(self.chain) if thrown is not self.root]
        frames = [frame for thrown in (self.root, *wrappers) for frame in thrown.frames]
        return next((frame for frame in frames if frame.in_app), frames[0] if frames else None)


class Breadcrumb(NamedTuple):
    """Something the trace wrote down before an exception. kind : "log" or "event"."""

    time_ns: int
    service: str
    kind: str
    text: str


class FrameVariables(NamedTuple):
    """Local variables of one frame. line : 0 when it is not said. left_out : variables for which there was no room."""

    function: str
    file: str
    line: int
    variables: tuple[tuple[str, str], ...]
    left_out: int = 0


class Asker(NamedTuple):
    """What a trace says of who made the request, as it came; empty: not said.

    synthetic_type : `user_agent.synthetic.type` of the semantic conventions
    """

    synthetic_type: str = ""
    agent: str = ""


NOBODY_SAID = Asker()


@dataclass(frozen=True, slots=True)
class ExceptionFact:
    """One exception, however often it was written down.

    sources : where it was found: "event", "log", "attributes"; one fact may have all three; "status" alone when a
        span failed without naming an exception
    stack_text : as it came, cut to 64 KiB; empty when there is none
    span_ids : every span it was written under, `span_id` (the innermost) first
    """

    trace_id: str
    span_id: str
    service: str
    operation: str
    time_ns: int
    type: str
    message: str
    stack_text: str = ""
    stack: StackTrace | None = None
    sources: tuple[str, ...] = ()
    version: str = ""
    environment: str = ""
    host: str = ""
    error_class: str = ""  # of the span, lower case ErrorClass name
    http_status: int = 0
    rpc_status: int = -1
    escaped: bool | None = None
    correlation_id: str = ""
    attributes: tuple[tuple[str, str], ...] = ()  # of event and log, without the exception.* ones; bounded
    span_ids: tuple[str, ...] = ()
    breadcrumbs: tuple[Breadcrumb, ...] = ()  # oldest first; bounded
    asker: Asker = NOBODY_SAID  # of the whole trace
    variables: tuple[FrameVariables, ...] = ()  # innermost frame first; bounded
    tenant: str = ""  # whose credential the trace was sent with

    @property
    def trace_name(self) -> str:
        """What the trace is asked for by (`Answer.name`); empty for an error of no trace."""
        return trace_name(self.trace_id, self.tenant) if self.trace_id else ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which group an error belongs to.

    version : of the rules, e.g. "v1"; another version never equals
    fine : 16 hex digits; same exception chain, same application frames
    coarse : 16 hex digits; same type, same first application frame, same service
    tier : what it rests on: "custom", "stack", "message", "status"
    parts : (name, value) in the order hashed; this is the answer to "why was this grouped"
    """

    version: str
    fine: str
    coarse: str
    tier: str
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """A known kind of failure that was recognised, with what is known about it.

    confidence : 0..1
    location : "file:line" of the frame to look at, empty when it is not known
    evidence : (claim, span ids) pairs; every claim rests on the input
    patch : a code change, only where the pattern makes it certain; else empty
    """

    pattern: str
    title: str
    confidence: float
    cause: str
    fix: str
    test_idea: str
    prevention: str
    monitor: str
    location: str = ""
    patch: str = ""
    evidence: tuple[tuple[str, tuple[str, ...]], ...] = ()
