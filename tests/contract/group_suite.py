"""What every store promises of groups of errors. A backend's test file subclasses it beside `StoreContract`."""

from __future__ import annotations

import pytest

from analyzer.errors.group_words import Spike
from collector.contracts import GroupQuery, OutboxItem, Signal, Store
from collector.errors import BadRequestError
from tests.support.answers import error_group
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, ManualClock

SPIKE = Spike(now=40, usual=4.0, ratio=10.0, p=1e-12, since_ns=EPOCH_NS, window_s=300, sentence="40 events")


def numbers(store: Store, **query: object) -> list[int]:
    return [int(one.group_id, 16) for one in store.groups(GroupQuery(**query))]  # type: ignore[arg-type]


class GroupContract:
    """Bring fixtures `clock` (a ManualClock) and `store` (retention 72 hours, a quota nobody reaches)."""

    def test_a_group_is_found_as_it_was_put(self, store: Store):
        store.put_groups([error_group(1)])

        assert store.group(error_group(1).group_id) == error_group(1)
        assert store.group(error_group(2).group_id) is None

    def test_the_last_revision_of_a_group_stays(self, store: Store):
        store.put_groups([error_group(1)])
        store.put_groups([error_group(1, status="resolved", revision=2), error_group(1, count=99)])
        store.put_groups([error_group(1, count=98, revision=2)])

        assert store.groups(GroupQuery()) == [error_group(1, status="resolved", revision=2)]

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [("last_seen", [3, 1, 2]), ("first_seen", [2, 1, 3]), ("count", [2, 3, 1]), ("users", [1, 2, 3])],
    )
    def test_groups_come_in_the_order_that_was_asked_for(self, store: Store, sort: str, expected: list[int]):
        store.put_groups(
            [
                error_group(1, count=1, users=9, first_ns=EPOCH_NS + 5, last_ns=EPOCH_NS + 20),
                error_group(2, count=9, users=5, first_ns=EPOCH_NS + 6, last_ns=EPOCH_NS + 10),
                error_group(3, count=5, users=1, first_ns=EPOCH_NS + 4, last_ns=EPOCH_NS + 30),
            ]
        )

        assert numbers(store, sort=sort) == expected
        assert numbers(store, sort=sort, limit=1) == expected[:1]

    def test_groups_are_filtered(self, store: Store):
        """By what they are, and by every service they were seen in."""
        store.put_groups([error_group(1), error_group(2, status="new"), error_group(3, services=("ledger",))])

        assert set(numbers(store, status="ongoing")) == {1, 3}
        assert set(numbers(store, service="gateway")) == {1, 2}
        assert numbers(store, service="ledger", status="ongoing") == [3]
        assert numbers(store, service="led") == []

    def test_groups_that_spike_are_told_from_the_others(self, store: Store):
        """As they are now: the second one has calmed down."""
        spiking = error_group(1).model_copy(update={"spike": SPIKE})
        store.put_groups([spiking, spiking.model_copy(update={"group_id": f"{2:016x}"}), error_group(3)])
        store.put_groups([error_group(2, revision=2)])

        assert numbers(store, spiking=True) == [1]
        assert set(numbers(store, spiking=False)) == {2, 3}
        assert numbers(store, spiking=True, service="ledger") == []
        assert store.group(spiking.group_id) == spiking

    def test_a_message_about_a_group_is_queued_once(self, store: Store, clock: ManualClock):
        """Also when its group was written before, and the put comes again."""
        message = OutboxItem(b"key", "otlp", Signal.LOGS, b"a spike")
        store.put_groups([error_group(1)], [message])
        store.put_groups([error_group(1)], [message])

        (queued,) = store.outbox_take("otlp", 10, clock.now_ns())

        assert (queued.key, queued.signal, queued.payload) == (b"key", Signal.LOGS, b"a spike")

    def test_a_group_that_changed_is_found_by_its_services_of_now(self, store: Store):
        store.put_groups([error_group(1, services=("ledger",))])
        store.put_groups([error_group(1, revision=2)])

        assert numbers(store, service="ledger") == []
        assert numbers(store, service="payment") == [1]

    def test_a_group_outlives_its_traces(self, store: Store, clock: ManualClock):
        """Retention of traces is three days; a group is forgotten when nobody saw it for a season."""
        store.put_groups([error_group(1)])
        clock.advance(80 * 86_400)
        store.retain(clock.now_ns())
        assert numbers(store) == [1]

        clock.advance(11 * 86_400)
        store.retain(clock.now_ns())

        assert numbers(store) == []
        assert numbers(store, service="payment") == []

    @pytest.mark.parametrize("text", ["\ud800", "\x00", "a" * 100_000, "<script>"])
    def test_hostile_text_is_kept_or_replaced_and_keeps_nobody_out(self, store: Store, text: str):
        store.put_groups([error_group(1, message=text), error_group(2, services=(text,))])

        assert sorted(numbers(store)) == [1, 2]

    def test_what_cannot_be_asked_is_refused(self, store: Store):
        for query in (GroupQuery(limit=0), GroupQuery(sort="count; DROP TABLE error_group")):
            with pytest.raises(BadRequestError):
                store.groups(query)

    def test_times_beyond_the_calendar_are_kept(self, store: Store):
        store.put_groups([error_group(1, last_ns=2**70, first_ns=-(2**70))])

        assert numbers(store, sort="first_seen") == [1]

    def test_the_hour_of_a_group_does_not_matter(self, store: Store, clock: ManualClock):
        store.put_groups([error_group(1)])
        clock.advance(2 * HOUR_NS / 1e9)
        store.put_groups([error_group(1, revision=2, count=13)])

        assert [one.count for one in store.groups(GroupQuery())] == [13]
