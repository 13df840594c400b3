"""One case per pattern that must match, and one near miss that must not.

A case is a sight: exceptions and an answer, written short. `wrote` is an exception, `status` a code without one,
`decided` an answer whose rule says it, `slow` an answer about lost time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from analyzer.errors.model import ExceptionFact, Frame, StackTrace, Thrown
from analyzer.findings import Answer, CausalStep, Effect, Entity, Excess, ExcessKind, Latency, RootCause, SpanRef
from tests.support.fakes.clock import EPOCH_NS

MS = 1_000_000
NOTHING = Answer(trace_id="11" * 16, status="finding", verdict="error")


@dataclass(frozen=True)
class Sight:
    """What the matcher is shown."""

    answer: Answer = NOTHING
    facts: tuple[ExceptionFact, ...] = field(default=())


def fact(kind: str, message: str = "", **more: object) -> ExceptionFact:
    plain = ExceptionFact(
        trace_id="11" * 16,
        span_id="0000000000000001",
        service="order",
        operation="POST /order",
        time_ns=EPOCH_NS,
        type=kind,
        message=message,
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def wrote(kind: str, message: str = "", *, frames: tuple[Frame, ...] = (), language: str = "java") -> Sight:
    stack = StackTrace(language, (Thrown(kind, message, frames),)) if frames else None
    return Sight(facts=(fact(kind, message, stack=stack),))


def status(http: int = 0, rpc: int = -1) -> Sight:
    return Sight(facts=(fact("", http_status=http, rpc_status=rpc),))


def span(number: int, operation: str, start_ms: int, end_ms: int, kind: str = "SERVER") -> SpanRef:
    return SpanRef(
        span_id=f"{number:016x}",
        service="order",
        operation=operation,
        kind=kind,
        start_ns=EPOCH_NS + start_ms * MS,
        duration_ns=(end_ms - start_ms) * MS,
    )


def decided(rule: str, chain: tuple[tuple[SpanRef, Effect], ...] = (), origin: SpanRef | None = None) -> Sight:
    cause = RootCause(
        rank=1,
        entity=Entity(kind="service", name="order", service="order"),
        origin_spans=[origin or span(1, "POST /order", 0, 100)],
        probability=0.8,
        rule=rule,
        sentence="It began here.",
    )
    steps = [CausalStep(span=one, effect=effect, sentence="It did.") for one, effect in chain]
    return Sight(NOTHING.model_copy(update={"root_causes": [cause], "causal_chain": steps}))


def slow(rule: str, operation: str, span_kind: str, excess_kind: ExcessKind) -> Sight:
    ref = span(1, operation, 0, 800, span_kind)
    excess = Excess(
        span=ref, excess_ns=780 * MS, observed_ns=800 * MS, expected_ns=20 * MS, p_value=0.001, kind=excess_kind
    )
    found = decided(rule, origin=ref).answer
    return Sight(
        found.model_copy(update={"verdict": "latency", "latency": Latency(duration_ns=900 * MS, excess=[excess])})
    )


def herd(count: int, apart_ms: int) -> Sight:
    return Sight(
        facts=tuple(
            fact(
                "PoolFull",
                error_class="exhausted",
                time_ns=EPOCH_NS + i * apart_ms * MS,
                span_id=f"{i + 1:016x}",
            )
            for i in range(count)
        )
    )


HASH_MAP = (
    Frame("hash", "java.util.HashMap", "HashMap.java", 339, in_app=False),
    Frame("get", "java.util.HashMap", "HashMap.java", 556, in_app=False),
    Frame("findUser", "com.myapp.service.UserService", "UserService.java", 45, in_app=True),
)
OKHTTP = (
    Frame("waitForIo", "okhttp3.internal.http2.Http2Stream", in_app=False),
    Frame("processPayment", "com.myapp.api.PaymentClient", "PaymentClient.java", 89, in_app=True),
)
ARRAY_LIST = (
    Frame("checkForComodification", "java.util.ArrayList$Itr", in_app=False),
    Frame("process", "com.myapp.processor.BatchProcessor", "BatchProcessor.java", 112, in_app=True),
)
OWN = (Frame("total", "com.myapp.Cart", "Cart.java", 12, in_app=True),)
_CALLER, _CALLEE = span(2, "POST", 0, 300, "CLIENT"), span(1, "POST /stock", 5, 1200)
_OUTER = span(3, "GET", 0, 400, "CLIENT")

# (pattern, what must match, what is near and must not)
CASES: tuple[tuple[str, Sight, Sight], ...] = (
    (
        "code.null_into_library",
        wrote("java.lang.NullPointerException", frames=HASH_MAP),
        wrote("java.lang.NullPointerException", frames=OWN),
    ),
    (
        "code.null_reference",
        wrote("TypeError", "Cannot read properties of undefined (reading 'id')"),
        wrote("TypeError", "Cannot read the properties file"),
    ),
    ("code.missing_key", wrote("KeyError", "'sku'"), wrote("DuplicateKeyError", "sku")),
    (
        "code.index_out_of_range",
        wrote("runtime.Error", "index out of range [3] with length 3"),
        wrote("IndexNotReady", "the index is being built"),
    ),
    (
        "code.wrong_type",
        wrote("java.lang.ClassCastException", "a.B cannot be cast to a.C"),
        wrote("CastingError", "no actor was found"),
    ),
    (
        "code.number_format",
        wrote("ValueError", "invalid literal for int() with base 10: 'x'"),
        wrote("ValueError", "amount must be positive"),
    ),
    ("code.division_by_zero", wrote("ZeroDivisionError", "division by zero"), wrote("ArithmeticException", "overflow")),
    (
        "code.endless_recursion",
        wrote("RangeError", "Maximum call stack size exceeded"),
        wrote("RangeError", "Invalid array length"),
    ),
    (
        "code.serialisation",
        wrote("SyntaxError", "Unexpected token < in JSON at position 0"),
        wrote("SyntaxError", "missing semicolon"),
    ),
    (
        "code.assertion",
        wrote("java.lang.IllegalStateException", "already closed"),
        wrote("java.lang.IllegalArgumentException", "negative"),
    ),
    (
        "concurrency.modified_while_iterated",
        wrote("java.util.ConcurrentModificationException", frames=ARRAY_LIST),
        wrote("ModificationRefused", "the document is locked for reading"),
    ),
    (
        "concurrency.dictionary_resized",
        wrote("RuntimeError", "dictionary changed size during iteration"),
        wrote("RuntimeError", "dictionary is too large"),
    ),
    (
        "concurrency.dead_lock_in_process",
        wrote("fatal error", "all goroutines are asleep - deadlock!"),
        wrote("Deadlock", "found in the table"),
    ),
    (
        "concurrency.optimistic_lock",
        wrote("jakarta.persistence.OptimisticLockException"),
        wrote("LockedException", "the account is locked"),
    ),
    (
        "resource.connection_pool_exhausted",
        wrote(
            "SQLTransientConnectionException",
            "HikariPool-1 - Connection is not available, request timed out after 30000ms",
        ),
        wrote("SQLException", "connection was closed by the administrator"),
    ),
    (
        "resource.out_of_memory",
        wrote("java.lang.OutOfMemoryError", "Java heap space"),
        wrote("MemoryWarning", "memory is at 70 %"),
    ),
    (
        "resource.too_many_open_files",
        wrote("OSError", "[Errno 24] Too many open files"),
        wrote("OSError", "the file is open elsewhere"),
    ),
    (
        "resource.disk_full",
        wrote("IOException", "No space left on device"),
        wrote("IOException", "the device is not ready"),
    ),
    (
        "resource.threads_exhausted",
        wrote("java.util.concurrent.RejectedExecutionException"),
        wrote("ExecutionException", "the task failed"),
    ),
    ("resource.quota_exceeded", status(rpc=8), status(rpc=10)),
    (
        "resource.cpu_starved",
        wrote("Warning", "Thread starvation or clock leap detected"),
        wrote("Warning", "the thread was interrupted"),
    ),
    (
        "network.call_timed_out",
        wrote("java.util.concurrent.TimeoutException", "Operation timed out after 30000ms", frames=OKHTTP),
        wrote("TimeoutConfigError", "the limit must be positive"),
    ),
    (
        "network.connection_refused",
        wrote("Error", "connect ECONNREFUSED 10.0.0.7:5432"),
        wrote("Refused", "the bank refused the card"),
    ),
    ("network.connection_reset", wrote("Error", "socket hang up"), wrote("Error", "the password was reset")),
    (
        "network.name_not_found",
        wrote("java.net.UnknownHostException", "payment"),
        wrote("HostNotReady", "the host is starting"),
    ),
    (
        "network.tls_handshake_failed",
        wrote("SSLError", "certificate verify failed: unable to get local issuer certificate"),
        wrote("Error", "the gift certificate was used already"),
    ),
    (
        "security.certificate_expired",
        wrote("Error", "x509: certificate has expired or is not yet valid"),
        wrote("Error", "the offer has expired"),
    ),
    ("network.slow_way", decided("latency.edge"), decided("latency.own_time")),
    ("network.slow_dependency", decided("latency.peer"), decided("latency.edge")),
    (
        "database.dead_lock",
        wrote("psycopg2.errors.DeadlockDetected", "deadlock detected"),
        wrote("Error", "the door has a dead bolt"),
    ),
    (
        "database.lock_wait_timeout",
        wrote("OperationalError", "(1205, 'Lock wait timeout exceeded; try restarting transaction')"),
        wrote("OperationalError", "(2013, 'Lost connection')"),
    ),
    (
        "database.duplicate_key",
        wrote("IntegrityError", 'duplicate key value violates unique constraint "orders_pkey"'),
        wrote("IntegrityError", 'null value in column "id"'),
    ),
    (
        "database.foreign_key",
        wrote("IntegrityError", 'insert or update on table "a" violates foreign key constraint "b"'),
        wrote("IntegrityError", 'check constraint "positive"'),
    ),
    (
        "database.too_many_connections",
        wrote("OperationalError", "FATAL: sorry, too many clients already"),
        wrote("OperationalError", "FATAL: the database system is starting up"),
    ),
    (
        "database.syntax_or_schema",
        wrote("ProgrammingError", 'relation "orders" does not exist'),
        wrote("DataError", "value too long for type character varying(8)"),
    ),
    (
        "database.slow_query",
        slow("latency.peer", "SELECT orders", "CLIENT", "work"),
        slow("latency.own_time", "render page", "INTERNAL", "work"),
    ),
    ("database.n_plus_one", decided("structure.n_plus_one"), decided("structure.serialised")),
    (
        "database.read_only",
        wrote("Error", "cannot execute INSERT in a read-only transaction"),
        wrote("Error", "the field is read-only"),
    ),
    (
        "messaging.dead_letter",
        wrote("ListenerExecutionFailedException", "Retry policy exhausted"),
        wrote("Error", "the letter could not be printed"),
    ),
    (
        "messaging.rebalance",
        wrote("org.apache.kafka.clients.consumer.CommitFailedException", "the group has already rebalanced"),
        wrote("CommitError", "the transaction could not be committed"),
    ),
    (
        "messaging.poison_message",
        wrote(
            "org.apache.kafka.common.errors.RecordDeserializationException",
            "Error deserializing key/value for partition a-0",
        ),
        wrote("SerializationException", "cannot encode"),
    ),
    ("messaging.backlog", decided("structure.queue_wait"), decided("structure.retry_storm")),
    (
        "messaging.broker_unavailable",
        wrote("KafkaError", "NOT_LEADER_OR_FOLLOWER"),
        wrote("Error", "the insurance broker rejected it"),
    ),
    ("messaging.message_too_large", wrote("RecordTooLargeException"), wrote("Error", "the order is too large")),
    ("http.too_many_requests", status(http=429), status(http=428)),
    ("http.not_authenticated", status(http=401), status(http=400)),
    ("http.forbidden", status(rpc=7), status(rpc=6)),
    ("http.body_too_large", status(http=413), status(http=414)),
    ("http.bad_gateway", status(http=502), status(http=500)),
    ("http.service_unavailable", status(http=503), status(http=500)),
    ("http.gateway_timeout", status(http=504), status(http=500)),
    ("grpc.deadline_exceeded", status(rpc=4), status(rpc=2)),
    ("grpc.unavailable", status(rpc=14), status(rpc=13)),
    ("grpc.unimplemented", status(rpc=12), status(rpc=13)),
    ("http.refused_input", status(http=422), status(http=418)),
    (
        "configuration.missing_variable",
        wrote("Error", "environment variable PAYMENT_URL is not set"),
        wrote("Error", "the environment is production"),
    ),
    ("configuration.invalid_value", wrote("ConfigurationException", "port"), wrote("ValueError", "port is busy")),
    (
        "configuration.class_not_found",
        wrote("java.lang.NoClassDefFoundError", "com/x/Y"),
        wrote("ClassFullError", "the class has no place left"),
    ),
    (
        "configuration.module_not_found",
        wrote("ModuleNotFoundError", "No module named 'x'"),
        wrote("NotFound", "no such order"),
    ),
    (
        "configuration.version_mismatch",
        wrote("Error", "unsupported protocol version 3"),
        wrote("Error", "a newer edition is out"),
    ),
    (
        "configuration.file_not_found",
        wrote("Error", "ENOENT: no such file or directory, open 'a'"),
        wrote("Error", "the profile was not found"),
    ),
    (
        "security.injection",
        wrote("Error", "You have an error in your SQL syntax; check the manual near ''' OR '1'='1'"),
        wrote("Error", 'relation "a" does not exist'),
    ),
    (
        "security.token_expired",
        wrote("io.jsonwebtoken.ExpiredJwtException", "JWT expired 3 ms ago"),
        wrote("Error", "the session expired"),
    ),
    (
        "security.invalid_token",
        wrote("OperationalError", 'password authentication failed for user "shop"'),
        wrote("Error", "the password is too short"),
    ),
    ("shape.retry_storm", decided("structure.retry_storm"), decided("error.origin.local", ((_CALLER, "retried"),))),
    ("shape.retry_recovered", decided("error.retry.recovered"), decided("error.origin.local")),
    (
        "shape.timeout_inversion",
        decided("error.timeout.slow_server", ((_CALLER, "timed_out"),), _CALLEE),
        decided("error.timeout.slow_server", ((span(2, "POST", 0, 1300, "CLIENT"), "timed_out"),), _CALLEE),
    ),
    ("shape.serialised_calls", decided("latency.serialised"), decided("latency.fan_out")),
    ("shape.silent_success", decided("structure.silent_missing_call"), decided("error.handled.ignored")),
    (
        "shape.breaker_open",
        wrote(
            "io.github.resilience4j.circuitbreaker.CallNotPermittedException",
            "CircuitBreaker 'bank' is OPEN and does not permit further calls",
        ),
        wrote("Error", "the valve is open"),
    ),
    ("shape.thundering_herd", herd(6, 10), herd(6, 500)),
    ("shape.handled_fallback", decided("error.handled.fallback"), decided("error.origin.local")),
    (
        "shape.cancelled_by_caller",
        wrote("AbortError", "the request was cancelled"),
        wrote("OrderCancelledEvent", "thank you"),
    ),
    ("shape.unrecorded_error", decided("error.origin.unmarked_child"), decided("error.origin.local")),
    ("business.refused", status(http=402), status(http=418)),
)
EXTRA: tuple[tuple[str, Sight, Sight], ...] = (
    (
        "shape.retry_storm",
        decided("error.origin.local", ((_CALLER, "retried"), (_OUTER, "retried"))),
        decided("error.origin.local"),
    ),
    (
        "resource.connection_pool_exhausted",
        slow("latency.own_time", "load cart", "INTERNAL", "wait"),
        slow("latency.queue_wait", "orders process", "CONSUMER", "wait"),
    ),
    ("database.n_plus_one", decided("latency.fan_out"), decided("latency.own_time")),
)
