"""The words out about groups of errors, and the words in from people who decide about them.

`ErrorGroup` is what REST, the command line, the store and reports carry. Fields are added, never renamed. Text from
telemetry stands in it as it came, cut to size; who shows it makes it safe.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from analyzer.findings import SCHEMA_VERSION, Judgement, Nanoseconds, Word

GroupStatus = Literal["new", "ongoing", "regressed", "resolved", "ignored"]


class Part(Word):
    """One part of a fingerprint; all of them, in their order, are why an error was grouped."""

    name: str
    value: str


class SeenAs(Word):
    """One service, operation, version, environment or host the error was seen in."""

    name: str
    count: int
    first_seen_ns: Nanoseconds
    last_seen_ns: Nanoseconds


class Bucket(Word):
    """Errors of one minute (or hour). `start` counts minutes (hours) since 1970."""

    start: int
    count: int


class Trend(Word):
    """The last hour against the hours before it."""

    last_hour: int
    usual_hour: float = Field(description="mean of the hours before, up to 24, since it was first seen")
    direction: Literal["rising", "falling", "steady", "too_little"]
    reason: str


class Spike(Word):
    """More errors in the last window than the group's own past makes likely."""

    now: int = Field(description="errors in the last window")
    usual: float = Field(description="errors that were to be expected in it")
    ratio: float = Field(description="now / usual")
    p: float = Field(description="probability of so many or more, if nothing had changed")
    since_ns: Nanoseconds = Field(description="begin of the first window that was too high")
    window_s: int
    sentence: str
    per: Literal["calls", "time"] = Field("time", description="what was divided out: calls of its service, or nothing")
    calls: int = Field(0, description="of its service in the window; 0: not known")


class Lately(Word):
    """The last window of a group against its own past, in both directions."""

    state: Literal["usual", "spike", "drop", "no_data", "too_little_traffic"]
    now: int = Field(description="errors in the last window")
    usual: float = Field(description="errors that were to be expected in it")
    p: float = Field(description="probability of a count this far off, if nothing had changed")
    per: Literal["calls", "time"] = Field(description="what was divided out: the calls of its service, or nothing")
    calls: int = Field(description="of its service in the window; 0: not known")
    window_s: int
    sentence: str


class ErrorGroup(Word):
    """One kind of error, over all traces.

    count : traces whose error began with it, each once, and errors that were only logged, outside of any trace
    inferred_count : of these: there was no time to explain them, they look like one that was explained
    status_reason : why it has its status, for people
    lost : times a service, operation, version, environment or host found no room in its list
    """

    schema_version: str = SCHEMA_VERSION
    group_id: str
    version: str
    fine: str
    coarse: str
    tier: str
    parts: list[Part] = []
    type: str = ""
    message: str = Field("", description="of the first example")
    location: str = Field("", description="file:line of the frame to look at first")
    service: str = ""
    operation: str = ""
    error_class: str = ""
    status: GroupStatus = "new"
    status_reason: str = ""
    status_ns: Nanoseconds = Field(0, description="since when it has this status")
    decided: bool = Field(False, description="a person decided about it")
    first_seen_ns: Nanoseconds
    last_seen_ns: Nanoseconds
    count: int
    inferred_count: int = Field(0, description="of these: not explained, counted by their look")
    logged_count: int = Field(0, description="of these: only logged, outside of any trace")
    synthetic_count: int = Field(0, description="explained ones that a synthetic check or a bot asked for; no users")
    visible_count: int = Field(0, description="the other explained ones whose request failed for its caller")
    users: int = Field(0, description="distinct users, estimated; 0 when no user attribute was seen")
    services: list[SeenAs] = []
    operations: list[SeenAs] = []
    versions: list[SeenAs] = []
    environments: list[SeenAs] = []
    hosts: list[SeenAs] = []
    example_trace_ids: list[str] = []
    minutes: list[Bucket] = []
    hours: list[Bucket] = []
    resolved_ns: Nanoseconds = 0
    resolved_in_version: str = ""
    ignored_until_ns: Nanoseconds = 0
    ignored_until_count: int = 0
    regressions: int = 0
    lost: int = 0
    severity: Judgement | None = None
    kind: Judgement | None = None
    spike: Spike | None = Field(None, description="while it is far above its own past")
    novel: bool = Field(False, description="it is news that its service shows a new kind of error")
    novel_reason: str = ""
    observability: Judgement | None = None
    merge_with: list[str] = Field([], description="groups with the same coarse fingerprint and a like message")
    revision: int = 0


class GroupChange(Word):
    """What a person decides about a group.

    A resolved group that is seen again afterwards is regressed; with `in_version`, only when it is seen in that
    version or a newer one. An ignored one is counted in silence: until a time, for a time, or for that many more.
    """

    status: Literal["resolved", "ignored", "ongoing"]
    in_version: str = Field("", max_length=256, description="resolved: the version that has the fix")
    until_ns: Nanoseconds | None = Field(None, ge=0, description="ignored: until this time")
    for_s: float | None = Field(None, gt=0, le=10 * 366 * 86_400, description="ignored: for so many seconds")
    for_count: int | None = Field(None, ge=1, description="ignored: for so many more errors")

    @model_validator(mode="after")
    def _belongs(self) -> GroupChange:
        if self.in_version and self.status != "resolved":
            raise ValueError(f"in_version belongs to resolved, not to {self.status}; leave it out")
        bounds = [name for name in ("until_ns", "for_s", "for_count") if getattr(self, name) is not None]
        if bounds and self.status != "ignored":
            raise ValueError(f"{bounds[0]} belongs to ignored, not to {self.status}; leave it out")
        if len(bounds) > 1:
            raise ValueError(f"{bounds[0]} and {bounds[1]} are given; expected one of until_ns, for_s, for_count")
        return self
