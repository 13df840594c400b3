"""Every threshold of the analysis: value, unit, and where it comes from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AnalysisConfig(BaseModel):
    """Thresholds. Frozen; one instance per engine."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    baseline_count_min: int = Field(
        200, ge=1, le=1_000_000, description="observations before a baseline is believed (cold start)"
    )
    robust_count_min: int = Field(
        20,
        ge=1,
        le=1_000_000,
        description="observations before a baseline is believed when a whole file is learned at once",
    )
    baseline_keys_max: int = Field(
        20_000, ge=16, le=1_000_000, description="operations (and contexts) that have a baseline each"
    )
    context_count_min: int = Field(
        50, ge=1, le=1_000_000, description="observations before a deeper context is used; also the shrinkage weight"
    )
    fast_half_life_s: float = Field(600.0, gt=0, le=31_536_000, description="half-life of the fast horizon")
    slow_half_life_s: float = Field(259_200.0, gt=0, le=31_536_000, description="half-life of the slow horizon")
    latency_p_max: float = Field(0.01, gt=0, lt=1, description="conformal p below which a segment is abnormal")
    trace_latency_p_max: float = Field(
        0.002, gt=0, lt=1, description="conformal p of the root below which a trace is slow"
    )
    latency_ratio_min: float = Field(
        1.2, ge=1, le=1_000, description="own time over its median before it counts as excess"
    )
    trace_latency_ratio_min: float = Field(
        1.5, ge=1, le=1_000, description="root duration over its median before the trace is slow"
    )
    excess_min_ms: float = Field(
        5.0, ge=0, le=3_600_000, description="excess that is worth a finding at all, milliseconds"
    )
    contamination_weight: float = Field(0.1, ge=0, le=1, description="weight of bad traces in the baselines")
    new_normal_s: float = Field(
        1800.0,
        gt=0,
        le=31_536_000,
        description="a shift that lasts this long without errors becomes normal",
    )
    missing_call_q: float = Field(
        0.95, gt=0, lt=1, description="share of clean traces a call must be in before its absence is evidence"
    )
    repeated_calls_min: int = Field(
        10, ge=2, le=1_000_000, description="like calls under one span before N+1 is considered"
    )
    repeated_calls_ratio: float = Field(
        3.0, ge=1, le=1_000_000, description="like calls over their usual count before N+1 is reported"
    )
    attribution_steps: int = Field(
        8, ge=1, le=1_000, description="points of the Aumann-Shapley line (algorithms 3.2; 8: 0.65 % mean error)"
    )
    clock_skew_max_ms: float = Field(
        2000.0, ge=0, le=3_600_000, description="largest clock offset that is repaired between two hosts"
    )
    unknown_below: float = Field(0.35, ge=0, le=1, description="below this probability the answer is 'cannot tell'")
    deadline_share_min: float = Field(
        0.6, gt=0, le=1, description="share of error durations in one bin before a deadline is named"
    )
