"""C and C++: gdb's "bt", sanitizers, glibc's backtrace and catchsegv, Boost, std::stacktrace, glog; innermost first.

Reads several threads of gdb, the second and third stack of a sanitizer ("freed by", "allocated by"), the signal or
the check that failed. Format: gdb's backtrace, compiler-rt's stack printer, backtrace_symbols(3).
"""

from __future__ import annotations

import re

from analyzer.errors.model import Frame, Relation, Thrown
from analyzer.errors.stack_traces.columns import frames_with_columns
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

# gdb parts a call from its arguments by " ("; a call may hold "(" itself: "f<main(int)::<lambda()> > (this=0x0)".
_GDB = re.compile(
    r"\n[ \t]*#[0-9]{1,6} +(?=[^ \n])(?:0x[0-9a-fA-F]{1,16} in )?(?:(<signal handler called>)|"
    r"([^ \n]*(?: (?!\()[^ \n]*)*) \((?:[^\n]*\) at ([^\n]*)|[^\n]*\) from ([^\n]*)|[^\n]*))"
)
_GDB_PLACE = re.compile(r"([^\n]*):([0-9]{1,9})$")
_SANITIZER = re.compile(
    r"\n[ \t]*#[0-9]{1,6} 0x[0-9a-fA-F]{1,16} +(?:in ([^\n]*?)(?: \(BuildId: [0-9a-f]{1,64}\))?)(?![^\n])"
)
# What is another in every stack: arguments, number, address. What is left reads alike, for it begins neither with
# another address nor with a bracket, which would make the address the call.
_ARGUMENTS = re.compile(r" \([^()\n]*\) at ")
_NUMBER = re.compile(r"\n[ \t]*#[0-9]{1,6} +(?:0x[0-9a-fA-F]{1,16} in (?=[^ (0\n]))?")
_ADDRESS = re.compile(r"\n[ \t]*#[0-9]{1,6} 0x[0-9a-fA-F]{1,16} +(?=in )")
_PLACE = re.compile(r"(.*) ((?:[A-Za-z]:)?[^\s():]+):([0-9]{1,9})(?::([0-9]{1,9}))?$")
_OBJECT = re.compile(r"(?:(.*) )?\(([^()]*)\+0x[0-9a-fA-F]+\)$")
_GLIBC = re.compile(r"\n[ \t]*([^\s()]+)\(([^()+\n]*)(?:\+0x[0-9a-fA-F]{1,16})?\) ?\[0x[0-9a-fA-F]{1,16}\]")
# Boost and std::stacktrace: " 0# acme::buy(int) at /srv/app/shop.cc:12"; glog and Abseil: "    @  0x55d2  acme::buy()".
_NUMBERED = re.compile(r"\n[ \t]*[0-9]{1,4}# +([^\n]*)")
_NUMBERED_PLACE = re.compile(r"(.*) (?:at|in) ([^\n]*?)(?::([0-9]{1,9}))?(?: \[0x[0-9a-f]{1,16}\])?$")
_GLOG = re.compile(r"\n[ \t]*(?:PC: )?@ +0x[0-9a-fA-F]{1,16} +(?:[0-9]{1,9} +)?([^\n]*)")
# A template's name may be longer; what lies behind is rarely missed.
_CALL_LENGTH_MAX = 2048
_STACK_START = re.compile(r"\n[ \t]*#0 ")
_THREAD = re.compile(r"\n(Thread [0-9]{1,9} \([^\n]*\):?)(?![^\n])")
# A word to look for first, then the words around it.
_KINDS = (
    ("Sanitizer: ", re.compile(r"ERROR: [A-Za-z]{1,30}Sanitizer: ([^ \n]*) ?([^\n]*)")),
    (": runtime error: ", re.compile(r":[0-9]{1,9}: (runtime error): ([^\n]*)")),
    ("terminate called ", re.compile(r"an instance of '([^'\n]*)'(?:\n[ \t]*what\(\):  ?([^\n]*))?")),
    (" signal SIG", re.compile(r" signal (SIG[A-Z]+), ([^\n]*)")),
    ("*** ", re.compile(r"\*\*\* (Segmentation fault|Aborted|[A-Za-z][a-z ]{1,60})()")),
)


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """What stopped the program, with its stack; then the other stacks that were printed."""
    calls = rules.calls("c", split)
    kind, message = _what(text)
    starts = [one.start() for one in _STACK_START.finditer(text)]
    if not starts:
        return [Thrown(kind, message, calls.stack(text, _read_unnumbered)[0])]
    chain: list[Thrown] = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        relation: Relation = "goroutine" if chain else "thrown"
        title = text.rfind("\n", 0, start)
        said = (kind, message) if not chain else ("", text[title:start].strip() if title >= 0 else "")
        chain.append(Thrown(*said, calls.stack(text[start:end], _read)[0], relation))
    return chain


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function and namespace or class; the signature goes, templates stay."""
    # Outside of "<...>": the signature goes, and the type that is returned before the name.
    call = call.strip().replace("(anonymous namespace)", "<anonymous>")[:_CALL_LENGTH_MAX]
    start, end, scope, depth = 0, len(call), -1, 0
    for at, letter in enumerate(call):
        if letter == "<":
            depth += 1
        elif letter == ">":
            depth = max(depth - 1, 0)
        elif depth == 0 and letter == "(" and not call.endswith("operator", 0, at):
            end = at
            break
        elif depth == 0 and letter == " " and not call.endswith("operator", 0, at):
            start, scope = at + 1, -1
        elif depth == 0 and letter == ":" and call[at - 1] == ":":
            scope = at
    if scope < 0:
        return call[start:end], "", file
    return call[scope + 1 : end], call[start : scope - 1], file


def _what(text: str) -> tuple[str, str]:
    for word, pattern in _KINDS:
        if word in text and (match := pattern.search(text)) is not None:
            return match[1].strip(), (match[2] or "").strip()
    return "", ""


def _read(block: str, calls: Calls) -> Stack:
    if ") at " in block or not _SANITIZER.search(block):
        return calls.by_part(block, _frames_of_gdb, _cut, "\n#0 ".__add__, len), ()
    return calls.by_part(block, _frames_of_sanitizer, _cut_addresses, "\n#0 0x0 ".__add__, len), ()


def _cut(block: str) -> list[str]:
    return _NUMBER.split(_ARGUMENTS.sub(" () at ", block))[1:]


def _cut_addresses(block: str) -> list[str]:
    return _ADDRESS.split(block)[1:]


def _read_unnumbered(text: str, calls: Calls) -> Stack:
    places: list[tuple[str, str, str, str]] = []
    for rest in _NUMBERED.findall(text):
        place = _NUMBERED_PLACE.match(rest)
        places.append((place[1], place[2], place[3] or "", "") if place else (rest, "", "", ""))
    if not places:
        places = [(call, "", "", "") for call in _GLOG.findall(text)]
    if not places:
        for file, function in _GLIBC.findall(text):
            line = _GDB_PLACE.match(file)  # catchsegv knows lines, backtrace() does not
            places.append((function or "??", line[1] if line else file, line[2] if line else "", ""))
    return frames_with_columns(places, calls), ()


def _frames_of_gdb(text: str, calls: Calls) -> tuple[Frame, ...]:
    places: list[tuple[str, str, str, str]] = []
    for signal, call, where, library in _GDB.findall(text):
        line = _GDB_PLACE.match(where)
        places.append((signal or call.strip(), line[1] if line else where or library, line[2] if line else "", ""))
    return frames_with_columns(places, calls)


def _frames_of_sanitizer(text: str, calls: Calls) -> tuple[Frame, ...]:
    places: list[tuple[str, str, str, str]] = []
    for rest in _SANITIZER.findall(text):
        if (place := _PLACE.match(rest)) is not None:
            places.append((place[1], place[2], place[3], place[4] or ""))
        elif (inside := _OBJECT.match(rest)) is not None:
            places.append((inside[1] or "??", inside[2], "", ""))
        else:
            places.append((rest, "", "", ""))
    return frames_with_columns(places, calls)
