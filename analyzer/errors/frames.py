"""Frames and types by what stays the same from build to build.

In: a stack trace. Out: the names of its application frames, innermost first, and of its root type. Line numbers,
columns, addresses, hashes of builds, counters of anonymous functions and generics are left out; recursion counts once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.errors.model import Frame, StackTrace

FRAMES_MAX = 20  # named; what is farther out is how the request came in, not what failed
FRAMES_READ_MAX = 512  # of one exception
NAME_MAX = 200  # characters

# What a name is cleaned of, in order. No pattern has a repetition within a repetition.
_CLEANED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"\$\$(?:EnhancerBy|FastClassBy|SpringCGLIB)\w*(?:\$\$\w*)?", ""),  # subclasses made at run time
        (r"\$\$Lambda[\w$/]*", "$$"),
        (r"(?:Generated(?:Method|Constructor|Serialization\w*)Accessor|\$Proxy)\d+", "$generated"),
        (r"lambda\$(\w*?)\$\d+", r"lambda$\1"),  # javac
        (r"<(\w+)>[bdg]__[\d_]+(?:\.MoveNext)?", r"\1"),  # .NET: lambdas, async methods, local functions
        (r"::h[0-9a-f]{16}\b", ""),  # rustc
        (r"\{\{?closure\}?\}(?:#\d+)?|\{closure[#:][^}]{0,200}\}", "{closure}"),
        (r"\.func\d+(?:\.\d+)*|\.gowrap\d+", ".func"),  # Go: anonymous functions
        (r"block (?:\(\d+ levels\) )?in |(?:rescue|ensure) in ", ""),  # Ruby
        (r"`\d+", ""),  # .NET: number of generic arguments
        (r"\$\d+", "$"),  # classes without a name
        (r"\+?0x[0-9a-f]+", ""),
        (r"anonymous_?\d+|__lambda_?\d+|lambda_?\d+", "lambda"),
    )
)
_HASHED_FILE = re.compile(r"[.-](?=[0-9a-zA-Z]{0,19}\d)[0-9a-zA-Z]{6,20}(?=\.(?:js|mjs|cjs|css)\b)")  # bundlers
_BRACKETS = {"<": ">", "[": "]", "(": ")"}


def frame_name(frame: Frame) -> str:
    """Name a frame: module, or the file's name without its folders, and the cleaned function."""
    where = clean_module(frame.module) if frame.module else clean_file(frame.file)
    function = clean_function(frame.function)
    return f"{where}:{function}" if where else function


def clean_function(function: str) -> str:
    """Name a function without what the compiler counted.

    Examples
    --------
    >>> clean_function("lambda$charge$3")
    'lambda$charge'
    >>> clean_function("std::vector<int>::at(unsigned long)")
    'std::vector::at'
    """
    text = function[:NAME_MAX]
    for pattern, put in _CLEANED:
        text = pattern.sub(put, text)
    return _without_brackets(text).strip()


def clean_module(module: str) -> str:
    """Name a module or class as `clean_function` does; a path is cut to its last part."""
    text = module.split("?", 1)[0]
    if "/" in text and " " not in text and not text.startswith("@"):
        last = text.rstrip("/").rpartition("/")[2]
        text = last if "." in last and last.rsplit(".", 1)[1] in _EXTENSIONS else text
    return clean_function(text)


_EXTENSIONS = frozenset({"js", "mjs", "cjs", "ts", "tsx", "jsx", "py", "rb", "php", "go", "rs", "ex", "exs"})


def clean_file(file: str) -> str:
    """Name of a file without folders, build hashes and query."""
    name = file.split("?", 1)[0].replace("\\", "/").rstrip("/").rpartition("/")[2][:NAME_MAX]
    return _HASHED_FILE.sub("", name)


def _without_brackets(text: str) -> str:
    """Leave out generics and argument lists, keep names that are brackets themselves, such as <lambda>."""
    kept: list[str] = []
    closing: list[str] = []
    for at, letter in enumerate(text):
        if closing:
            if letter == closing[-1]:
                closing.pop()
            elif letter in _BRACKETS:
                closing.append(_BRACKETS[letter])
        elif letter in _BRACKETS and at > 0 and text[at - 1] not in ". :":
            closing.append(_BRACKETS[letter])
        else:
            kept.append(letter)
    return "".join(kept)


def application_frames(stack: StackTrace) -> tuple[str, ...]:
    """Name the application frames on the way from where it was thrown to where it was reported, innermost first.

    A cause tells the way from where it began to where it was caught, the exception around it the rest: read
    together they are the stack that would have been printed without the wrapping, so wrapping changes nothing. Each
    frame counts once, however deep a recursion went. Without any frame known to be application code, frames of which
    nothing is known are taken, then all.
    """
    frames = list(way_out(stack))
    for wanted in ((True,), (None,), (False,)):
        named = dict.fromkeys(frame_name(frame) for frame in frames if frame.in_app in wanted)
        names = [name for name in named if name]
        if names:
            return tuple(names[:FRAMES_MAX])
    return ()


def way_out(stack: StackTrace) -> Iterator[Frame]:
    """Frames from where it was thrown to where it was reported, innermost first; recursion as often as it went."""
    root = stack.root
    yield from root.frames[:FRAMES_READ_MAX]
    around = [thrown for thrown in stack.chain if thrown.relation in ("thrown", "cause", "context")]
    for thrown in reversed(around):
        if thrown is not root:
            yield from thrown.frames[:FRAMES_READ_MAX]


def member_types(stack: StackTrace) -> tuple[str, ...]:
    """Types of the members of an exception group, sorted, each once; a few of them name the group well enough."""
    kinds = {clean_type(thrown.type) for thrown in stack.chain if thrown.relation == "member"}
    return tuple(sorted(kinds)[:5])


def clean_type(kind: str) -> str:
    """Name of an exception type; the whole name with its package, without generics."""
    return clean_function(kind)
