"""The section `assembly`: how long traces wait, how much of them is held, and what is given up under stress."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from collector.config_base import Section

DAYS_S = 24 * 86_400  # assembly counts milliseconds in 31 bits


class Stress(Section):
    enabled: bool = Field(False, description="under lasting pressure leave out most new traces, whole and counted")
    keep_share: float = Field(0.1, ge=0, le=1, description="of new traces, chosen by a keyed hash of the trace id")
    on_share: float = Field(0.9, gt=0, lt=1, description="on, when memory or the way to the engine is fuller than this")
    off_share: float = Field(
        0.75, gt=0.7, lt=1, description="off, when both are less full than this; released traces may fill 0.7 of memory"
    )
    min_s: float = Field(10.0, ge=10, le=3600, description="on for so long at least; at most two changes a minute")

    @model_validator(mode="after")
    def _shares_in_order(self) -> Self:
        if self.off_share >= self.on_share:
            raise ValueError(f"off_share is {self.off_share:g}; expected less than on_share ({self.on_share:g})")
        return self


class Assembly(Section):
    idle_s: float = Field(5.0, gt=0, le=DAYS_S, description="a trace without a root is released after this quiet time")
    root_idle_s: float = Field(
        2.0, gt=0, le=DAYS_S, description="quiet time after the root, before anything was learned"
    )
    root_idle_min_s: float = Field(0.2, gt=0, le=DAYS_S, description="shortest learned quiet time after the root")
    root_idle_max_s: float = Field(10.0, gt=0, le=DAYS_S, description="longest learned quiet time after the root")
    age_max_s: float = Field(60.0, gt=0, le=DAYS_S, description="a trace leaves at this age, come what may")
    trace_spans_max: int = Field(100_000, ge=1, le=10_000_000)
    trace_bytes_max: int = Field(50 * 2**20, ge=1024, le=2**30)
    open_traces_max: int = Field(1_000_000, ge=16, le=50_000_000)
    memory_bytes_max: int | None = Field(
        None,
        ge=16 * 2**20,
        le=2**40,
        description="span bytes and rows held at once; default: a sixth of the memory of the container or machine, "
        "from 128 MiB to 1 GiB",
    )
    late_window_s: float = Field(600.0, ge=0, le=DAYS_S, description="a late span re-opens its trace within this time")
    stress: Stress = Stress()

    @model_validator(mode="after")
    def _waits_in_order(self) -> Self:
        low, wait, high = self.root_idle_min_s, self.root_idle_s, self.root_idle_max_s
        if not low <= wait <= high:
            raise ValueError(
                f"root_idle_s is {wait:g}; expected between root_idle_min_s ({low:g}) and root_idle_max_s ({high:g})"
            )
        return self
