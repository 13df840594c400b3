"""A failing trace becomes one event in Sentry: the exception where it began, under our fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from sentry_sdk.envelope import Envelope

from analyzer.engine import Analyzer
from analyzer.errors.trace_groups import Explained
from collector.app.engine_room import EngineRoom
from collector.app.source import DirectSource
from collector.config import check
from collector.contracts import Signal
from collector.exporters.sentry import TAG_MAX, SentrySettings, sentry_events
from collector.exporters.sentry_dsn import Dsn
from tests.support.drawing import Drawing, batch, draw
from tests.support.fakes.sentry import KEY, SentrySink

FAILING = """
    gateway   GET /checkout            0..100  ERROR  user.id=u7
      gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
        payment   Charge                   50..90  ERROR  user.id=u7  @service.version=1.5.0 @host.name=h1 !x.CardError: "declined by bank"
"""
STACK = """x.CardError: declined by bank
\tat com.shop.Bank.authorize(Bank.java:45)
\tat com.shop.Payment.charge(Payment.java:12)
Caused by: java.net.SocketTimeoutException: timed out
\tat java.net.Socket.read(Socket.java:9)
\tat com.shop.Wire.read(Wire.java:7)
"""


class Stacked(Drawing):
    """The drawing, with a stack under its exception."""

    def requests(self) -> tuple[bytes, bytes]:
        traces, logs = super().requests()
        request = ExportTraceServiceRequest.FromString(traces)
        for group in request.resource_spans:
            for event in group.scope_spans[0].spans[0].events:
                event.attributes.add(key="exception.stacktrace").value.string_value = STACK
        return request.SerializeToString(), logs


def failing(seed: int = 1) -> Drawing:
    drawing = draw(FAILING, seed=seed)
    return Stacked(drawing.spans, drawing.trace_id)


def explained(drawing: Drawing) -> Explained:
    analyzer = Analyzer()
    return analyzer.explain_errors(analyzer.analyse(batch(drawing)), 0)


def event_of(drawing: Drawing, **settings: Any) -> dict[str, Any]:
    (item,) = sentry_events(explained(drawing), SentrySettings(**settings))
    event = Envelope.deserialize(item.payload).get_event()
    assert event is not None
    return dict(event)


def test_the_event_is_the_exception_where_it_began():
    """The gateway failed too, and is told nothing of by itself: it only passed it on."""
    told = explained(failing())
    event = event_of(failing(), tags={"region": "eu"})

    assert [one["type"] for one in event["exception"]["values"]] == ["SocketTimeoutException", "CardError"]
    assert event["exception"]["values"][1]["value"] == "declined by bank"
    assert event["fingerprint"] == ["firstfault", told.answer.group.id]
    assert (event["platform"], event["level"], event["transaction"]) == ("java", "error", "GET /checkout")
    assert (event["release"], event["server_name"]) == ("1.5.0", "h1")
    assert event["tags"]["origin_service"] == "payment"
    assert event["tags"]["entry_service"] == "gateway"
    assert event["tags"]["region"] == "eu"
    assert event["contexts"]["trace"]["trace_id"] == told.answer.trace_id
    assert event["contexts"]["trace"]["span_id"] == told.answer.root_causes[0].origin_spans[0].span_id
    assert event["contexts"]["firstfault"]["summary"] == told.answer.summary


def test_frames_stand_as_sentry_has_them():
    """Oldest call first; the line that threw is the last."""
    frames = event_of(failing())["exception"]["values"][1]["stacktrace"]["frames"]

    assert [(frame["function"], frame["lineno"], frame["in_app"]) for frame in frames] == [
        ("charge", 12, True),
        ("authorize", 45, True),
    ]
    assert frames[1]["module"] == "com.shop.Bank"


def test_without_a_stack_the_cause_is_the_exception():
    event = event_of(draw(FAILING))

    (one,) = event["exception"]["values"]
    assert (one["type"], one["value"]) == ("x.CardError", "declined by bank")


@pytest.mark.parametrize("drawn", ["gateway GET / 0..5", "gateway GET / 0..5 OK"])
def test_nothing_is_told_of_a_trace_without_an_error(drawn: str):
    assert sentry_events(explained(draw(drawn)), SentrySettings()) == []


def test_the_same_trace_is_the_same_event_and_message():
    """A revision or a try again is no second report."""
    first, again = (sentry_events(explained(failing()), SentrySettings()) for _ in range(2))

    assert first == again


def test_a_share_is_told_and_everybody_chooses_the_same():
    told = [bool(sentry_events(explained(failing(seed)), SentrySettings(sample_rate=0.5))) for seed in range(40)]

    assert 8 <= sum(told) <= 32
    assert not sentry_events(explained(failing()), SentrySettings(sample_rate=0.0))


def test_who_was_hit_is_told_only_when_asked_for():
    assert "user" not in event_of(failing())
    assert event_of(failing(), send_user_ids=True)["user"] == {"id": "u7"}


def test_long_words_are_cut_to_what_sentry_takes():
    event = event_of(failing(), tags={"note": "x" * 999}, release="r" * 999)

    assert len(event["tags"]["note"]) == len(event["release"]) == TAG_MAX


def test_a_dsn_is_read():
    dsn = Dsn.read("https://abc@sentry.example.com/under/here/42")

    assert (dsn.endpoint, dsn.secure, dsn.path) == ("sentry.example.com:443", True, "/under/here/api/42/envelope/")
    assert "abc" not in repr(dsn)


@pytest.mark.parametrize(
    "written",
    ["", "abc", "ftp://abc@host/1", "https://host/1", "https://a b@host/1", "https://abc@host/", "https://abc@host/x",
     "https://abc@/1", "https://abc@host:99999/1", "https://abc@host/1?x=2", "https://abc@[::1/1"],
)  # fmt: skip
def test_what_is_no_dsn_is_said_without_its_key(written: str):
    with pytest.raises(ValueError, match="expected https://KEY@HOST/PROJECT") as fault:
        Dsn.read(written)

    assert "abc" not in str(fault.value)


def test_failing_traces_reach_sentry_the_whole_way(tmp_path: Path):
    """Taken, analysed, stored, sent: 429 asks to wait first; three traces are three events of one group."""
    with SentrySink() as sentry:
        sentry.plan(429)
        config = check(
            {
                "assembly": {"root_idle_s": 0.2, "root_idle_min_s": 0.2, "root_idle_max_s": 0.2, "idle_s": 0.5},
                "storage": {"path": str(tmp_path)},
                "exporters": {"sentry": {"dsn": sentry.dsn, "environment": "production"}},
                "durability": "memory",
            }
        )
        source = DirectSource("receiver-0", 2**20)
        engine = EngineRoom(config, source)
        engine.start()
        for seed in range(3):
            assert source.offer(failing(seed).requests()[0], Signal.TRACES)
        events = sentry.wait_for(3)
        assert engine.stop(30.0)

    assert {path for path, _ in sentry.seen} == {"/api/42/envelope/"}
    assert all(f"sentry_key={KEY}" in auth for _, auth in sentry.seen)
    assert len(sentry.seen) == 4
    assert {event["environment"] for event in events} == {"production"}
    assert len({tuple(event["fingerprint"]) for event in events}) == 1
    assert {event["contexts"]["trace"]["trace_id"] for event in events} == {
        failing(seed).trace_id.hex() for seed in range(3)
    }
    assert KEY not in config.model_dump_json()
