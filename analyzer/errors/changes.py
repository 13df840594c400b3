"""Did this change do harm: caused, coincident, masked by a shift of traffic, no harm, or cannot be told.

In: a change, the requests of its service as columns (before and after), if there are any those of services that have
nothing to do with it, and the other changes. Out: a `ChangeEffect`. The newest change is not blamed for being the
newest: the harm must be in the new version and not in the old one beside it; or, where the old one is gone, begin
with the change, exceed what others show, and not be the work of another change just as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.errors.change_tests import (
    SLICES_BEFORE,
    BeforeAfter,
    before_after,
    onset_range,
    rates_by_stratum,
    side_by_side,
)
from analyzer.errors.change_words import Change, ChangeEffect
from analyzer.words import shown

MEASURES = ("failed", "slow")


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """When a change is told to have done harm.

    p_max             of the judgement, over both measures and all looks
    requests_min      on each side; below it nothing can be told
    beside_min        of the old version after the change, to compare the two side by side
    slow_quantile     of the own times before: what takes longer is slow
    events_min        bad requests after the change, below which nobody is blamed
    failed_ratio_min  failed ones against those expected, below which a rise is none
    slow_ratio_min    slow ones; higher, because a lost span of a slow callee makes its caller look slow
    share_min         and the difference of the shares
    """

    p_max: float = 0.005
    requests_min: int = 30
    beside_min: int = 30
    slow_quantile: float = 0.9
    events_min: int = 5
    failed_ratio_min: float = 1.3
    slow_ratio_min: float = 2.0
    share_min: float = 0.01


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one service, one row each; best one row for each trace, version and operation.

    time_ns : int64[n]       when it began
    failed : bool[n]         by itself: a failure that was only passed on is not the service's
    own_ns : float64[n]      time of its own, without that of its callees
    stratum : int64[n]       which requests are like it (operation, tenant, entry), 0 or more
    version : sequence of text, n of them; empty where it is not said
    """

    time_ns: npt.NDArray[np.int64]
    failed: npt.NDArray[np.bool_]
    own_ns: npt.NDArray[np.float64]
    stratum: npt.NDArray[np.int64]
    version: Sequence[str]

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.time_ns)


def deployments(service: str, requests: Requests, *, environment: str = "", quiet: int = 20) -> list[Change]:
    """Find the versions that appeared: the first request of each, the version that was there from the start aside.

    Parameters
    ----------
    quiet : int
        Requests of other versions that must have come before, or the version may have been there all along.
    """
    order = np.argsort(requests.time_ns, kind="stable")
    seen: list[str] = []
    last = ""
    found = []
    for rank, i in enumerate(order.tolist()):
        version = requests.version[i]
        if not version:
            continue
        if version not in seen:
            if seen and rank >= quiet:
                at = int(requests.time_ns[i])
                found.append(
                    Change(
                        change_id=f"{service}@{version}",
                        kind="deployment",
                        service=service,
                        time_ns=at,
                        version=version,
                        previous=last,
                        environment=environment,
                        source="telemetry",
                    )
                )
            seen.append(version)
        last = version
    return found


def judge_change(
    change: Change,
    requests: Requests,
    *,
    elsewhere: Requests | None = None,
    others: Sequence[Change] = (),
    looks: int = 1,
    settings: ChangeSettings | None = None,
) -> ChangeEffect:
    """Judge one change.

    Parameters
    ----------
    change : Change
    requests : Requests
        Of its service, from before and after it.
    elsewhere : Requests or None
        Of services that the change cannot have reached, in the same time.
    others : sequence of Change
        That could have done the same: of the service itself, of what it calls, of what holds for all.
    looks : int
        How often this was asked, this time included; matters only without the old version beside the new one.
    settings : ChangeSettings or None
    """
    settings = settings or ChangeSettings()
    is_after = requests.time_ns >= change.time_ns
    sides = int((~is_after).sum()), int(is_after.sum())
    if min(sides) < settings.requests_min:
        return _effect(
            change,
            "cannot_tell",
            "none",
            f"too little traffic to tell: {sides[0]} requests before and {sides[1]} after;"
            f" {settings.requests_min} of each are needed",
            sides,
        )
    scene = _Scene(change, requests, is_after, elsewhere, others, max(1, looks), settings)
    versions = np.array([version == change.version for version in requests.version], bool)
    new, old = is_after & versions, is_after & ~versions
    if change.version and min(int(new.sum()), int(old.sum())) >= settings.beside_min:
        return _judge_beside(scene, new, old)
    return _judge_before_after(scene)


@dataclass(frozen=True, slots=True)
class _Scene:
    change: Change
    requests: Requests
    is_after: npt.NDArray[np.bool_]
    elsewhere: Requests | None
    others: Sequence[Change]
    looks: int
    settings: ChangeSettings

    @property
    def strata(self) -> int:
        return int(self.requests.stratum.max()) + 1

    @property
    def p_max(self) -> float:
        """For one measure at this look: the sum of 1 / (k (k + 1)) over all looks k is 1."""
        return self.settings.p_max / len(MEASURES) / (self.looks * (self.looks + 1) if self.looks > 1 else 1)

    def slices(self, time_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Slice of time around the change: 0 begins with it, -1 ends at it."""
        return (time_ns - self.change.time_ns) // self.slice_ns()

    def slice_ns(self) -> int:
        before = self.requests.time_ns[~self.is_after]
        return max(1, int(self.change.time_ns - before.min()) // SLICES_BEFORE)

    def bad(self, measure: str) -> npt.NDArray[np.bool_]:
        return _bad(self.requests, ~self.is_after, measure, self.settings.slow_quantile)

    def harmful(self, found: BeforeAfter, requests: int, measure: str) -> bool:
        return found.p < self.p_max and self.matters(found.count, found.expected, requests, measure)

    def matters(self, count: float, expected: float, requests: int, measure: str) -> bool:
        settings = self.settings
        ratio = settings.failed_ratio_min if measure == "failed" else settings.slow_ratio_min
        more = count - expected
        return count >= settings.events_min and count >= ratio * expected and more >= settings.share_min * requests


def _bad(requests: Requests, before: npt.NDArray[np.bool_], measure: str, quantile: float) -> npt.NDArray[np.bool_]:
    """Which requests failed, or took longer than those of their stratum used to."""
    if measure == "failed":
        return requests.failed
    limits = np.full(int(requests.stratum.max()) + 1, np.inf)
    for stratum in np.unique(requests.stratum[before]).tolist():
        times = requests.own_ns[before & (requests.stratum == stratum) & ~requests.failed]
        if len(times) >= 10:  # below, its slowest tenth is one request
            limits[stratum] = np.quantile(times, quantile)
    return requests.own_ns > limits[requests.stratum]


def _judge_beside(scene: _Scene, new: npt.NDArray[np.bool_], old: npt.NDArray[np.bool_]) -> ChangeEffect:
    requests, settings, change = scene.requests, scene.settings, scene.change
    both = new | old
    slices = scene.slices(requests.time_ns[both])
    values = []
    for measure in MEASURES:
        bad = scene.bad(measure)
        rates, _ = rates_by_stratum(bad[~scene.is_after], requests.stratum[~scene.is_after], scene.strata)
        value = side_by_side(bad[both], new[both], requests.stratum[both], slices, rates)
        values.append((value, measure, bad))
    value, measure, bad = max(values, key=lambda one: one[0])
    p = min(1.0, len(MEASURES) / value) if value > 0.0 else 1.0
    rates, _ = rates_by_stratum(bad[old], requests.stratum[old], scene.strata)
    expected = float(rates[requests.stratum[new]].mean())
    share, before = float(bad[new].mean()), float(bad[~scene.is_after].mean())
    more = (share - expected) * int(new.sum())
    numbers = {"measure": measure, "p": p, "before_share": before, "after_share": share, "expected_share": expected}
    sides = int((~scene.is_after).sum()), int(new.sum())
    count = int(new.sum())
    if p < settings.p_max and scene.matters(share * count, expected * count, count, measure):
        words = f"{share:.1%} of the requests to {_name(change)} {_verb(measure)}, of like requests to the old version beside it {expected:.1%}"  # noqa: E501
        return _effect(change, "caused", "side_by_side", words, sides, affected_requests=max(0.0, more), **numbers)
    worst = _worst(scene, keep=~scene.is_after | old)
    if worst is not None:
        found, measure, _ = worst
        words = f"the old version {_verb(measure)} as well: {found.count} requests where {found.expected:.3g} were to be expected"  # noqa: E501
        return _effect(change, "coincident", "side_by_side", words, sides, **{**numbers, "measure": measure})
    return _without_harm(scene, "side_by_side", sides, numbers)


def _judge_before_after(scene: _Scene) -> ChangeEffect:
    requests, change = scene.requests, scene.change
    sides = int((~scene.is_after).sum()), int(scene.is_after.sum())
    worst = _worst(scene, keep=np.ones(len(requests), bool))
    if worst is None:
        return _without_harm(scene, "before_after", sides, {})
    found, measure, bad = worst
    numbers = {
        "measure": measure,
        "p": min(1.0, found.p * scene.settings.p_max / scene.p_max),
        "before_share": float(bad[~scene.is_after].mean()),
        "after_share": found.count / sides[1],
        "expected_share": found.expected / sides[1],
    }
    rise = f"{found.count} of {sides[1]} requests {_verb(measure)} where {found.expected:.3g} were to be expected"
    factor = _elsewhere(scene, measure)
    if factor > 1.0:
        again = _compare(scene, bad, np.ones(len(requests), bool), factor)
        if not scene.harmful(again, sides[1], measure):
            words = f"{rise}, but services it cannot have reached have {factor:.3g} times as many too"
            return _effect(change, "coincident", "before_after", words, sides, **numbers)
    rates, _ = rates_by_stratum(bad[~scene.is_after], requests.stratum[~scene.is_after], scene.strata)
    first, last = onset_range(bad, rates[requests.stratum], scene.slices(requests.time_ns))
    length = scene.slice_ns()
    if last < 0:
        words = f"{rise}, but that began {-last * length / 6e10:.3g} to {-first * length / 6e10:.3g} minutes before"
        return _effect(change, "coincident", "before_after", words, sides, **numbers)
    after = int(scene.slices(requests.time_ns).max()) + 1
    if first > max(2, after // 10):  # the first slices of a new version have few requests
        words = f"{rise}, but that began {first * length / 6e10:.3g} minutes or more after; something else may have"
        return _effect(change, "cannot_tell", "before_after", words, sides, **numbers)
    low, high = change.time_ns + (first - 1) * length, change.time_ns + (last + 1) * length
    rivals = [one for one in scene.others if one.change_id != change.change_id and low <= one.time_ns <= high]
    if rivals:
        named = ", ".join(_name(one) for one in rivals[:3])
        words = f"{rise}; it may as well be the work of {named}, made at the same time"
        ids = [one.change_id for one in rivals]
        return _effect(change, "cannot_tell", "before_after", words, sides, suspects=ids, **numbers)
    more = max(0.0, found.count - found.expected)
    words = f"since {_name(change)}, {rise}"
    return _effect(change, "caused", "before_after", words, sides, affected_requests=more, **numbers)


def _compare(
    scene: _Scene, bad: npt.NDArray[np.bool_], keep: npt.NDArray[np.bool_], at_least: float = 1.0, mixed: bool = False
) -> BeforeAfter:
    requests = scene.requests
    stratum = np.zeros(int(keep.sum()), np.int64) if mixed else requests.stratum[keep]
    slices = scene.slices(requests.time_ns[keep])
    return before_after(bad[keep], scene.is_after[keep], stratum, 1 if mixed else scene.strata, slices, at_least)


def _worst(
    scene: _Scene, keep: npt.NDArray[np.bool_], *, mixed: bool = False
) -> tuple[BeforeAfter, str, npt.NDArray[np.bool_]] | None:
    """Return the measure that got worse, the plainer one of two; None when neither did."""
    found = []
    after = int((scene.is_after & keep).sum())
    for measure in MEASURES:
        bad = scene.bad(measure)
        one = _compare(scene, bad, keep, mixed=mixed)
        if scene.harmful(one, after, measure):
            found.append((one, measure, bad))
    return min(found, key=lambda one: one[0].p) if found else None


def _without_harm(scene: _Scene, test: str, sides: tuple[int, int], numbers: dict[str, object]) -> ChangeEffect:
    """Nothing got worse among like requests. Was it bad before already, or is there a rise that the mix explains?"""
    early = _began_before(scene)
    if early is not None:
        measure, words = early
        return _effect(scene.change, "coincident", test, words, sides, **{**numbers, "measure": measure})
    everything = np.ones(len(scene.requests), bool)
    mixed = _worst(scene, everything, mixed=True)
    if mixed is not None:
        found, measure, bad = mixed
        shares = {
            "measure": measure,
            "before_share": float(bad[~scene.is_after].mean()),
            "after_share": float(bad[scene.is_after].mean()),
        }
        words = (
            f"{found.count} requests {_verb(measure)} where {found.expected:.3g} were to be expected, but other"
            " requests are asked than before; compared with their like nothing got worse"
        )
        return _effect(scene.change, "masked_by_traffic_shift", test, words, sides, **{**numbers, **shares})
    words = f"{sides[1]} requests since {_name(scene.change)} are no worse than {sides[0]} before"
    return _effect(scene.change, "no_harm", test, words, sides, **numbers)


def _began_before(scene: _Scene) -> tuple[str, str] | None:
    """Look for trouble that had begun when the change was made: the half of the time before that is further away."""
    slices = scene.slices(scene.requests.time_ns)
    keep = scene.is_after | (slices < -SLICES_BEFORE // 2)
    if int((keep & ~scene.is_after).sum()) < scene.settings.requests_min:
        return None
    worst = _worst(scene, keep)
    if worst is None:
        return None
    found, measure, bad = worst
    far = keep & ~scene.is_after
    rates, _ = rates_by_stratum(bad[far], scene.requests.stratum[far], scene.strata)
    first, last = onset_range(bad, rates[scene.requests.stratum], slices)
    if last > 0:
        return None
    length = scene.slice_ns()
    began = f"{max(0, -last) * length / 6e10:.3g} to {-first * length / 6e10:.3g} minutes before"
    words = f"{found.count} requests {_verb(measure)} where {found.expected:.3g} were to be expected, but that began"
    return measure, f"{words} {began}"


def _elsewhere(scene: _Scene, measure: str) -> float:
    """How many times as many bad requests those have that the change cannot have reached; 1 when it is not sure."""
    other = scene.elsewhere
    if other is None or not len(other):
        return 1.0
    is_after = other.time_ns >= scene.change.time_ns
    if min(int(is_after.sum()), int((~is_after).sum())) < scene.settings.requests_min:
        return 1.0
    bad = _bad(other, ~is_after, measure, scene.settings.slow_quantile)
    strata = int(other.stratum.max()) + 1
    found = before_after(bad, is_after, other.stratum, strata, scene.slices(other.time_ns), 1.0)
    if found.p >= scene.p_max or found.expected <= 0.0:
        return 1.0
    return found.count / found.expected


def _name(change: Change) -> str:
    named = " ".join(shown(part) for part in (change.service, change.version) if part)
    return named or f"the {change.kind.replace('_', ' ')} change {shown(change.change_id)}"


def _verb(measure: str) -> str:
    return "failed" if measure == "failed" else "were slow"


def _effect(
    change: Change, verdict: str, test: str, words: str, sides: tuple[int, int], **numbers: object
) -> ChangeEffect:
    p = numbers.pop("p", 1.0)
    fields = {
        "change_id": change.change_id,
        "verdict": verdict,
        "test": test,
        "sentence": words[:1].upper() + words[1:] + ".",
        "requests_before": sides[0],
        "requests_after": sides[1],
        "p": p if isinstance(p, float) and math.isfinite(p) else 1.0,
    }
    return ChangeEffect.model_validate(fields | numbers)
