"""What every store promises of lists of findings: their order, pages and filters, and what is new."""

from __future__ import annotations

import pytest

from analyzer.findings import Answer
from collector.contracts import FindingQuery, Store
from collector.errors import BadRequestError
from tests.support.answers import checkout, slow, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS


class FindingContract:
    """Bring a fixture `store` (retention 72 hours, a quota nobody reaches)."""

    def test_findings_come_newest_first(self, store: Store):
        for number, second in ((1, 5), (2, 9), (3, 7)):
            store.put([stored(number, answer=checkout(number, start_ns=EPOCH_NS + second * SECOND_NS))])

        rows = store.findings(FindingQuery()).rows

        assert [row.trace_id for row in rows] == [trace_id(number).hex() for number in (2, 3, 1)]

    def test_a_row_says_who_and_why(self, store: Store):
        store.put([stored(1)])

        (row,) = store.findings(FindingQuery()).rows

        assert (row.root_service, row.root_operation) == ("gateway", "GET /checkout")
        assert (row.entity_kind, row.entity_name, row.service) == ("operation", "bank Authorize", "bank")
        assert (row.verdict, row.rule, row.probability, row.revision) == ("error", "error.origin.local", 0.9, 1)
        assert (row.start_ns, row.end_ns) == (EPOCH_NS, EPOCH_NS + 100_000_000)
        assert row.summary == "bank Authorize failed with CardError."

    def test_pages_join_without_gap_or_repeat(self, store: Store):
        """25 findings, several in the same nanosecond, in pages of 4; one more arrives on the way."""
        for number in range(25):
            store.put([stored(number, answer=checkout(number, start_ns=EPOCH_NS + number // 3))])
        seen: list[str] = []
        cursor: str | None = None
        while True:
            page = store.findings(FindingQuery(limit=4, cursor=cursor))
            seen += [row.trace_id for row in page.rows]
            cursor = page.next_cursor
            if cursor is None:
                break
            store.put([stored(99, answer=checkout(99, start_ns=EPOCH_NS + 1000))])

        assert sorted(seen) == sorted(trace_id(number).hex() for number in range(25))

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (FindingQuery(service="bank"), {1, 3}),
            (FindingQuery(service="ledger"), {4}),
            (FindingQuery(verdict="latency"), {2}),
            (FindingQuery(rule="error.origin.local", service="bank"), {1, 3}),
            (FindingQuery(rule="no.such.rule"), set()),
            (FindingQuery(from_ns=EPOCH_NS + SECOND_NS), {3}),
            (FindingQuery(to_ns=EPOCH_NS + SECOND_NS), {1, 2, 4}),
            (FindingQuery(from_ns=EPOCH_NS, to_ns=EPOCH_NS), set()),
        ],
    )
    def test_filters(self, store: Store, query: FindingQuery, expected: set[int]):
        store.put(
            [
                stored(1),
                stored(2, answer=slow(2)),
                stored(3, answer=checkout(3, start_ns=EPOCH_NS + SECOND_NS)),
                stored(4, answer=checkout(4, service="ledger")),
            ]
        )

        assert {row.trace_id for row in store.findings(query).rows} == {trace_id(number).hex() for number in expected}

    def test_a_clean_trace_that_was_kept_is_no_finding(self, store: Store):
        clean = Answer(trace_id=trace_id(1).hex(), status="clean", revision=1)
        store.put([stored(1, answer=clean)])

        assert store.find(trace_id(1)).answer == clean
        assert store.findings(FindingQuery()).rows == []

    @pytest.mark.parametrize("cursor", ["", "x", "1.ab", "1." + "0" * 31 + "g", "9" * 40 + "." + "0" * 32])
    def test_a_strange_cursor_is_refused(self, store: Store, cursor: str):
        with pytest.raises(BadRequestError, match="was not made by this server"):
            store.findings(FindingQuery(cursor=cursor))

    def test_a_limit_of_nothing_is_refused(self, store: Store):
        with pytest.raises(BadRequestError, match="limit is 0; expected 1"):
            store.findings(FindingQuery(limit=0))

    def test_what_is_new_is_what_was_stored_since(self, store: Store):
        """In that order, whenever the traces began; a higher revision is new again, a clean trace never."""
        store.put([stored(1)])
        found, position = store.new_findings(None, 10)
        assert found == []

        store.put(
            [stored(2, answer=checkout(2, start_ns=EPOCH_NS + 10**17)), stored(3, answer=checkout(3, start_ns=0))]
        )
        store.put([stored(4, answer=checkout(4).model_copy(update={"status": "clean", "verdict": "none"}))])
        store.put([stored(1, answer=checkout(1, revision=2)), stored(2, answer=checkout(2, revision=1))])

        seen: list[tuple[str, int]] = []
        for _ in range(4):
            found, position = store.new_findings(position, 2)
            seen += [(row.trace_id, row.revision) for row in found]

        assert seen == [(trace_id(2).hex(), 1), (trace_id(3).hex(), 1), (trace_id(1).hex(), 2)]
        assert store.new_findings(position, 2) == ([], position)
