"""The tenant of a credential in a request: once in every resource, and nothing else is moved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.limits import prescan
from collector.wire.request_limits import RequestLimits
from collector.wire.stamp import TENANT_KEYS, stamp_tenant
from tests.support.doors import log_request, request


def stamped_by_objects(payload: bytes, tenant: str, kind: type = ExportTraceServiceRequest) -> bytes:
    """The plain way: decode, add an attribute, encode."""
    found = kind.FromString(payload)
    for group in getattr(found, "resource_spans", None) or found.resource_logs:
        for key in TENANT_KEYS:
            group.resource.attributes.add(key=key).value.string_value = tenant
    return bytes(found.SerializeToString())


def test_every_resource_has_it_last():
    """A client that says itself whose it is, is not believed."""
    found = ExportTraceServiceRequest()
    for said in ("", "victim"):
        group = found.resource_spans.add(schema_url="s")
        group.resource.attributes.add(key="service.name").value.string_value = "shop"
        if said:
            for key in TENANT_KEYS:
                group.resource.attributes.add(key=key).value.string_value = said
        group.scope_spans.add().spans.add(name="a" * 300)
    found.resource_spans.add().scope_spans.add().spans.add(name="no resource")

    after = ExportTraceServiceRequest.FromString(stamp_tenant(found.SerializeToString(), "ours"))
    ours, victim = ([(key, whose) for key in ("tenant.id", "firstfault.tenant")] for whose in ("ours", "victim"))

    assert [
        [(one.key, one.value.string_value) for one in group.resource.attributes] for group in after.resource_spans
    ] == [
        [("service.name", "shop"), *ours],
        [("service.name", "shop"), *victim, *ours],
        ours,
    ]


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b" * 20_000, "bad")])
def test_it_is_what_the_plain_way_makes(names: tuple[str, ...]):
    payload = request(*names).SerializeToString()

    assert ExportTraceServiceRequest.FromString(stamp_tenant(payload, "ours")) == ExportTraceServiceRequest.FromString(
        stamped_by_objects(payload, "ours")
    )


def test_logs_have_the_same_numbers():
    payload = log_request("x", "y").SerializeToString()

    assert ExportLogsServiceRequest.FromString(stamp_tenant(payload, "ours")) == ExportLogsServiceRequest.FromString(
        stamped_by_objects(payload, "ours", ExportLogsServiceRequest)
    )


def test_two_resources_of_one_group_both_have_it():
    """Protobuf joins them; whichever half a reader takes, it says the same."""
    half = b"\x0a\x00"
    group = half + half
    found = ExportTraceServiceRequest.FromString(stamp_tenant(b"\x0a" + bytes([len(group)]) + group, "t"))

    assert [one.value.string_value for one in found.resource_spans[0].resource.attributes] == ["t"] * 4


def test_unknown_fields_stay():
    """Varint, fixed 64, bytes, fixed 32: as they were."""
    strange = b"\x98\x06\x07" + b"\x99\x06" + bytes(8) + b"\x9a\x06\x01x" + b"\x9d\x06" + bytes(4)
    body = request("a").SerializeToString()

    assert stamp_tenant(strange + body + strange, "t") == strange + stamp_tenant(body, "t") + strange


@given(st.binary(max_size=200))
def test_any_bytes_are_stamped_or_refused(payload: bytes):
    """What the guard lets in is stamped in every group; of the rest, nothing but a refusal."""
    try:
        scan = prescan(payload, Signal.TRACES, RequestLimits())
    except BadRequestError:
        scan = None
    try:
        found = stamp_tenant(payload, "ours")
    except BadRequestError:
        assert scan is None
        return
    if scan is not None:
        assert prescan(found, Signal.TRACES, RequestLimits()).count == scan.count


def test_a_resource_that_the_engine_would_not_read_is_refused():
    """It would be nobody's there, and could meet traces that are."""
    found = ExportTraceServiceRequest()
    found.resource_spans.add().resource.attributes.add(key="k").value.string_value = "x" * 2**20

    with pytest.raises(BadRequestError, match="expected at most 1048532") as caught:
        stamp_tenant(found.SerializeToString(), "t")

    assert caught.value.reason == "resource_too_large"
