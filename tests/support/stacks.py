"""A parsed stack trace as a picture: one line an exception, one line a frame.

thrown IOException: gone
  + Shop.buy Shop.java:12        + application
  - Pool.get Pool.java:3         - library
  ~~~                            a seam between two tasks
"""

from __future__ import annotations

from textwrap import dedent

from analyzer.errors.model import StackTrace
from analyzer.errors.stack_traces import parse_stack

SIGNS = {True: "+", False: "-", None: "?"}


def picture(stack: StackTrace | None) -> str:
    """Types, first lines of messages, calls and places; innermost frame first."""
    if stack is None:
        return "nothing"
    lines = []
    for thrown in stack.chain:
        said = f": {thrown.message.partition(chr(10))[0]}" if thrown.message else ""
        lines.append(f"{thrown.relation} {thrown.type}{said}")
        for index, frame in enumerate(thrown.frames):
            call = ".".join(part for part in (frame.module, frame.function) if part)
            place = f" {frame.file}:{frame.line}" if frame.line else f" {frame.file}" if frame.file else ""
            column = f":{frame.column}" if frame.column else ""
            lines.append(f"  {SIGNS[frame.in_app]} {call}{place}{column}")
            if index in thrown.async_after:
                lines.append("  ~~~")
    return "\n".join(lines)


def read(text: str, language: str = "") -> str:
    """The picture of a trace that stands indented in a test."""
    return picture(parse_stack(dedent(text).strip("\n"), language))


def drawn(text: str) -> str:
    """A picture that stands indented in a test."""
    return dedent(text).strip("\n")
