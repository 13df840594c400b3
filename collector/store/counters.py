"""What the SQLite store counts. Nothing here runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class StoreCounters:
    """What happened since the store was opened."""

    stored_traces: int = 0
    replaced_traces: int = 0  # by a higher revision
    known_traces: int = 0  # put again, or an older revision: ignored
    clean_traces: int = 0
    unpackable_traces: int = 0  # could not be written at all; logged with their id
    unreadable_rows: int = 0
    expired_files: int = 0
    expired_traces: int = 0
    expired_decisions: int = 0
    outbox_added: int = 0
    outbox_restored: int = 0  # waited when the store was opened
    outbox_dropped: int = 0  # left with their hour before they were delivered
    quarantined_files: int = 0
