"""Java, Kotlin, Scala, Clojure, Groovy: "at package.Class.method(File.java:45)", innermost frame first.

Reads causes ("Caused by:", and "Wrapped by:" of loggers that print the root first), "Suppressed:", circular
references (they end a chain), "... 12 more", module and loader prefixes, the jar behind a frame, coroutine boundaries.
Format: `java.lang.Throwable.printStackTrace`; logback's and log4j's variants of it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from analyzer.errors.model import Frame, Relation, Thrown
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import leading_type, lines_with, type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

# A call may hold spaces (Kotlin) only where "(" follows at once, else prose and JavaScript would be frames.
_FRAME = re.compile(
    r"\n[ \t]*at ([^(\s.:]*\.[^(\s:]+(?: [^(\n]*[^( \n](?=\())?)(?:\(([^:)\n]*):?([0-9]{0,9})|(?![^\n]))"
)
_SECTION = re.compile(r"\n([ \t]*)(Caused by: |Suppressed: |Wrapped by: )")
_MORE = re.compile(r"\n[ \t]*\.\.\. ([0-9]{1,5}) (?:more|common frames omitted)")
# "app//", "java.base@17/", "loader/module@1/"; a hidden class has "/" behind a "$".
_LOADER = re.compile(r"(?:[^/$]*/){1,2}")
_NO_FILE = {"Native Method", "Unknown Source", "<generated>", "<unknown>", "NO_SOURCE_FILE"}
# A thousand causes that each leave a thousand frames out would be a million; 512 are kept of a trace.
_GIVEN_BACK_MAX = 4096
_BOUNDARY = "_COROUTINE._BOUNDARY"


def parse(text: str, rules: InAppRules, language: str = "java") -> list[Thrown]:
    """The chain of a trace: what was thrown and its causes, then what was suppressed; empty when it has no frame."""
    calls = rules.calls("java" if language == "java" else "php.java", split)
    starts = list(_SECTION.finditer(text)) if "Suppressed: " in text else lines_with("ed by: ", _SECTION, text)
    if not starts:
        return [_thrown(text, calls, "thrown", first=True)]
    ends = [start.start() for start in starts] + [len(text)]
    head = text[: ends[0]]
    base = _indent(head)
    main = [_thrown(head, calls, "thrown", first=True)]
    side: list[Thrown] = []
    enclosing = {base: main[0]}
    wrapped = False
    spare = _GIVEN_BACK_MAX
    for start, end in zip(starts, ends[1:], strict=True):
        level, kind = len(start[1]), start[2]
        section = text[start.end() : end]
        if section.startswith("[CIRCULAR REFERENCE"):
            continue  # no new exception: the chain closes here
        relation: Relation = "suppressed" if kind == "Suppressed: " else "cause"
        thrown = _thrown(section, calls, relation)
        outer = _outer(enclosing, level, relation)
        if spare > 0:
            own = len(thrown.frames)
            thrown = _completed(thrown, section, outer)
            spare -= len(thrown.frames) - own
        for deeper in [deep for deep in enclosing if deep > level]:
            del enclosing[deeper]
        enclosing[level] = thrown
        wrapped |= kind == "Wrapped by: "
        (main if level <= base and relation == "cause" else side).append(thrown)
    if wrapped:
        main = [replace(thrown, relation="cause") for thrown in reversed(main)]
        main[0] = replace(main[0], relation="thrown")
    return main + side


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function, class and file; without loader and module, without words that stand for "no file"."""
    if "/" in call and (loader := _LOADER.match(call)):
        call = call[loader.end() :]
    module, _, function = call.rpartition(".")
    return function, module, "" if file in _NO_FILE else file


def _thrown(section: str, calls: Calls, relation: Relation, first: bool = False) -> Thrown:
    at = _FRAME.search(section)
    header = section[: at.start()] if at else section
    if not at and (more := _MORE.search(section)):
        header = section[: more.start()]
    kind, message = type_and_message(header) if first else leading_type(header)
    if not at:
        return Thrown(kind, message, (), relation)
    frames, seams = calls.stack(section[at.start() :], _read)
    return Thrown(kind, message, frames, relation, seams)


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_of(_FRAME.findall(text), calls)


def _read(block: str, calls: Calls) -> Stack:
    frames = calls.by_line(block, _frames)
    if _BOUNDARY not in block:
        return frames, ()
    # Coroutine boundaries are printed as frames; they are seams.
    kept: list[Frame] = []
    seams: list[int] = []
    for frame in frames:
        if not frame.module.startswith(_BOUNDARY):
            kept.append(frame)
        elif kept:
            seams.append(len(kept) - 1)
    return tuple(kept), tuple(dict.fromkeys(seams))


def _completed(thrown: Thrown, section: str, outer: Thrown | None) -> Thrown:
    """Give back what "... 12 more" left out: the outermost frames, the same as those of the enclosing exception."""
    more = _MORE.search(section) if "... " in section else None
    if more is None or outer is None:
        return thrown
    count = int(more[1])
    if not 0 < count <= len(outer.frames):
        return thrown
    return replace(thrown, frames=thrown.frames + outer.frames[-count:])


def _outer(enclosing: dict[int, Thrown], level: int, relation: Relation) -> Thrown | None:
    """Whose stack the elided frames are in: a cause's is printed at its own level, a suppressed one's further out."""
    if relation == "cause":
        return enclosing.get(level)
    return enclosing[max(outer)] if (outer := [one for one in enclosing if one < level]) else None


def _indent(head: str) -> int:
    line = head.lstrip("\n")
    return len(line) - len(line.lstrip(" \t"))
