"""The list of archetypes: which function draws each, how often it is drawn, what it needs.

In: a name. Out: what `draw` does with it. Two faults at once are any two of `PAIRABLE` with different roots.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analyzer.simulator import faults, faults_between, faults_of_shape
from analyzer.simulator.faults import Scene
from analyzer.simulator.usage import NoTargetError


@dataclass(frozen=True, slots=True)
class Archetype:
    """One kind of case.

    weight : how many a round of the plan holds (the hard ones more)
    marks : the records of some trace must show an origin, or another target is drawn
    silent_in : dialects that cannot tell of it at all
    """

    draw: Callable[[Scene], None]
    weight: int = 1
    marks: bool = True
    silent_in: tuple[str, ...] = ()


PAIRABLE: tuple[Callable[[Scene], None], ...] = (
    faults.own_latency,
    faults.error,
    faults_between.network_delay,
    faults_between.kill,
    faults_of_shape.silent_200,
    faults_of_shape.n_plus_one,
    faults.pool_exhaustion,
    faults.tail_latency,
    faults_between.saas_dependency,
)


def two_roots(scene: Scene) -> None:
    """Two independent faults at the same time."""
    first, second = scene.dice.shuffled(PAIRABLE)[:2]
    first(scene)
    before = list(scene.roots)
    second(scene)
    added = [name for name in scene.roots if name not in before]
    scene.details["faults"] = f"{first.__name__}+{second.__name__}"
    scene.found_granularity = "two"
    if not before or not added:
        raise NoTargetError
    scene.must_show = {before[0], added[0]}


_ERRORS = ("bare",)
_TABLE: dict[str, Archetype] = {
    "own_latency": Archetype(faults.own_latency, weight=3),
    "tail_latency": Archetype(faults.tail_latency, weight=2),
    "lock_contention": Archetype(faults.lock_contention),
    "error": Archetype(faults.error, weight=2, silent_in=_ERRORS),
    "intermittent_error": Archetype(faults.intermittent_error, weight=2, silent_in=_ERRORS),
    "refused": Archetype(faults_between.refused),
    "hang": Archetype(faults.hang),
    "kill": Archetype(faults_between.kill),
    "network_delay": Archetype(faults_between.network_delay, weight=2),
    "network_loss": Archetype(faults_between.network_loss, weight=2),
    "network_partition": Archetype(faults_between.network_partition),
    "dns": Archetype(faults_between.dns),
    "time_skew": Archetype(faults.time_skew),
    "silent_200": Archetype(faults_of_shape.silent_200, weight=2),
    "wrong_branch": Archetype(faults_of_shape.wrong_branch, weight=2),
    "n_plus_one": Archetype(faults_of_shape.n_plus_one),
    "retry_storm": Archetype(faults_of_shape.retry_storm),
    "timeout_inversion": Archetype(faults_of_shape.timeout_inversion),
    "pool_exhaustion": Archetype(faults.pool_exhaustion),
    "queue_backlog": Archetype(faults_of_shape.queue_backlog),
    "cache_miss_storm": Archetype(faults_of_shape.cache_miss_storm),
    "deploy_regression": Archetype(faults.deploy_regression, silent_in=_ERRORS),
    "saas_dependency": Archetype(faults_between.saas_dependency),
    "traffic_surge": Archetype(faults_of_shape.traffic_surge, marks=False),
    "traffic_drop": Archetype(faults_of_shape.traffic_drop, marks=False),
    "two_roots": Archetype(two_roots, weight=2, silent_in=_ERRORS),
    "healthy": Archetype(faults_of_shape.healthy, marks=False),
    "benign_deploy": Archetype(faults_of_shape.benign_deploy, marks=False),
    "benign_load_shift": Archetype(faults_of_shape.benign_load_shift, marks=False),
}
ARCHETYPES: tuple[str, ...] = tuple(_TABLE)
TRUE_NEGATIVES: tuple[str, ...] = ("healthy", "benign_deploy", "benign_load_shift")


def archetype_named(name: str) -> Archetype:
    """Return an archetype.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if name not in _TABLE:
        raise ValueError(f"archetype is {name!r}; expected one of {', '.join(_TABLE)}")
    return _TABLE[name]
