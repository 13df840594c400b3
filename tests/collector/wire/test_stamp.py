"""The tenant of a credential in a request: once in every resource, and nothing else is moved."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from analyzer.kernels.hashing import SLACK_BYTES
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.limits import prescan
from collector.wire.request_limits import RequestLimits
from collector.wire.scan.groups import WORDS, find_groups
from collector.wire.stamp import ATTRIBUTES_MAX, TENANT_KEYS, stamp_tenant
from tests.support.doors import log_request, request
from tests.support.naive import stamp as naive


def _field(tag: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([tag])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(head) + bytes([length]) + body


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


def test_resources_of_one_group_that_a_reader_puts_side_by_side_are_stamped_behind_the_last():
    """Two halves of a Resource; what the first says of itself does not count either."""
    half = Resource()
    half.attributes.add(key="firstfault.tenant").value.string_value = "victim"
    group = b"".join(_field(0x0A, body) for body in (half.SerializeToString(), b"", half.SerializeToString()))

    found = ExportTraceServiceRequest.FromString(stamp_tenant(_field(0x0A, group), "t"))

    assert [one.value.string_value for one in found.resource_spans[0].resource.attributes] == ["victim"] * 2 + ["t"] * 2


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


ONE = b"\x0a\x00"  # an empty message as field 1


@pytest.mark.parametrize(
    "resources",
    [
        [_field(0x0A, _field(0x0A, b"k" * 2**20))],
        [_field(0x0A, _field(0x0A, b"k" * 600_000))] * 2,
        [_field(0x0A, ONE * (ATTRIBUTES_MAX + 1))],
        [_field(0x0A, ONE)] * (ATTRIBUTES_MAX + 1),
    ],
    ids=["one too large", "two that are together", "too many attributes", "too many in several"],
)
def test_a_resource_that_the_engine_would_not_read_is_refused(resources: list[bytes]):
    """It would be nobody's there, and could meet traces that are; or it takes the engine's time."""
    with pytest.raises(BadRequestError, match="with a tenant at most 1048532 and 1000 are expected") as caught:
        stamp_tenant(_field(0x0A, b"".join(resources)), "t")

    assert caught.value.reason == "resource_too_large"


@pytest.mark.parametrize(
    "group",
    [b"\x18\x00" * 50_000, b"\x12\x00" * 50_000, _field(0x7A, bytes(100_000))],
    ids=["fields nobody knows", "empty scopes", "one large field nobody knows"],
)
def test_what_nobody_reads_is_copied(group: bytes):
    """At the top and in a group: nothing but the stamp is added."""
    payload = _field(0x0A, group) + group.replace(b"\x12", b"\x1a")

    assert len(stamp_tenant(payload, "tenant")) - len(payload) < 100


def test_more_groups_than_there_was_room_for_at_first():
    payload = request("a").SerializeToString() * 200

    assert stamp_tenant(payload, "t") == stamp_tenant(request("a").SerializeToString(), "t") * 200


FIELDS = st.recursive(
    st.sampled_from(
        [b"", b"\x18\x07", b"\x19" + bytes(8), b"\x1d" + bytes(4), b"\x0b", b"\x0a\x7f", b"\x98\x80\x00\x01"]
    ),
    lambda inner: st.builds(_field, st.sampled_from([0x0A, 0x0A, 0x12]), st.lists(inner, max_size=4).map(b"".join)),
    max_leaves=30,
)


@given(st.one_of(st.lists(FIELDS, max_size=6).map(b"".join), st.binary(max_size=60)))
def test_groups_are_found_as_the_twin_finds_them(payload: bytes):
    try:
        expected = naive.find_groups(payload)
    except naive.BrokenError:
        expected = None
    places = np.zeros((64, WORDS), np.int64)
    count = find_groups(np.frombuffer(payload + bytes(SLACK_BYTES), np.uint8), len(payload), places)

    assert (places[:count].tolist() if count >= 0 else None) == expected
