"""What every store promises of incidents. A backend's test file subclasses it beside `StoreContract`."""

from __future__ import annotations

import pytest

from collector.contracts import IncidentQuery, Store, StoredIncident
from collector.errors import BadRequestError
from tests.support.answers import incident, message
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, SECOND_NS, ManualClock


def put(store: Store, *incidents, exports=()) -> None:
    store.put_incidents([StoredIncident(one, exports) for one in incidents])


class IncidentContract:
    """Bring fixtures `clock` (a ManualClock) and `store` (retention 72 hours, a quota nobody reaches)."""

    def test_an_incident_is_found_as_it_was_put(self, store: Store):
        put(store, incident(1))

        assert store.incident(incident(1).incident_id) == incident(1)
        assert store.incident(incident(2).incident_id) is None

    def test_the_last_revision_of_an_incident_stays(self, store: Store):
        """Open, then closed; then a replay brings the first revision again, with its message."""
        put(store, incident(1))
        put(store, incident(1, status="closed", revision=2))
        put(store, incident(1), exports=(message(1),))

        assert store.incidents(IncidentQuery()) == [incident(1, status="closed", revision=2)]
        assert store.outbox_count() == 0

    def test_two_revisions_of_an_incident_in_one_put(self, store: Store):
        put(store, incident(1, revision=2), incident(1, revision=3), incident(1, revision=1))

        assert [one.revision for one in store.incidents(IncidentQuery())] == [3]

    def test_incidents_come_newest_first(self, store: Store):
        for number, second in ((1, 5), (2, 9), (3, 7)):
            put(store, incident(number, onset_ns=EPOCH_NS + second * SECOND_NS))

        assert [int(one.incident_id, 16) for one in store.incidents(IncidentQuery())] == [2, 3, 1]
        assert [int(one.incident_id, 16) for one in store.incidents(IncidentQuery(limit=1))] == [2]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (IncidentQuery(status="open"), {1, 3}),
            (IncidentQuery(status="closed"), {2}),
            (IncidentQuery(service="ledger"), {3}),
            (IncidentQuery(service="checkout"), {1, 2, 3}),
            (IncidentQuery(service="payment", status="closed"), {2}),
            (IncidentQuery(service="pay"), set()),
        ],
    )
    def test_incidents_are_filtered(self, store: Store, query: IncidentQuery, expected: set[int]):
        """By what they are, and by who suffers or is suspected."""
        put(store, incident(1), incident(2, status="closed"), incident(3, service="ledger"))

        assert {int(one.incident_id, 16) for one in store.incidents(query)} == expected

    def test_another_suspect_replaces_the_one_before(self, store: Store):
        put(store, incident(1, service="ledger"))
        put(store, incident(1, revision=2))

        assert store.incidents(IncidentQuery(service="ledger")) == []

    def test_changes_are_told_once_and_in_order(self, store: Store):
        """Who watches sees each incident as it is now, after the change it saw last."""
        start = store.last_incident_change()
        put(store, incident(1), incident(2))
        first = store.incident_changes(start, 10)
        put(store, incident(1, revision=2))
        second = store.incident_changes(first[-1].sequence, 10)

        assert [int(one.incident.incident_id, 16) for one in first] == [1, 2]
        assert [one.incident for one in second] == [incident(1, revision=2)]
        assert second[0].sequence == store.last_incident_change() > first[-1].sequence
        assert len(store.incident_changes(start, 1)) == 1
        assert store.incident_changes(second[0].sequence, 10) == []

    def test_messages_of_an_incident_wait_in_the_outbox(self, store: Store, clock: ManualClock):
        put(store, incident(1), exports=(message(1),))
        put(store, incident(1, revision=2), exports=(message(2),))

        taken = store.outbox_take("otlp", 10, clock.now_ns())
        store.outbox_done([item.row_id for item in taken])

        assert [item.key for item in taken] == [b"key-1", b"key-2"]
        assert store.outbox_count() == 0

    def test_an_incident_goes_on_over_the_turn_of_hours(self, store: Store, clock: ManualClock):
        put(store, incident(1))
        clock.advance(3 * 3600)
        put(store, incident(1, revision=2, updated_ns=clock.now_ns()))

        assert [one.revision for one in store.incidents(IncidentQuery())] == [2]

    def test_old_incidents_expire(self, store: Store, clock: ManualClock):
        """One that still goes on stays, however long ago it began; numbers of changes do not begin again."""
        put(store, incident(1, status="closed"), incident(2))
        clock.advance(74 * 3600)
        put(store, incident(2, revision=2, updated_ns=EPOCH_NS + 73 * HOUR_NS))
        before = store.last_incident_change()
        store.retain(clock.now_ns())

        assert [int(one.incident_id, 16) for one in store.incidents(IncidentQuery())] == [2]
        assert store.incidents(IncidentQuery(service="payment", status="closed")) == []
        clock.advance(74 * 3600)
        store.retain(clock.now_ns())
        put(store, incident(3, updated_ns=clock.now_ns()))
        assert store.last_incident_change() > before

    def test_hostile_text_of_an_incident_comes_back(self, store: Store):
        text = "'; DROP TABLE incident; -- \x00 \u202e <script> 100% ?"
        put(store, incident(1, service=text))

        assert store.incidents(IncidentQuery(service=text)) == [incident(1, service=text)]
        assert store.incident(text) is None

    def test_a_limit_of_no_incidents_is_refused(self, store: Store):
        with pytest.raises(BadRequestError, match="limit is 0; expected 1"):
            store.incidents(IncidentQuery(limit=0))
