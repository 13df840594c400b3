"""Ruby: "file.rb:12:in 'Shop#buy': message (Type)", then "from" lines, innermost frame first.

Also the order of Ruby 2.5 to 2.7 at a terminal (innermost last, numbered), bare backtraces, causes, messages of many
lines. Format: Exception#full_message and Exception#detailed_message; 3.4 quotes 'Klass#method', before `method'.
"""

from __future__ import annotations

import re

from analyzer.errors.model import Frame, Thrown
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import lines_with, type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_PLACE = r"(<internal:[^>\n]*>|(?:[A-Za-z]:)?[^\s:][^:\n]*):([0-9]{1,9}):in [`']([^'\n]*)'"
_FRAME = re.compile(r"\n[ \t]*(?:[0-9]{1,5}: )?(?:from )?" + _PLACE)
# A place with a message behind it begins an exception.
_HEAD = re.compile(r"\n[ \t]*(?!from )" + _PLACE + ": ")
_TYPE = re.compile(r" ?\(([A-Z][\w:]*)\)(?![^\n])")
# Rails: "NoMethodError (undefined method `price'):"
_RAILS = re.compile(r"\n[ \t]*([A-Z][\w:]{0,200}) \(([^\n]*)\):(?![^\n])")
_REVERSED = "Traceback (most recent call last):"


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The chain of a trace: what was raised, then its causes; empty when it has no frame."""
    calls = rules.calls("ruby", split)
    if _REVERSED in text:
        return _reversed(text, calls)
    heads = lines_with("': ", _HEAD, text)
    if not heads:  # a bare backtrace, maybe with "Type: message" above it
        first = _FRAME.search(text)
        if first is None:
            return []
        frames, _ = calls.stack(text[first.start() :], _read)
        header = text[: first.start()]
        logged = _RAILS.search(header)
        return [Thrown(*((logged[1], logged[2]) if logged else type_and_message(header)), frames)]
    chain: list[Thrown] = []
    for head, end in zip(heads, [one.start() for one in heads[1:]] + [len(text)], strict=True):
        # Further lines of the message stand between the head and its callers.
        callers = _FRAME.search(text, head.end(), end)
        below = callers.start() if callers else end
        frames, _ = calls.stack(head[0] + text[below:end], _read)
        chain.append(Thrown(*_error(text[head.end() : below]), frames, "cause" if chain else "thrown"))
    return chain


def _read(block: str, calls: Calls) -> Stack:
    return calls.by_line(block, _frames), ()


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_of([(call, file, line) for file, line, call in _FRAME.findall(text)], calls)


def _reversed(text: str, calls: Calls) -> list[Thrown]:
    """Innermost last, and the message behind it."""
    found = list(_FRAME.finditer(text))
    frames = frames_of([(one[3], one[1], one[2]) for one in reversed(found)], calls)
    return [Thrown(*_error(text[found[-1].end() :].removeprefix(": ")), frames)] if found else []


def split(call: str, file: str) -> tuple[str, str, str]:
    """Method, class and file: "block in Shop#buy" is "block in buy" of Shop."""
    lead, space, name = call.rpartition(" ")
    for separator in ("#", "."):
        owner, found, method = name.partition(separator)
        if found and owner and method and owner[0].isupper():
            return lead + space + method, owner, file
    return call, "", file


def _error(text: str) -> tuple[str, str]:
    """Part "first line (Type)\\nfurther lines"."""
    text = text.rstrip()
    kind = _TYPE.search(text)
    if kind is None:
        return "", text.strip()
    return kind[1], (text[: kind.start()] + text[kind.end() :]).strip()
