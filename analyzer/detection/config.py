"""Every threshold of detection: value, unit, and where it comes from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DetectionConfig(BaseModel):
    """Thresholds. Frozen; one instance per detector."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tick_s: float = Field(10.0, ge=1, le=300, description="length of a tick, seconds of the owner's time")
    entities_max: int = Field(8192, ge=64, le=1 << 20, description="services, entry operations, edges and instances")
    ring_ticks: int = Field(
        90, ge=16, le=1024, description="ticks kept per entity: how far back an onset is looked for"
    )
    false_alarms_per_hour: float = Field(0.1, gt=0, le=100, description="budget of all entities and symptoms together")
    earned_false_alarms: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="false alarms an alarm may bring along: what hangs together is told at once (LORD)",
    )
    bet: float = Field(0.7, gt=0, lt=1, description="share of the e-value that is bet each time")
    persistence: int = Field(2, ge=1, le=10, description="windows of evidence an alarm needs at least")

    calls_per_window: float = Field(5.0, ge=1, description="expected calls before a sparse entity is looked at again")
    window_s_max: float = Field(900.0, gt=0, description="longest time between two looks at a sparse entity")
    cold_s: float = Field(600.0, ge=0, description="age of an entity before its own history is believed")
    cold_count: int = Field(200, ge=1, description="observations before its own history is believed")
    cold_calls: int = Field(
        30, ge=1, description="the same for the calls of an edge, whose rate goes by its caller; few are reckoned with"
    )
    cold_times: int = Field(60, ge=1, description="the same for the times of an edge: some carry few messages")
    warm_up_s: float = Field(120.0, ge=0, description="a new instance may be slow for so long")

    share_half_life_s: float = Field(21_600.0, gt=0, description="half-life of shares of failed and of rare calls")
    rate_half_life_s: float = Field(1200.0, gt=0, description="half-life of call rates; follows the day")
    rate_count: float = Field(
        100.0, ge=10, description="calls the rate of a sparse entity rests on: stretches its half-life"
    )
    sibling_half_life_s: float = Field(300.0, gt=0, description="half-life of what siblings are compared over")

    error_ratio: float = Field(1.5, ge=1, description="share of failed calls over the usual that is not worth an alarm")
    error_add: float = Field(0.002, ge=0, description="and this much more, absolute")
    latency_ratio: float = Field(1.2, ge=1, description="the same for the share of rare durations")
    latency_add: tuple[float, float, float] = Field(
        (0.015, 0.003, 0.003), description="absolute, for p <= 0.05, p <= 0.01 and p <= 0.002"
    )
    lost_ratio: float = Field(1.5, ge=1, description="the same for the share of calls nobody served")
    lost_add: float = Field(0.03, ge=0, description="span loss of a few per cent is usual")
    rate_ratio: float = Field(1.6, ge=1, description="a call rate within this factor of the expected one is usual")
    edge_ratio: float = Field(1.25, ge=1, description="the same of an edge over what its caller is asked")
    sibling_ratio: float = Field(2.0, ge=1, description="shares of an instance over its siblings' that are usual")
    sibling_add: float = Field(0.02, ge=0, description="and this much more, absolute")

    contamination_weight: float = Field(
        0.1, ge=0, le=1, description="weight of windows in alarm, with p < 0.001, or with e > 20 (of shares: > 5)"
    )
    new_normal_s: float = Field(1800.0, gt=0, description="a shift that lasts so long without errors is normal")
    retire_s: float = Field(21_600.0, gt=0, description="an entity that is silent for so long is forgotten")
    clear_windows: int = Field(6, ge=1, description="usual windows in a row that end an alarm")

    common_share: float = Field(0.6, gt=0, lt=1, description="entry operations that share a shift of load")
    common_ratio_max: float = Field(20.0, gt=1, description="growth that can be load")
    common_ratio_min: float = Field(0.2, gt=0, lt=1, description="less than this is not less load, it is an outage")
    seasonal_per_minute_min: float = Field(50.0, ge=0, description="calls a minute before times of day are told apart")
    alarms_per_tick_max: int = Field(256, ge=1, description="alarms told in one tick, strongest first; others counted")
