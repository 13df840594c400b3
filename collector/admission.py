"""The gate: nothing gets in unguarded, nothing is acknowledged before it was handed over.

In: decompressed request bytes from any receiver thread. Out: an `Admission`, or a `RefusedError` that
says whether trying again helps. Every span, log record and request is counted under exactly one outcome.
Never parses protobuf, never changes the bytes, never queues: what cannot be handed over within a moment is refused.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from enum import Enum

from collector.clock import SystemClock
from collector.contracts import Admission, Clock, Encoding, Intake, Signal
from collector.errors import BadRequestError, OverloadedError, RefusedError, TooLargeError
from collector.handover import Handover
from collector.telemetry import Snapshot, sample
from collector.tenant_quotas import TenantQuotas
from collector.wire.request_limits import Prescan, RequestLimits
from collector.wire.stamp import stamp_tenant

Guard = Callable[[bytes, Signal, RequestLimits], Prescan]
TranslateJson = Callable[[bytes, Signal, RequestLimits], bytes]

RECEIVER = "otlp"  # the `receiver` label, as the Collector names it
RETRY_AFTER_S = (1.0, 4.0)  # longer, and SDKs that give up 10 s after the first try would drop the data
_SUSPECTS_MAX = 64  # requests our own code failed on once; a second failure makes them poison
_LOG_EVERY_NS = 1_000_000_000
# A full ring is given a moment: the engine empties it in bursts, and a refused request costs both sides its whole
# way here once more. The call waits in its own thread, so its client sends nothing meanwhile.
FULL_WAIT_S = 0.005
FULL_WAITS_MAX = 40  # 0.2 s in all: far below any exporter's deadline
# Where that was in vain lately there is more than can be taken: who cannot be helped is told so soon.
CROWDED_WAITS_MAX = 8
_CROWDED_NS = 5_000_000_000
DRAIN_MAX_S = 5.0  # a disk that hangs must not keep the server from stopping

_log = logging.getLogger(__name__)

_UNITS = {Signal.TRACES: "spans", Signal.LOGS: "log_records"}
_WHY_FULL = "no room to take the request now; send it again after the delay"


class _State(Enum):
    STARTING = "starting"
    OPEN = "open"
    DRAINING = "draining"


class Gate(Intake):
    """Guard, hand over, count. Any number of threads may call `take`; `_lock` guards state and counters.

    JSON is translated by one thread at a time: it holds the GIL anyway, and its objects need
    about ten times the bytes of the request.

    Parameters
    ----------
    handover : takes the admitted bytes; called by many threads at once
    prescan : counts a protobuf request and refuses structural bombs (`collector.wire.limits.prescan`)
    translate_json : OTLP/JSON -> protobuf (`collector.wire.otlp_json.translate_json`)
    limits : structural budgets of one request
    quotas : what each tenant may send; default: no bound
    mask : what is handed over goes through it; None: as it came
    seed : of the jitter in retry delays
    pause : sleeps for some seconds, while there is no room
    """

    def __init__(
        self,
        handover: Handover,
        *,
        prescan: Guard,
        translate_json: TranslateJson,
        limits: RequestLimits | None = None,
        quotas: TenantQuotas | None = None,
        mask: Callable[[bytes, Signal], bytes] | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._handover = handover
        self._prescan = prescan
        self._translate_json = translate_json
        self._limits = limits or RequestLimits()
        self._quotas = quotas or TenantQuotas()
        self._mask = mask
        self._clock = clock or SystemClock()
        self._random = random.Random(seed)  # noqa: S311 - spreads retries, guards nothing
        self._pause = pause
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._inside = 0  # calls that are with the handover
        self._json_lock = threading.Lock()
        self._state = _State.STARTING
        self._counts: Counter[str] = Counter()
        self._suspects: OrderedDict[bytes, None] = OrderedDict()
        self._logged_ns = -_LOG_EVERY_NS
        self._in_vain_ns = -_CROWDED_NS  # when somebody waited for room in vain; one word, so written without the lock

    @property
    def is_open(self) -> bool:
        return self._state is _State.OPEN

    def open(self) -> None:
        """Let requests in. Until then they are refused with a delay ("starting")."""
        with self._lock:
            if self._state is _State.STARTING:
                self._state = _State.OPEN

    def drain(self) -> None:
        """Refuse from now on. When this returns, nothing will be offered to the handover any more."""
        with self._lock:
            self._state = _State.DRAINING
            self._left.wait_for(lambda: self._inside == 0, DRAIN_MAX_S)

    def take(self, payload: bytes, signal: Signal, encoding: Encoding, protocol: str, tenant: str = "") -> Admission:
        """Take one decompressed request; see `Intake.take`.

        Raises
        ------
        PermanentError
            The request cannot be read, is over a structural budget, or our code failed on it twice.
        RetryableError
            Starting, draining, no room, over the tenant's quota, or our code failed on it for the first time.
        """
        key = (RECEIVER, protocol)
        scan: Prescan | None = None
        try:
            if encoding is Encoding.JSON:
                with self._json_lock:
                    payload = self._translate_json(payload, signal, self._limits)
            if signal is Signal.METRICS:
                self._bump("receiver_ignored_requests", *key, signal.name.lower())
                return Admission(0)
            scan = self._prescan(payload, signal, self._limits)
            with self._quotas.charged(tenant, scan.count - scan.rejected):
                if tenant:
                    payload = self._stamped(payload, tenant)
                if self._mask is not None:
                    payload = self._masked(payload, signal, self._mask)
                self._hand_over(payload, signal, key, scan)
        except RefusedError as error:
            self._count_refused(signal, key, error.reason, scan)
            raise
        except Exception as error:
            refusal = self._our_fault(payload, error)
            self._count_failed(signal, key, refusal.reason, scan)
            raise refusal from error
        return Admission(scan.count - scan.rejected, scan.rejected, _message(scan))

    def _stamped(self, payload: bytes, tenant: str) -> bytes:
        stamped = stamp_tenant(payload, tenant)
        if len(stamped) > self._limits.bytes_max:
            raise TooLargeError(f"with its tenant the request has {len(stamped)} bytes; send smaller ones")
        return stamped

    def _masked(self, payload: bytes, signal: Signal, mask: Callable[[bytes, Signal], bytes]) -> bytes:
        masked = mask(payload, signal)
        if payload and not masked:
            raise BadRequestError("the request cannot be read as OTLP, so not be masked; it is not taken", "unmaskable")
        if len(masked) > self._limits.bytes_max:
            raise TooLargeError(f"with its secrets masked the request has {len(masked)} bytes; send smaller ones")
        return masked

    def _hand_over(self, payload: bytes, signal: Signal, key: tuple[str, str], scan: Prescan) -> None:
        crowded = self._clock.monotonic_ns() - self._in_vain_ns < _CROWDED_NS
        for waits in range((CROWDED_WAITS_MAX if crowded else FULL_WAITS_MAX) + 1):
            if waits:
                self._pause(FULL_WAIT_S)
            if self._offer(payload, signal, scan):
                with self._lock:
                    self._count_taken(signal, key, scan)
                    if waits:
                        self._counts[sample("receiver_delayed_requests", *key)] += 1
                return
        self._in_vain_ns = self._clock.monotonic_ns()
        raise OverloadedError(_WHY_FULL, "full", self._delay_s())

    def _offer(self, payload: bytes, signal: Signal, scan: Prescan) -> bool:
        with self._lock:
            if self._state is not _State.OPEN:
                word = self._state.value
                raise OverloadedError(f"the collector is {word}; send it again after the delay", word, self._delay_s())
            self._inside += 1
        try:
            return scan.count <= scan.rejected or self._handover.offer(payload, signal)
        finally:
            with self._lock:
                self._inside -= 1
                self._left.notify_all()

    def _delay_s(self) -> float:
        return self._random.uniform(*RETRY_AFTER_S)

    def _our_fault(self, payload: bytes, error: Exception) -> RefusedError:
        """Our own bug: worth another try once (it may have been the moment), poison the second time.

        INTERNAL would make clients drop the data at once (OTLP 1.11, Failures).
        """
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        with self._lock:
            again = digest in self._suspects
            self._suspects[digest] = None
            self._suspects.move_to_end(digest)
            if len(self._suspects) > _SUSPECTS_MAX:
                self._suspects.popitem(last=False)
            now_ns = self._clock.monotonic_ns()
            loud = now_ns - self._logged_ns >= _LOG_EVERY_NS
            if loud:
                self._logged_ns = now_ns
        if loud:
            _log.error("a request of %d bytes could not be taken in (our fault)", len(payload), exc_info=error)
        if again:
            return BadRequestError("the collector failed on this request twice; it is not taken", "poison")
        return OverloadedError("the collector failed on this request; send it again", "internal", self._delay_s())

    def _bump(self, name: str, *labels: str, by: int = 1) -> None:
        with self._lock:
            self._counts[sample(name, *labels)] += by

    def _count_taken(self, signal: Signal, key: tuple[str, str], scan: Prescan) -> None:
        unit = _UNITS[signal]
        self._counts[sample(f"receiver_accepted_{unit}", *key)] += scan.count - scan.rejected
        if scan.untraced:
            self._counts[sample("receiver_untraced_log_records", *key)] += scan.untraced
        if scan.bad_trace_id:
            self._counts[sample(f"receiver_rejected_{unit}", *key, "bad_trace_id")] += scan.bad_trace_id
        if scan.bad_span_id:
            self._counts[sample(f"receiver_rejected_{unit}", *key, "bad_span_id")] += scan.bad_span_id

    def _count_refused(self, signal: Signal, key: tuple[str, str], reason: str, scan: Prescan | None) -> None:
        """Count a refusal. How many spans stood in a request that cannot be read is not known: only the request."""
        self._bump("receiver_refused_requests", *key, reason)
        if scan is not None:
            self._bump(f"receiver_refused_{_UNITS[signal]}", *key, reason, by=scan.count)

    def _count_failed(self, signal: Signal, key: tuple[str, str], reason: str, scan: Prescan | None) -> None:
        self._bump("receiver_failed_requests", *key, reason)
        if scan is not None:
            self._bump(f"receiver_failed_{_UNITS[signal]}", *key, reason, by=scan.count)

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        with self._lock:
            return dict(self._counts)


def _message(scan: Prescan) -> str:
    """Say which reason how often (English, as OTLP asks; far below its 4 KiB)."""
    if not scan.rejected:
        return ""
    reasons = []
    if scan.bad_trace_id:
        reasons.append(f"{scan.bad_trace_id} with a trace id that is not 16 bytes or is all zero")
    if scan.bad_span_id:
        reasons.append(f"{scan.bad_span_id} with a span id that is not 8 bytes or is all zero")
    return f"{scan.rejected} of {scan.count} spans rejected: {', '.join(reasons)}; the others were taken"
