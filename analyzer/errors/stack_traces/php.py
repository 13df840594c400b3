"""PHP: "#0 /srv/app/shop.php(12): buy()", innermost frame first; the first cause is printed first.

PHP says where each function was *called*, and in the header where the error was thrown. Frames here hold the place
inside the function, as in every other language: names move one line against the places.
Reads "Next" chains, "PHP Fatal error:  Uncaught", [internal function], and the Java-like form of OpenTelemetry's SDK.
Format: Exception::getTraceAsString and __toString.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzer.errors.model import Frame, Thrown
from analyzer.errors.stack_traces import java
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import lines_with, sections_at, type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack, length_of_all

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
# A place, "file:line", and the name of a function: what was called there, or what was running there.
_Call = tuple[str, str]


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


def _read(block: str, calls: Calls) -> Stack:
    """Frames from the place where it was thrown, then the lines of calls."""
    thrown_at = block[: block.index("\n")]
    made = calls.by_part(block, _calls_made, _cut, "\n#0 ".__add__, len)
    # Without the header's place a name has none of its own: the call's is the best there is.
    if not thrown_at.startswith(":"):
        places = [thrown_at, *[place for place, _ in made]]
        names = [name for _, name in made] + ["{main}"] * bool(lines_with("{main}", _MAIN, block))
        made = tuple(zip(places, names, strict=False))
    return calls.by_part(made, _frames, _as_they_are, _alone, length_of_all), ()


def _calls_made(text: str, _calls: Calls) -> list[_Call]:
    return [(f"{file or internal}:{line}", name) for file, line, internal, name in _FRAME.findall(text)]


def _cut(text: str) -> list[str]:
    return _NUMBER.split(text)[1:]


def _frames(made: Sequence[_Call], calls: Calls) -> tuple[Frame, ...]:
    return frames_of([(name, *place.rpartition(":")[::2]) for place, name in made], calls)


def _as_they_are(made: tuple[_Call, ...]) -> tuple[_Call, ...]:
    return made


def _alone(call: _Call) -> tuple[_Call, ...]:
    return (call,)
