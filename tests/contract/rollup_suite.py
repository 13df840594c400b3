"""What every store promises of counts by the minute: they add up over a window."""

from __future__ import annotations

from collector.contracts import EdgeRollup, Rollup, Store
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS

MINUTE = EPOCH_NS // (60 * SECOND_NS)


class RollupContract:
    """Bring a fixture `store` (retention 72 hours, a quota nobody reaches)."""

    def test_rollups_add_up_over_a_window(self, store: Store):
        """Two puts of one minute, one of the next, one outside."""
        store.put([], rollups=[Rollup(MINUTE, "bank", "Authorize", 2, 10, 1, 500, 90)])
        store.put([], rollups=[Rollup(MINUTE, "bank", "Authorize", 2, 5, 0, 100, 120)])
        store.put(
            [],
            rollups=[
                Rollup(MINUTE + 1, "bank", "Authorize", 2, 1, 1, 7, 7),
                Rollup(MINUTE, "shop", "GET", 2, 1, 0, 1, 1),
            ],
        )
        store.put([], rollups=[Rollup(MINUTE + 2, "bank", "Authorize", 2, 100, 100, 100, 100)])

        found = store.services(MINUTE * 60 * SECOND_NS, (MINUTE + 2) * 60 * SECOND_NS)

        assert found == [
            Rollup(MINUTE, "bank", "Authorize", 2, 16, 2, 607, 120),
            Rollup(MINUTE, "shop", "GET", 2, 1, 0, 1, 1),
        ]

    def test_calls_of_a_service_are_told_by_minute(self, store: Store):
        """Spans that enter it (SERVER, CONSUMER) are its calls; what it asks of others is not."""
        store.put(
            [],
            rollups=[
                Rollup(MINUTE, "bank", "Authorize", 2, 10, 1, 5, 5),
                Rollup(MINUTE, "bank", "settle", 5, 3, 0, 5, 5),
                Rollup(MINUTE, "bank", "SELECT", 3, 99, 0, 5, 5),
                Rollup(MINUTE + 1, "bank", "Authorize", 2, 4, 0, 5, 5),
                Rollup(MINUTE + 2, "bank", "Authorize", 2, 4, 0, 5, 5),
                Rollup(MINUTE, "job", "run", 1, 7, 0, 5, 5),
            ],
        )
        window = (MINUTE * 60 * SECOND_NS, (MINUTE + 2) * 60 * SECOND_NS)

        assert store.calls("bank", *window) == {MINUTE: 13, MINUTE + 1: 4}
        assert store.calls("job", *window) == {MINUTE: 7}
        assert store.calls("nobody", *window) == {}

    def test_kinds_are_kept_apart(self, store: Store):
        store.put([], rollups=[Rollup(MINUTE, "a", "x", 2, 1, 0, 1, 1), Rollup(MINUTE, "a", "x", 3, 2, 0, 1, 1)])

        found = store.services(MINUTE * 60 * SECOND_NS, (MINUTE + 1) * 60 * SECOND_NS)

        assert [(rollup.kind, rollup.count) for rollup in found] == [(3, 2), (2, 1)]

    def test_sums_are_exact_beyond_floating_point(self, store: Store):
        """2**53 + 1 nanoseconds, twice."""
        odd = 2**53 + 1
        store.put([], rollups=[Rollup(MINUTE, "a", "x", 2, 1, 0, odd, odd)])
        store.put([], rollups=[Rollup(MINUTE + 1, "a", "x", 2, 1, 0, odd, odd)])

        (found,) = store.services(MINUTE * 60 * SECOND_NS, (MINUTE + 2) * 60 * SECOND_NS)

        assert found.duration_sum_ns == 2 * odd

    def test_edges_add_up_over_a_window(self, store: Store):
        edge = EdgeRollup(MINUTE, "shop", "bank", "service", "client_server", 3, 1, 30)
        store.put([], edges=[edge])
        store.put([], edges=[edge, EdgeRollup(MINUTE, "shop", "db", "database", "peer_attribute", 9, 0, 1)])

        found = store.edges(MINUTE * 60 * SECOND_NS, (MINUTE + 1) * 60 * SECOND_NS)

        assert found == [
            EdgeRollup(MINUTE, "shop", "db", "database", "peer_attribute", 9, 0, 1),
            EdgeRollup(MINUTE, "shop", "bank", "service", "client_server", 6, 2, 60),
        ]
