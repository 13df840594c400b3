"""Two tenants, one trace id: two traces from the first span to the answer (reliability.md, shape 40)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.findings import Answer
from analyzer.spans import MISSING_SERVICE
from collector.contracts import FindingQuery, Signal
from collector.exporters.findings import ExportSettings, finding_exports
from collector.recall import join
from collector.store.sqlite import SqliteStore
from collector.trace_names import name_of, text_of
from collector.wire.stamp import stamp_tenant
from tests.support.drawing import Drawing, draw
from tests.support.stepping import CLEAN, FAILING, House

ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
OTHERS = """
web     GET /account               0..80   ERROR
  web     CLIENT ledger.Read         10..70  ERROR  peer.service=ledger
    ledger  Read                       20..60  ERROR  !Timeout: "no disk"
"""


def drawn(lines: str) -> Drawing:
    return draw(lines, trace_id=ID)


def told(house: House) -> dict[str, Answer]:
    return {text_of(stored.name): stored.answer for stored in house.shelf.traces}


def origin(answer: Answer) -> str:
    return answer.root_causes[0].entity.service if answer.root_causes else ""


def alone(lines: str, tenant: str) -> Answer:
    house = House()
    house.send(drawn(lines), tenant)
    house.after(30)
    return house.shelf.traces[0].answer


def test_one_id_of_two_tenants_and_of_nobody_is_three_traces():
    house = House()
    house.send(drawn(FAILING), "shop")
    house.send(drawn(OTHERS), "bank")
    house.send(drawn(CLEAN))

    house.after(30)

    answers = told(house)
    assert {name: origin(answer) for name, answer in answers.items()} == {
        f"{ID.hex()}@shop": "payment",
        f"{ID.hex()}@bank": "ledger",
    }
    assert house.shelf.clean == [ID]
    assert {answer.trace_id for answer in answers.values()} == {ID.hex()}
    assert answers[f"{ID.hex()}@shop"].links["graph"] == f"/api/v1/traces/{ID.hex()}@shop/graph"


def test_what_another_tenant_adds_changes_nothing():
    """Interleaved, over and over: the answer, its ids, its spans are those of the tenant alone."""
    house = House()
    for _ in range(3):
        house.send(drawn(OTHERS), "bank")
        house.send(drawn(FAILING), "shop")

    house.after(30)

    assert told(house) == {
        f"{ID.hex()}@shop": alone(FAILING, "shop"),
        f"{ID.hex()}@bank": alone(OTHERS, "bank"),
    }
    for stored in house.shelf.traces:
        spans = ExportTraceServiceRequest.FromString(stored.trace_otlp or b"").resource_spans
        assert {one.trace_id for group in spans for scope in group.scope_spans for one in scope.spans} == {ID}


def test_findings_and_messages_of_two_tenants_have_their_own_ids():
    """Else the second would be taken for a repetition of the first, by us and by the backend."""
    answers = [alone(FAILING, tenant) for tenant in ("", "shop", "bank")]
    keys = [item.key for answer in answers for item in finding_exports(answer, ExportSettings(), 1)]

    written = [
        "firstfault.tenant" in item.payload.decode("latin-1")
        for item in finding_exports(answers[1], ExportSettings(), 1)
    ]
    assert written == [True, True]
    assert len({answer.finding_ids[0] for answer in answers}) == 3
    assert len(set(keys)) == len(keys) == 6


def test_an_open_trace_is_asked_for_by_its_tenant():
    house = House()
    house.send(drawn(FAILING), "shop")
    house.send(drawn(OTHERS), "bank")
    house.after(0)

    peeked = {
        tenant: house.assembler.peek(name_of(ID, tenant), 1_000_000) for tenant in ("shop", "bank", "", "stranger")
    }

    assert {tenant: found.vocabulary.strings.text(int(found.rows[0]["service"])) for tenant, found in peeked.items() if found} == {
        "shop": "gateway",
        "bank": "web",
    }  # fmt: skip
    assert {found.rows[0]["trace_id_0"].tobytes() for found in peeked.values() if found} == {ID[:8]}


def test_a_late_span_finds_its_own_trace():
    """The caller's half comes after the decision; only that tenant's trace is opened again."""
    house = House()
    house.recall = lambda name, traces, index: join(house.shelf.found(name), traces, index)  # type: ignore[attr-defined]
    house.send(drawn(FAILING), "shop")
    house.send(drawn(OTHERS), "bank")
    house.after(30)
    house.send(drawn("gateway  CLIENT late.Call  96..99  ERROR"), "shop")
    house.after(30)

    revisions = [(text_of(stored.name).partition("@")[2], stored.answer.revision) for stored in house.shelf.traces]
    assert sorted(revisions) == [("bank", 1), ("shop", 1), ("shop", 2)]


def test_on_disk_each_is_found_by_its_name(tmp_path: Path):
    house = House()
    house.send(drawn(FAILING), "shop")
    house.send(drawn(OTHERS), "bank")
    house.after(30)
    store = SqliteStore.open(tmp_path)
    store.put(house.shelf.traces)

    shop, bank = (store.find(name_of(ID, tenant)).answer for tenant in ("shop", "bank"))

    assert [origin(found) for found in (shop, bank) if found] == ["payment", "ledger"]
    assert [store.find(name_of(ID, tenant)).status for tenant in ("", "stranger")] == ["unknown"] * 2
    assert store.namesakes(ID) == [name_of(ID, "bank"), name_of(ID, "shop")]
    assert {(row.trace_id, row.tenant, row.service) for row in store.findings(FindingQuery()).rows} == {
        (ID.hex(), "shop", "payment"),
        (ID.hex(), "bank", "ledger"),
    }
    store.close()


def test_a_client_cannot_name_another_tenant():
    """What it writes itself stands before the stamp, and the last one counts."""
    request = ExportTraceServiceRequest.FromString(drawn(FAILING).requests()[0])
    for group in request.resource_spans:
        group.resource.attributes.add(key="firstfault.tenant").value.string_value = "bank"
    house = House()
    house.queue.items.append((stamp_tenant(request.SerializeToString(), "shop"), Signal.TRACES))

    house.after(30)

    assert list(told(house)) == [f"{ID.hex()}@shop"]


@pytest.mark.parametrize("said", ["", "a b", "x" * 129, "\u00e9", "<b>", 7])
def test_what_is_no_name_of_a_tenant_is_none(said: Any):
    """Without a credential anybody may write anything there."""
    request = ExportTraceServiceRequest.FromString(drawn(FAILING).requests()[0])
    for group in request.resource_spans:
        value = group.resource.attributes.add(key="firstfault.tenant").value
        if isinstance(said, str):
            value.string_value = said
        else:
            value.int_value = said
    house = House()
    house.queue.items.append((request.SerializeToString(), Signal.TRACES))

    house.after(30)

    assert list(told(house)) == [ID.hex()]
    assert MISSING_SERVICE not in str(told(house))
