"""Masks requests before anything of them is written, where that is asked for (`redaction.before_journal`).

In: a request that the guard has passed. Out: the same without secrets. By default the journal holds requests as they
came, because masking all costs more than receiving it (docs/security.md); what is kept or shown is masked in any case.
"""

from __future__ import annotations

import threading

from collector.app.doors import new_redactor
from collector.config_redaction import Redaction
from collector.contracts import Signal
from collector.redaction import Redactor
from collector.telemetry import Snapshot


class BeforeJournal:
    """Any thread, one at a time: a redactor has one owner, and masking holds the interpreter anyway."""

    def __init__(self, redactor: Redactor) -> None:
        from collector.wire.masking import masked_request  # protobuf's messages, which no other receiver needs

        self._redactor, self._masked = redactor, masked_request
        self._lock = threading.Lock()

    def __call__(self, payload: bytes, signal: Signal) -> bytes:
        """Mask a request; empty when it cannot be read, and so not be masked."""
        with self._lock:
            return self._masked(payload, signal, self._redactor)

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        return self._redactor.snapshot()


def before_journal(section: Redaction) -> BeforeJournal | None:
    """What a receiver hands requests through; None: they go on as they came."""
    return BeforeJournal(new_redactor(section)) if section.before_journal else None
