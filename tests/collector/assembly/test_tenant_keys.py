"""Trace ids of tenants are turned on their way into assembly, and back on their way out."""

from __future__ import annotations

import numpy as np
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from analyzer.spans import SPAN_DTYPE, Rows
from collector.assembly.tenant_keys import TenantKeys
from collector.trace_names import name_of
from tests.support.naive.vocabulary import Blobs

ID = bytes(range(1, 17))


def table_of(*owners: str) -> Blobs:
    """A resource of each, from id 1; id 0 is `<other>`."""
    table = Blobs()
    for number, owner in enumerate(owners):
        resource = Resource()
        for key, text in (("service.name", f"s{number}"), ("firstfault.tenant", owner)):
            resource.attributes.add(key=key).value.string_value = text
        table.intern(resource.SerializeToString())
    return table


def rows(*resources: int) -> Rows:
    made = np.zeros(len(resources), SPAN_DTYPE)
    made["trace_id_0"], made["trace_id_1"] = np.frombuffer(ID, "<u8")
    made["resource"] = resources
    return made


def ids(found: Rows) -> list[tuple[int, int]]:
    return [(int(row["trace_id_0"]), int(row["trace_id_1"])) for row in found]


def test_turned_twice_is_as_it_was_sent():
    """Nobody's, two of the shop's with different resources, one of the bank's."""
    keys, found = TenantKeys(table_of("", "shop", "bank", "shop"), b"secret"), rows(0, 1, 2, 3, 4)

    keys.turn(found)

    other, nobody, shop, bank, shop_again = ids(found)
    assert other == nobody == ids(rows(0))[0]
    assert shop == shop_again
    assert len({nobody, shop, bank}) == 3
    assert [tuple(map(int, keys.words(name_of(ID, tenant)))) for tenant in ("", "shop", "bank")] == [nobody, shop, bank]

    keys.turn(found)

    assert ids(found) == ids(rows(0, 1, 2, 3, 4))


def test_a_tenant_that_comes_later_turns_only_its_own():
    """The table grows past its first room, and what was turned before is turned back the same."""
    table, whole = table_of("shop"), table_of("shop", *(f"t{number}" for number in range(200)))
    keys, before = TenantKeys(table, b"secret"), rows(1)
    keys.turn(before)
    for index in range(len(whole)):
        table.intern(whole.raw(index))
    later = rows(1, 201)

    keys.turn(later)
    keys.turn(before)

    assert ids(before) == ids(rows(1))
    assert len(set(ids(later)) | set(ids(rows(0)))) == 3


def test_another_process_has_other_keys():
    """What was learned of one of them opens nothing elsewhere."""
    first, second = (TenantKeys(table_of("shop"), secret).words(name_of(ID, "shop")) for secret in (b"one", b"two"))

    assert first != second
