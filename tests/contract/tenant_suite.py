"""What every store promises of tenants: the trace of one is not another's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from collector.contracts import FindingQuery, Store
from collector.trace_names import name_of
from tests.support.answers import checkout, stored, trace_id


class TenantContract:
    """Bring a fixture `store` (retention 72 hours, a quota nobody reaches)."""

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
