"""What every store promises of one trace: what is known of it, and which of its revisions stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.contracts import FindingQuery, Store
from collector.errors import PermanentError
from tests.support.answers import checkout, message, stored, trace_id


class TraceContract:
    """Bring a fixture `store` (retention 72 hours, a quota nobody reaches)."""

    def test_what_was_put_is_found(self, store: Store):
        store.put([stored(1, otlp=b"the spans")])

        found = store.find(trace_id(1))

        assert found.status == "stored"
        assert found.answer == checkout(1)
        assert found.trace_otlp == b"the spans"
        assert found.logs_otlp is None

    def test_an_id_that_never_came_is_unknown(self, store: Store):
        store.put([stored(1)], clean_trace_ids=[trace_id(2)])

        assert store.find(trace_id(3)).status == "unknown"

    def test_clean_is_not_unknown(self, store: Store):
        """A trace that was analysed and had nothing to say is told apart from one nobody saw."""
        store.put([], clean_trace_ids=[trace_id(number) for number in range(5)])

        assert [store.find(trace_id(number)).status for number in (0, 4, 5)] == ["clean", "clean", "unknown"]

    def test_a_part_is_not_clean_until_the_whole_is(self, store: Store):
        """Log records alone came first, the spans later."""
        store.put([], partial_trace_ids=[trace_id(number) for number in range(2)])
        store.put([], clean_trace_ids=[trace_id(1)])

        assert [store.find(trace_id(number)).status for number in (0, 1)] == ["partial", "clean"]

    def test_what_could_not_be_told_is_neither_clean_nor_unknown(self, store: Store):
        """Something was wrong with it, then its late spans were well; a third was told when they came."""
        store.put([], untold_trace_ids=[trace_id(number) for number in range(3)])
        store.put([stored(2)], clean_trace_ids=[trace_id(1)])

        assert [store.find(trace_id(number)).status for number in (0, 1, 2)] == ["dropped", "dropped", "stored"]
        assert "no time to say what" in store.find(trace_id(0)).reason

    def test_a_finding_outweighs_an_earlier_clean(self, store: Store):
        """Late spans re-opened the trace, and then something was wrong with it."""
        store.put([], clean_trace_ids=[trace_id(1)])
        store.put([stored(1, answer=checkout(1, revision=2))])

        assert store.find(trace_id(1)).status == "stored"

    def test_a_higher_revision_replaces(self, store: Store):
        store.put([stored(1, answer=checkout(1, service="bank"))])
        store.put([stored(1, answer=checkout(1, service="ledger", revision=2), otlp=b"more spans")])

        found = store.find(trace_id(1))

        assert found.answer == checkout(1, service="ledger", revision=2)
        assert found.trace_otlp == b"more spans"
        assert [row.service for row in store.findings(FindingQuery()).rows] == ["ledger"]

    def test_a_lower_revision_is_ignored(self, store: Store):
        """A replay brings the first verdict again; the later one stays."""
        store.put([stored(1, answer=checkout(1, service="ledger", revision=2))])
        store.put([stored(1, answer=checkout(1, service="bank", revision=1), exports=(message(1),))])

        found = store.find(trace_id(1))

        assert found.answer is not None
        assert found.answer.revision == 2
        assert store.outbox_count() == 0

    def test_a_second_put_changes_nothing(self, store: Store):
        for _ in range(2):
            store.put([stored(1, exports=(message(1), message(2)))])

        assert len(store.findings(FindingQuery()).rows) == 1
        assert store.outbox_count() == 2

    def test_two_revisions_in_one_put(self, store: Store):
        store.put([stored(1, answer=checkout(1, revision=2)), stored(1), stored(1, answer=checkout(1, revision=3))])

        found = store.find(trace_id(1))

        assert found.answer is not None
        assert found.answer.revision == 3
        assert len(store.findings(FindingQuery()).rows) == 1

    def test_ids_that_begin_alike_are_told_apart(self, store: Store):
        """Eight equal bytes are not a trace id."""
        one, other = bytes(8) + b"first...", bytes(8) + b"second.."
        store.put([replace(stored(1), name=one)])

        assert [store.find(one).status, store.find(other).status] == ["stored", "unknown"]

    def test_a_wrong_id_is_refused_with_its_length(self, store: Store):
        with pytest.raises(PermanentError, match="has 3 bytes; expected 16"):
            store.find(b"abc")

    def test_hostile_text_comes_back_as_it_was(self, store: Store):
        text = "'; DROP TABLE trace_result; -- \x00 \u202e <script> 100% ?"
        answer = checkout(1, service=text, summary=text)
        store.put([stored(1, answer=answer)])

        assert store.find(trace_id(1)).answer == answer
        assert [row.summary for row in store.findings(FindingQuery(service=text)).rows] == [text]
