"""What every store promises as hours pass: a verdict of an earlier one is found, what is too old leaves."""

from __future__ import annotations

from collector.contracts import EdgeRollup, FindingQuery, Rollup, Store
from tests.support.answers import checkout, message, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS, ManualClock

MINUTE = EPOCH_NS // (60 * SECOND_NS)


class HoursContract:
    """Bring fixtures `clock` (a ManualClock) and `store` (retention 72 hours, a quota nobody reaches)."""

    def test_a_re_opened_trace_is_listed_once(self, store: Store, clock: ManualClock):
        """Its first verdict stands in an earlier hour."""
        store.put([stored(1, exports=(message(1),)), stored(2)])
        clock.advance(3600)
        store.put([stored(1, answer=checkout(1, service="ledger", revision=2), exports=(message(1), message(2)))])

        rows = store.findings(FindingQuery()).rows

        assert sorted((row.trace_id, row.revision) for row in rows) == sorted(
            [(trace_id(1).hex(), 2), (trace_id(2).hex(), 1)]
        )
        found = store.find(trace_id(1))
        assert found.answer is not None
        assert found.answer.revision == 2
        assert store.outbox_count() == 2

    def test_a_replay_in_a_later_hour_is_ignored(self, store: Store, clock: ManualClock):
        store.put([stored(1, exports=(message(1),))])
        store.outbox_done([item.row_id for item in store.outbox_take("otlp", 1, EPOCH_NS)])
        clock.advance(5 * 3600)
        store.put([stored(1, exports=(message(1),))])

        assert store.outbox_count() == 0
        assert len(store.findings(FindingQuery()).rows) == 1

    def test_what_is_older_than_retention_expires(self, store: Store, clock: ManualClock):
        """72 hours after, the answer is gone; that it was there is not forgotten."""
        store.put([stored(1)])
        clock.advance(74 * 3600)
        store.put([stored(2)])
        store.retain(clock.now_ns())

        assert [store.find(trace_id(number)).status for number in (1, 2, 3)] == ["expired", "stored", "unknown"]
        assert [row.trace_id for row in store.findings(FindingQuery()).rows] == [trace_id(2).hex()]

    def test_rollups_expire_too(self, store: Store, clock: ManualClock):
        store.put(
            [],
            rollups=[Rollup(MINUTE, "a", "x", 2, 1, 0, 1, 1)],
            edges=[EdgeRollup(MINUTE, "a", "b", "service", "link", 1, 0, 1)],
        )
        clock.advance(74 * 3600)
        store.retain(clock.now_ns())

        assert store.services(0, clock.now_ns()) == []
        assert store.edges(0, clock.now_ns()) == []

    def test_nothing_leaves_before_its_time(self, store: Store, clock: ManualClock):
        store.put([stored(1)], clean_trace_ids=[trace_id(2)])
        clock.advance(71 * 3600)
        store.retain(clock.now_ns())

        assert [store.find(trace_id(number)).status for number in (1, 2)] == ["stored", "clean"]
