"""How large and how deep one request may be (reliability.md, R11)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Structural budgets of one request; over any of them the request is INVALID_ARGUMENT."""

    bytes_max: int = 64 * 1024 * 1024  # after decompression (OTLP 1.11 recommends 64 MiB)
    spans_max: int = 100_000  # spans or log records
    messages_max: int = 1_000_000  # sub-messages of any kind
    resources_max: int = 10_000
    depth_max: int = 32  # nesting of attribute values


@dataclass(frozen=True, slots=True)
class Prescan:
    """What the guard counted in one request it lets through.

    count : spans (or log records) in the request, good and bad
    bad_trace_id, bad_span_id : of these, spans without a usable id; they are rejected, their neighbours live
    untraced : of these, log records that belong to no trace; they are read for errors, and assembled into nothing
    """

    count: int
    bad_trace_id: int = 0
    bad_span_id: int = 0
    untraced: int = 0

    @property
    def rejected(self) -> int:
        return self.bad_trace_id + self.bad_span_id
