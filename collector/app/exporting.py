"""Where findings are sent: the configured destinations, who carries messages there, and what is written for each."""

from __future__ import annotations

import threading

from analyzer.errors.group_news import Turn
from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.trace_groups import Explained
from analyzer.findings import Answer, SpanRef
from analyzer.incident_words import Incident
from collector.config_exporters import Exporters, OtlpExporterConfig, SentryExporterConfig
from collector.contracts import Clock, OutboxItem, Store
from collector.exporters.breaker import CircuitBreaker
from collector.exporters.briefs import brief_exports
from collector.exporters.delivery import Delivery, Tuning
from collector.exporters.findings import ExportSettings, finding_exports
from collector.exporters.groups import group_exports
from collector.exporters.incidents import incident_exports
from collector.exporters.otlp import connect
from collector.exporters.sentry import DESTINATION as SENTRY
from collector.exporters.sentry import SentrySettings, sentry_events
from collector.exporters.sentry_dsn import Dsn
from collector.exporters.sentry_http import sentry_transport
from collector.exporters.transport import OtlpSettings
from collector.samples import exporter_samples
from collector.telemetry import Snapshot, merge

OTLP = "otlp"


class Words:
    """What is written, for every destination that is configured. Any thread; holds nothing that changes."""

    def __init__(self, exporters: Exporters) -> None:
        otlp, sentry = exporters.otlp, exporters.sentry
        self._otlp = _otlp_words(otlp) if otlp is not None else None
        self._sentry = _sentry_words(sentry) if sentry is not None else None

    def finding(self, explained: Explained, now_ns: int) -> list[OutboxItem]:
        """Of a trace that was explained."""
        items = finding_exports(explained.answer, self._otlp, now_ns) if self._otlp is not None else []
        return items + (sentry_events(explained, self._sentry) if self._sentry is not None else [])

    def brief(self, answer: Answer, entry: SpanRef | None, now_ns: int) -> list[OutboxItem]:
        """Of a trace told in brief. An error tracker is told nothing: without an origin it would name a victim."""
        return brief_exports(answer, entry, self._otlp, now_ns) if self._otlp is not None else []

    def group(self, group: ErrorGroup, turn: Turn, now_ns: int) -> list[OutboxItem]:
        return group_exports(group, turn, self._otlp, now_ns) if self._otlp is not None else []

    def incident(self, incident: Incident, note: str, now_ns: int) -> list[OutboxItem]:
        return incident_exports(incident, note, self._otlp, now_ns) if self._otlp is not None else []


class Destinations:
    """Who carries messages, a thread for each destination. `start` and `stop` by the owner, `wake` from any thread."""

    def __init__(self, exporters: Exporters, store: Store, clock: Clock) -> None:
        self._exporters: dict[str, Delivery] = {}
        if exporters.otlp is not None:
            self._exporters[OTLP] = _otlp(exporters.otlp, store, clock)
        if exporters.sentry is not None:
            self._exporters[SENTRY] = _sentry(exporters.sentry, store, clock)

    def start(self) -> None:
        for exporter in self._exporters.values():
            exporter.start()

    def wake(self) -> None:
        """There is something new in the outbox."""
        for exporter in self._exporters.values():
            exporter.wake()

    def stop(self, timeout_s: float) -> None:
        """All at once: one that hangs must not take the time of another."""
        threads = [
            threading.Thread(target=exporter.stop, args=(timeout_s,), daemon=True)
            for exporter in self._exporters.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s + 1.0)

    def snapshot(self) -> Snapshot:
        return merge([exporter_samples(name, exporter.counters()) for name, exporter in self._exporters.items()])


def _otlp(section: OtlpExporterConfig, store: Store, clock: Clock) -> Delivery:
    settings = OtlpSettings(
        endpoint=section.endpoint,
        protocol=section.protocol,
        insecure=section.insecure,
        ca_file=section.ca_file,
        cert_file=section.cert_file,
        key_file=section.key_file,
        server_name_override=section.server_name_override,
        headers={key: value.get_secret_value() for key, value in section.headers.items()},
        compression=section.compression,
        timeout_s=section.timeout_s,
    )
    return Delivery(
        store,
        connect(settings, clock),
        clock,
        destination=OTLP,
        # Whoever is back has the whole backlog at once: not some minute later.
        breaker=CircuitBreaker(clock, open_s=section.retry_wait_max_s),
        tuning=Tuning(backoff_max_s=section.retry_wait_max_s),
    )


def _sentry(section: SentryExporterConfig, store: Store, clock: Clock) -> Delivery:
    dsn = Dsn.read(section.dsn.get_secret_value())
    return Delivery(
        store,
        sentry_transport(dsn, section.ca_file, section.timeout_s, clock),
        clock,
        destination=SENTRY,
        breaker=CircuitBreaker(clock, open_s=section.retry_wait_max_s),
        tuning=Tuning(rows_max=1, backoff_max_s=section.retry_wait_max_s),  # an envelope holds one event
    )


def _otlp_words(section: OtlpExporterConfig) -> ExportSettings:
    return ExportSettings(
        destination=OTLP,
        prefix=section.attribute_prefix,
        annotation_spans=section.annotation_spans,
        log_events=section.log_events,
    )


def _sentry_words(section: SentryExporterConfig) -> SentrySettings:
    return SentrySettings(
        environment=section.environment,
        release=section.release,
        sample_rate=section.sample_rate,
        send_user_ids=section.send_user_ids,
        tags=section.tags,
    )
