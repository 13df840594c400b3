"""A message, a stack trace or a log file in: what can be said of it, for REST and the command line.

In: bytes or text. Out: `TextAnswer`, and lines for a terminal. Knows who parses stack traces; decides nothing.
"""

from __future__ import annotations

from analyzer.errors.iso_time import iso_of
from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.text_evidence import kind_of_text, read_text
from analyzer.errors.text_words import TextAnswer
from analyzer.words import shown

HEAD_BYTES = 65_536
_OTLP_WORDS = (b"resourceSpans", b"resourceLogs", b"resourceMetrics", b"resource_spans", b"resource_logs")


def analyze_text(text: str) -> TextAnswer:
    """Say what can be said of a text."""
    return read_text(text, parse_stack)


def is_text_evidence(head: bytes) -> bool:
    """Whether the first bytes of a file are a log of JSON lines or a stack trace, and not OTLP."""
    if b"\x00" in head or any(word in head for word in _OTLP_WORDS):
        return False
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # else the head was cut within a letter
            return False
        text = head[: error.start].decode()
    return bool(text.strip()) and kind_of_text(text) != "message"


def text_lines(answer: TextAnswer) -> list[str]:
    """Write an answer for a terminal; text from elsewhere is stripped of control characters."""
    lines = [f"{answer.kind.upper():<8} {shown(answer.summary)}"]
    if answer.location:
        lines.append(f"  look at  {shown(answer.location)}")
    lines += [f"  called   {shown(place)}" for place in answer.call_chain[1:5]]
    for kind in answer.errors:
        named = f"{shown(kind.type)}: {shown(kind.message)}" if kind.type else shown(kind.message)
        lines.append(f"  {kind.count:>6} x {named}")
        told = [f"in {', '.join(shown(service) or '(no service)' for service in kind.services[:5])}"]
        if kind.users:
            told.append("1 user" if kind.users == 1 else f"about {kind.users} users")
        if kind.first_ns:
            told.append(f"{iso_of(kind.first_ns, 0)} to {iso_of(kind.last_ns, 0)}")
        told += [word for word in (kind.shape, "business refusal" if kind.business else "") if word]
        lines.append(f"           {'; '.join(told)}")
        if kind.period:
            lines.append(f"           {kind.period}")
        if kind.example_trace_ids:
            lines.append(f"           trace {kind.example_trace_ids[0]}")
    if answer.log is not None:
        for service, share in answer.log.conformance.items():
            lines.append(f"  {share:>6.0%} of the records of {shown(service)} keep the log schema")
        lines += [f"  {shown(gap)}" for gap in answer.log.correlation_gaps]
    lines.append(f"  evidence {', '.join(answer.evidence.present)}")
    lines += [f"  missing  {one.kind}: {one.would_tell}" for one in answer.evidence.missing]
    return lines
