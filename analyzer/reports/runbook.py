"""Deliverable 8: what to do when the same thing happens again, step by step, with commands filled in.

In: what is known of the culprit. Out: `Runbook`, versioned by its text. The texts are advice; names and ids in commands
come from the input and are quoted for the language of the command. What people wrote instead is put in by `hand_edits`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from analyzer.errors.model import PatternMatch
from analyzer.reports.advice import PATTERNS_MAX, mitigation
from analyzer.reports.commands import (
    elastic_correlation,
    elastic_trace,
    elastic_window,
    error_share,
    firstfault,
    log_ql,
    trace_ql,
)
from analyzer.reports.model import Runbook, RunbookStep
from analyzer.reports.queries import traceql_correlation
from analyzer.words import shown

RUNBOOK_RULES = "1"  # of this file; part of every version

_DEBUGGERS = {
    "java": ("jdb (or the debugger of the IDE)", "stop at {module}:{line}"),
    "python": ("pdb; after a crash python -m pdb -c continue PROGRAM", "break {file}:{line}"),
    "javascript": ("node --inspect-brk with VS Code or Chrome DevTools", "setBreakpoint('{file}', {line})"),
    "nodejs": ("node --inspect-brk with VS Code or Chrome DevTools", "setBreakpoint('{file}', {line})"),
    "webjs": ("Chrome DevTools, Sources", "breakpoint at {file}:{line}"),
    "go": ("dlv debug (dlv attach PID only where a pause does no harm)", "break {file}:{line}"),
    "dotnet": ("the debugger of VS Code or Visual Studio", "breakpoint at {file}:{line}"),
    "ruby": ("rdbg", "break {file}:{line}"),
    "php": ("Xdebug with VS Code", "breakpoint at {file}:{line}"),
    "rust": ("rust-lldb", "breakpoint set --file {file} --line {line}"),
    "c": ("lldb", "breakpoint set --file {file} --line {line}"),
    "cpp": ("lldb", "breakpoint set --file {file} --line {line}"),
    "elixir": ("iex with IEx.break!", "IEx.pry at {file}:{line}"),
}
_PROFILE = "Continuous profiling (Pyroscope, or the vendor's): compare the operation's profile with the day before."
_IN_PRODUCTION = {
    "code": (
        "Enhanced logging at the location: inputs and state, redacted.",
        "A feature flag for verbose logs of one user.",
    ),
    "concurrency": ("Thread dumps, three in a row, five seconds apart.", "Traffic mirroring into staging under load."),
    "resource": ("Heap dumps or snapshots, two, some minutes apart: what grew?", _PROFILE),
    "network": ("Distributed tracing: client and server times of the edge.", "Sampling: keep all failing traces."),
    "database": ("Transaction traces with statements.", "Traffic mirroring into staging with data of production size."),
    "messaging": (
        "Sampling by message key: one key from producer to consumer.",
        "Enhanced logging of tries and offsets.",
    ),
}
_PRODUCTION_DEFAULT = (
    "Distributed tracing: keep all failing traces of the operation for an hour (tail sampling).",
    "Enhanced logging at the origin, for a share of the requests.",
)
_REMOTE = (
    "Remote debugging only in services that are not critical, with breakpoints that do not pause, for a time agreed on "
    "before, and with a way back ready."
)


class Case(NamedTuple):
    """What a runbook is filled with. Empty text: not known."""

    title: str
    rule: str
    service: str
    entry: str
    trace_id: str = ""
    from_ns: int = 0  # 0: not known
    to_ns: int = 0
    location: str = ""
    module: str = ""
    language: str = ""
    incident_id: str = ""
    correlation_id: str = ""
    group_id: str = ""  # of errors: its runbook is one, whatever its example shows


def runbook_of(case: Case, patterns: Sequence[PatternMatch]) -> Runbook:
    """Write the runbook of a kind of failure at a place."""
    family = patterns[0].pattern.partition(".")[0] if patterns else ""
    steps = [
        *_confirm(case),
        RunbookStep(
            number=0,
            section="mitigate",
            title="Stop the harm",
            text=f"{mitigation(patterns)} Also: roll back, scale out, switch a feature off, fail over, hot fix.",
        ),
        RunbookStep(
            number=0,
            section="verify",
            title="See that it worked",
            text="The share of failing calls must fall at once and stay low for 15 to 30 minutes.",
            commands=[error_share(case.service)] if case.service else [],
        ),
        *(
            RunbookStep(
                number=0,
                section=f"mend.{match.pattern}",
                title=f"Mend: {match.title}",
                text=f"{match.cause} {match.fix}",
            )
            for match in patterns[:PATTERNS_MAX]
        ),
        _debug(case),
        RunbookStep(
            number=0,
            section="production",
            title="Look closer in production",
            text=" ".join([*_IN_PRODUCTION.get(family, _PRODUCTION_DEFAULT), _REMOTE]),
        ),
        RunbookStep(
            number=0,
            section="recover",
            title="Recover",
            text="All systems answer; data is consistent; queued and failed requests are processed (watch the queue "
            "drain); the status page says resolved; stakeholders are told.",
        ),
        RunbookStep(
            number=0,
            section="review",
            title="Review",
            text="Within 48 hours: timeline, cause, contributing factors, actions.",
        ),
    ]
    steps = [
        step.model_copy(update={"number": number, "generated_version": digest(f"{step.title}: {step.text}")[:8]})
        for number, step in enumerate(steps, 1)
    ]
    who = f"{case.rule}|{case.service}|{patterns[0].pattern if patterns else ''}"
    text = "\n".join(f"{step.title}: {step.text}" for step in steps)
    return Runbook(
        runbook_id=case.group_id or digest(who),
        version=f"{RUNBOOK_RULES}.{digest(text)[:8]}",
        title=f"Runbook: {case.title}",
        steps=steps,
    )


def _confirm(case: Case) -> list[RunbookStep]:
    steps = []
    asked = []
    if case.incident_id:
        asked.append(firstfault("incidents", case.incident_id))
    if case.trace_id:
        asked.append(firstfault("root-cause", case.trace_id))
    if asked:
        steps.append(
            RunbookStep(
                number=0,
                section="confirm",
                title="Confirm",
                text="Ask for a fresh trace of the same entry: is it the same rule and the same culprit?",
                commands=asked,
            )
        )
    queries = []
    if case.service:
        queries += [error_share(case.service), trace_ql(case.service)]
        if case.trace_id:
            queries.append(log_ql(case.service, case.trace_id))
        if case.from_ns and case.to_ns:
            queries.append(elastic_window(case.service, case.from_ns, case.to_ns))
    if case.trace_id:
        queries.append(elastic_trace(case.trace_id))
    if case.correlation_id:
        queries += [elastic_correlation(case.correlation_id), traceql_correlation(shown(case.correlation_id))]
    if queries:
        text = "How much fails, since when, and what the logs say (PromQL, TraceQL, LogQL, Elasticsearch)."
        steps.append(
            RunbookStep(number=0, section="reach", title="See how far it reaches", text=text, commands=queries)
        )
    return steps


def _debug(case: Case) -> RunbookStep:
    """Interactive debugging, in the language of the origin."""
    name, command = _DEBUGGERS.get(
        case.language.lower(), ("the debugger of the language", "breakpoint at {file}:{line}")
    )
    file, _, line = case.location.rpartition(":")
    commands = []
    if file and line.isdigit():
        commands.append(command.format(file=shown(file), line=line, module=shown(case.module) or shown(file)))
    at = f"before {case.location}" if case.location else "at the origin's code (file and line are not known)"
    text = (
        f"In development, with {name}: set a breakpoint {at}, send the request, step line by line, look at the "
        "variables and the state, evaluate expressions, watch for what changes unexpectedly, change a variable to "
        "test a guess."
    )
    return RunbookStep(number=0, section="debug", title="Debug", text=text, commands=commands)


def digest(text: str) -> str:
    """16 hex digits of a text."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
