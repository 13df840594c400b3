"""Every metric firstfault shows: name, type, unit, labels, help, and the Collector's name for it.

One table, no code: a room bumps plain integers under these keys, `collector.telemetry` shows them.
Naming is the Collector's (`<room>_<what>_<unit>`, reliability.md (c)); shown as `firstfault_<key>`, counters
with `_total`. No label may ever hold text from telemetry: labels are few, fixed words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One row.

    kind : counter only grows; gauge is what is so now; histogram has the buckets of `Histogram`
    labels : in the order they stand in a sample key
    alias : the Collector's name, shown with the labels it knows, summed over the others
    merge : how values of several processes become one (gauges; counters always add up)
    """

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    alias: str = ""
    alias_labels: tuple[str, ...] = ()
    merge: Literal["sum", "max"] = "sum"


_IN = ("receiver", "transport")
_OUT = ("exporter",)


def _counter(text: str, *labels: str, alias: str = "", alias_labels: tuple[str, ...] = ()) -> Metric:
    return Metric("counter", text, labels, alias, alias_labels)


def _gauge(text: str, *labels: str, alias: str = "", merge: Literal["sum", "max"] = "sum") -> Metric:
    return Metric("gauge", text, labels, alias, labels, merge)


def _histogram(text: str, *labels: str) -> Metric:
    return Metric("histogram", text, labels)


METRICS: dict[str, Metric] = {
    # the way in: wire = accepted + refused + rejected + failed
    "receiver_accepted_spans": _counter(
        "Spans taken and handed over.", *_IN, alias="otelcol_receiver_accepted_spans", alias_labels=_IN
    ),
    "receiver_accepted_log_records": _counter(
        "Log records taken and handed over.", *_IN, alias="otelcol_receiver_accepted_log_records", alias_labels=_IN
    ),
    "receiver_untraced_log_records": _counter("Log records taken that belong to no trace: read for errors.", *_IN),
    "receiver_rejected_spans": _counter("Spans bad by themselves; their neighbours were taken.", *_IN, "reason"),
    "receiver_rejected_log_records": _counter("Log records bad by themselves.", *_IN, "reason"),
    "receiver_refused_spans": _counter(
        "Spans of requests that were refused.",
        *_IN,
        "reason",
        alias="otelcol_receiver_refused_spans",
        alias_labels=_IN,
    ),
    "receiver_refused_log_records": _counter(
        "Log records of requests that were refused.",
        *_IN,
        "reason",
        alias="otelcol_receiver_refused_log_records",
        alias_labels=_IN,
    ),
    "receiver_failed_spans": _counter(
        "Spans of requests our own code failed on.",
        *_IN,
        "reason",
        alias="otelcol_receiver_failed_spans",
        alias_labels=_IN,
    ),
    "receiver_failed_log_records": _counter(
        "Log records of requests our own code failed on.",
        *_IN,
        "reason",
        alias="otelcol_receiver_failed_log_records",
        alias_labels=_IN,
    ),
    "receiver_refused_requests": _counter(
        "Requests refused, also those whose spans cannot be counted.", *_IN, "reason"
    ),
    "receiver_forgotten_buckets": _counter(
        "Tenants whose quota was forgotten because there were too many; one that was spent begins full.", "state"
    ),
    "receiver_delayed_requests": _counter("Requests that waited a moment for room and were taken.", *_IN),
    "receiver_failed_requests": _counter("Requests our own code failed on.", *_IN, "reason"),
    "receiver_ignored_requests": _counter("Requests answered and not looked at (metrics).", *_IN, "signal"),
    "receiver_requests": _counter("Requests answered.", *_IN, "signal"),
    "receiver_request_bytes": _counter("Bytes of requests after decompression.", *_IN, "signal"),
    "receiver_request_seconds": _histogram("From the whole request to its answer.", *_IN),
    "receiver_inflight_bytes": _gauge("Bytes of requests being received or taken now.", *_IN),
    "door_file_reloads": _counter(
        "Times certificates, tokens or keys were read again after a change.", "what", "outcome"
    ),
    "door_credentials": _counter("Requests by what became of their credential.", "outcome"),
    "redacted_values": _counter("Values masked before anything was kept.", "rule"),
    "journal_bytes": _gauge("Bytes in the journal."),
    "journal_oldest_seconds": _gauge("Age of the oldest open trace, which the journal still needs.", merge="max"),
    "journal_fsync_seconds": _histogram("Time of one group commit."),
    "journal_recovery_lost_records": _counter("Damaged records found when the journal was replayed."),
    "journal_replayed_spans": _counter("Rows replayed from the journal at start."),
    "journal_replayed_requests": _counter("Requests replayed from the journal at start."),
    "journal_records": _counter("Requests written into the journal."),
    "journal_failed_commits": _counter("Group commits that the disk refused."),
    "journal_missing_records": _counter(
        "Numbers without a record when the journal was replayed: lost, or refused by the disk before."
    ),
    "journal_torn_tails": _counter("Segments that ended with a write cut short by a crash."),
    "journal_deleted_segments": _counter("Segments that left: all in them was decided and stored."),
    "journal_failed_notes": _counter("Times the journal's progress could not be noted."),
    "analyzer_known_traces": _counter("Traces that came again, and had been decided and stored before."),
    "spans_at_risk": _gauge("Accepted spans a crash would lose now (memory mode)."),
    "ring_used_bytes": _gauge("Bytes between receivers and engine."),
    "ring_capacity_bytes": _gauge(
        "Room between receivers and engine; a request of more than half of it waits beside it."
    ),
    "ring_refused_requests": _counter("Requests the ring had no room for."),
    # the engine: accepted + replayed = analysed + deduped + dropped + open
    "decode_undecodable_requests": _counter("Requests the guard let in and the decoder could not read."),
    "decode_sanitized_fields": _counter("Fields repaired while decoding.", "kind"),
    "assembly_open_traces": _gauge("Traces waiting for more spans."),
    "assembly_open_spans": _gauge("Spans of open traces."),
    "assembly_open_bytes": _gauge("Bytes held by open traces."),
    "assembly_released_traces": _counter("Traces that left assembly.", "reason"),
    "assembly_released_spans": _counter("Spans that left assembly.", "reason"),
    "assembly_received_spans": _counter("Rows decoded: spans and log records of a trace."),
    "assembly_late_spans": _counter("Spans that came after their trace was released."),
    "assembly_deduped_spans": _counter("Spans that had come before."),
    "assembly_dropped_spans": _counter("Spans given up.", "reason"),
    "assembly_dropped_traces": _counter("Traces given up.", "reason"),
    "assembly_stress_mode": _gauge("1 while most new traces are left out under pressure.", merge="max"),
    "assembly_stress_changes": _counter("Times this began or ended."),
    "assembly_truncated_traces": _counter("Traces cut at a limit.", "limit"),
    "analyzer_analysed_spans": _counter("Spans analysed."),
    "analyzer_analysed_traces": _counter("Traces analysed."),
    "analyzer_failed_traces": _counter("Traces the analyzer failed on; quarantined."),
    "analyzer_findings": _counter("Traces with something to say.", "verdict"),
    "analyzer_clean_traces": _counter("Traces with nothing to say whose bytes were not kept."),
    "analyzer_recalled_traces": _counter("Late spans joined with the stored bytes of their trace."),
    "analyzer_explained_traces": _counter("Traces explained in words."),
    "analyzer_brief_traces": _counter("Suspicious traces told in brief: there was no time to explain them."),
    "analyzer_asked_traces": _counter("Of these: explained, and kept so, when somebody asked."),
    "analyzer_refused_asks": _counter("Questions for such a trace the engine had no time for; answered, not kept."),
    "analyzer_untold_traces": _counter("Suspicious traces only counted: there was no time to tell even in brief."),
    "analyzer_busy_seconds": _counter("Time spent measuring and judging batches."),
    "analyzer_explain_seconds": _counter("Time spent explaining traces."),
    "analyzer_learned_spans": _counter("Spans taken into what is normal."),
    "analyzer_suspicious_spans": _counter("Spans of bad traces, or far out of the usual."),
    "analyzer_kept_out_spans": _counter("Suspicious spans that were not learned at all."),
    "analyzer_keys": _gauge("Operations, contexts and calls whose normal behaviour is held.", "memory"),
    "analyzer_untracked_keys": _counter("Keys that found no room; nothing is known of them.", "memory"),
    "analyzer_evicted_keys": _counter("Keys given up for others.", "memory"),
    "analyzer_new_normals": _counter("Lasting changes accepted as normal.", "memory"),
    "analyzer_lost_edge_calls": _counter("Calls that found no room in the sums per edge."),
    "analyzer_warnings": _counter("Data defects repaired.", "warning"),
    "incidents_open": _gauge("Incidents that go on now."),
    "incidents_opened": _counter("Incidents opened."),
    "incidents_closed": _counter("Incidents closed, merged ones too."),
    "incidents_merged": _counter("Incidents that turned out to have the cause of an older one."),
    "incidents_alarms": _counter("Alarms newly raised.", "symptom"),
    "incidents_crowded_alarms": _counter("Alarms that found no incident of their own, or a full one."),
    "incidents_looks": _counter("Times the detector was asked for alarms."),
    "incidents_observe_seconds": _counter("Time spent detecting and remembering."),
    "incidents_recent_traces": _gauge("Recent traces remembered."),
    "incidents_recent_spans": _gauge("Spans of recent traces remembered."),
    "incidents_offered_traces": _counter("Traces that might have been remembered."),
    "incidents_left_out_traces": _counter("Traces not remembered: a fair share of busy minutes is."),
    "incidents_oversized_traces": _counter("Of these: traces too large to be remembered."),
    "incidents_failed": _counter("Failures of our own while looking over many traces.", "part"),
    "incidents_ranking_seconds": _histogram("Time of one look for the cause of an incident."),
    "groups_held": _gauge("Groups of errors in memory."),
    "groups_observed_errors": _counter("Errors counted in groups: one a trace and group."),
    "groups_repeated_errors": _counter("Errors of traces that were counted before, when a late span came."),
    "groups_inferred_errors": _counter("Errors of traces nobody had time to explain, counted by their look."),
    "groups_uncounted_errors": _counter("Of these: such that look like none that was explained; in no group."),
    "groups_opened": _counter("Groups seen for the first time."),
    "groups_regressed": _counter("Groups seen again after they were resolved."),
    "groups_evicted": _counter("Groups that had to leave memory for others."),
    "groups_recalled": _counter("Groups taken back from the store."),
    "groups_misdated_errors": _counter("Errors whose time cannot be; counted when they came."),
    "groups_decisions": _counter("Decisions of people about groups."),
    "groups_logged_errors": _counter("Errors that were only logged, outside of any trace, and counted in groups."),
    "groups_unopened_log_requests": _counter("Requests of logs with exceptions not looked at for such errors."),
    "groups_unread_log_records": _counter("Such errors that were not read: too many in a second."),
    "groups_lost_calls": _counter("Calls of services that found no room beside the groups."),
    "groups_spiking": _gauge("Groups far above their own past now."),
    "groups_spikes": _counter("Groups that rose far above their own past."),
    "groups_novel": _counter("New groups that were news for their service."),
    "groups_told_news": _counter("Turns of groups that were told.", "what"),
    "groups_untold_news": _counter("Turns of groups over the bound of a minute; not told."),
    "groups_unjudged": _counter("Groups that found no room when groups were held against their past."),
    "groups_left_out_impact": _counter("Failing traces of groups or services that found no room in today's impact."),
    "groups_failed": _counter("Failures of our own while grouping.", "part"),
    "store_stored_findings": _counter("Findings committed."),
    "store_failed_writes": _counter("Transactions that failed."),
    "store_lost_batches": _counter("Batches that could not be written before the stop."),
    "store_queued_batches": _gauge("Batches waiting for the store."),
    "store_expired_traces": _counter("Answers that retention or quota took."),
    "store_quarantined_files": _counter("Damaged files set aside."),
    "store_unpackable_traces": _counter("Answers that cannot be written at all; the log names them."),
    # the way out: added + restored = sent + dead letters + dropped + queued
    "outbox_added_messages": _counter("Messages put into the outbox with their findings."),
    "outbox_restored_messages": _counter("Messages that waited in the outbox at the start."),
    "outbox_dropped_messages": _counter("Messages that left undelivered: retention, quota or damage."),
    "store_bytes": _gauge("Bytes of all files of the store."),
    "changes_told": _counter("Changes kept that somebody told of."),
    "changes_forgotten": _counter("Told changes that left, by age or over the bound."),
    "changes_unreadable": _counter("Told changes that could not be read back."),
    "runbook_edits_kept": _counter("Edits of runbooks by hand that were kept."),
    "runbook_edits_stale": _counter("Edits of runbooks refused because another one was faster."),
    "runbook_edits_unreadable": _counter("Edits of runbooks that could not be read back."),
    "frame_notes_kept": _counter("Notes at frames of error groups that were kept."),
    "frame_notes_repeated": _counter("Notes that said what one of the same author at the same frame says; kept once."),
    "frame_notes_edited": _counter("Notes whose words were changed."),
    "frame_notes_removed": _counter("Notes that people took away."),
    "frame_notes_stale": _counter("Changes of notes refused because another one was faster."),
    "frame_notes_refused": _counter("Notes for which there was no room, by bound: frame, group or shelf.", "bound"),
    "frame_notes_unreadable": _counter("Notes that could not be read back."),
    "exporter_sent_messages": _counter("Messages (annotation spans or log events of one finding) delivered.", *_OUT),
    "exporter_send_failed_messages": _counter("Tries that failed; each is tried again.", *_OUT),
    "exporter_rejected_records": _counter("Records a destination refused in a partial success.", *_OUT),
    "exporter_dead_letter_items": _counter("Messages the destination will never take.", *_OUT),
    "exporter_breaker_open": _gauge("1 while the circuit breaker is not closed.", *_OUT, merge="max"),
    "exporter_queue_size": _gauge("Messages waiting in the outbox.", *_OUT, alias="otelcol_exporter_queue_size"),
    "query_requests": _counter("Questions answered.", "protocol", "outcome"),
    "query_seconds": _histogram("Time of one answer.", "protocol"),
    "query_peer_requests": _counter("Questions to other instances.", "part"),
    "query_peer_replies": _counter(
        "What came of them: answered, own (it was us), or why there was no answer.", "outcome"
    ),
    "query_peer_merged_traces": _counter("Traces analysed again with the spans of several instances."),
    "query_peer_addresses": _gauge("Other instances that are asked.", merge="max"),
    "query_peer_failed_lookups": _counter("Times the name of the instances could not be resolved in time."),
    "process_resident_bytes": _gauge("Resident memory of all processes."),
    "process_uptime_seconds": _gauge("Since the oldest process started.", merge="max"),
    "process_restarts": _counter("Processes that died and were started again.", "process"),
    "telemetry_failed_reads": _counter("Rooms whose counters could not be read.", "room"),
    "telemetry_unknown_samples": _counter("Samples that are not in the table of metrics."),
}
