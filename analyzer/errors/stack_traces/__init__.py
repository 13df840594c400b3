"""Stack traces of ten languages as one thing: exceptions in a chain, frames innermost first.

In: text as an SDK, a log or a terminal has it, at most 64 KiB are read. Out: a `StackTrace`, or None when no frame
is found. Never raises, whatever the text; every pattern takes time in proportion to it.

Where the error began is the first frame in Java and the last in Python; here it is always the first, so nobody
behind this door needs to know who printed it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from analyzer.errors.model import StackTrace, Thrown
from analyzer.errors.stack_traces import dotnet, elixir, go, java, javascript, native, php, python, ruby, rust
from analyzer.errors.stack_traces.bounds import bounded, cut_text
from analyzer.errors.stack_traces.detect import NAMES, languages
from analyzer.errors.stack_traces.in_app import DEFAULT, InAppRules

__all__ = ["DEFAULT", "InAppRules", "parse_stack"]

PARSERS: dict[str, Callable[[str, InAppRules], list[Thrown]]] = {
    "java": java.parse,
    "python": python.parse,
    "javascript": javascript.parse,
    "go": go.parse,
    "dotnet": dotnet.parse,
    "ruby": ruby.parse,
    "php": php.parse,
    "rust": rust.parse,
    "c": native.parse,
    "elixir": elixir.parse,
}
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")


def parse_stack(text: str, language: str = "", rules: InAppRules = DEFAULT) -> StackTrace | None:
    """Read a stack trace.

    Parameters
    ----------
    text : the stack as it came (`exception.stacktrace`, a log line, a terminal)
    language : what is known of it (`telemetry.sdk.language`); a hint is tried first, then what the text looks like
    rules : whose code is the application's

    Returns
    -------
    StackTrace or None
        None when there is no frame in it. Text over 64 KiB and traces of over 512 frames are cut in their middle,
        and say so (`truncated`).

    Examples
    --------
    >>> parse_stack("boom\\n  at com.acme.Shop.buy(Shop.java:12)").origin.line
    12
    """
    read, cut = cut_text(text)
    if "\x1b" in read:
        read = _COLOUR.sub("", read)
    if "\r" in read:
        read = read.replace("\r\n", "\n").replace("\r", "\n")
    # Every pattern starts at a line break: the search for one is what the engine does fastest.
    read = "\n" + read
    hinted = NAMES.get(language.lower(), "")
    tried = [hinted] if hinted else languages(read)
    while tried:
        for name in tried:
            chain = PARSERS[name](read, rules)
            if any(thrown.frames for thrown in chain):
                kept, shortened = bounded(chain)
                return StackTrace(name, kept, cut or shortened)
        # The hint was wrong, or another process's trace was logged: look at it without.
        tried, hinted = ([one for one in languages(read) if one != hinted], "") if hinted else ([], "")
    return None
