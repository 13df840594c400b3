"""Two tenants, one trace id: two traces from the first span to the answer (reliability.md, shape 40)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from analyzer.incidents.examples import example_traces
from analyzer.incidents.facts import gather_facts
from analyzer.incidents.recent import FAILED, Sample
from analyzer.spans import MISSING_SERVICE
from analyzer.strings import new_vocabulary
from collector.app.query_room import QueryRoom
from collector.config import check
from collector.contracts import FindingQuery, Signal
from collector.exporters.findings import ExportSettings, finding_exports
from collector.offline import TraceReader
from collector.recall import join
from collector.redaction import Redactor, UserRule
from collector.store.sqlite import SqliteStore
from collector.trace_names import name_of, read_name, text_of
from collector.wire.masking import masked_request
from collector.wire.stamp import stamp_tenant
from tests.support.answers import error_group
from tests.support.drawing import Drawing, draw
from tests.support.fakes.store import FakeDecisions, FakeOpenTraces, FakeStore
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


def test_a_page_shows_the_example_it_names_and_no_other(tmp_path: Path):
    """A group that names the shop's trace shows that; one that says the id alone shows neither, for there are two."""
    house = House()
    house.send(drawn(FAILING), "shop")
    house.send(drawn(OTHERS), "bank")
    house.after(30)
    store = SqliteStore.open(tmp_path)
    store.put(house.shelf.traces)
    examples = [f"{ID.hex()}@shop", f"{ID.hex()}@bank", ID.hex()]
    groups = [error_group(n).model_copy(update={"example_trace_ids": [name]}) for n, name in enumerate(examples)]
    store.put_groups(groups)
    query = {"endpoint": "127.0.0.1:0", "grpc_endpoint": "127.0.0.1:0"}
    config = check({"storage": {"path": str(tmp_path)}, "query": query})
    room = QueryRoom(config, FakeOpenTraces(), FakeDecisions(FakeStore()), dict)
    room.start()
    try:
        url = f"http://127.0.0.1:{room.ports['rest']}/api/v1/groups/"
        texts = [httpx.get(f"{url}{one.group_id}/report?format=html", trust_env=False).text for one in groups]
    finally:
        room.stop(1.0)
        store.close()

    assert [("payment" in text, "ledger" in text) for text in texts] == [(True, False), (True, True), (True, False)]


@pytest.mark.parametrize("tenant", ["", "shop"])
def test_an_incident_names_its_examples_whole(tenant: str):
    words, request = new_vocabulary(), drawn(FAILING).requests()[0]
    reader = TraceReader(words)
    reader.add(stamp_tenant(request, tenant) if tenant else request, Signal.TRACES)
    analyzer = Analyzer()
    facts = gather_facts(analyzer.analyse(reader.batch()).analysis, analyzer.propagation)
    window = Sample(facts, np.array([FAILED], np.uint8), np.zeros(1, np.int64))

    (example,) = example_traces(window, set(), words.resources)

    assert read_name(example) == name_of(ID, tenant)


def test_a_client_cannot_name_another_tenant():
    """What it writes itself stands before the stamp, and the last one counts."""
    request = ExportTraceServiceRequest.FromString(drawn(FAILING).requests()[0])
    for group in request.resource_spans:
        group.resource.attributes.add(key="firstfault.tenant").value.string_value = "bank"
    house = House()
    house.queue.items.append((stamp_tenant(request.SerializeToString(), "shop"), Signal.TRACES))

    house.after(30)

    assert list(told(house)) == [f"{ID.hex()}@shop"]


def test_a_tenant_that_looks_like_a_secret_keeps_its_traces():
    """What is stored is masked; by what would be masked here the trace is found again."""
    card = "4111111111111111"
    request = stamp_tenant(drawn(FAILING).requests()[0], card)

    kept = ExportTraceServiceRequest.FromString(masked_request(request, Signal.TRACES, Redactor()))

    said = {(one.key, one.value.string_value) for one in kept.resource_spans[0].resource.attributes}
    assert {("firstfault.tenant", card), ("tenant.id", "[redacted]")} <= said


@pytest.mark.parametrize("said", ["a b", "number 4111111111111111"])
def test_what_is_no_name_of_a_tenant_is_masked_like_anything(said: str):
    request = ExportTraceServiceRequest()
    request.resource_spans.add().resource.attributes.add(key="firstfault.tenant").value.string_value = said

    kept = ExportTraceServiceRequest.FromString(
        masked_request(
            request.SerializeToString(), Signal.TRACES, Redactor(rules=[UserRule("all", ("x",), re.compile("b|41+"))])
        )
    )

    assert kept.resource_spans[0].resource.attributes[0].value.string_value != said


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
