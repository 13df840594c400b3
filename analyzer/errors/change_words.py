"""The words about changes: what was changed, and what it did.

`Change` comes from telemetry (the first span of a new version) or from whoever deploys; it is kept and listed.
`ChangeEffect` is what a comparison says of it. Names in both are as they came; sentences are safe to show.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from analyzer.findings import Nanoseconds, Probability, Word

TEXT_MAX = 1024
ChangeKind = Literal["deployment", "config", "feature_flag", "infrastructure", "rollback", "mitigation", "other"]
ChangeSource = Literal["telemetry", "api"]
ChangeVerdict = Literal["caused", "coincident", "masked_by_traffic_shift", "no_harm", "cannot_tell"]
Text = Annotated[str, Field(max_length=TEXT_MAX)]


class Change(Word):
    """Something that was changed in the system."""

    change_id: str
    kind: ChangeKind
    service: Text = Field(description="what was changed; empty: not one service")
    time_ns: Nanoseconds
    version: Text = Field("", description="the new version, the flag or the setting")
    previous: Text = Field("", description="what it was before")
    environment: Text = ""
    description: Annotated[str, Field(max_length=4 * TEXT_MAX)] = ""
    url: Text = Field("", description="where more is written; shown, never fetched")
    source: ChangeSource = "api"


class ChangeEffect(Word):
    """What a change did to the requests of its service, and how that is known.

    `before_share`, `after_share`: bad requests in all, before and after. `expected_share`: what the requests after the
    change would have had if nothing but their mix had changed.
    """

    change_id: str
    verdict: ChangeVerdict
    sentence: str
    test: Literal["side_by_side", "before_after", "none"]
    measure: Literal["failed", "slow", ""] = ""
    p: Probability = 1.0  # valid at every look, however often it is asked for
    requests_before: int = 0
    requests_after: int = 0
    before_share: float = 0.0
    after_share: float = 0.0
    expected_share: float = 0.0
    affected_requests: float = 0.0  # bad ones more than expected
    suspects: list[str] = Field([])  # other changes that cannot be told apart from this one
