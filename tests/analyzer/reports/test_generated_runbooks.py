"""The runbook of a report: where to stop, what to look up, and when it is a new version."""

from __future__ import annotations

import json
import shlex

import pytest

from analyzer.errors.model import Frame, StackTrace, Thrown
from analyzer.reports.report import report_of_trace
from tests.support.answers import checkout
from tests.support.pattern_cases import HASH_MAP, fact
from tests.support.reported import Reporter
from tests.support.shop import FAULTS


def test_the_breakpoint_is_in_the_runbook():
    """Java, UserService.java:45: jdb is told where to stop."""
    stack = StackTrace("java", (Thrown("java.lang.NullPointerException", "", HASH_MAP),))
    report = report_of_trace(checkout(), [fact("java.lang.NullPointerException", stack=stack)])

    (debug,) = [step for step in report.runbook.steps if step.title == "Debug"]

    assert report.root_cause.location == "UserService.java:45"
    assert debug.commands == ["stop at com.myapp.service.UserService:45"]
    assert "before UserService.java:45" in debug.text
    assert report.immediate_fix[0].location == "UserService.java:45"


@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("python", "break app.py:7"),
        ("javascript", "setBreakpoint('app.py', 7)"),
        ("go", "break app.py:7"),
        ("c", "breakpoint set --file app.py --line 7"),
    ],
)
def test_each_language_has_its_debugger(language: str, command: str):
    stack = StackTrace(language, (Thrown("Boom", "", (Frame("f", "app", "app.py", 7, in_app=True),)),))

    report = report_of_trace(checkout(), [fact("Boom", stack=stack, span_id="0000000000000001")])

    assert [command] == [step.commands[0] for step in report.runbook.steps if step.title == "Debug"]


def test_a_runbook_keeps_its_id_and_changes_its_version_with_its_text(reporter: Reporter):
    one, again, other = (reporter.report(FAULTS[i].drawing())[1].runbook for i in (0, 0, 1))

    assert (one.runbook_id, one.version) == (again.runbook_id, again.version)
    assert one.runbook_id != other.runbook_id


def test_logs_are_looked_up_by_correlation_id():
    """An opaque text, quoted for the shell."""
    told = fact("KeyError", "'sku'", correlation_id="req-7f3b'; rm -rf /")

    commands = [one for step in report_of_trace(checkout(), [told]).runbook.steps for one in step.commands]

    (asked,) = [shlex.split(one) for one in commands if "correlation_id" in one and one.startswith("curl")]
    assert json.loads(asked[-1])["query"]["bool"]["must"][0] == {"match": {"correlation_id": "req-7f3b'; rm -rf /"}}
    assert """{ span.correlation_id = "req-7f3b'; rm -rf /" }""" in commands
