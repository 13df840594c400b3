"""Rust: "thread 'main' panicked at src/main.rs:4:5:", then "   4: app::f" with "at src/main.rs:4:5" below.

Reads panics with and without a backtrace (old and new wording), anyhow's "Caused by:" lists, frames without places.
The machinery of panicking stays in the frames, as library code. Format: std::backtrace, std::panicking, anyhow.
"""

from __future__ import annotations

import re

from analyzer.errors.model import Frame, Thrown
from analyzer.errors.stack_traces.columns import frames_with_columns
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_FRAME = re.compile(
    r"\n[ \t]*[0-9]{1,6}: +(?:0x[0-9a-f]{1,16} - )?([^\n]+)"
    r"(?:\n[ \t]+at ([^\n:]*(?::[^\n:0-9][^\n:]*)*):([0-9]{1,9})(?::([0-9]{1,9}))?(?![^\n]))?"
)
# What stands behind the number, with the place below it, is the same in every stack. No frame begins in that place.
_CALL_AND_PLACE = re.compile(r"\n[ \t]*[0-9]{1,6}: ([^\n]*(?:\n[ \t]+at [^\n]*)?)")
# color-eyre draws a line with the word in it.
_BACKTRACE = re.compile(r"\n[ \t]*(?:[Ss]tack backtrace:|━[━ ]*BACKTRACE[^\n]*)")
_PANIC = re.compile(r"\n[^\n]{0,200}? panicked at ")
_NEW_PLACE = re.compile(r"([^\n]*):([0-9]{1,9}):([0-9]{1,9}):(?![^\n])")
_OLD_PLACE = re.compile(r"([^\n:]*(?::[^\n:0-9][^\n:]*)*):([0-9]{1,9}):([0-9]{1,9})(?![^\n])")
_NOTE = re.compile(r"\nnote: |\n[ \t]*[Ss]tack backtrace:|\n[ \t]*━")
_CAUSES = re.compile(r"\n[ \t]*Caused by:[ \t]*(?=\n)")
_CAUSE_NUMBER = re.compile(r"\n[ \t]+(?:[0-9]{1,4}: )")
# Of the build; the first in the old mangling, the second in the new.
_HASH = re.compile(r"::h[0-9a-f]{16}$|\[[0-9a-f]{16}\]")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The panic, or the error of anyhow and what caused it; the stack is the innermost cause's."""
    calls = rules.calls("rust", split)
    backtrace = _BACKTRACE.search(text)
    frames = calls.stack(text[backtrace.end() :], _read)[0] if backtrace else ()
    panic = _PANIC.search(text)
    if panic is not None:
        message, place = _panicked(text[panic.end() :])
        if not frames and place:
            frames = frames_with_columns([("", *place)], calls)
        return [Thrown("panic", message, frames)]
    return _error_chain(text[: backtrace.start()] if backtrace else text, frames)


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function, path of modules and file; without the hash of the build."""
    call = _HASH.sub("", call.strip())
    end = len(call)
    depth = 0
    for at in range(min(end, 512) - 1, 0, -1):
        letter = call[at]
        if letter == "<":
            depth -= 1
        elif letter == ">" and call[at - 1] != "-":
            depth += 1
        if depth == 0 and letter == ":" and call[at - 1] == ":":  # not within "<a::B as c::D>"
            if call.startswith("<", at + 1):
                end = at - 1  # "run::<u32>": the types stay away
            elif not call.startswith("{", at + 1):  # a closure goes with its function
                return call[at + 1 : end], call[: at - 1], file
    return call[:end], "", file


def _panicked(text: str) -> tuple[str, tuple[str, str, str] | None]:
    note = _NOTE.search(text)
    said = text[: note.start()] if note else text
    if (new := _NEW_PLACE.match(said)) is not None:
        return said[new.end() :].strip(), (new[1], new[2], new[3])
    message, quoted, where = said.rpartition("', ")  # "'message', src/main.rs:4:5", before Rust 1.73
    if quoted and (old := _OLD_PLACE.match(where)) is not None:
        return message.removeprefix("'"), (old[1], old[2], old[3])
    return said.strip(), None


def _read(block: str, calls: Calls) -> Stack:
    return calls.by_part(block, _frames, _cut, "\n0: ".__add__, len), ()


def _cut(text: str) -> list[str]:
    return _CALL_AND_PLACE.findall(text)


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_with_columns(_FRAME.findall(text), calls)


def _error_chain(header: str, frames: tuple[Frame, ...]) -> list[Thrown]:
    head, *causes = _CAUSES.split(header, maxsplit=1)
    # main's error stands behind "Error: "; lines of a log may stand before it.
    messages = [(head.rpartition("\nError: ")[2]).strip()]
    if causes:
        listed = [one.strip() for one in _CAUSE_NUMBER.split(causes[0])]
        messages += [one for one in listed if one]
    last = len(messages) - 1
    return [
        Thrown("", message, frames if place == last else (), "cause" if place else "thrown")
        for place, message in enumerate(messages)
    ]
