"""Quotas of tenants: who sends more than was agreed is refused with a delay, and nobody else feels it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.admission import Gate
from collector.app.doors import ingest_tenant
from collector.app.receiver_room import tenant_quotas
from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.config import ConfigError, load_config
from collector.contracts import Encoding, Signal
from collector.errors import OverloadedError, QuotaError, RefusedError, TooLargeError
from collector.tenant_quotas import DELAY_S, Quota, TenantQuotas
from collector.wire.request_limits import Prescan, RequestLimits
from tests.support.doors import PROTOBUF, Doors, RecordingHandover, log_request, open_doors, refusal, request, trailers
from tests.support.fakes.clock import ManualClock

HUNDRED = Quota(records_per_s=100, burst_s=2)  # so 200 at once


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def quotas(clock: ManualClock) -> TenantQuotas:
    return TenantQuotas(HUNDRED, {"big": Quota(1000, 2), "free": None}, clock=clock, seed=3)


def _sends(quotas: TenantQuotas, records: int, tenant: str = "a") -> bool:
    """Whether so many records are let in, and taken."""
    try:
        with quotas.charged(tenant, records):
            return True
    except QuotaError:
        return False


def _delay_s(quotas: TenantQuotas, records: int, tenant: str = "a") -> float:
    with pytest.raises(QuotaError) as caught, quotas.charged(tenant, records):
        raise AssertionError("was let in")
    return caught.value.retry_after_s


def test_the_burst_then_the_rate(quotas: TenantQuotas, clock: ManualClock):
    assert [_sends(quotas, 50) for _ in range(5)] == [True] * 4 + [False]
    clock.advance(0.5)
    assert [_sends(quotas, 25) for _ in range(3)] == [True, True, False]
    clock.advance(3600)  # rest saves up no more than the burst
    assert [_sends(quotas, 50) for _ in range(5)] == [True] * 4 + [False]


def test_tenants_do_not_share_and_nobody_has_no_quota(quotas: TenantQuotas):
    assert not [_sends(quotas, 50) for _ in range(5)][-1]

    assert _sends(quotas, 200, "b")
    assert [_sends(quotas, 1000, "big") for _ in range(3)] == [True, True, False]
    assert all(_sends(quotas, 10**6, tenant) for tenant in ("free", "", "free", ""))


def test_without_a_quota_nothing_is_remembered(clock: ManualClock):
    quotas = TenantQuotas(clock=clock)

    assert all(_sends(quotas, 10**9) for _ in range(3))
    assert quotas.snapshot() == {}


def test_who_comes_after_the_delay_is_taken(quotas: TenantQuotas, clock: ManualClock):
    assert _sends(quotas, 200)
    delay_s = _delay_s(quotas, 150)
    assert 1.5 <= delay_s <= 1.5 * 1.25
    clock.advance(delay_s)

    assert _sends(quotas, 150)


def test_delays_have_bounds_and_are_spread(quotas: TenantQuotas):
    assert _sends(quotas, 200)
    short = [_delay_s(quotas, 1) for _ in range(20)]
    assert _sends(quotas, 200_000, "b")  # 2,000 s of debt
    long = [_delay_s(quotas, 1, "b") for _ in range(20)]

    assert all(DELAY_S[0] <= delay_s <= DELAY_S[1] for delay_s in short + long)
    assert (min(short) < 1.25, min(long) > 20) == (True, True)
    assert len(set(short)) == len(set(long)) == 20


def test_more_than_the_burst_is_taken_when_the_bucket_is_full_and_paid_for_later(
    quotas: TenantQuotas, clock: ManualClock
):
    """Refused, it would be so for ever: no rest fills a bucket beyond its brim."""
    assert _sends(quotas, 1)
    assert not _sends(quotas, 500)
    clock.advance(0.01)
    assert _sends(quotas, 500)
    assert not _sends(quotas, 1)
    clock.advance(3.0)
    assert not _sends(quotas, 1)
    clock.advance(0.01)
    assert _sends(quotas, 1)


@pytest.mark.parametrize("fault", [OverloadedError("full"), TooLargeError("large"), ZeroDivisionError()])
def test_what_is_not_taken_is_not_charged(quotas: TenantQuotas, fault: Exception):
    for _ in range(10):
        with pytest.raises(type(fault)), quotas.charged("a", 200):
            raise fault

    assert _sends(quotas, 200)
    assert not _sends(quotas, 1)


def test_what_may_yet_be_taken_counts(quotas: TenantQuotas):
    """Else a crowd that waits for room would be let in together, each on the same credit."""
    with quotas.charged("a", 150):
        assert not _sends(quotas, 100)
        assert _sends(quotas, 50)

    assert not _sends(quotas, 1)


def test_the_longest_unused_tenant_is_forgotten(clock: ManualClock):
    """Its next request finds a full bucket: counted, because it is let off what it had sent."""
    quotas = TenantQuotas(HUNDRED, clock=clock, tenants_max=2)
    assert _sends(quotas, 200, "a")
    assert _sends(quotas, 100, "b")
    assert not _sends(quotas, 1, "a")  # used last, though refused
    assert _sends(quotas, 100, "c")  # b leaves
    assert quotas.snapshot() == {"receiver_forgotten_buckets|spent": 1}
    clock.advance(2)
    assert _sends(quotas, 200, "b")  # a leaves, full

    assert quotas.snapshot() == {"receiver_forgotten_buckets|spent": 1, "receiver_forgotten_buckets|full": 1}


def test_a_million_tenants_are_bounded(clock: ManualClock):
    quotas = TenantQuotas(HUNDRED, clock=clock, tenants_max=100)
    for number in range(5_000):
        assert _sends(quotas, 1, f"t{number}")

    assert quotas.snapshot() == {"receiver_forgotten_buckets|spent": 4_900}


@pytest.mark.parametrize("seed", range(20))
def test_drawn_requests_against_a_bucket_that_is_filled_by_hand(clock: ManualClock, seed: int):
    """The textbook: a level that grows with time up to the burst, in exact fractions."""
    rng = random.Random(seed)
    quotas = TenantQuotas(HUNDRED, clock=clock)
    level = burst = Fraction(200)
    for _ in range(400):
        millis = rng.choice((0, 0, 1, 10, 300, 3000))
        clock.advance(millis / 1000)
        level = min(burst, level + Fraction(millis, 10))
        records, fits = rng.choice((0, 1, 7, 60, 199, 200, 201, 450)), rng.random() < 0.8
        expected = level >= min(records, burst) or records == 0
        let_in = False
        with contextlib.suppress(OverloadedError, QuotaError), quotas.charged("a", records):
            let_in = True
            if not fits:
                raise OverloadedError("full")
        assert let_in == expected
        if let_in and fits:
            level -= records


def test_many_threads_get_the_burst_and_not_a_record_more(quotas: TenantQuotas):
    with ThreadPoolExecutor(8) as threads:
        taken = sum(threads.map(lambda _: _sends(quotas, 1), range(2000)))

    assert taken == 200


def _count(payload: bytes, signal: Signal, limits: RequestLimits) -> Prescan:
    good, bad = (int(word) for word in payload.split())
    return Prescan(good + bad, bad, 0)


def _gate(quotas: TenantQuotas, handover: RecordingHandover, clock: ManualClock) -> Gate:
    gate = Gate(
        handover,
        prescan=_count,
        translate_json=lambda payload, signal, limits: payload,
        quotas=quotas,
        clock=clock,
        seed=7,
        pause=lambda _: None,
    )
    gate._stamped = lambda payload, tenant: payload  # type: ignore[method-assign]
    gate.open()
    return gate


def _reason(gate: Gate, payload: bytes, signal: Signal = Signal.TRACES, tenant: str = "a") -> str:
    try:
        gate.take(payload, signal, Encoding.PROTOBUF, "grpc", tenant)
    except RefusedError as error:
        return error.reason
    return ""


def test_the_gate_refuses_whole_requests_and_counts_them(quotas: TenantQuotas, clock: ManualClock):
    """Spans and log records draw on one bucket; spans that were rejected are not charged; metrics are free."""
    handover = RecordingHandover()
    gate = _gate(quotas, handover, clock)

    assert [_reason(gate, b"80 900"), _reason(gate, b"120 0", Signal.LOGS), _reason(gate, b"1 2")] == ["", "", "quota"]
    assert _reason(gate, b"0 5") == ""  # nothing of it would be taken
    assert _reason(gate, b"?", Signal.METRICS) == ""
    assert _reason(gate, b"3 0", Signal.LOGS) == "quota"
    assert _reason(gate, b"7 0", tenant="") == ""
    assert [payload for _, payload in handover.taken] == [b"80 900", b"120 0", b"7 0"]
    counts = gate.snapshot()
    assert counts["receiver_refused_requests|otlp|grpc|quota"] == 2
    assert counts["receiver_refused_spans|otlp|grpc|quota"] == 3
    assert counts["receiver_refused_log_records|otlp|grpc|quota"] == 3
    assert counts["receiver_accepted_spans|otlp|grpc"] == 87


def test_a_full_ring_charges_nobody(quotas: TenantQuotas, clock: ManualClock):
    handover = RecordingHandover()
    gate = _gate(quotas, handover, clock)
    handover.has_room = False
    assert [_reason(gate, b"200 0") for _ in range(3)] == ["full"] * 3
    gate_that_drains = _gate(quotas, handover, clock)
    gate_that_drains.drain()
    assert _reason(gate_that_drains, b"200 0") == "draining"
    handover.has_room = True

    assert [_reason(gate, b"200 0"), _reason(gate, b"1 0")] == ["", "quota"]


def test_who_is_over_its_quota_waits_for_no_room(quotas: TenantQuotas, clock: ManualClock):
    """The wait of a full ring is for those who may send: a thread held for others would slow them."""
    handover = RecordingHandover()
    pauses: list[float] = []
    gate = Gate(
        handover,
        prescan=_count,
        translate_json=lambda payload, signal, limits: payload,
        quotas=quotas,
        clock=clock,
        pause=pauses.append,
    )
    gate.open()
    assert _sends(quotas, 200)
    handover.has_room = False

    assert (_reason(gate, b"9 0"), pauses) == ("quota", [])


TOKENS = {"a": "token-of-tenant-a-0123", "b": "token-of-tenant-b-0123", "": "token-of-nobody-01234"}


@pytest.fixture
def doors(clock: ManualClock) -> Iterator[Doors]:
    grants = [
        TokenGrant(Identity(f"of-{tenant}", frozenset({Role.INGEST}), tenant), token)
        for tenant, token in TOKENS.items()
    ]
    quotas = TenantQuotas(Quota(records_per_s=1, burst_s=4), clock=clock, seed=5)
    with open_doors(authorize=ingest_tenant(Guard([BearerTokens(grants, clock)])), quotas=quotas) as found:
        yield found


def test_what_a_client_is_told(doors: Doors, clock: ManualClock):
    """Over both doors the codes of OTLP 1.11 that are tried again, with a delay; the others send on."""
    headers = {tenant: {"authorization": f"Bearer {token}"} for tenant, token in TOKENS.items()}
    body = request("h", "i").SerializeToString()
    doors.traces.Export(request("a", "b"), timeout=10, metadata=tuple(headers["a"].items()))
    assert doors.http.post("/v1/traces", content=body, headers=PROTOBUF | headers["a"]).status_code == 200

    error = refusal(doors.traces.Export, request("c", "d"), metadata=tuple(headers["a"].items()))
    logs = refusal(doors.logs.Export, log_request("c", "d"), metadata=tuple(headers["a"].items()))
    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | headers["a"])
    others = [doors.http.post("/v1/traces", content=body, headers=PROTOBUF | headers[who]) for who in ("b", "")]
    doors.traces.Export(request("e", "f"), timeout=10, metadata=tuple(headers["b"].items()))

    assert [error.code().name, logs.code().name] == ["RESOURCE_EXHAUSTED"] * 2
    info = RetryInfo.FromString(trailers(error)["google.rpc.retryinfo-bin"])
    assert 2.0 <= info.retry_delay.ToMilliseconds() / 1000 <= 2.5
    assert answer.status_code == 429
    assert 2 <= int(answer.headers["retry-after"]) <= 3
    assert "over the quota of this tenant: 1 a second" in Status.FromString(answer.content).message
    assert [other.status_code for other in others] == [200, 200]
    assert doors.handover.spans() == ["a", "b", "h", "i", "h", "i", "h", "i", "e", "f"]
    counts = doors.counts()
    assert counts["receiver_refused_requests|otlp|grpc|quota"] == 2
    assert counts["receiver_refused_requests|otlp|http|quota"] == 1

    clock.advance(2.5)
    doors.traces.Export(request("c", "d"), timeout=10, metadata=tuple(headers["a"].items()))


TENANT_A = "bearer: [{name: a, roles: [ingest], tenant: a, token: abcdefghijklmnopq}]"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"{TENANT_A}, tenant_quota: {{records_per_s: 0}}", "auth.tenant_quota.records_per_s"),
        (f"{TENANT_A}, tenant_quota: {{records_per_s: 5, burst_s: 0}}", "auth.tenant_quota.burst_s"),
        (f"{TENANT_A}, tenant_quota: {{tenants: {{a: {{}}}}}}", "auth.tenant_quota.tenants.a.records_per_s"),
        (f"{TENANT_A}, tenant_quota: {{tenants: {{b: {{records_per_s: 5}}}}}}", "has b, the tenant of no credential"),
        (f"{TENANT_A}, tenant_quota: {{tenants: {{'a b': {{records_per_s: 5}}}}}}", "'a b' is no tenant's name"),
        (f"{TENANT_A}, receivers: false, tenant_quota: {{records_per_s: 5}}", "nobody who sends has one"),
        ("tenant_quota: {records_per_s: 5}", "nobody who sends has one"),
    ],
)
def test_a_quota_that_binds_nobody_is_a_fault(tmp_path: Path, text: str, fault: str):
    path = tmp_path / "config.yaml"
    path.write_text(f"auth: {{{text}}}", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})

    assert fault in str(caught.value)


def test_the_configuration_becomes_buckets(tmp_path: Path):
    """Own quotas take the burst of all unless they have one; names of signed tokens are not known before."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "auth:\n"
        "  oidc: {issuer: a, audience: b, jwks_file: k, tenant_claim: org}\n"
        "  tenant_quota:\n"
        "    records_per_s: 100\n"
        "    burst_s: 3\n"
        "    tenants: {b: {records_per_s: 7}, c: {records_per_s: 7, burst_s: 2}, d: {records_per_s: null}}\n",
        "utf-8",
    )
    quotas = tenant_quotas(load_config(path, {}).auth.tenant_quota)

    burst = {}
    for tenant in "abcd":
        burst[tenant] = sum(_sends(quotas, 1, tenant) for _ in range(400))
    assert 300 <= burst["a"] <= 310  # of the real clock a little is refilled
    assert (burst["b"], burst["c"], burst["d"]) == (21, 14, 400)


def test_by_default_nobody_is_bound(tmp_path: Path):
    quotas = tenant_quotas(load_config(None, {}).auth.tenant_quota)

    assert all(_sends(quotas, 10**9) for _ in range(3))


def test_a_bucket_of_which_a_request_is_inside_does_not_leave(clock: ManualClock):
    """Else what it is charged would be forgotten with it, and its tenant begin with a full one."""
    quotas = TenantQuotas(Quota(records_per_s=10, burst_s=1), clock=clock, tenants_max=2)

    with quotas.charged("inside", 10):
        for number in range(5):
            assert _sends(quotas, 10, f"t{number}")

    assert not _sends(quotas, 10, "inside")
