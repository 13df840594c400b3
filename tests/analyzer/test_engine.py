"""The analyzer as a whole: what it learned survives, the answer is one list of causes, status words are kept."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer import Analyzer as LazyAnalyzer
from analyzer.engine import Analyzer
from analyzer.findings import Answer, answer_schema
from analyzer.spans import ReleaseReason, TraceBatch, Vocabulary
from tests.support.drawing import Drawing, batch, draw, healthy
from tests.support.naive.vocabulary import vocabulary
from tests.support.shop import FAULTS, HEALTHY

NOW_NS = 1_760_000_000_000_000_000


def learned(count: int) -> tuple[Analyzer, Vocabulary]:
    words, analyzer = vocabulary(), Analyzer()
    for text in HEALTHY:
        verdicts = analyzer.analyse(batch(healthy(draw(text), count, share=0.08), words))
        analyzer.learn(verdicts, NOW_NS)
    return analyzer, words


@pytest.fixture(scope="module")
def shop() -> tuple[Analyzer, Vocabulary]:
    """An analyzer that knows the shop; for tests that only ask."""
    return learned(250)


def test_what_was_learned_survives_a_restart(shop: tuple[Analyzer, Vocabulary]):
    """Saved, loaded into a new process with other ids: the same answers."""
    analyzer, words = shop
    other, other_words = Analyzer(), vocabulary()
    other_words.strings.intern(b"something that shifts every id")
    other.load(analyzer.save())

    for fault in FAULTS:
        expected = analyzer.answer(batch(fault.drawing(), words))
        found = other.answer(batch(fault.drawing(), other_words))
        assert (found.status, found.verdict) == (expected.status, expected.verdict)
        assert found.root_causes[0].entity == expected.root_causes[0].entity


def test_a_missing_call_is_missed_after_a_restart_too(shop: tuple[Analyzer, Vocabulary]):
    """Nothing but the silent trace has come since: its callee is known from what was saved."""
    analyzer, _ = shop
    silent = next(fault for fault in FAULTS if fault.name == "silent_missing_call").drawing()
    restarted = Analyzer()
    restarted.load(analyzer.save())

    answer = restarted.answer(batch(silent))

    assert (answer.status, answer.verdict) == ("finding", "structure")


@pytest.mark.parametrize("blob", [b"nonsense", b"FFA1", b"FFA1\xff\xff\xff\xff\xff\xff\xff\xff", b"FFA1" + bytes(24)])
def test_a_state_that_cannot_be_read_is_refused_whole(blob: bytes):
    analyzer, _words = learned(60)
    before = analyzer.save()

    with pytest.raises(ValueError, match=r".+"):
        analyzer.load(blob)

    assert analyzer.save() == before


def test_an_empty_state_is_nothing_to_load():
    Analyzer().load(b"")


def test_every_answer_fits_the_schema_and_survives_json(shop: tuple[Analyzer, Vocabulary]):
    analyzer, words = shop
    assert answer_schema()["title"] == "Answer"

    for fault in FAULTS:
        answer = analyzer.answer(batch(fault.drawing(), words))
        assert Answer.model_validate_json(answer.model_dump_json()) == answer


def test_probabilities_are_one_list(shop: tuple[Analyzer, Vocabulary]):
    """Ranks count up from one, probabilities go down and do not exceed one in sum."""
    analyzer, words = shop
    for fault in FAULTS:
        causes = analyzer.answer(batch(fault.drawing(), words)).root_causes
        chances = [cause.probability for cause in causes]
        assert [cause.rank for cause in causes] == list(range(1, len(causes) + 1))
        assert chances == sorted(chances, reverse=True)
        assert sum(chances) <= 1.0 + 1e-6


def test_latency_sums_exactly(shop: tuple[Analyzer, Vocabulary]):
    analyzer, words = shop
    for fault in FAULTS:
        latency = analyzer.answer(batch(fault.drawing(), words)).latency
        assert latency is not None
        assert sum(one.excess_ns for one in latency.excess) + latency.unexplained_ns == latency.excess_ns


def test_an_open_trace_is_in_progress():
    traces = batch(FAULTS[0].drawing(), reason=ReleaseReason.OPEN)

    assert Analyzer().answer(traces).status == "in_progress"


def test_order_of_rows_and_neighbours_does_not_matter(shop: tuple[Analyzer, Vocabulary]):
    """The same trace alone, in a batch, and with its rows reversed: one answer."""
    analyzer, words = shop
    for fault in FAULTS:
        alone = batch(fault.drawing(), words)
        expected = analyzer.answer(alone)
        order = np.arange(len(alone.rows))[::-1]
        reversed_rows = TraceBatch(
            rows=alone.rows[order].copy(),
            trace_ptr=alone.trace_ptr,
            reasons=alone.reasons,
            revisions=alone.revisions,
            dropped=alone.dropped,
            raw=alone.raw,
            vocabulary=alone.vocabulary,
            details=alone.details,
        )
        assert analyzer.answer(reversed_rows) == expected
        others = healthy(draw(HEALTHY[0]), 3, seed=5)
        many = batch([others[0], fault.drawing(), *others[1:]], words)
        assert analyzer.explain(analyzer.analyse(many), 1) == expected


def test_one_bad_trace_among_hundreds_does_not_become_normal():
    """The file is all there is: learned robustly, then judged without itself."""
    slow = next(fault for fault in FAULTS if fault.name == "slow_query").drawing()
    drawings: list[Drawing] = [*healthy(draw(HEALTHY[0]), 150, share=0.08), slow]
    traces = batch(drawings)
    analyzer = Analyzer()

    included = analyzer.learn_file(traces, 0)
    verdicts = analyzer.analyse(traces, included)

    assert np.flatnonzero(verdicts.suspicious).tolist() == [150]
    assert analyzer.explain(verdicts, 150).root_causes[0].origin_spans[0].operation == "UPDATE stock"


def test_a_silent_trace_is_found_in_a_file_that_holds_it():
    silent = next(fault for fault in FAULTS if fault.name == "silent_missing_call").drawing()
    traces = batch([*healthy(draw(HEALTHY[0]), 300, share=0.08), silent])
    analyzer = Analyzer()

    verdicts = analyzer.analyse(traces, analyzer.learn_file(traces, 0))

    assert np.flatnonzero(verdicts.suspicious).tolist() == [300]
    assert analyzer.explain(verdicts, 300).verdict == "structure"


def test_the_face_of_the_package_loads_the_engine_when_asked():
    assert LazyAnalyzer is Analyzer


def test_a_batch_of_another_vocabulary_is_refused():
    """Ids mean nothing without their tables."""
    analyzer, _ = learned(60)

    with pytest.raises(ValueError, match="vocabulary"):
        analyzer.analyse(batch(draw(HEALTHY[0])))
