"""What every store promises of messages that wait: they stay until they are settled, and are settled once."""

from __future__ import annotations

from collector.contracts import OutboxItem, Signal, Store
from tests.support.answers import checkout, message, stored
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, SECOND_NS, ManualClock

FOREVER_NS = EPOCH_NS + 10**9 * SECOND_NS


class OutboxContract:
    """Bring fixtures `clock` (a ManualClock) and `store` (retention 72 hours, a quota nobody reaches)."""

    def test_messages_come_out_oldest_first_and_stay(self, store: Store):
        store.put([stored(1, exports=(message(1), message(2)))])
        store.put([stored(2, exports=(message(3),))])

        first = store.outbox_take("otlp", 2, EPOCH_NS)
        again = store.outbox_take("otlp", 10, EPOCH_NS)

        assert [item.key for item in first] == [b"key-1", b"key-2"]
        assert [item.key for item in again] == [b"key-1", b"key-2", b"key-3"]

    def test_a_message_comes_out_as_it_went_in(self, store: Store):
        item = OutboxItem(key=b"\x00\xff", destination="otlp", signal=Signal.TRACES, payload=bytes(range(256)))
        store.put([stored(1, exports=(item,))])

        (out,) = store.outbox_take("otlp", 1, EPOCH_NS)

        assert (out.key, out.destination, out.signal, out.payload) == (item.key, "otlp", Signal.TRACES, item.payload)
        assert out.attempts == 0

    def test_done_is_done(self, store: Store):
        store.put([stored(1, exports=(message(1), message(2)))])
        (first, _) = store.outbox_take("otlp", 2, EPOCH_NS)

        store.outbox_done([first.row_id])

        assert [item.key for item in store.outbox_take("otlp", 10, EPOCH_NS)] == [b"key-2"]
        assert store.outbox_count() == 1

    def test_a_key_that_was_delivered_is_not_queued_again(self, store: Store):
        """The same finding comes again with a later revision of its trace; its message did not change."""
        store.put([stored(1, exports=(message(1),))])
        store.outbox_done([item.row_id for item in store.outbox_take("otlp", 1, EPOCH_NS)])

        store.put([stored(1, answer=checkout(1, revision=2), exports=(message(1), message(2)))])

        assert [item.key for item in store.outbox_take("otlp", 10, EPOCH_NS)] == [b"key-2"]

    def test_destinations_do_not_see_each_other(self, store: Store):
        store.put([stored(1, exports=(message(1, "otlp"), message(1, "webhook")))])

        store.outbox_done([item.row_id for item in store.outbox_take("otlp", 10, EPOCH_NS)])

        assert store.outbox_take("otlp", 10, EPOCH_NS) == []
        assert [item.destination for item in store.outbox_take("webhook", 10, EPOCH_NS)] == ["webhook"]

    def test_a_retry_waits_until_it_is_due(self, store: Store):
        store.put([stored(1, exports=(message(1),))])
        (item,) = store.outbox_take("otlp", 1, EPOCH_NS)

        store.outbox_retry([item.row_id], EPOCH_NS + SECOND_NS)

        assert store.outbox_take("otlp", 1, EPOCH_NS) == []
        (again,) = store.outbox_take("otlp", 1, EPOCH_NS + SECOND_NS)
        assert (again.payload, again.attempts, again.row_id) == (item.payload, 1, item.row_id)
        assert store.outbox_count() == 1

    def test_a_clock_set_back_does_not_hold_messages_for_days(self, store: Store):
        """The retry was due in a second; then somebody set the clock back by a day."""
        store.put([stored(1, exports=(message(1),))])
        store.outbox_retry([item.row_id for item in store.outbox_take("otlp", 1, EPOCH_NS)], EPOCH_NS + SECOND_NS)

        assert len(store.outbox_take("otlp", 1, EPOCH_NS - 24 * HOUR_NS)) == 1

    def test_a_dead_letter_is_not_taken_again(self, store: Store):
        store.put([stored(1, exports=(message(1), message(2)))])
        (first, _) = store.outbox_take("otlp", 2, EPOCH_NS)

        store.outbox_dead([first.row_id], "INVALID_ARGUMENT: no")

        assert [item.key for item in store.outbox_take("otlp", 10, FOREVER_NS)] == [b"key-2"]
        assert store.outbox_count() == 1

    def test_settling_twice_counts_once(self, store: Store):
        store.put([stored(1, exports=(message(1), message(2)))])
        (first, _) = store.outbox_take("otlp", 2, EPOCH_NS)

        store.outbox_done([first.row_id])
        store.outbox_done([first.row_id])
        store.outbox_dead([first.row_id], "late")

        assert store.outbox_count() == 1

    def test_messages_of_earlier_hours_come_first(self, store: Store, clock: ManualClock):
        store.put([stored(1, exports=(message(1),))])
        clock.advance(3600)
        store.put([stored(2, exports=(message(2),))])

        taken = store.outbox_take("otlp", 10, clock.now_ns())

        assert [item.key for item in taken] == [b"key-1", b"key-2"]
        store.outbox_done([item.row_id for item in taken])
        assert store.outbox_count() == 0
