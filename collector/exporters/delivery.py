"""Takes messages from the outbox to one destination, until they are delivered.

In: due outbox rows. Out: the same bytes at the destination, at least once, unordered; what becomes of
each row is written back to the store. Three quick tries, then back-off without a limit in time: the
outbox is bounded by the store's quota, not by our patience. It never drops a row: a refused one becomes
a dead letter with its reason.

Rows of one signal are joined into one request by putting their bytes behind one another, which is how
protobuf merges messages. A joined request that is refused is halved until the refused row is alone.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from collector.contracts import Clock, OutboxItem, Signal, Store
from collector.exporters.breaker import BreakerState, CircuitBreaker
from collector.exporters.transport import Outcome, Transport, Verdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tuning:
    """How it tries. Seconds are real seconds, except back-off, which is written to the store as a time."""

    rows_max: int = 64  # messages in one request
    bytes_max: int = 3_500_000  # below gRPC's default limit of 4 MiB, which many destinations keep
    quick_tries: int = 3
    quick_pause_s: float = 0.1
    backoff_first_s: float = 1.0
    backoff_max_s: float = 30.0  # a destination that is back has the whole backlog within this
    poll_s: float = 0.2
    store_pause_s: float = 1.0


@dataclass(slots=True)
class ExporterCounters:
    """Written by the exporter's thread, read by anybody."""

    sent_messages: int = 0
    sent_requests: int = 0
    failed_tries: int = 0
    postponed_messages: int = 0
    rejected_records: int = 0  # partial success
    dead_letters: int = 0
    store_errors: int = 0


class Delivery:
    """One thread, one destination. `start`, `stop`, `wake` and `counters` are for other threads.

    Parameters
    ----------
    store : Store
        Its `outbox_*` may be called beside the writer's thread (SqliteStore: one lock, short transactions).
    transport : Transport
    clock : Clock
        Wall time for due times, monotonic time for holds.
    destination : str
        Which rows are taken.
    breaker : CircuitBreaker, optional
    seed : int
        Of the jitter.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        clock: Clock,
        *,
        destination: str = "otlp",
        breaker: CircuitBreaker | None = None,
        tuning: Tuning | None = None,
        seed: int = 0,
    ) -> None:
        self._store = store
        self._transport = transport
        self._clock = clock
        self._destination = destination
        self._breaker = breaker or CircuitBreaker(clock)
        self._tuning = tuning or Tuning()
        self._random = random.Random(seed)  # noqa: S311 - jitter, not a secret
        self._counters = ExporterCounters()
        self._rows_max = self._tuning.rows_max
        self._hold_until_ns = 0
        self._last_reason = ""
        self._outage_told = False
        # What was decided but could not be written yet. While there is any nothing new is taken:
        # a row that was delivered must not be sent again because our own disk is full.
        self._unsettled: list[Callable[[], None]] = []
        self._stopping = threading.Event()
        self._abort = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"exporter-{destination}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Deliver what is due while that goes well, for half the time at most; then end, also a call that hangs.

        Returns
        -------
        bool
            False when the thread did not end in time; rows stay in the outbox either way.
        """
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s / 2)
        self._abort.set()
        self._transport.cancel()
        if self._thread.ident is not None:
            self._thread.join(timeout_s / 2)
        self._transport.close()
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def counters(self) -> dict[str, int | str]:
        """Return a copy of the counters, the length of the outbox, the breaker and the last trouble."""
        return {
            **asdict(self._counters),
            "queued_messages": self._store.outbox_count(),
            "breaker_state": self._breaker.state.value,
            "breaker_opened": self._breaker.opened_count,
            "last_reason": self._last_reason,
        }

    # -- the exporter's thread -----------------------------------------------------------------

    def _run(self) -> None:
        while not self._abort.is_set():
            try:
                wait_s = self.step()
            except Exception:
                self._counters.store_errors += 1
                logger.exception("exporter %s: the store does not answer; it is asked again", self._destination)
                wait_s = self._tuning.store_pause_s
            if wait_s > 0 and self._stopping.is_set():
                return
            if wait_s > 0:
                self._wake.wait(min(wait_s, self._tuning.poll_s))
                self._wake.clear()

    def step(self) -> float:
        """Deliver what is due once; returns seconds until another step can be worth while (0: now)."""
        if not self._settled():
            return self._tuning.store_pause_s
        hold_s = (self._hold_until_ns - self._clock.monotonic_ns()) / 1e9
        wait_s = max(hold_s, self._breaker.wait_s())
        if wait_s > 0:
            return wait_s
        items = self._store.outbox_take(self._destination, self._rows_max, self._clock.now_ns())
        if not items:
            return self._tuning.poll_s
        for batch in self._batches(items):
            if self._abort.is_set() or not self._deliver(batch):
                return self._tuning.poll_s
        return 0.0

    def _batches(self, items: Sequence[OutboxItem]) -> list[list[OutboxItem]]:
        """Rows that travel together: one signal, within the size that destinations take."""
        batches: list[list[OutboxItem]] = []
        for signal in (Signal.LOGS, Signal.TRACES):
            size = self._tuning.bytes_max
            for item in items:
                if item.signal != signal:
                    continue
                size += len(item.payload)
                if size > self._tuning.bytes_max:
                    batches.append([])
                    size = len(item.payload)
                batches[-1].append(item)
        return batches

    def _deliver(self, batch: list[OutboxItem]) -> bool:
        """Send one request and settle its rows; False when the destination is better left alone now."""
        outcome = self._send(batch)
        if outcome is None:
            return False  # the breaker shut before the first try: the rows stay as they are
        ids = [item.row_id for item in batch]
        if outcome.verdict is Verdict.ACCEPTED:
            self._accepted(ids, outcome)
            return True
        self._last_reason = outcome.reason
        if outcome.verdict is Verdict.RETRY:
            self._tell_outage(outcome.reason)
            self._postpone(batch, ids, outcome)
            return False
        if len(batch) == 1:
            self._counters.dead_letters += 1
            logger.warning("exporter %s: a message was refused for good: %s", self._destination, outcome.reason)
            self._settle(lambda: self._store.outbox_dead(ids, outcome.reason))
            return True
        half = len(batch) // 2
        return self._deliver(batch[:half]) and self._deliver(batch[half:])

    def _send(self, batch: Sequence[OutboxItem]) -> Outcome | None:
        """Up to `quick_tries` calls with the same bytes; None when none was allowed."""
        payload = b"".join(item.payload for item in batch)
        outcome: Outcome | None = None
        for attempt in range(self._tuning.quick_tries):
            if attempt and self._abort.wait(self._tuning.quick_pause_s * attempt):
                break
            if not self._breaker.allow():
                break
            outcome = self._transport.send(batch[0].signal, payload)
            # A refusal, and a wait that was asked for, come from a destination that is alive.
            if outcome.verdict is not Verdict.RETRY or outcome.retry_after_s is not None:
                self._breaker.success()
                break
            self._breaker.failure()
            self._counters.failed_tries += 1
        return outcome

    def _tell_outage(self, reason: str) -> None:
        """Say once that nothing gets through; the breaker knows an outage from a hiccup."""
        if not self._outage_told and self._breaker.state is not BreakerState.CLOSED:
            self._outage_told = True
            logger.warning(
                "exporter %s: nothing gets through: %s; findings wait in the outbox and are tried again",
                self._destination,
                reason,
            )

    def _accepted(self, ids: list[int], outcome: Outcome) -> None:
        self._counters.sent_requests += 1
        if self._outage_told:
            self._outage_told = False
            logger.info("exporter %s: findings get through again", self._destination)
        if not outcome.rejected_count:
            self._rows_max = min(self._tuning.rows_max, self._rows_max * 2)
            self._counters.sent_messages += len(ids)
            self._settle(lambda: self._store.outbox_done(ids))
            return
        # The destination says how many, not which, and they must not be sent again (OTLP, Partial Success).
        # The next requests are small, so that the next rejection names its message.
        self._rows_max = 1
        self._last_reason = outcome.reason
        self._counters.rejected_records += outcome.rejected_count
        self._counters.dead_letters += len(ids)
        logger.warning("exporter %s: %s", self._destination, outcome.reason)
        reason = f"{outcome.reason} (in a request of {len(ids)} messages)"
        self._settle(lambda: self._store.outbox_dead(ids, reason))

    def _postpone(self, batch: Sequence[OutboxItem], ids: list[int], outcome: Outcome) -> None:
        # One message that makes the destination fall over must not take its neighbours along for ever.
        self._rows_max = max(1, self._rows_max // 2)
        if outcome.retry_after_s is not None:
            self._counters.failed_tries += 1
            wait_s = outcome.retry_after_s
            self._hold_until_ns = self._clock.monotonic_ns() + round(wait_s * 1e9)
        else:
            wait_s = self._backoff_s(max(item.attempts for item in batch))
        due_ns = self._clock.now_ns() + round(wait_s * 1e9)
        self._counters.postponed_messages += len(ids)
        self._settle(lambda: self._store.outbox_retry(ids, due_ns))

    def _backoff_s(self, attempts: int) -> float:
        """Doubling, with jitter over the upper half: all exporters of an outage do not come back at once."""
        longest = min(self._tuning.backoff_max_s, self._tuning.backoff_first_s * 2.0 ** min(attempts, 30))
        return longest * self._random.uniform(0.5, 1.0)

    def _settle(self, work: Callable[[], None]) -> None:
        self._unsettled.append(work)
        self._settled()

    def _settled(self) -> bool:
        """Write what was decided, in order; False while the store refuses."""
        while self._unsettled:
            try:
                self._unsettled[0]()
            except Exception:
                self._counters.store_errors += 1
                logger.exception("exporter %s: the outbox cannot be written; it is tried again", self._destination)
                return False
            self._unsettled.pop(0)
        return True
