"""JavaScript and TypeScript: V8's "at f (file:1:2)" and the "f@file:1:2" of Firefox and Safari, innermost first.

Reads "at async", Promise.all, eval, constructors, "[as name]", bundler and file URLs, "[cause]:", the members of an
AggregateError, the source lines Node.js prints above an uncaught error.
Format: V8's stack trace API; SpiderMonkey's and JavaScriptCore's `Error.prototype.stack`; Node's util.inspect.
"""

from __future__ import annotations

import re
from dataclasses import replace

from analyzer.errors.model import Frame, Relation, Thrown
from analyzer.errors.stack_traces.columns import frames_with_columns
from analyzer.errors.stack_traces.headers import lines_with, sections_at, type_and_message
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_V8 = re.compile(
    r"\n[ \t]*at (async )?(?:([^(\n]*) \()?"
    r"(?:([^\n]*):([0-9]{1,9}):([0-9]{1,9})|(<anonymous>|native|index [0-9]{1,9}|unknown location))"
    r"\)?,?(?: \{)?(?![^\n])"
)
_GECKO = re.compile(
    r"\n[ \t]*(?:([^@\s*][^@\n*]{0,59})\*)?([^@\s][^@\n]*)?@"
    r"(?:([^\n]*):([0-9]{1,9}):([0-9]{1,9})|(\[native code\]))(?![^\n])"
)
_GECKO_EVAL = re.compile(r" line [0-9]+ > (?:eval|Function|injectedScript)")
# The innermost place that is a file: "eval at f (/srv/a.js:1:2), <anonymous>".
_EVAL_SITE = re.compile(r"\(([^()]*):([0-9]{1,9}):([0-9]{1,9})\)")
_CAUSE = re.compile(r"\n[ \t]*(?:\[cause\]: |[Cc]aused by: |cause: (?=[A-Z]))")
_ERRORS = re.compile(r"\n[ \t]*\[errors\]: \[")
_MEMBER = re.compile(r"\n[ \t]+(?=[A-Za-z_$][\w$.]{0,200}(?: \[[A-Z_]{1,60}\])?: )")
# util.inspect shortens what an error has in common with its cause, all but the first and the last of it.
_COMMON = re.compile(r"\n[ \t]*\.\.\. ([0-9]{1,4}) lines matching cause stack trace \.\.\.")
# "[AggregateError: all failed] {": an error without frames.
_BRACKETS = re.compile(r"\n[ \t]*\[([^\n]*)\](?: \{)?(?![^\n])")
_PACKAGE = re.compile(r"node_modules[/\\](@[^/\\]+[/\\][^/\\]+|[^@/\\][^/\\]*)")
_SCHEME = re.compile(r"file://(?=/)|webpack-internal:///|webpack:///?(?:[^/]*/(?=\./))?|(?:async )?\bapp:///?")


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """The chain of a trace: what was thrown, its causes, then the members of an AggregateError."""
    calls = rules.calls("javascript", split)
    members = ""
    if "[errors]: [" in text and (errors := _ERRORS.search(text)) is not None:
        text, members = text[: errors.start()], text[errors.end() :]
    sections = sections_at(lines_with("ause", _CAUSE, text), text)
    chain = [_thrown(sections[0], calls, "thrown")]
    chain += [_thrown("\n" + section, calls, "cause") for section in sections[1:]]
    if "lines matching cause" in text:
        for index in range(len(chain) - 2, -1, -1):
            chain[index] = _completed(chain[index], "\n" + sections[index], chain[index + 1])
    chain += _members(members, calls)
    return chain


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function, npm package ("" outside of node_modules) and file without the scheme of a loader."""
    function = call.partition(" [as ")[0]
    file = file.removeprefix("address at ")  # Hermes, of bytecode
    if file.startswith(("file:", "webpack", "app:")):
        file = _SCHEME.sub("", file, count=1)
    # The last is whose code it is: node_modules/a/node_modules/b.
    at = file.rfind("node_modules")
    package = _PACKAGE.match(file, at) if at >= 0 else None
    return function, package[1].replace("\\", "/") if package else "", file.partition("?")[0]


def _thrown(section: str, calls: Calls, relation: Relation) -> Thrown:
    at = _V8.search(section)
    if at is None:
        return _gecko(section, calls, relation)
    kind, message = type_and_message(section[: at.start()])
    frames, seams = calls.stack(section[at.start() :], _read)
    return Thrown(kind, message, frames, relation, seams)


def _read(block: str, calls: Calls) -> Stack:
    if "at async " not in block:
        return calls.by_line(block, _frames), ()
    found = calls.by_line(block, _frames_and_waits)
    seams = tuple([at - 1 for at, (_, wait) in enumerate(found) if wait and at > 0])
    return tuple([frame for frame, _ in found]), seams


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    return frames_with_columns([_place(*one) for one in _V8.findall(text)], calls)


def _frames_and_waits(text: str, calls: Calls) -> list[tuple[Frame, bool]]:
    """With each frame, whether it waited for the one before it."""
    found = _V8.findall(text)
    frames = frames_with_columns([_place(*one) for one in found], calls)
    return [(frame, bool(one[0])) for frame, one in zip(frames, found, strict=True)]


def _place(_wait: str, call: str, file: str, line: str, column: str, bare: str) -> tuple[str, str, str, str]:
    if bare:
        return call, bare, "", ""
    if file.startswith("eval at ") and (site := _EVAL_SITE.search(file)):
        # Lines of evaluated text lead nowhere; where it was evaluated does.
        return call, site[1], site[2], site[3]
    return call, file, line, column


def _gecko(section: str, calls: Calls, relation: Relation) -> Thrown:
    at = _GECKO.search(section)
    if at is None:
        return Thrown(*type_and_message(_BRACKETS.sub(r"\n\1", section)), (), relation)
    found = _GECKO.findall(section, at.start())
    header = section[: at.start()].strip()
    kind, message = type_and_message(header) if header else ("", "")
    places = [
        (call, _GECKO_EVAL.split(file, maxsplit=1)[0] or bare, line, column)
        for _, call, file, line, column, bare in found
    ]
    seams = tuple([index - 1 for index, one in enumerate(found) if one[0] and index > 0])
    return Thrown(kind, message, frames_with_columns(places, calls), relation, seams)


def _completed(thrown: Thrown, section: str, cause: Thrown) -> Thrown:
    """Give back the frames that stand in the stack of the cause; its own are complete by then."""
    common = _COMMON.search(section)
    if common is None:
        return thrown
    before, count = len(_V8.findall(section, 0, common.start())), int(common[1])
    if before >= len(thrown.frames) or thrown.frames[before] not in cause.frames:
        return thrown
    last = len(cause.frames) - 1 - cause.frames[::-1].index(thrown.frames[before])
    if count > last or count + len(thrown.frames) > 1024:
        return thrown
    frames = thrown.frames[:before] + cause.frames[last - count : last] + thrown.frames[before:]
    moved = [seam if seam < before - 1 else seam + count for seam in thrown.async_after]
    common_seams = [seam - last + count + before for seam in cause.async_after if last - count <= seam + 1 < last]
    return replace(thrown, frames=frames, async_after=tuple(sorted({*moved, *common_seams})))


def _members(text: str, calls: Calls) -> list[Thrown]:
    """The errors listed in an AggregateError: each starts with "Name: ", indented."""
    starts = [one.start() for one in _MEMBER.finditer(text)]
    ends = [*starts[1:], len(text)]
    pieces = [text[start:end] for start, end in zip(starts, ends, strict=False)]  # no start, no end
    found = [_thrown(piece, calls, "member") for piece in pieces]
    return [thrown for thrown in found if thrown.frames]
