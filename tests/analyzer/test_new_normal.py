"""What became normal, from the analyzer's memories to a sentence."""

from __future__ import annotations

from analyzer.config import AnalysisConfig
from analyzer.engine import Analyzer
from analyzer.new_normal import Announcements, CallGone, NewNormal
from tests.support.drawing import batch, draw, healthy
from tests.support.naive.vocabulary import vocabulary

SECOND = 10**9
FAST = """
shop   GET /buy        0..50
  shop   CLIENT ledger   10..20
    ledger   book          12..18
"""
SLOW = """
shop   GET /buy        0..200
  shop   CLIENT ledger   10..20
    ledger   book          12..18
"""


def test_a_lasting_shift_is_announced_once_in_a_sentence():
    """The page takes four times as long for most of an hour, and nothing fails."""
    words, analyzer = vocabulary(), Analyzer(AnalysisConfig())
    now_ns = 1_760_000_000 * SECOND

    def learn(text: str, count: int, seed: int) -> list[str]:
        verdicts = analyzer.analyse(batch(healthy(draw(text), count, share=0.08, seed=seed), words))
        analyzer.learn(verdicts, now_ns)
        return analyzer.take_announcements()

    said = learn(FAST, 600, 0)
    for minute in range(45):
        now_ns += 60 * SECOND
        said += learn(SLOW, 30, minute)

    assert len(said) == 1
    assert said[0].startswith("shop GET /buy: the usual ")
    assert analyzer.take_announcements() == []


def test_names_in_a_sentence_are_safe_to_show():
    shift = NewNormal("pay\x1b[31m", "", 2, "duration", 50e6, 200e6, 1)
    gone = CallGone("", "buy\n", "ledger", "book", 0.984, 1)

    assert shift.sentence == "pay [31m (no name): the usual duration is 200.0 ms now; it was 50.0 ms."
    assert gone.sentence == (
        "unknown_service buy  is not expected to call ledger book any more: 98 % of its recent executions did without."
    )


def test_what_nobody_takes_is_bounded():
    """The newest thousand are kept."""
    waiting = Announcements[CallGone]()
    for i in range(3):
        waiting.add(CallGone("a", "b", "c", "d", 1.0, at) for at in range(600 * i, 600 * i + 600))
    found = [gone.since_ns for gone in waiting.take()]

    assert found == list(range(800, 1800))
    assert waiting.take() == []
