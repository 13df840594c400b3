"""No report names a fact that is not in its evidence: every id and every number of 80 reports (deep: 200) is followed back.

What may stand in a report: ids of the input; numbers of the answer's evidence; numbers that stand in names and messages
of the input; times of its spans; and small derived numbers that are worked out again here: counts of like calls and the
sum of their times, steps on the way, percentages and durations of such numbers in the formats the reports use.
Advice (what the pattern library and the templates say) is the same whatever the input and is known here by its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import analyzer.reports
from analyzer.engine import Analyzer
from analyzer.errors.exceptions import exceptions_of
from analyzer.errors.patterns import LIBRARY
from analyzer.findings import Answer
from analyzer.reports.clock_text import day, lasted, utc
from analyzer.reports.model import Report
from analyzer.reports.report import report_of_trace
from analyzer.simulator import CaseSettings, SimulatedSpans, plan_cases, simulate_case
from analyzer.words import ms
from collector.contracts import Signal
from collector.offline import TraceReader
from collector.simulate import requests_of

CASES, TRACES_A_CASE = 60, 10
_ID = re.compile(r"\b(?:[0-9a-f]{16}|[0-9a-f]{32})\b")
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])")
_CLOCK = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?: UTC|Z)")


@dataclass
class Truth:
    """One trace as it was drawn, without any code of ours between."""

    trace_id: str
    span_ids: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    times: set[int] = field(default_factory=set)
    spans: dict[str, tuple[str, str, int, int]] = field(default_factory=dict)
    like: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    database_ids: set[str] = field(default_factory=set)


def truths(spans: SimulatedSpans) -> dict[str, Truth]:
    found: dict[str, Truth] = {}
    for i in range(len(spans)):
        trace_id, span_id = spans.trace_id[i].hex(), spans.span_id[i].hex()
        one = found.setdefault(trace_id, Truth(trace_id))
        start, end = int(spans.start_ns[i]), int(spans.end_ns[i])
        one.span_ids.add(span_id)
        one.times |= {start, end}
        one.spans[span_id] = (spans.service[i], spans.name[i], start, end - start)
        one.texts |= {spans.service[i], spans.name[i], spans.pod[i], spans.host[i], spans.version[i]}
        one.texts |= {str(value) for _, value in spans.attributes[i]}
        one.texts |= set(spans.exception[i] or ())
        if any(key.startswith(("db.system", "db.name", "db.namespace")) for key, _ in spans.attributes[i]):
            one.database_ids.add(span_id)
        if spans.kind[i] == 3:
            key = (spans.parent_id[i].hex(), spans.service[i], spans.name[i])
            one.like.setdefault(key, []).append(end - start)
    return found


def reports(count: int) -> list[tuple[Truth, Answer, Report]]:
    """So many reports of what broke in simulated systems."""
    made: list[tuple[Truth, Answer, Report]] = []
    for archetype, seed in plan_cases(CASES, 7001):
        settings = CaseSettings(services=8, baseline_traces=250, fault_traces=80, span_loss=0.02)
        case = simulate_case(archetype, seed=seed, settings=settings)
        known = truths(case.fault)
        normal, broken = TraceReader(), TraceReader()
        broken = TraceReader(normal.vocabulary)
        for reader, spans in ((normal, case.baseline), (broken, case.fault)):
            for payload in requests_of(spans):
                reader.add(payload, Signal.TRACES)
        analyzer = Analyzer()
        analyzer.learn_file(normal.batch(), 0)
        verdicts = analyzer.analyse(broken.batch())
        taken = 0
        for index in verdicts.suspicious.nonzero()[0].tolist():
            answer = analyzer.explain(verdicts, index)
            if not answer.root_causes or taken == TRACES_A_CASE:
                continue
            taken += 1
            facts = exceptions_of(verdicts.analysis, index)
            report = report_of_trace(answer, facts, verdicts.analysis, index)
            made.append((known[answer.trace_id], answer, report))
            if len(made) == count:
                return made
    return made


@pytest.fixture(scope="module", params=[80, pytest.param(200, marks=pytest.mark.deep)])
def made(request: pytest.FixtureRequest) -> list[tuple[Truth, Answer, Report]]:
    found = reports(request.param)
    assert len(found) == request.param
    return found


def told(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a report with its place; the fixture, which is renumbered on purpose, aside."""
    if path.startswith(
        (".testing.fixture", ".runbook.runbook_id", ".runbook.version", ".runbook.steps.generated_version")
    ):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from told(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from told(inner, path)
    elif isinstance(value, str):
        yield path, value


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def numbers_in(text: str) -> set[str]:
    return set(_NUMBER.findall(_CLOCK.sub(" ", text)))


def written(value: float) -> set[str]:
    """A number in every form the reports write one."""
    texts = [ms(value), f"{value:.0%}", f"{value:.1%}", f"{value:,.0f}", f"{value:g}", f"{value:.2g}", f"{value:.2f}"]
    texts += [lasted(round(value))] if value >= 0 else []
    return {number for text in texts for number in numbers_in(text)}


@cache
def advice() -> frozenset[str]:
    """Numbers of texts that are the same for every input: the library, and the templates of the reports."""
    texts = [f"{p.title} {p.cause} {p.fix} {p.test_idea} {p.prevention} {p.monitor} {p.patch}" for p in LIBRARY]
    texts += [path.read_text() for path in Path(analyzer.reports.__file__).parent.glob("*.py")]
    return frozenset(number for text in texts for number in numbers_in(text))


# Where a report speaks of the input: nothing of the advice may excuse a number there.
CLAIMS = (".title", ".summary", ".root_cause.claim", ".root_cause.alternatives", ".root_cause.refuted", ".evidence")
CLAIMS += (".five_whys", ".timeline", ".review.contributing", ".review.first_hypothesis", ".review.final_hypothesis")
TITLES = {pattern.title.lower(): numbers_in(pattern.title) for pattern in LIBRARY}


def excused(path: str, text: str) -> set[str]:
    """Numbers that need no evidence at this place: of names of patterns, and, in advice, of its fixed texts."""
    if not path.startswith(CLAIMS):
        return set(advice())
    return {number for title, numbers in TITLES.items() if title in text.lower() for number in numbers}


def recomputed(truth: Truth, answer: Answer) -> set[str]:
    """Derived numbers, worked out again from the drawn spans."""
    found: set[str] = set()
    for durations in truth.like.values():
        found |= written(len(durations)) | written(sum(durations))
    for _, _, _, duration in truth.spans.values():
        found |= written(duration)
    found |= written(max(0, len(answer.causal_chain) - 1))
    found |= _held(truth, answer) | numbers_in(day(answer.start_ns))
    found |= written(answer.end_ns - answer.start_ns)
    return found


def _held(truth: Truth, answer: Answer) -> set[str]:
    """Database calls of the origin's service that began before it ended: how many, and their time in all."""
    origins = answer.root_causes[0].origin_spans
    if not origins:
        return set()
    service, _, start, duration = truth.spans[origins[0].span_id]
    calls = [
        span[3]
        for span_id, span in truth.spans.items()
        if span_id in truth.database_ids - {origins[0].span_id} and span[0] == service and span[2] <= start + duration
    ]
    return written(len(calls)) | written(sum(calls))


def test_every_id_is_an_id_of_the_input(made: list[tuple[Truth, Answer, Report]]):
    for truth, answer, report in made:
        assert report.group_id == (
            answer.group.id if answer.group else ""
        )  # a fingerprint: of no input, and said as one
        for path, text in told(report.model_dump(exclude={"group_id"})):
            for one in _ID.findall(text):
                assert one in truth.span_ids or one == truth.trace_id, (path, text)


def test_every_span_named_by_a_claim_stands_in_the_trace(made: list[tuple[Truth, Answer, Report]]):
    """Also those that are fields, not text."""
    for truth, _, report in made:
        claims = [report.summary.what, *report.summary.scope, report.root_cause.claim, *report.root_cause.alternatives]
        claims += [*report.root_cause.refuted, *report.review.contributing]
        named = {span_id for claim in claims for span_id in claim.span_ids}
        named |= {span_id for why in report.five_whys.whys for span_id in why.span_ids}
        named |= {span_id for item in report.evidence for span_id in item.span_ids}
        named |= {moment.span_id for moment in report.timeline.moments} - {""}
        assert named <= truth.span_ids


def test_spans_of_the_answer_are_as_they_were_drawn(made: list[tuple[Truth, Answer, Report]]):
    """Service, name and duration of each span that answer or report rest on; start too, where no clock was moved."""
    for truth, answer, _ in made:
        moved = {one.code for one in (answer.completeness.warnings if answer.completeness else [])} & {"skew_adjusted"}
        refs = [span for cause in answer.root_causes for span in cause.origin_spans]
        refs += [step.span for step in answer.causal_chain]
        for ref in refs:
            service, name, start, duration = truth.spans[ref.span_id]
            assert (ref.service, ref.operation, ref.duration_ns) == (service, name, duration)
            assert ref.start_ns == start or moved


def known_numbers(truth: Truth, answer: Answer) -> set[str]:
    """Of the answer's evidence, of texts of the input, and what is worked out again."""
    known = recomputed(truth, answer)
    for value in leaves(answer.model_dump()):
        known |= written(value)
    for _, text in told(answer.model_dump()):
        known |= numbers_in(text)
    for text in truth.texts:
        known |= numbers_in(text)
    return known


def test_every_number_is_in_the_evidence_or_worked_out_again(made: list[tuple[Truth, Answer, Report]]):
    checked = 0
    for truth, answer, report in made:
        known = known_numbers(truth, answer)
        for path, text in told(report.model_dump()):
            for one in numbers_in(_ID.sub(" ", text)) - excused(path, text):
                checked += 1
                assert one in known, (path, one, text)
    assert checked > 10 * len(made)


def test_every_clock_is_a_time_of_the_trace(made: list[tuple[Truth, Answer, Report]]):
    """Starts and ends of spans, moved by as much as the moment says."""
    for truth, answer, report in made:
        times = truth.times | {answer.start_ns, answer.end_ns}
        clocks = {utc(time, digits) for time in times for digits in (0, 3)}
        for moment in report.timeline.moments:
            before = moment.at_ns - moment.corrected_ns
            assert moment.at == utc(moment.at_ns, 3)
            assert {before, moment.at_ns} & times, moment
        for path, text in told(report.model_dump()):
            if path.startswith((".timeline", ".runbook")):
                continue
            for clock in _CLOCK.findall(text):
                assert clock in clocks, (path, text)


def test_evidence_carries_the_numbers_of_the_answer(made: list[tuple[Truth, Answer, Report]]):
    for _, answer, report in made:
        items = [item for item in report.evidence if item.source == "answer"]
        assert [(item.claim, item.numbers) for item in items] == [
            (one.claim, one.numbers) for one in answer.root_causes[0].evidence
        ]


def test_a_number_that_is_made_up_is_noticed(made: list[tuple[Truth, Answer, Report]]):
    """The check itself can fail: counts that nothing supports are not among the known numbers."""
    for truth, answer, _ in made[:20]:
        known = known_numbers(truth, answer)
        made_up = numbers_in("987,654 users and 61.7% of 4321 requests in 12345 ms")

        assert len(made_up) == 4
        assert not made_up & known
