"""Go: a call on one line, "\\tfile:line +0x1d" on the next, innermost frame first.

Reads panics (also several at once and recovered ones), fatal errors, dumps of many goroutines, "created by",
runtime/debug.Stack, the errors of pkg/errors printed with %+v.
Format: runtime.traceback; github.com/pkg/errors `Frame.Format`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzer.errors.model import Frame, Relation, Thrown
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import lines_with
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack, length_of_all

# "main.(*Shop).Buy(0xc000012345, {0x1, 0x2})": the receiver belongs to the name; the arguments are addresses, and
# with them no call would ever come twice.
_FRAME = re.compile(
    r"\n(created by )?([^\s(][^\n(]*(?:\(\*?[^()\n]*\)\.[^\n(]*)?)(?:\([^\n]*)?"
    r"\n[ \t]+((?:[A-Za-z]:)?[^\s:][^\n:]*):([0-9]{1,9})"
)
# The two lines of a frame without what is another in every stack: a call up to its arguments or whole, its place up to
# the last number behind a colon. The last bracket of a call, closed at the end of the line, opens arguments: a receiver
# has a dot behind it. No frame begins in its second line, for that is indented.
_CALL_AND_PLACE = re.compile(r"\n(?:([^\s][^\n]*\()[^()\n]*\)|([^\s][^\n]*))\n[ \t]+([^ \t\n][^\n]*:[0-9]+)")
_GOROUTINE = re.compile(r"\ngoroutine ([0-9]{1,12})(?: [^\[\n]*)? ?\[([^\]\n]*)\]:?")
_PANIC = re.compile(r"\n[ \t]*(panic|fatal error): ([^\n]*(?:\n(?!\t?panic: |\[|goroutine |\n)[^\n]*)*)")
_REPANICKED = re.compile(r" ?\[recovered(?:, repanicked)?\]")
# What the runtime puts between a panic and the code that panicked.
_PANIC_CALLS = {"panic": "", "gopanic": "runtime"}
# What the runtime puts between a panic and the code that panicked: runtime.panicmem, runtime.goPanicIndex, ...
_RUNTIME_PANIC = re.compile(r"(?:go|sig|fatal)?[pP]anic|(?:fatal)?throw$|fatal$")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The panics with the goroutine that panicked, then the other goroutines; or the errors of pkg/errors."""
    calls = rules.calls("go", split)
    goroutines = lines_with("goroutine ", _GOROUTINE, text)
    panics = [(one[1], _REPANICKED.sub("", one[2]).strip()) for one in _PANIC.finditer(text)]
    if not goroutines and not panics:
        return _wrapped_errors(text, calls)
    starts = [one.end() for one in goroutines] or [0]
    ends = [one.start() for one in goroutines[1:]] + [len(text)]
    frames, seams = calls.stack(text[starts[0] : ends[0]], _read)
    chain = _panicked(panics, frames, seams)
    for goroutine, start, end in zip(goroutines[1:], starts[1:], ends[1:], strict=True):
        frames, seams = calls.stack(text[start:end], _read)
        chain.append(Thrown("", f"goroutine {goroutine[1]} [{goroutine[2]}]", frames, "goroutine", seams))
    return chain


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function, package and file: "acme.com/shop/cart.(*Cart).Add" is "(*Cart).Add" of "acme.com/shop/cart"."""
    call = call.partition(" in goroutine ")[0]
    dot = call.find(".", call.rfind("/", 0, call.find("(") if "(" in call else len(call)) + 1)
    if dot < 0:
        return call, "", file
    # A dot in the last part of an import path is written "%2e".
    return call[dot + 1 :], call[:dot].replace("%2e", "."), file


def _read(block: str, calls: Calls) -> Stack:
    if "created by " not in block:
        return calls.by_part(block, _frames, _cut, _joined, length_of_all), ()
    found = calls.by_part(block, _frames_and_makers, _cut, _joined, length_of_all)
    seams = tuple([at - 1 for at, (_, maker) in enumerate(found) if maker and at > 0])
    return tuple([frame for frame, _ in found]), seams


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_of([(call, file, line) for _, call, file, line in _FRAME.findall(text)], calls)


def _frames_and_makers(text: str, calls: Calls) -> list[tuple[Frame, bool]]:
    """With each frame, whether it only created the goroutine."""
    found = _FRAME.findall(text)
    frames = frames_of([(call, file, line) for _, call, file, line in found], calls)
    return [(frame, bool(one[0])) for frame, one in zip(frames, found, strict=True)]


def _cut(text: str) -> list[tuple[str, str, str]]:
    return _CALL_AND_PLACE.findall(text)


def _joined(parts: tuple[str, str, str]) -> str:
    opened, whole, place = parts
    return f"\n{opened}{whole}\n\t{place}"


def _panicked(panics: Sequence[tuple[str, str]], frames: tuple[Frame, ...], seams: tuple[int, ...]) -> list[Thrown]:
    """Share the stack out among the panics: behind each call of panic stands the code that panicked."""
    segments: list[tuple[int, int]] = []
    start = 0
    for index, frame in enumerate(frames):
        if frame.function in _PANIC_CALLS and frame.module == _PANIC_CALLS[frame.function]:
            segments.append((start, index))
            start = index + 1
    segments.append((start, len(frames)))
    # The first panic is the outermost segment. What lies above the last panic only handles it (a deferred
    # function, debug.Stack); a fatal print leaves that panic's own call out.
    told = list(reversed(panics)) or [("", "")]
    kept = segments[-len(told) :]
    chain: list[Thrown] = []
    for (kind, message), (begin, end) in zip(told, [(0, 0)] * (len(told) - len(kept)) + kept, strict=True):
        while begin < end and frames[begin].module == "runtime" and _RUNTIME_PANIC.match(frames[begin].function):
            begin += 1
        relation: Relation = "context" if chain else "thrown"
        own = tuple([seam - begin for seam in seams if begin <= seam < end])
        chain.append(Thrown(kind, message, frames[begin:end], relation, own))
    return chain


def _wrapped_errors(text: str, calls: Calls) -> list[Thrown]:
    """pkg/errors prints the innermost error, its stack, then the message that wraps it and where that was."""
    chain: list[Thrown] = []
    at = 0
    message = ""
    found: list[tuple[str, str, str]] = []
    for match in _FRAME.finditer(text):
        between = text[at : match.start()].strip()
        if between and found:
            chain.append(Thrown("", message, frames_of(found, calls), "cause"))
            found = []
        message = between or message
        found.append((match[2], match[3], match[4]))
        at = match.end()
    if not found:
        return []
    chain.append(Thrown("", message, frames_of(found, calls), "thrown"))
    if (outermost := text[at:].strip()) and "\n" not in outermost:
        # WithMessage has no stack of its own.
        chain[-1] = Thrown("", chain[-1].message, chain[-1].frames, "cause")
        chain.append(Thrown("", outermost, (), "thrown"))
    return chain[::-1]
