"""Text that wants to be more than text, and telemetry that holds it in every field a client can fill.

In a payload MARK stands for the name of the field it is put in, URL for an address somebody listens at. `alert` is what
a script of theirs would do: a browser under test notes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer.findings import Entity, Evidence, Judgement
from analyzer.incident_words import Affected, BlastRadius, Incident, Suspect, TimelineEntry

MS = 1_000_000

# What a page that escapes nothing would act on: each is tried against such a page, so that the watchers are known to see.
LIVE: Mapping[str, str] = {
    "script": "<script>alert('MARK')</script>",
    "script from elsewhere": '<script src="URL"></script>',
    "image that fails": "<img src=x onerror=alert('MARK')>",
    "image from elsewhere": '<img src="URL">',
    "drawing": "<svg onload=alert('MARK')>",
    "drawing with a script": "<svg><script>alert('MARK')</script></svg>",
    "drawing with a page": "<svg><foreignObject><iframe srcdoc=\"<script>alert('MARK')</script>\"></iframe></foreignObject></svg>",
    "animation": "<svg><animate onbegin=alert('MARK') attributeName=x dur=1s>",
    "out of a title": "</title><svg onload=alert('MARK')>",
    "out of a style": "</style><script>alert('MARK')</script>",
    "out of everything": "</textarea></title></style></noscript></xmp></pre></code></script>--><script>alert('MARK')</script>",
    "out of CDATA": "]]><script>alert('MARK')</script>",
    "details": "<details open ontoggle=alert('MARK')>x</details>",
    "input": "<input autofocus onfocus=alert('MARK')>",
    "frame": "<iframe src=\"javascript:alert('MARK')\"></iframe>",
    "frame with a page": "<iframe srcdoc=\"<script>alert('MARK')</script>\"></iframe>",
    "object": '<object data="URL"></object>',
    "embedded": '<embed src="URL">',
    "style sheet": '<link rel=stylesheet href="URL">',
    "style": '<style>@import "URL"; main{display:none}</style>',
    "base": '<base href="URL">',
    "refresh": '<meta http-equiv=refresh content="9;url=URL">',
    "form": '<form action="URL"><button>ok</button></form>',
    "video": "<video><source onerror=alert('MARK')></video>",
    "element of nobody": "<x-hostile onfocus=alert('MARK') tabindex=1 autofocus>",
    "mathematics": "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert('MARK')&gt;\">",
    "unclosed": "<img src=x onerror=alert('MARK') ",
    "no blanks": "<img/src=x/onerror=alert('MARK')>",
    "capitals": "<ScRiPt>alert('MARK')</sCrIpT>",
    "a comment": "<!--><img src=x onerror=alert('MARK')>-->",
}

QUIET: Mapping[str, str] = {
    "out of an attribute": '" autofocus tabindex=1 onfocus="alert(\'MARK\')" x="',
    "out of an attribute, once": "' autofocus tabindex=1 onfocus='alert(1)' x='MARK",
    "attribute and tag": "\"><script>alert('MARK')</script>",
    "address of a script": "javascript:alert('MARK')",
    "address of a script, hidden": "JaVaScRiPt:&#97;lert('MARK')",
    "address of a script, torn": "java\tscript:alert('MARK')",
    "address with a page": "data:text/html,<script>alert('MARK')</script>",
    "address": "URL MARK www.hostile.example mailto:a@hostile.example",
    "escaped already": "&lt;script&gt;alert('MARK')&lt;/script&gt;",
    "escaped by numbers": "&#60;script&#62;alert('MARK')&#60;/script&#62;",
    "escaped for script": "\\u003cscript\\u003ealert('MARK')\\u003c/script\\u003e",
    "wide brackets": "\uff1cscript\uff1ealert('MARK')\uff1c/script\uff1e",
    "other encoding": "+ADw-script+AD4-alert('MARK')+ADw-/script+AD4-",
    "out of JSON": '</script><script>alert(\'MARK\')</script>{"a":"',
    "out of a style rule": ";}body{background:url(URL)}MARK{",
    "style value": "x:expression(alert('MARK'));background:url(URL)",
    "template": "{{constructor.constructor(\"alert('MARK')\")()}}${alert('MARK')}<%= 7*7 %>#{7*7}{% import os %}",
    "three braces": "{{{#is_alert}}}MARK{{{/is_alert}}} {{{{ $value }}}}",
    "label value": 'MARK"}[1m]) or vector(1) # {{ query "up" | first | value }}',
    "link of Markdown": "[MARK](javascript:alert(1)) [MARK](URL) ![MARK](URL)",
    "link in angles": "<URL?MARK> <mailto:a@hostile.example>",
    "reference of Markdown": "[MARK]\n\n[MARK]: URL\n",
    "HTML in Markdown": "MARK\n\n<div onclick=alert(1)>x</div>\n\n<img src=x onerror=alert(1)>\n",
    "out of a fence": "MARK\n```\n~~~\n<script>alert(1)</script>\n```\n",
    "out of code": "MARK`<img src=x onerror=alert(1)>``<b>x</b>```",
    "table of Markdown": "MARK | <b>x</b> |\n|---|---|\n| a | b |\n",
    "headings and lists": "# MARK\n\n- [ ] x\n\n1. y\n\n> z\n\n***\n",
    "mentions": "@channel @everyone <!channel> <!here|here> <@U123> <#C123> <URL|click> @org/team MARK",
    "node of a drawing": 'MARK"]; x [URL="javascript:alert(1)"]; //',
    "node of Mermaid": 'MARK"]; click n0 "javascript:alert(1)"; %%{init: {"securityLevel":"loose"}}%%',
    "nothing": "MA\0RK<scr\0ipt>alert('MARK')</scr\0ipt>",
    "terminal": "\x1b[31mMARK\x1b]0;x\x07\x1b]8;;URL\x07here\x1b]8;;\x07\x9b31m\x08\x7f",
    "new lines": "MARK\r\nSet-Cookie: a=1\r\n\r\n<script>alert(1)</script>\x85\u2028\u2029\x0b\x0c",
    "turned round": "\u202eMARK\u2066gpj\u2069\u202c\u200f\u061c\u200b\ufeff",
    "letters unseen": "MARK\U000e0041\U000e0042\u00ad\u034f\u180e\u2060",
    "very long": "MARK" + "A" * 20_000 + "<script>alert(1)</script>",
    "very long, tag at each cut": "MARK" + "<img src=x onerror=alert(1)>" * 400,
    "command": "MARK'; touch /tmp/owned; $(touch /tmp/owned) `touch /tmp/owned` | sh #",
}

PAYLOADS: Mapping[str, str] = LIVE | QUIET

# Fields that a trace report shows whatever the text: without them a page proves nothing.
ALWAYS_SHOWN = ("service", "operation", "exception_type", "exception_message")

_RESOURCE = [
    "service.version",
    "service.instance.id",
    "service.namespace",
    "deployment.environment.name",
    "host.name",
    "k8s.pod.name",
    "k8s.namespace.name",
    "container.id",
    "cloud.region",
    "telemetry.sdk.language",
    "vcs.ref.head.revision",
]
_SERVER = (
    "http.route url.path http.request.method client.address user.id enduser.id session.id tenant.id correlation_id"
)
_CLIENT = "server.address peer.service url.full rpc.system rpc.service rpc.method network.peer.address"
_DATABASE = "db.system.name db.namespace db.collection.name db.operation.name db.query.text db.query.summary"
_MESSAGES = "messaging.system messaging.destination.name messaging.operation.name messaging.message.id"
_CODE = "code.function.name code.file.path error.type feature_flag.key feature_flag.result.variant thread.name"


def filled(payload: str, mark: str, url: str) -> str:
    return payload.replace("MARK", mark).replace("URL", url)


def hostile_trace(payload: str, url: str, trace_id: bytes, begin_ns: int) -> tuple[bytes, bytes]:
    """A request with a payload in every field -> (traces, logs). Payment fails below the gateway and its database."""
    made = _Hostile(payload, url, trace_id, begin_ns)
    return made.traces.SerializeToString(), made.logs.SerializeToString()


class _Hostile:
    def __init__(self, payload: str, url: str, trace_id: bytes, begin_ns: int) -> None:
        self._payload, self._url, self._trace_id, self._begin_ns = payload, url, trace_id, begin_ns
        self.traces, self.logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
        gateway = self._service("gateway")
        payment = self._service("service")
        root = self._span(gateway, 1, 0, "entry", Span.SPAN_KIND_SERVER, 0, 100, _SERVER)
        call = self._span(gateway, 2, 1, "call", Span.SPAN_KIND_CLIENT, 5, 95, _CLIENT)
        origin = self._span(payment, 3, 2, "operation", Span.SPAN_KIND_SERVER, 10, 90, f"{_SERVER} {_CODE}")
        self._span(payment, 4, 3, "query", Span.SPAN_KIND_CLIENT, 20, 30, _DATABASE)
        self._span(payment, 5, 3, "publish", Span.SPAN_KIND_PRODUCER, 40, 50, _MESSAGES)
        for span in (root, call, origin):
            span.status.code = 2  # type: ignore[assignment]
            span.status.message = self._text("status")
            span.attributes.append(KeyValue(key="http.response.status_code", value=AnyValue(int_value=500)))
        self._exception(origin)
        self._log()

    def _text(self, mark: str) -> str:
        return filled(self._payload, mark, self._url)

    def _pairs(self, names: str | list[str], where: str) -> Iterator[KeyValue]:
        for name in names.split() if isinstance(names, str) else names:
            yield KeyValue(key=name, value=AnyValue(string_value=self._text(f"{where}_{name.replace('.', '_')}")))
        text = AnyValue(string_value=self._text(f"{where}_value"))
        yield KeyValue(key=self._text(f"{where}_key"), value=text)
        inner = KeyValue(key=self._text(f"{where}_map_key"), value=text)
        several = AnyValue()
        several.array_value.values.append(text)
        several.array_value.values.add().kvlist_value.values.append(inner)
        several.array_value.values.add().bytes_value = self._payload.encode()
        yield KeyValue(key=f"{where}.several", value=several)

    def _service(self, mark: str) -> ExportTraceServiceRequest:
        group = self.traces.resource_spans.add()
        name = KeyValue(key="service.name", value=AnyValue(string_value=self._text(mark)))
        group.resource.attributes.extend([name, *self._pairs(_RESOURCE, f"{mark}_resource")])
        group.schema_url = self._text("schema")
        scope = group.scope_spans.add()
        scope.schema_url = self._text("scope_schema")
        scope.scope.name, scope.scope.version = self._text("scope"), self._text("scope_version")
        scope.scope.attributes.extend(self._pairs("", f"{mark}_scope"))
        return scope  # type: ignore[return-value]

    def _span(self, scope, number, parent, mark, kind, begin_ms, end_ms, names) -> Span:  # type: ignore[no-untyped-def]
        span: Span = scope.spans.add(
            trace_id=self._trace_id, span_id=self._id(number), name=self._text(mark), kind=kind
        )
        span.parent_span_id = self._id(parent) if parent else b""
        span.start_time_unix_nano = self._begin_ns + begin_ms * MS
        span.end_time_unix_nano = self._begin_ns + end_ms * MS
        span.trace_state = self._text(f"{mark}_state")
        span.attributes.extend(self._pairs(names, mark))
        event = span.events.add(name=self._text(f"{mark}_event"), time_unix_nano=span.end_time_unix_nano)
        event.attributes.extend(self._pairs("", f"{mark}_event"))
        link = span.links.add(trace_id=self._trace_id, span_id=self._id(9), trace_state=self._text(f"{mark}_link"))
        link.attributes.extend(self._pairs("", f"{mark}_link"))
        return span

    def _exception(self, span: Span) -> None:
        event = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
        kind, message = self._text("exception_type"), self._text("exception_message")
        stack = f'Traceback (most recent call last):\n  File "/app/{self._text("file")}", line 7, in {self._text("function")}\n'
        stack += f"    {self._text('code_line')}\n{kind}: {message}\n"
        for key, value in (("type", kind), ("message", message), ("stacktrace", stack)):
            event.attributes.append(KeyValue(key=f"exception.{key}", value=AnyValue(string_value=value)))
        event.attributes.extend(self._pairs("", "exception"))

    def _log(self) -> None:
        group = self.logs.resource_logs.add()
        name = KeyValue(key="service.name", value=AnyValue(string_value=self._text("service")))
        group.resource.attributes.extend([name, *self._pairs(_RESOURCE, "log_resource")])
        record = group.scope_logs.add().log_records.add(
            trace_id=self._trace_id, span_id=self._id(3), severity_number=17
        )  # type: ignore[arg-type]
        record.time_unix_nano = self._begin_ns + 80 * MS
        record.severity_text, record.event_name = self._text("severity"), self._text("log_event")
        record.body.string_value = self._text("log_body")
        kinds = "exception.type exception.message exception.stacktrace logger.name"
        record.attributes.extend(self._pairs(kinds, "log"))

    def _id(self, number: int) -> bytes:
        return self._trace_id[:7] + bytes([number])


def hostile_incident(payload: str, url: str, number: int, example: bytes, at_ns: int) -> Incident:
    """An incident with a payload in every text of it."""

    def text(mark: str) -> str:
        return filled(payload, mark, url)

    def entity(mark: str) -> Entity:
        names = ("name", "service", "operation", "instance", "version", "host", "caller", "callee", "peer")
        return Entity(kind="service", **{name: text(f"{mark}_{name}") for name in names})  # type: ignore[arg-type]

    suspects = [
        Suspect(
            rank=rank,
            entity=entity(f"suspect{rank}"),
            finer=entity(f"finer{rank}"),
            probability=0.9 / rank,
            score=3.0 - rank,
            rule="incident.failing",
            sentence=text(f"sentence{rank}"),
            evidence=[Evidence(claim=text("claim"), numbers={text("number"): 1.0})],
        )
        for rank in (1, 2)
    ]
    return Incident(
        incident_id=f"{number:032x}",
        verdict="cause",
        summary=text("summary"),
        onset_ns=at_ns,
        detected_ns=at_ns,
        updated_ns=at_ns,
        suspects=suspects,
        candidate_set=[text("candidate")],
        roots=[text("root")],
        affected=[
            Affected(service=text("affected"), symptoms=["errors"], role="cause", failed_share=0.5),
            Affected(service=text("victim"), symptoms=["latency"], role="victim", slowdown_ms=10.0),
        ],
        blast_radius=BlastRadius(
            services=2, entry_operations=[text("entry_operation")], requests=9, failed_requests=3, slow_requests=1
        ),
        timeline=[TimelineEntry(at_ns=at_ns, what=text("happened"), service=text("happened_at"))],
        example_trace_ids=[example.hex()],
        next_probe=text("next_probe"),
        severity=Judgement(value="high", reason=text("severity")),
        type=Judgement(value="runtime", reason=text("type")),
        observability=Judgement(value="loud", reason=text("observability")),
        engine_version=text("engine"),
    )
