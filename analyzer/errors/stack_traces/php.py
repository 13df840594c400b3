"""PHP: "#0 /srv/app/shop.php(12): buy()", innermost frame first; the first cause is printed first.

PHP says where each function was *called*, and in the header where the error was thrown. Frames here hold the place
inside the function, as in every other language: names move one line against the places.
Reads "Next" chains, "PHP Fatal error:  Uncaught", [internal function], and the Java-like form of OpenTelemetry's SDK.
Format: Exception::getTraceAsString and __toString.
"""

from __future__ import annotations

import re

from analyzer.errors.model import Thrown
from analyzer.errors.stack_traces import java
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_FRAME = re.compile(r"\n[ \t]*#[0-9]{1,6} (?:([^(\n]*)\(([0-9]{1,9})\)[^:\n]*|(\[internal function\])): ([^(\n]*)")
_NEXT = re.compile(r"\n[ \t]*Next (?=[A-Za-z_\\])")
_PLACE = re.compile(r"((?:[A-Za-z]:)?[^\n:]*):([0-9]{1,9})\)?$")
_MAIN = re.compile(r"\n[ \t]*#[0-9]{1,6} \{main\}")
_STACK = re.compile(r"\n[ \t]*(?:Stack trace:|\[stacktrace\])")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The chain of a trace: what was thrown last, then what it was thrown for; empty when it has no frame."""
    if "#0 " not in text:
        return java.parse(text, rules, "php")
    calls = rules.calls("php", split)
    found = [one for section in _NEXT.split(text) if (one := _thrown("\n" + section, calls)) is not None]
    return [
        Thrown(one.type, one.message, one.frames, "cause" if place else "thrown")
        for place, one in enumerate(reversed(found))
    ]


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function, class or namespace, file: "Acme\\Shop->buy" is "buy" of "Acme\\Shop"."""
    for separator in ("->", "::"):
        owner, found, method = call.rpartition(separator)
        if found:  # a closure is written with its namespace, in a class too
            return method.rpartition("\\")[2], owner, file
    owner, _, function = call.rpartition("\\")
    return function, owner, file


def _thrown(section: str, calls: Calls) -> Thrown | None:
    at = _STACK.search(section) or _FRAME.search(section) or _MAIN.search(section)
    if at is None:
        return None
    header = section[: at.start()]
    file, line = "", ""
    # "Type: message in file:line", Laravel's "... at file:line)"; the message may hold such words, so the last.
    for word in (" in ", " at "):
        message, said, where = header.rstrip().rpartition(word)
        if said and (place := _PLACE.match(where)) is not None:
            header, file, line = message, place[1], place[2]
            break
    frames, _ = calls.stack(f"{file}:{line}" + section[at.start() :], _read)
    kind, message = type_and_message(header)
    return Thrown(kind.lstrip("\\"), message, frames)


def _read(block: str, calls: Calls) -> Stack:
    """Frames from the place where it was thrown, then the lines of calls."""
    file, _, line = block[: block.index("\n")].rpartition(":")
    found = _FRAME.findall(block)
    called = [(one[0] or one[2], one[1]) for one in found]
    names = [one[3] for one in found] + ["{main}"] * bool(_MAIN.search(block))
    if file:
        steps = [(name, *place) for name, place in zip(names, [(file, line), *called], strict=False)]
    else:  # without the header's place a name has none of its own: the call's is the best there is
        steps = [(name, *place) for name, place in zip(names, called, strict=False)]
    return frames_of(steps, calls), ()
