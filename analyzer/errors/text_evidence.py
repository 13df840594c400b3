"""Reads what people have when they have no trace: an error message, a stack trace, a log file of JSON lines.

In: text, and who parses stack traces. Out: `TextAnswer`. What kind it is shows in the text; it never raises on it. A
message alone names a kind of failure; a stack adds the place; a log adds how often, whom and since when; only a trace
adds where it began, and the answer says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from analyzer.error_classes import ErrorClass, message_class, type_class
from analyzer.errors.log_reader import LogRecord, read_log
from analyzer.errors.log_summary import summarise
from analyzer.errors.model import Frame, StackTrace
from analyzer.errors.text_words import EvidenceKind, TextAnswer, kinds
from analyzer.words import shown

ParseStack: TypeAlias = Callable[[str], StackTrace | None]
TextKind = Literal["message", "stack", "log"]

RECORDS_MAX = 100_000
CHAIN_MAX = 20
_HEAD_LINES = 20
_STACK_LINE = re.compile(
    r"^\s*(at\s+[^\s(][^(]*\(.*\)|at\s+\S+:\d+|at async \S+|File \".*\", line \d+|Traceback \(most recent call last\):"
    r"|Caused by: \S|goroutine \d+ \[|#\d+\s+(0x[0-9a-f]+ in |/|\S+\(\d+\))|\s+from \S+:\d+:in |\S+\.rs:\d+:\d+"
    r"|thread '.*' panicked at|\*\* \(\S+\))"
)
# "Type: message", the type as languages write it: dotted, with a capital or a known end.
_TYPED = re.compile(
    r"^(?:Exception in thread \"[^\"]*\" |Uncaught |Unhandled exception\. |panic: )?"
    r"((?:[A-Za-z_$][\w$]*[.:\\]{1,2})*[A-Z_$][\w$]*(?:Error|Exception|Failure|Fault|Panic|Timeout)?)\s*(?::\s*(.*))?$"
)


def kind_of_text(text: str) -> TextKind:
    """Tell a log of JSON lines, a stack trace and a bare message apart, by its first lines."""
    head = [line for line in text[:65_536].splitlines() if line.strip()][:_HEAD_LINES]
    whole = head[:-1] if len(text) > 65_536 and len(head) > 1 else head
    if whole and sum(_record(line) is not None for line in whole) * 2 > len(whole):
        return "log"
    # A message may be of many lines before the first frame.
    many = text[:65_536].splitlines()[:200]
    return "stack" if any(_STACK_LINE.match(line) for line in many) else "message"


def read_text(text: str, parse_stack: ParseStack | None = None, kind: TextKind | None = None) -> TextAnswer:
    """Say what can be said of a text.

    Parameters
    ----------
    text : str
    parse_stack : callable or None
        Text of a stack trace -> StackTrace, or None when it is none. None: frames are not read, and it is said.
    kind : what it is; None: it is told by the text
    """
    kind = kind or kind_of_text(text)
    if kind == "log":
        return _read_log(text, parse_stack)
    stack = parse_stack(text) if kind == "stack" and parse_stack is not None else None
    if stack is not None:
        return _of_stack(stack)
    error_type, message = type_and_message(text)
    found = error_class(error_type, message)
    present: list[EvidenceKind] = ["message", "stack"] if kind == "stack" else ["message"]
    summary = _summary(error_type, message, found)
    if kind == "stack":
        summary += " The frames of its stack trace could not be read."
    return TextAnswer(
        kind=kind,
        summary=summary,
        error_type=error_type,
        error_message=message,
        error_class=found,
        evidence=kinds(present),
    )


def type_and_message(text: str) -> tuple[str, str]:
    """Split the line that says what happened: the last unindented one of Python, else the first; type, then message."""
    lines = [line.rstrip() for line in text[:65_536].splitlines() if line.strip()]
    if not lines:
        return "", ""
    python = any(line.startswith("Traceback (most recent call last):") for line in lines)
    candidates = [line for line in lines if not line[0].isspace() and not line.startswith("Traceback")]
    line = (candidates[-1] if python else candidates[0]) if candidates else lines[0].strip()
    found = _TYPED.match(line)
    if found and (found[2] is not None or re.search(r"(Error|Exception|Failure|Fault|Timeout)$", found[1])):
        return found[1][:1024], (found[2] or "")[:1024]
    return "", line[:1024]


def error_class(error_type: str, message: str) -> str:
    """Lower-case name of the family of failure; empty when the words tell none."""
    found = type_class(error_type.encode("utf-8", "replace")) if error_type else ErrorClass.NONE
    if found in (ErrorClass.NONE, ErrorClass.UNKNOWN):
        found = message_class(message.encode("utf-8", "replace"))
    return "" if found in (ErrorClass.NONE, ErrorClass.UNKNOWN) else found.name.lower()


def _summary(error_type: str, message: str, found: str) -> str:
    named = f"{shown(error_type)}: {shown(message)}" if error_type and message else shown(error_type or message)
    if not named:
        return "The text is empty; nothing can be said of it."
    words = f"{named.rstrip('.')}."
    if found == "business":
        return words + " A refusal for a business reason; no system failed."
    return words + (f" By its words it is of the family {found.replace('_', ' ')}." if found else "")


def _of_stack(stack: StackTrace) -> TextAnswer:
    root, origin = stack.root, stack.origin
    found = error_class(root.type, root.message)
    location = place_of(origin) if origin else ""
    summary = _summary(root.type, root.message, found)
    if location:
        summary += f" Look at {shown(location)} first."
    return TextAnswer(
        kind="stack",
        summary=summary,
        error_type=root.type[:1024],
        error_message=root.message[:1024],
        error_class=found,
        language=stack.language,
        location=location,
        call_chain=[place_of(frame)[:1024] for frame in root.frames[:CHAIN_MAX]],
        evidence=kinds(["message", "stack"] if root.message else ["stack"]),
    )


def place_of(frame: Frame) -> str:
    """Write a frame as file:line (function)."""
    where = f"{frame.file}:{frame.line}" if frame.file and frame.line else frame.file
    name = ".".join(part for part in (frame.module, frame.function) if part)
    return f"{where} ({name})" if where and name else where or name


def _record(line: str) -> dict[str, Any] | None:
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or {"resourceSpans", "resourceLogs", "resourceMetrics"} & set(found):
        return None
    # One record in our words says at least one of these; any other object is no log.
    record = read_log(found)
    return found if record.level or record.message or record.time_ns else None


def _read_log(text: str, parse_stack: ParseStack | None) -> TextAnswer:
    records: list[LogRecord] = []
    raw: list[dict[str, Any]] = []
    unreadable = left_out = 0
    for line in text.splitlines():
        if not line.strip():
            continue
        if len(records) >= RECORDS_MAX:
            left_out += 1
            continue
        found = _record(line)
        if found is None:
            unreadable += 1
            continue
        raw.append(found)
        records.append(read_log(found))
    log, errors = summarise(records, raw, unreadable, left_out)
    present: list[EvidenceKind] = ["log"]
    first = next((one for one in records if one.is_error and one.stack_trace), None)
    if errors:
        present.insert(0, "message")
    stack = None
    if first is not None:
        present.append("stack")
        stack = parse_stack(first.stack_trace) if parse_stack is not None else None
    origin = stack.origin if stack else None
    top = errors[0] if errors else None
    summary = f"{_many(log.records, 'record')}, none of them an error." if top is None else ""
    if top is not None:
        named = f"{shown(top.type)}: {shown(top.message)}" if top.type else shown(top.message)
        counts = (log.error_records, "error"), (log.error_kinds, "kind"), (log.records, "record")
        errors_of, kinds_in, all_records = (_many(number, word) for number, word in counts)
        summary = f"{errors_of} of {kinds_in} in {all_records};"
        summary += f" most often {named} ({top.count})."
        if top.business:
            summary += " That one is a refusal for a business reason; no system failed."
    return TextAnswer(
        kind="log",
        summary=summary,
        error_type=top.type if top else "",
        error_message=top.message if top else "",
        error_class=error_class(top.type, top.message) if top else "",
        language=stack.language if stack else "",
        location=place_of(origin) if origin else "",
        call_chain=[place_of(frame)[:1024] for frame in stack.root.frames[:CHAIN_MAX]] if stack else [],
        errors=errors,
        log=log,
        evidence=kinds(present),
    )


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
