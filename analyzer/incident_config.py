"""Every bound and wait of incidents: value, unit, and what it is for. No kernels behind it: every process reads it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class IncidentConfig(BaseModel):
    """How much is remembered of recent traces, and when incidents open, are ranked and close. Frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    recent_minutes: int = Field(60, ge=2, le=1_440, description="minutes of recent traces that are remembered")
    traces_per_minute: int = Field(
        500, ge=1, le=100_000, description="traces remembered of each minute: as many suspicious ones, as many others"
    )
    spans_max: int = Field(
        1_000_000, ge=10_000, le=100_000_000, description="spans remembered in all; about 100 bytes each"
    )
    trace_spans_max: int = Field(2_000, ge=1, le=1_000_000, description="larger traces are counted, not remembered")
    reference_minutes: int = Field(
        30, ge=1, le=1_440, description="minutes before the onset that show what was healthy"
    )
    reference_gap_s: float = Field(
        30.0, ge=0, le=86_400, description="time before the onset that is not trusted to be healthy"
    )
    reference_traces_min: int = Field(
        20, ge=1, le=1_000_000, description="healthy traces without which no cause is named"
    )
    compared_spans_max: int = Field(
        500_000, ge=1_000, le=100_000_000, description="spans compared at once; more are thinned evenly"
    )
    rank_every_s: float = Field(30.0, gt=0, le=86_400, description="time between two rankings of an open incident")
    join_s: float = Field(300.0, gt=0, le=86_400, description="alarms that begin this close together are one incident")
    close_after_s: float = Field(120.0, gt=0, le=86_400, description="quiet time after which an incident is closed")
    age_max_s: float = Field(
        86_400.0, gt=0, le=31_536_000, description="time without a new alarm after which it is closed, come what may"
    )
    open_max: int = Field(16, ge=1, le=1_000, description="incidents open at once; further alarms join the newest")
