"""Elixir and Erlang: "    (app 0.1.0) lib/app.ex:5: App.f/1" below "** (Type) message", innermost frame first.

Reads anonymous functions, Erlang's shell and crash reports ({m,f,arity,[{file,..},{line,..}]}).
Format: Exception.format_stacktrace_entry; erl_error.
"""

from __future__ import annotations

import re

from analyzer.errors.model import Frame, Thrown
from analyzer.errors.stack_traces.columns import frames_of
from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Stack

_FRAME = re.compile(r"\n[ \t]+(?:\(([^)\n]{1,100})\) )?(?:([^\s:()]+\.[a-z]{2,4}):([0-9]{1,9}): )?([^\s(*][^\n]*)")
_ERROR = re.compile(
    r"\*\* \(([^()\n]{1,200})\) ?"
    r"([^\n]*(?:\n(?![ \t]+[(:]|[ \t]+[^\s:()]+\.[a-z]+:[0-9]|[ \t]+\*\* \()[^\n]+)*)"
)
_SHELL_ERROR = re.compile(r"\n\*\* exception (error|exit|throw): ([^\n]*(?:\n(?![ \t]+in )[^\n]+)*)")
_SHELL = re.compile(r"\n[ \t]+in (?:function|call from) +([^\n(]*/[0-9]{1,3})(?: \(([^,\n]*), line ([0-9]{1,9})\))?")
_TERM = re.compile(
    r"\{([a-z]\w*|'[^'\n]{1,100}'),\s*([a-z]\w*|'[^'\n]{1,100}'),\s*([0-9]{1,3}|\[[^\]\n]{0,400}\]),\s*"
    r"\[(?:\{file,\s*\"([^\"\n]*)\"\},\s*\{line,\s*([0-9]{1,9})\})?"
)
_ERLANG_KIND = re.compile(
    r"\b(badmatch|badarith|badarg|badarity|badfun|badkey|badmap|function_clause|case_clause|if_clause|try_clause|undef"
    r"|noproc|nocatch|timeout_value|system_limit)\b"
)


def parse(text: str, rules: InAppRules) -> list[Thrown]:
    """What was raised with its stack; empty when it has no frame."""
    calls = rules.calls("elixir", split)
    if errors := list(_ERROR.finditer(text)):
        # "** (EXIT) an exception was raised:" and the exception below it; the stack is the last one's.
        frames, _ = calls.stack(text[errors[-1].end() :], _read)
        inner = [Thrown(errors[-1][1], errors[-1][2].strip(), frames)]
        outer = [Thrown(error[1], error[2].strip()) for error in errors[:-1]]
        chain = outer + inner
        return [Thrown(one.type, one.message, one.frames, "cause" if at else "thrown") for at, one in enumerate(chain)]
    if (error := _SHELL_ERROR.search(text)) is not None:
        return _one(error[1], error[2].strip(), _SHELL.findall(text, error.end()), calls)
    terms = _TERM.findall(text)
    found = [(f"{module}:{function}/{_arity(arity)}", file, line) for module, function, arity, file, line in terms]
    kind = _ERLANG_KIND.search(text)
    line = text.rfind("\n", 0, kind.start()) if kind else 0
    return _one(kind[1] if kind else "", text[line:].strip().partition("\n")[0], found, calls)


def split(call: str, file: str) -> tuple[str, str, str]:
    """Function with arity, module, file: "anonymous fn/1 in App.run/0" is of App."""
    call = call.strip()
    lead, inside, name = call.rpartition(" in ")
    parted = ":" if ":" in name[1:] and not name.startswith(":") else "."
    head = name.partition("(")[0]
    module, found, function = head.rpartition(parted)
    if not found:
        return call, "", file
    return lead + inside + function, module, file


def _read(block: str, calls: Calls) -> Stack:
    return calls.by_line(block, _frames), ()


def _frames(text: str, calls: Calls) -> tuple[Frame, ...]:
    # A frame names its application, its file or an Erlang module; else it is text.
    found = [
        (call, file, line) for app, file, line, call in _FRAME.findall(text) if app or file or call.startswith(":")
    ]
    return frames_of(found, calls)


def _one(kind: str, message: str, found: list[tuple[str, str, str]], calls: Calls) -> list[Thrown]:
    return [Thrown(kind, message, frames_of(found, calls))] if found else []


def _arity(text: str) -> str:
    return text if text.isdigit() else str(text.count(",") + (len(text) > 2))
