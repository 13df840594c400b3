"""Reads the logs of others into our schema, and writes records that keep it.

In: parsed JSON of any make (ours, ECS, OpenTelemetry, Datadog, plain). Out: `LogRecord`, which dialect it was, and
the record as our schema wants it. Never raises on a record: what cannot be read stays empty, what has no place in the
schema goes to `context`, up to a bound. Text is as it came; who shows it makes it safe.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

from analyzer.digits import is_number
from analyzer.error_classes import ErrorClass, http_class, type_class
from analyzer.errors.iso_time import iso_of, read_time
from analyzer.errors.log_names import DURATIONS_NS, ENVIRONMENT_WORDS, LEVEL_WORDS, NAMES, PREFIXES

Dialect = Literal["firstfault", "ecs", "otel", "datadog", "plain"]
DEPTH_MAX = 6
KEYS_MAX = 256  # of one record, nested ones counted; more are left out
CONTEXT_MAX = 64
TEXT_MAX = 65_536
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record in our words; empty where it does not say.

    time_ns : 0 when there is no time
    level : one of `log_schema.LEVELS`
    duration_ms : nan when it is not said;  status_code : 0
    context : (name, value) pairs that have no place of their own
    dialect : how it was written;  left_out : keys that found no room
    """

    time_ns: int = 0
    level: str = ""
    message: str = ""
    correlation_id: str = ""
    trace_id: str = ""
    span_id: str = ""
    service: str = ""
    environment: str = ""
    host: str = ""
    version: str = ""
    error_type: str = ""
    error_message: str = ""
    stack_trace: str = ""
    fingerprint: str = ""
    user_id: str = ""
    user_ip: str = ""
    session_id: str = ""
    method: str = ""
    path: str = ""
    duration_ms: float = math.nan
    status_code: int = 0
    context: tuple[tuple[str, Scalar], ...] = ()
    dialect: Dialect = "plain"
    left_out: int = 0

    @property
    def is_error(self) -> bool:
        return self.level == "ERROR" or bool(self.error_type)

    @property
    def is_business(self) -> bool:
        """A refusal for a business reason (a declined card, say): no system failed."""
        if self.status_code and http_class(self.status_code) is ErrorClass.BUSINESS:
            return True
        found = type_class(self.error_type.encode()) if self.error_type else ErrorClass.NONE
        return found is ErrorClass.BUSINESS


def read_log(record: Mapping[str, Any]) -> LogRecord:
    """Read one record, whoever wrote it.

    Parameters
    ----------
    record : mapping
        Parsed JSON; attributes as an object, or as OTLP's list of key and value.
    """
    flat, left_out = flatten(record)
    bare: dict[str, Scalar] = {}
    origin: dict[str, str] = {}
    for name, value in flat.items():
        short = next((name[len(prefix) :] for prefix in PREFIXES if name.startswith(prefix)), "")
        if short and short not in flat:
            bare.setdefault(short, value)
            origin.setdefault(short, name)
    used: set[str] = set()

    def take(field: str) -> tuple[str, Scalar]:
        for name in NAMES[field]:
            for place in (flat, bare):
                if name in place and place[name] != "" and _fits(field, name, place[name]):
                    used.add(name if place is flat else origin[name])
                    return name, place[name]
        return "", ""

    def text(field: str, most: int = 1024) -> str:
        _, value = take(field)
        return "" if value == "" else _text(value)[:most]

    _, when = take("timestamp")
    at = read_time(when)
    _, level = take("level")
    trace_name, trace = take("trace_id")
    span_name, span = take("span_id")
    duration_name, duration = take("request.duration_ms")
    _, status = take("request.status_code")
    environment = text("environment")
    found = LogRecord(
        time_ns=at[0] if at else 0,
        level=read_level(level),
        message=text("message", TEXT_MAX),
        correlation_id=text("correlation_id", 128),
        trace_id=_hex(trace, 32, decimal=trace_name.startswith("dd.")),
        span_id=_hex(span, 16, decimal=span_name.startswith("dd.")),
        service=text("service", 256),
        environment=ENVIRONMENT_WORDS.get(environment.lower(), environment),
        host=text("host"),
        version=text("version"),
        error_type=text("error.type"),
        error_message=text("error.message", TEXT_MAX),
        stack_trace=text("error.stack_trace", TEXT_MAX),
        fingerprint=text("error.fingerprint", 256),
        user_id=text("user.id"),
        user_ip=text("user.ip"),
        session_id=text("user.session_id"),
        method=text("request.method"),
        path=text("request.path", 8192),
        duration_ms=_milliseconds(duration, in_ns=duration_name in DURATIONS_NS),
        status_code=_status(status),
        dialect=dialect_of(flat),
    )
    rest = [(name.removeprefix("context."), value) for name, value in flat.items() if name not in used]
    return replace(found, context=tuple(rest[:CONTEXT_MAX]), left_out=left_out + max(0, len(rest) - CONTEXT_MAX))


def dialect_of(flat: Mapping[str, Scalar]) -> Dialect:
    """Tell who wrote a record, by names that only they use."""
    if "ecs.version" in flat or ("@timestamp" in flat and ("log.level" in flat or "service.name" in flat)):
        return "ecs"
    if any(name in flat for name in ("dd.trace_id", "ddsource", "ddtags", "dd.service", "usr.id", "error.kind")):
        return "datadog"
    if any(
        name in flat
        for name in (
            "severityNumber",
            "severity_number",
            "SeverityNumber",
            "timeUnixNano",
            "SeverityText",
            "otelTraceID",
        )
    ):
        return "otel"
    if all(name in flat for name in ("timestamp", "level", "correlation_id", "service")):
        return "firstfault"
    return "plain"


def flatten(record: Mapping[str, Any]) -> tuple[dict[str, Scalar], int]:
    """Dotted names of everything in a record, at most `KEYS_MAX`; and how many were left out.

    OTLP's lists of {key, value: {stringValue}} become objects; other lists become text.
    """
    flat: dict[str, Scalar] = {}
    left_out = 0
    pending: list[tuple[str, Any, int]] = [("", record, 0)]
    while pending:
        name, value, depth = pending.pop()
        value = _any_value(value)
        if isinstance(value, Mapping) and depth < DEPTH_MAX:
            room = max(0, 4 * KEYS_MAX - len(pending))
            items = list(value.items())
            left_out += max(0, len(items) - room)
            for key, inner in reversed(items[:room]):
                pending.append((f"{name}.{key}" if name else str(key), inner, depth + 1))
        elif value is not None:
            if len(flat) >= KEYS_MAX:
                left_out += 1
            elif isinstance(value, str | int | float | bool):
                flat.setdefault(name[:256], value)
            else:
                flat.setdefault(name[:256], str(value)[:1024])
    return flat, left_out


def _any_value(value: Any) -> Any:
    """Unwrap OTLP/JSON: a list of attributes, or one AnyValue."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "key" in one for one in value[:KEYS_MAX]):
        return {str(one["key"]): one.get("value") for one in value[:KEYS_MAX]}
    if isinstance(value, dict) and len(value) == 1:
        (kind, inner), *_ = value.items()
        if kind in ("stringValue", "boolValue", "doubleValue"):
            return inner
        if kind == "intValue":
            return int(inner) if isinstance(inner, str) and is_number(inner.removeprefix("-")) else inner
        if kind == "kvlistValue" and isinstance(inner, dict):
            return _any_value(inner.get("values"))
    return value


def read_level(value: object) -> str:
    """Read a level: a word, a number of OpenTelemetry (1 to 24), of pino (10 to 60); empty when it is neither."""
    if isinstance(value, str) and not is_number(value):
        return LEVEL_WORDS.get(value.strip().upper().removeprefix("SEVERITY_NUMBER_").rstrip("1234"), "")
    number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) and value != "" else -1
    if 1 <= number <= 24 and number != 10 and number != 20:
        return ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "ERROR")[(number - 1) // 4]
    return {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARN", 50: "ERROR", 60: "ERROR"}.get(number, "")


def _fits(field: str, name: str, value: Scalar) -> bool:
    """Some names mean several things: `status` is a level or a code, `duration` a number, `error` a text or a mark."""
    if field == "level":
        return bool(read_level(value))
    if field == "request.status_code":
        return _status(value) > 0
    if field == "request.duration_ms":
        return not math.isnan(_milliseconds(value, in_ns=False))
    if field == "timestamp":
        return read_time(value) is not None
    if isinstance(value, bool):
        return False
    if field == "error.stack_trace" and name in ("exception", "stack"):
        return isinstance(value, str) and "\n" in value
    return True


def _text(value: Scalar) -> str:
    return value if isinstance(value, str) else str(value)


def _hex(value: Scalar, digits: int, *, decimal: bool) -> str:
    text = _text(value).strip().lower().removeprefix("0x")
    if decimal and is_number(text) and len(text) != digits and int(text) < 2**64:
        text = f"{int(text):x}".zfill(digits)  # 64 bits of a trace id: the lower half of ours
    if not text or len(text) > digits or any(sign not in "0123456789abcdef" for sign in text):
        return ""
    found = text.zfill(digits)
    return found if found.strip("0") else ""


def _milliseconds(value: Scalar, *, in_ns: bool) -> float:
    if isinstance(value, bool) or value == "":
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return (number / 1e6 if in_ns else number) if math.isfinite(number) and number >= 0.0 else math.nan


def _status(value: Scalar) -> int:
    text = _text(value)
    return int(text) if is_number(text) and len(text) == 3 and 100 <= int(text) <= 599 else 0


def write_log(record: LogRecord) -> dict[str, Any]:
    """Write a record as our schema wants it. What it does not say is left out, but for the names that must be there."""
    found: dict[str, Any] = {
        "timestamp": iso_of(record.time_ns),
        "level": record.level or "INFO",
        "correlation_id": "".join(sign for sign in record.correlation_id if "!" <= sign <= "~")[:128],
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "service": record.service or "unknown",
        "environment": ENVIRONMENT_WORDS.get(record.environment.lower(), "production"),
    }
    texts = (("host", record.host), ("version", record.version), ("message", record.message))
    found |= {name: value for name, value in texts if value}
    if record.is_error:
        kind = record.error_type or "Error"
        error = {"type": kind, "message": record.error_message or record.message}
        if record.stack_trace:
            error["stack_trace"] = record.stack_trace
        found["error"] = error | {"fingerprint": record.fingerprint or fingerprint_of(record.service, kind)}
    user = {"id": record.user_id, "ip": record.user_ip, "session_id": record.session_id}
    request: dict[str, Any] = {"method": record.method, "path": record.path}
    if not math.isnan(record.duration_ms):
        whole = int(record.duration_ms)
        request["duration_ms"] = whole if whole == record.duration_ms else record.duration_ms
    if record.status_code:
        request["status_code"] = record.status_code
    for name, part in (("user", user), ("request", request), ("context", dict(record.context))):
        kept = {key: value for key, value in part.items() if value != ""}
        if kept:
            found[name] = kept
    return found


def fingerprint_of(*parts: str) -> str:
    """Make a stable name of 16 hex digits for what is the same kind of error."""
    return blake2b("\x00".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def redact(
    record: LogRecord, *, user: Literal["keep", "hash", "drop"], ip: Literal["keep", "cut", "drop"]
) -> LogRecord:
    """Make a record name nobody.

    Parameters
    ----------
    user : what becomes of user and session ids; "hash" keeps them countable, without a secret
    ip : what becomes of the address; "cut" keeps its network (24 bits of IPv4, 48 of IPv6)
    """
    address = record.user_ip
    if ip == "cut" and address:
        try:
            bits = 24 if ipaddress.ip_address(address).version == 4 else 48
            address = str(ipaddress.ip_network((address, bits), strict=False).network_address)
        except ValueError:
            address = ""
    elif ip == "drop":
        address = ""
    return replace(
        record, user_id=_hidden(record.user_id, user), session_id=_hidden(record.session_id, user), user_ip=address
    )


def _hidden(name: str, how: Literal["keep", "hash", "drop"]) -> str:
    if how == "hash" and name:
        return fingerprint_of("user", name)
    return name if how == "keep" else ""
