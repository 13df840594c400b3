"""A finding has one name, for ever."""

from __future__ import annotations

from analyzer.finding_ids import finding_id

TRACE, SPAN = "00" * 16, "01" * 8


def test_the_id_never_changes():
    """Written down once: another value here would duplicate every finding that was ever exported."""
    assert finding_id("", TRACE, "error.origin.local", SPAN) == "4b7f66050cdaa9176c8f8779f6234337"


def test_every_part_counts():
    """Tenant, trace, rule and anchor each make another finding."""
    ids = {
        finding_id("", TRACE, "rule", SPAN),
        finding_id("a", TRACE, "rule", SPAN),
        finding_id("", "02" * 16, "rule", SPAN),
        finding_id("", TRACE, "other", SPAN),
        finding_id("", TRACE, "rule", "03" * 8),
    }

    assert len(ids) == 5


def test_parts_do_not_run_together():
    """Tenant "ab" with rule "c" is not tenant "a" with rule "bc"."""
    assert finding_id("ab", "", "c", "") != finding_id("a", "", "bc", "")


def test_case_of_hex_does_not_matter():
    assert finding_id("", "AB" * 16, "rule", "CD" * 8) == finding_id("", "ab" * 16, "rule", "cd" * 8)
