"""One exception is one fact, however often it was written down."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.engine import Analyzer
from analyzer.errors.exceptions import CRUMBS_MAX, FACTS_MAX, exceptions_of
from analyzer.errors.model import ExceptionFact
from collector.contracts import Signal
from collector.offline import TraceReader
from tests.support.drawing import EPOCH_NS, MS, Drawing, draw
from tests.support.drawn_stacks import parse_drawn

NPE = "NullPointerException: user is null\n  lib.HashMap.hash(HashMap.java:339)\n  app.Users.find(Users.java:45)\n"


def facts(drawing: Drawing, change=lambda traces, logs: None, parse=parse_drawn) -> list[ExceptionFact]:
    """Read the facts of a drawing, after `change` had its way with the requests."""
    traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    raw_traces, raw_logs = drawing.requests()
    traces.ParseFromString(raw_traces)
    logs.ParseFromString(raw_logs)
    change(traces, logs)
    reader = TraceReader()
    reader.add(traces.SerializeToString(), Signal.TRACES)
    reader.add(logs.SerializeToString(), Signal.LOGS)
    return exceptions_of(Analyzer().analyse(reader.batch()).analysis, 0, parse)


def spans(traces: ExportTraceServiceRequest) -> list:
    return [span for one in traces.resource_spans for scope in one.scope_spans for span in scope.spans]


def put(target, key: str, value: str) -> None:
    pair = target.attributes.add()
    pair.key, pair.value.string_value = key, value


def add_log(logs, drawing: Drawing, words: str, at_ms: float, text: str, severity: int = 9, **attributes: str) -> None:
    record = logs.resource_logs.add().scope_logs.add().log_records.add()
    span = drawing.find(words)
    record.trace_id, record.span_id = drawing.trace_id, span.span_id
    record.time_unix_nano = EPOCH_NS + round(at_ms * MS)
    record.severity_number = severity
    record.body.string_value = text
    for key, value in attributes.items():
        put(record, key.replace("__", "."), value)


def test_event_log_and_attributes_are_one_fact():
    """Three instrumentations wrote the same exception under the same span."""
    drawing = draw("""
        payment  POST /charge  0..100  ERROR  !CardError: "card 4711 declined"  log!CardError: "card 4711 declined"
    """)

    def also_as_attributes(traces, logs):
        put(spans(traces)[0], "exception.type", "acme.CardError")
        put(spans(traces)[0], "exception.message", "card 4711 declined")

    (fact,) = facts(drawing, also_as_attributes)

    assert fact.sources == ("event", "log", "attributes")
    assert (fact.service, fact.operation, fact.type) == ("payment", "POST /charge", "CardError")
    assert (fact.trace_id, fact.span_id) == (drawing.trace_id.hex(), drawing.spans[0].span_id.hex())


def test_an_exception_that_passes_through_its_process_is_one_fact_where_it_began():
    """Both in-process spans recorded it on its way out."""
    drawing = draw("""
        cart  GET /cart  0..100  ERROR  !KeyError: "sku"
          cart  load       10..99  ERROR  !KeyError: "sku"
    """)

    (fact,) = facts(drawing)

    assert fact.span_id == drawing.find("cart load").span_id.hex()
    assert fact.span_ids == (fact.span_id, drawing.find("cart GET /cart").span_id.hex())


def test_another_service_or_another_message_is_another_fact():
    drawing = draw("""
        gateway  GET /     0..100  ERROR  !HttpError: "502"
          cart     GET /cart  10..90  ERROR  !KeyError: "sku"  !KeyError: "price"
          cart2    GET /cart  10..90  ERROR  !KeyError: "sku"
    """)

    found = [(fact.service, fact.message) for fact in facts(drawing)]

    assert sorted(found) == [("cart", "price"), ("cart", "sku"), ("cart2", "sku"), ("gateway", "502")]
    assert found[-1] == ("gateway", "502")


def test_a_stack_in_the_body_of_a_log_is_read():
    drawing = draw("users  GET /user  0..100  ERROR")

    (fact,) = facts(drawing, lambda traces, logs: add_log(logs, drawing, "users GET /user", 90, NPE, 17))

    assert (fact.type, fact.message, fact.sources) == ("NullPointerException", "user is null", ("log",))
    assert fact.stack is not None
    assert fact.stack.origin is not None
    assert fact.stack.origin.line == 45


def test_a_structured_log_is_read_by_its_names():
    """The schema with error: {type, message, stack_trace, fingerprint} in the body."""
    drawing = draw("payment  POST /charge  0..100  ERROR")

    def structured(traces, logs):
        add_log(logs, drawing, "payment POST /charge", 90, "", 17)
        record = logs.resource_logs[0].scope_logs[0].log_records[0]
        record.body.Clear()
        fields = record.body.kvlist_value.values
        fields.add(key="correlation_id").value.string_value = "req-7f3b2a1c-6f7g"
        error = fields.add(key="error").value.kvlist_value.values
        for key, value in (
            ("type", "PaymentProcessingException"),
            ("message", "Failed to charge card: Insufficient funds"),
            ("fingerprint", "payment-insufficient-funds"),
        ):
            error.add(key=key).value.string_value = value

    (fact,) = facts(drawing, structured)

    assert (fact.type, fact.message) == ("PaymentProcessingException", "Failed to charge card: Insufficient funds")
    assert dict(fact.attributes)["error.fingerprint"] == "payment-insufficient-funds"
    assert fact.correlation_id == "req-7f3b2a1c-6f7g"


def test_a_failed_span_without_an_exception_is_a_fact_of_its_status():
    """What its error log says stands in for a message."""
    drawing = draw("""
        shop  GET /buy  0..100  ERROR  http.response.status_code=503  status: "no stock server"
          shop  call    10..90  ERROR  log: "connect to 10.0.0.5 failed"
    """)

    call, buy = facts(drawing)

    assert (call.sources, call.message) == (("status",), "connect to 10.0.0.5 failed")
    assert (buy.sources, buy.message, buy.http_status) == (("status",), "no stock server", 503)
    assert buy.error_class == "unavailable"


def test_an_exception_that_was_recorded_and_handled_is_a_fact_too():
    (fact,) = facts(draw('cart  GET /cart  0..100  OK  !CacheMiss: "sku 1"'))

    assert (fact.type, fact.sources) == ("CacheMiss", ("event",))


def test_the_correlation_id_is_any_text_and_may_stand_at_the_entry():
    drawing = draw("""
        gateway  GET /     0..100   http.request.header.x-correlation-id=req-7g-z
          cart     GET /cart  10..90  ERROR  !KeyError: "sku"
    """)

    (fact,) = facts(drawing)

    assert fact.correlation_id == "req-7g-z"


def test_what_the_trace_wrote_before_is_kept_as_breadcrumbs():
    """The log after the exception is none, and only the last ones are kept."""
    drawing = draw("""
        gateway  GET /     0..100
          cart     GET /cart  10..90  ERROR  !KeyError: "sku"
    """)

    def talk(traces, logs):
        for number in range(30):
            add_log(logs, drawing, "gateway GET /", 20 + number, f"step {number}")
        add_log(logs, drawing, "gateway GET /", 95, "too late")

    (fact,) = facts(drawing, talk)

    texts = [crumb.text for crumb in fact.breadcrumbs]
    assert len(texts) == CRUMBS_MAX
    assert texts == [f"step {number}" for number in range(10, 30)]


def test_users_and_the_word_of_the_program_come_from_the_span():
    (fact,) = facts(draw('cart  GET /c  0..9  ERROR  !E: "x"  user.id=u-1  error.fingerprint=mine  other=1'))

    assert fact.attributes == (("error.fingerprint", "mine"), ("user.id", "u-1"))


def test_a_parser_is_told_the_language_and_asked_once_for_each_text():
    drawing = draw("users  GET /user  0..100  ERROR  @telemetry.sdk.language=nodejs")
    asked: list[tuple[str, str]] = []

    def parse(text: str, language: str):
        asked.append((text, language))
        return parse_drawn(text, language)

    def twice(traces, logs):
        for at_ms in (90, 91):
            put(logs, drawing, at_ms)

    def put(logs, drawing, at_ms):
        add_log(logs, drawing, "users GET /user", at_ms, "failed", 17, exception__stacktrace=NPE)
        pair = logs.resource_logs[-1].resource.attributes.add()
        pair.key, pair.value.string_value = "telemetry.sdk.language", "nodejs"

    (fact,) = facts(drawing, twice, parse)

    assert asked == [(NPE, "javascript")]
    assert fact.stack is not None
    assert fact.stack.language == "javascript"


def test_a_flood_of_exceptions_is_bounded():
    lines = "\n".join(f'          cart  step{n}  {n}..{n + 1}  ERROR  !E{n}: "x"' for n in range(200))
    drawing = draw(f"        cart  GET /cart  0..500  ERROR\n{lines}\n")

    assert len(facts(drawing)) == FACTS_MAX


def test_a_clean_trace_has_none():
    assert facts(draw("cart  GET /cart  0..100  OK")) == []


def test_the_tenant_of_the_resource_counts_before_a_spans_own():
    """Receivers write it there from the credential; what a span says of itself is only said."""
    drawing = draw("""
        payment  POST /charge  0..100  ERROR  !CardError: "card 4711 declined"
    """)

    def sent_by(traces, logs):
        put(traces.resource_spans[0].resource, "tenant.id", "ours")
        put(spans(traces)[0], "tenant.id", "somebody else")

    (fact,) = facts(drawing, sent_by)

    assert dict(fact.attributes)["tenant.id"] == "ours"
