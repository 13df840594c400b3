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
from analyzer.errors.stack_traces.headers import lines_with, sections_at, type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_FRAME = re.compile(r"\n[ \t]*#[0-9]{1,6} (?:([^(\n]*)\(([0-9]{1,9})\)[^:\n]*|(\[internal function\])): ([^(\n]*)")
# The rest of a line is the same in every stack.
_NUMBER = re.compile(r"\n[ \t]*#[0-9]{1,6} ")
_NEXT = re.compile(r"\n[ \t]*Next (?=[A-Za-z_\\])")
_PLACE = re.compile(r"((?:[A-Za-z]:)?[^\n:]*):([0-9]{1,9})\)?$")
_JAVA_LIKE = re.compile(r"(\n[ \t]*at )(?=[^(\s.:]+\()")
# Laravel: "[object] (Acme\\Gone(code: 0): no price at /srv/app/shop.php:12)"
_OBJECT = re.compile(r"\[object\] \(([\w\\]{1,300})\(code: [^)\n]{0,40}\): ")
_MAIN = re.compile(r"\n[ \t]*#[0-9]{1,6} \{main\}")
_STACK = re.compile(r"\n[ \t]*(?:Stack trace:|\[stacktrace\])")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The chain of a trace: what was thrown last, then what it was thrown for; empty when it has no frame."""
    if "#0 " not in text:
        # A function without a class has no dot there.
        return java.parse(_JAVA_LIKE.sub(r"\1.", text), rules, "php")
    calls = rules.calls("php", split)
    found = [
        one
        for section in sections_at(lines_with("Next ", _NEXT, text), text)
        if (one := _thrown("\n" + section, calls)) is not None
    ]
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
    logged = _OBJECT.search(header)
    kind, message = (logged[1].replace("\\\\", "\\"), header[logged.end() :]) if logged else type_and_message(header)
    return Thrown(kind.lstrip("\\"), message, frames)


def _calls_made(text: str, _calls: Calls) -> list[tuple[str, str, str, str]]:
    return _FRAME.findall(text)


def _read(block: str, calls: Calls) -> Stack:
    """Frames from the place where it was thrown, then the lines of calls."""
    file, _, line = block[: block.index("\n")].rpartition(":")
    found = calls.by_line(block, _calls_made, _NUMBER.split, "\n#0 ")
    names = [one[3] for one in found] + ["{main}"] * bool(lines_with("{main}", _MAIN, block))
    files, lines = [one[0] or one[2] for one in found], [one[1] for one in found]
    if file:
        files, lines = [file, *files], [line, *lines]
    # Without the header's place a name has none of its own: the call's is the best there is.
    return frames_of(zip(names, files, lines, strict=False), calls), ()
