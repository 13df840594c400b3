"""What every store promises. A backend's test file subclasses `StoreContract` and brings a `store`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.findings import Answer
from collector.contracts import EdgeRollup, FindingQuery, OutboxItem, Rollup, Signal, Store
from collector.errors import BadRequestError, PermanentError
from collector.trace_names import name_of
from tests.support.answers import checkout, message, slow, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, SECOND_NS, ManualClock

MINUTE = EPOCH_NS // (60 * SECOND_NS)
FOREVER_NS = EPOCH_NS + 10**9 * SECOND_NS


class StoreContract:
    """Bring fixtures `clock` (a ManualClock) and `store` (retention 72 hours, a quota nobody reaches)."""

    # -- one trace -------------------------------------------------------------------------

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

    def test_an_id_that_tenants_share_is_a_trace_of_each(self, store: Store):
        """Kept, decided, re-opened: one tenant's never stands for another's, nor for nobody's."""
        names = [name_of(trace_id(1), tenant) for tenant in ("", "a", "b", "c")]
        store.put([replace(stored(1, answer=checkout(1, revision=n)), name=names[n]) for n in (1, 2)])
        store.put([replace(stored(1, answer=checkout(1, revision=3)), name=names[1])])
        store.put([], clean_trace_ids=[names[3]])

        found = [store.find(name) for name in names]

        assert [one.status for one in found] == ["unknown", "stored", "stored", "clean"]
        assert [one.answer.revision for one in found if one.answer] == [3, 2]
        assert store.namesakes(trace_id(1)) == names[1:3]
        assert store.namesakes(trace_id(2)) == []

    def test_pages_tell_tenants_apart(self, store: Store):
        """The same id and start three times, a page each."""
        names = [name_of(trace_id(1), tenant) for tenant in ("", "a", "b")]
        store.put([replace(stored(1), name=name) for name in names])

        rows, cursor = [], None
        for _ in range(4):
            page = store.findings(FindingQuery(limit=1, cursor=cursor))
            rows, cursor = [*rows, *page.rows], page.next_cursor
            if cursor is None:
                break

        assert sorted(row.name for row in rows) == names
        assert {row.trace_id for row in rows} == {trace_id(1).hex()}

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

    @pytest.mark.parametrize("limit", [1, 100])
    def test_a_list_of_one_tenant_has_no_other(self, store: Store, limit: int):
        """Nor of one whose name begins alike; page by page."""
        names = [name_of(trace_id(n), tenant) for n, tenant in enumerate(("", "a", "ab", "a", "b"), 1)]
        store.put([replace(stored(n), name=name) for n, name in enumerate(names, 1)])

        def listed(tenant: str) -> list[bytes]:
            query, found = FindingQuery(limit=limit, tenant=tenant), []
            while True:
                page = store.findings(query)
                found += [row.name for row in page.rows]
                if page.next_cursor is None:
                    return sorted(found)
                query = replace(query, cursor=page.next_cursor)

        assert listed("a") == sorted((names[1], names[3]))
        assert listed("ab") == [names[2]]
        assert listed("") == [names[0]]
        assert listed("c") == []

    def test_a_wrong_id_is_refused_with_its_length(self, store: Store):
        with pytest.raises(PermanentError, match="has 3 bytes; expected 16"):
            store.find(b"abc")

    def test_hostile_text_comes_back_as_it_was(self, store: Store):
        text = "'; DROP TABLE trace_result; -- \x00 \u202e <script> 100% ?"
        answer = checkout(1, service=text, summary=text)
        store.put([stored(1, answer=answer)])

        assert store.find(trace_id(1)).answer == answer
        assert [row.summary for row in store.findings(FindingQuery(service=text)).rows] == [text]

    # -- lists -----------------------------------------------------------------------------

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

    # -- windows ---------------------------------------------------------------------------

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

    # -- the outbox ------------------------------------------------------------------------

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

    # -- over the turn of an hour ------------------------------------------------------------

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

    # -- retention ---------------------------------------------------------------------------

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

    # -- state -------------------------------------------------------------------------------

    def test_state_is_replaced(self, store: Store):
        assert store.load_state("baselines") is None

        store.save_state("baselines", b"old")
        store.save_state("baselines", b"new")

        assert store.load_state("baselines") == b"new"
