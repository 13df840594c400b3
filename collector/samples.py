"""Counters of the rooms -> samples of `/metrics`. The only place that knows both names of a number."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.engine import Analyzer
from collector.assembly.counts import AssemblyCounts
from collector.desk import PipelineCounts
from collector.shelf import ShelfWriter
from collector.telemetry import Snapshot, sample


def assembly_samples(counts: AssemblyCounts) -> Snapshot:
    """What assembly counts."""
    found: Snapshot = {
        "assembly_open_traces": counts.open_traces,
        "assembly_open_spans": counts.open_spans,
        "assembly_open_bytes": counts.open_bytes,
        "assembly_received_spans": counts.received_spans,
        "assembly_late_spans": counts.late_spans,
        "assembly_deduped_spans": counts.deduped_spans,
    }
    if counts.shed_traces:
        found[sample("assembly_dropped_traces", "stress")] = counts.shed_traces
    for name, numbers in (
        ("assembly_released_traces", counts.released_traces),
        ("assembly_released_spans", counts.released_spans),
        ("assembly_dropped_spans", counts.dropped_spans),
    ):
        found |= {sample(name, reason): number for reason, number in numbers.items() if number}
    return found


def pipeline_samples(counts: PipelineCounts) -> Snapshot:
    """What the engine's thread counts."""
    found: Snapshot = {
        "decode_undecodable_requests": counts.undecodable,
        "analyzer_analysed_spans": counts.analysed_spans,
        "analyzer_analysed_traces": counts.analysed_traces,
        "analyzer_failed_traces": counts.failed_traces,
        "analyzer_clean_traces": counts.clean_traces,
        "analyzer_recalled_traces": counts.recalled_traces,
        "analyzer_explained_traces": counts.explained_traces,
        "analyzer_brief_traces": counts.brief_traces,
        "analyzer_asked_traces": counts.asked_traces,
        "analyzer_refused_asks": counts.refused_asks,
        "analyzer_untold_traces": counts.untold_traces,
        sample("analyzer_evicted_keys", "kinds"): counts.evicted_kinds,
        sample("analyzer_evicted_keys", "asked"): counts.evicted_asks,
        "analyzer_known_traces": counts.known_traces,
        "journal_oldest_seconds": counts.oldest_open_ms / 1000,
        "journal_replayed_requests": counts.replayed_requests,
        "journal_replayed_spans": counts.replayed_rows,
        "analyzer_busy_seconds": counts.analysis_ns / 1e9,
        "analyzer_explain_seconds": counts.explain_ns / 1e9,
    }
    return found | {sample("analyzer_findings", verdict): number for verdict, number in counts.findings.items()}


def analyzer_samples(analyzer: Analyzer) -> Snapshot:
    """What is held of normal behaviour, and what found no room."""
    times, shapes, errors = analyzer.baselines.counts, analyzer.structure.counts, analyzer.propagation
    found: Snapshot = {
        "analyzer_learned_spans": times.learned,
        "analyzer_suspicious_spans": times.suspicious,
        "analyzer_kept_out_spans": times.kept_out,
        "analyzer_lost_edge_calls": analyzer.lost_edge_calls,
        sample("analyzer_untracked_keys", "propagation"): errors.refused,
    }
    for memory, held, counts in (
        ("baselines", len(analyzer.baselines), times),
        ("structure", len(analyzer.structure), shapes),
    ):
        found |= {
            sample("analyzer_keys", memory): held,
            sample("analyzer_untracked_keys", memory): counts.untracked,
            sample("analyzer_evicted_keys", memory): counts.evicted,
            sample("analyzer_new_normals", memory): counts.new_normals,
        }
    return found


def shelf_samples(shelf: ShelfWriter, counters: Mapping[str, int]) -> Snapshot:
    """What the store and its writer count."""
    return {
        "store_stored_findings": shelf.stored_traces,
        "store_failed_writes": shelf.failed_puts,
        "store_lost_batches": shelf.lost_batches,
        "store_queued_batches": shelf.queued,
        "store_quarantined_files": counters.get("quarantined_files", 0),
        "store_expired_traces": counters.get("expired_traces", 0),
        "store_unpackable_traces": counters.get("unpackable_traces", 0),
        "outbox_added_messages": counters.get("outbox_added", 0),
        "outbox_restored_messages": counters.get("outbox_restored", 0),
        "outbox_dropped_messages": counters.get("outbox_dropped", 0),
    }


def exporter_samples(destination: str, counters: Mapping[str, int | str]) -> Snapshot:
    """What one exporter counts, in messages: each carries the spans or log events of one finding."""

    def number(name: str) -> int:
        return int(counters.get(name, 0))

    return {
        sample("exporter_sent_messages", destination): number("sent_messages"),
        sample("exporter_send_failed_messages", destination): number("failed_tries"),
        sample("exporter_rejected_records", destination): number("rejected_records"),
        sample("exporter_dead_letter_items", destination): number("dead_letters"),
        sample("exporter_queue_size", destination): number("queued_messages"),
        sample("exporter_breaker_open", destination): int(counters.get("breaker_state") != "closed"),
    }
