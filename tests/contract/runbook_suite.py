"""What every log of hand edits promises. A backend's test file subclasses it."""

from __future__ import annotations

from analyzer.reports.hand_edits import HandEdits, HandSection
from collector.contracts_people import RunbookLog
from tests.support.fakes.clock import EPOCH_NS

RUNBOOK = "5f1d8c0a9b3e7742"


def edits(number: int, *texts: str, runbook_id: str = RUNBOOK) -> HandEdits:
    """The numbered edits of a runbook, one section for each text."""
    sections = [
        HandSection(section=f"own.{place}", text=text, edit=number, edited_ns=EPOCH_NS)
        for place, text in enumerate(texts)
    ]
    return HandEdits(runbook_id=runbook_id, edit=number, edited_ns=EPOCH_NS + number, sections=sections)


class RunbookContract:
    """Bring a fixture `log`."""

    def test_nothing_is_there_before_the_first(self, log: RunbookLog):
        assert log.edits(RUNBOOK) is None

    def test_the_last_edits_are_found_as_they_were_put(self, log: RunbookLog):
        assert log.put_edits(edits(1, "call the gateway"))
        assert log.put_edits(edits(2, "call the gateway", "then the bank"))

        assert log.edits(RUNBOOK) == edits(2, "call the gateway", "then the bank")

    def test_of_two_that_follow_the_same_one_the_first_is_kept(self, log: RunbookLog):
        log.put_edits(edits(1, "first"))

        assert log.put_edits(edits(2, "faster"))
        assert not log.put_edits(edits(2, "slower"))
        assert not log.put_edits(edits(4, "from the future"))
        assert log.edits(RUNBOOK) == edits(2, "faster")

    def test_what_is_taken_back_keeps_its_number(self, log: RunbookLog):
        """Else somebody who read the first edit could write over a later one."""
        log.put_edits(edits(1, "first"))
        log.put_edits(edits(2))

        assert log.edits(RUNBOOK) == edits(2)
        assert not log.put_edits(edits(1, "again"))

    def test_runbooks_do_not_meet(self, log: RunbookLog):
        log.put_edits(edits(1, "one"))
        log.put_edits(edits(1, "other", runbook_id="0" * 16))

        assert log.edits(RUNBOOK) == edits(1, "one")

    def test_hostile_text_comes_back(self, log: RunbookLog):
        text = "'; DROP TABLE runbook; -- \x00 \u202e <script> 100% ?"
        log.put_edits(edits(1, text))

        assert log.edits(RUNBOOK) == edits(1, text)
