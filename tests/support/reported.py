"""Reports of drawn traces, and of what was read beside them."""

from __future__ import annotations

from analyzer.engine import Analyzer
from analyzer.errors.exceptions import exceptions_of
from analyzer.findings import Answer
from analyzer.reports.model import Report
from analyzer.reports.report import report_of_trace
from analyzer.spans import Vocabulary
from tests.support.drawing import Drawing, batch, draw, healthy
from tests.support.naive.vocabulary import vocabulary
from tests.support.shop import HEALTHY

NOW_NS = 1_760_000_000_000_000_000
DELIVERABLES = ("summary", "root_cause", "evidence", "immediate_fix", "testing", "prevention", "monitoring", "runbook")


class Reporter:
    """An analyzer that has seen healthy requests, and writes reports."""

    def __init__(self, *normal: str) -> None:
        self.words: Vocabulary = vocabulary()
        self.analyzer = Analyzer()
        for text in normal:
            drawings = healthy(draw(text), 300, share=0.08)
            self.analyzer.learn(self.analyzer.analyse(batch(drawings, self.words)), NOW_NS)

    def report(self, drawing: Drawing) -> tuple[Answer, Report]:
        verdicts = self.analyzer.analyse(batch(drawing, self.words))
        answer = self.analyzer.explain(verdicts, 0)
        return answer, report_of_trace(answer, exceptions_of(verdicts.analysis, 0), verdicts.analysis, 0)


def shop_reporter() -> Reporter:
    """One that knows the demo's shop."""
    return Reporter(*HEALTHY)
