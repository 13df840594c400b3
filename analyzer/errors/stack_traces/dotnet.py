"""C#, F#, Visual Basic: "   at Space.Class.Method(String a) in /src/File.cs:line 12", innermost frame first.

Reads inner exceptions ("--->", printed headers first and frames innermost first), the further ones of an
AggregateException, seams of awaited tasks, other languages' words for "at" and "in", Mono's offsets.
Format: System.Exception.ToString.
"""

from __future__ import annotations

import re

from analyzer.errors.model import Frame, Relation, Thrown
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import leading_type, type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_AT = "at|bei|à|en|a|em|w|в|in|konum:|i|vid|på|v|場所|位置|위치:|在"
_FRAME = re.compile(
    r"\n[ \t]+(?:" + _AT + r") ([^(\n]+)\([^)\n]*\)(?: \[0x[0-9a-fA-F]+\])?"
    r"(?: [^\s:]{1,10} ([^\n]*):(?:[^\s:0-9]{1,10} ?)?([0-9]{1,9}))?"
)
_INNER = re.compile(r"\n? ?---> (?!\(Inner Exception #)")
_MEMBER = re.compile(r"\n? ?---> \(Inner Exception #([0-9]{1,6})\) ")
_END_OF_INNER = re.compile(
    r"\n[ \t]*--- [^\n]{0,80}"
    r"(?:inner exception|inneren Ausnahme|exception interne|excepción interna|内部)[^\n]{0,80}---"
)
_SEAM = re.compile(r"\n[ \t]*--- [^\n]{0,200}---")
_STATE_MACHINE = re.compile(r"(.*)[.+/]<([^<>]+)>[\w|]+\.MoveNext$")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The chain of a trace: what was thrown, its inner exceptions, then the other members of an AggregateException."""
    calls = rules.calls("dotnet", split)
    members = list(_MEMBER.finditer(text)) if "(Inner Exception #" in text else []
    ends = [one.start() for one in members] + [len(text)]
    chain = _chain(text[: ends[0]], calls, "thrown")
    for member, end in zip(members, ends[1:], strict=True):
        if member[1] != "0" or len(chain) == 1:  # the first is printed as the inner one already
            relation: Relation = "member" if chain else "thrown"  # a log may have cut off what they are members of
            chain += _chain("\n" + text[member.end() : end].replace("<---", ""), calls, relation)
    return chain


def split(call: str, file: str) -> tuple[str, str, str]:
    """Method, type and file; an async method by the name it was written with."""
    call = call.strip()
    if (machine := _STATE_MACHINE.match(call)) is not None:
        return machine[2], machine[1], file
    # ".ctor" starts with the dot that parts it.
    module, _, function = call.rpartition(".")
    if module.endswith("."):
        return "." + function, module[:-1], file
    return function, module, file


def _chain(text: str, calls: Calls, relation: Relation) -> list[Thrown]:
    at = _FRAME.search(text)
    if at is None:
        return []
    headers = _INNER.split(text[: at.start()])
    blocks = _END_OF_INNER.split(text[at.start() :])
    # Frames of the innermost come first; what has no block of its own was thrown without frames.
    stacks = blocks[: len(headers)][::-1]
    stacks = [""] * (len(headers) - len(stacks)) + stacks
    chain: list[Thrown] = []
    for header, stack in zip(headers, stacks, strict=True):
        kind, message = leading_type(header) if chain else type_and_message(header)
        frames, seams = calls.stack(stack, _read)
        chain.append(Thrown(kind, message, frames, "cause" if chain else relation, seams))
    return chain


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_of(_FRAME.findall(text), calls)


def _read(block: str, calls: Calls) -> Stack:
    if "---" not in block:
        return calls.by_line(block, _frames), ()
    frames: tuple[Frame, ...] = ()
    seams: list[int] = []
    for piece in _SEAM.split(block):
        if frames:
            seams.append(len(frames) - 1)
        frames += calls.by_line(piece, _frames)
    # A seam behind which nothing comes joins nothing.
    return frames, tuple(dict.fromkeys([seam for seam in seams if seam < len(frames) - 1]))
