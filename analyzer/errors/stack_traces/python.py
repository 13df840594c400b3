"""Python: 'File "x.py", line 3, in f', innermost frame last, the error on the line behind the frames.

Reads chained exceptions (cause first in print), exception groups with members to any depth, carets, notes,
syntax errors, messages of many lines, tracebacks inside other text.
Format: the `traceback` module of Python 3.6 to 3.14.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from analyzer.errors.model import Frame, Relation, Thrown
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.headers import leading_type, lines_with
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_HEADER = "Traceback (most recent call last):"
_FRAME = re.compile(r'\n[ \t]*File "([^"\n]+)", line ([0-9]{1,9})[0-9]*(?:, in ([^\n]+))?')
_FILE, _ANY_FILE = '\n  File "', re.compile(r'\n[ \t]*File "')
# Source and caret lines are indented deeper than the error that follows them.
_BODY_END = re.compile(r"\n(?![ \t])")
_BETWEEN = re.compile(
    r"\n[ \t]*(?:The above exception was the (direct) cause of|During handling of the above exception)[^\n]*"
)
# "  | text", "  + Exception Group Traceback", "  +-+---------------- 1 ----------------", "    +------"
_MARGIN = re.compile(r"([ \t]*)(?:\| ?([^\n]*)|\+(?: (Exception Group[^\n]*)|(?:-\+)?-{4,}(?: ([0-9.]{1,9}) -{4,})?))")
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The chain of a trace, what was raised first; then the members of groups; empty when it has no frame."""
    calls = rules.calls("python", split)
    if "Exception Group Traceback" in text:
        chain = _parse_groups(text, calls)
    elif "bove exception" in text:
        chain = _parse_chain(text, calls, "thrown")
    else:
        chain = [_thrown(text, calls, "thrown")]
    return chain


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function, module and file; only of an installed package the path tells the module."""
    if not (installed := _INSTALLED.search(file)):
        return call, "", file
    module = file[installed.end() :].removesuffix(".py").replace("\\", ".").replace("/", ".")
    return call, module.removesuffix(".__init__"), file


def _parse_chain(text: str, calls: Calls, relation: Relation) -> list[Thrown]:
    """Printed is the first cause, then what it led to; kept is what was raised, then its cause."""
    between = lines_with("bove exception", _BETWEEN, text)
    starts = [0] + [one.end() for one in between]
    ends = [one.start() for one in between] + [len(text)]
    # What stands above a line is the cause or context of what stands below it.
    relations: list[Relation] = ["cause" if one[1] else "context" for one in between]
    return [
        _thrown(text[start:end], calls, to_next)
        for start, end, to_next in zip(reversed(starts), reversed(ends), [relation, *reversed(relations)], strict=True)
    ]


def _thrown(section: str, calls: Calls, relation: Relation) -> Thrown:
    at = section.find(_HEADER)
    start = 0
    if at >= 0:
        line = section.rfind("\n", 0, at) + 1
        indent = section[line:at]
        start = at + len(_HEADER)
        if indent and not indent.strip():  # the whole traceback is indented, as some logs do
            section, start = "\n" + section[at:].replace("\n" + indent, "\n"), 1 + len(_HEADER)
    elif (frame := _FRAME.search(section)) is not None:
        start = frame.start()
    end = start
    if section.startswith("\n", start):
        below = _BODY_END.search(section, start)
        end = below.start() if below else len(section)
    frames, _ = calls.stack(section[start:end], _read)
    kind, message = leading_type(section[end:].lstrip("\n"))
    if message.endswith('\n"""') and '"""\n' in section[:start]:
        message = message[:-4]  # a traceback of another process, quoted as the message of this one
    return Thrown(kind, message, frames, relation)


def _read(block: str, calls: Calls) -> Stack:
    return calls.by_part(block, _frames, _cut, _FILE.__add__, len)[::-1], ()


def _cut(block: str) -> list[str]:
    """A frame with the lines of source below it is a line of ours, the indentation of most is two spaces."""
    return (block.split(_FILE) if block.count('File "') == block.count(_FILE) else _ANY_FILE.split(block))[1:]


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_of([(function, file, line) for file, line, function in _FRAME.findall(text)], calls)


@dataclass(slots=True)
class _Block:
    """One exception of a group, or the text around it, without its margin."""

    column: int
    relation: Relation
    lines: list[str] = field(default_factory=list)


def _parse_groups(text: str, calls: Calls) -> list[Thrown]:
    """Take the margin off and read every block as an ordinary chain: the outer one first, then member for member."""
    blocks = [_Block(-1, "thrown")]
    opened = [blocks[0]]
    for line in text.split("\n"):
        margin = _MARGIN.match(line)
        if margin is None:
            # Further lines of a message have no margin either; only what starts anew is outside of the group.
            if _HEADER in line or _BETWEEN.match("\n" + line):
                del opened[1:]
            opened[-1].lines.append(line)
            continue
        column = len(margin[1])
        if margin[2] is not None or margin[3] is not None:
            while len(opened) > 1 and opened[-1].column > column:
                opened.pop()
            opened[-1].lines.append(margin[3] or margin[2] or "")
        else:
            # "+-+-- 1 --" opens the first member two columns further in; "+-- 2 --" its sibling.
            inner = column + 2 if line.startswith("+-+", column) else column
            while len(opened) > 1 and opened[-1].column >= inner:
                opened.pop()
            if margin[4]:
                opened.append(_Block(inner, "member"))
                blocks.append(opened[-1])
    chain: list[Thrown] = []
    for block in blocks:
        chain += _parse_chain("\n" + "\n".join(block.lines), calls, block.relation)
    return [replace(chain[0], relation="thrown"), *chain[1:]]
