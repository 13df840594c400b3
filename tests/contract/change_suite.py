"""What every log of changes promises. A backend's test file subclasses it."""

from __future__ import annotations

import pytest

from analyzer.errors.change_words import Change
from collector.contracts import ChangeLog, ChangeQuery
from collector.errors import BadRequestError
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, SECOND_NS, ManualClock


def change(number: int, **more: object) -> Change:
    """The numbered change; each a second later than the one before."""
    fields = {"change_id": f"c{number}", "kind": "deployment", "service": "payment", "version": f"v{number}"}
    return Change.model_validate(fields | {"time_ns": EPOCH_NS + number * SECOND_NS} | more)


class ChangeContract:
    """Bring fixtures `clock` (a ManualClock) and `log` (retention 72 hours)."""

    def test_a_change_is_found_as_it_was_put(self, log: ChangeLog):
        assert log.put_change(change(1, description="why", url="https://ci/1"))

        assert log.changes(ChangeQuery()) == [change(1, description="why", url="https://ci/1")]

    def test_told_twice_it_is_kept_once(self, log: ChangeLog):
        assert log.put_change(change(1))
        assert not log.put_change(change(1, version="other"))

        assert log.changes(ChangeQuery()) == [change(1)]

    def test_changes_come_newest_first_and_bounded(self, log: ChangeLog):
        for number in (2, 3, 1):
            log.put_change(change(number))

        assert [one.version for one in log.changes(ChangeQuery())] == ["v3", "v2", "v1"]
        assert [one.version for one in log.changes(ChangeQuery(limit=1))] == ["v3"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            (ChangeQuery(service="ledger"), {"c2"}),
            (ChangeQuery(kind="feature_flag"), {"c3"}),
            (ChangeQuery(service="payment", kind="deployment"), {"c1"}),
            (ChangeQuery(from_ns=EPOCH_NS + 2 * SECOND_NS), {"c2", "c3"}),
            (ChangeQuery(to_ns=EPOCH_NS + 2 * SECOND_NS), {"c1"}),
            (ChangeQuery(service="pay"), set()),
        ],
    )
    def test_changes_are_filtered(self, log: ChangeLog, query: ChangeQuery, expected: set[str]):
        for one in (change(1), change(2, service="ledger"), change(3, kind="feature_flag")):
            log.put_change(one)

        assert {one.change_id for one in log.changes(query)} == expected

    def test_old_changes_leave(self, log: ChangeLog, clock: ManualClock):
        log.put_change(change(1))
        clock.advance(73 * 3600)
        log.put_change(change(2, time_ns=EPOCH_NS + 73 * HOUR_NS))

        assert [one.change_id for one in log.changes(ChangeQuery())] == ["c2"]
        assert log.put_change(change(1))  # its id is free again

    def test_hostile_text_comes_back(self, log: ChangeLog):
        text = "'; DROP TABLE change; -- \x00 \u202e <script> 100% ?"
        log.put_change(change(1, service=text, description=text))

        assert log.changes(ChangeQuery(service=text)) == [change(1, service=text, description=text)]

    def test_a_limit_of_no_changes_is_refused(self, log: ChangeLog):
        with pytest.raises(BadRequestError, match="limit is 0; expected 1"):
            log.changes(ChangeQuery(limit=0))
