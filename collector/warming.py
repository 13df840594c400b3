"""Every kernel loaded (or compiled, once per install) before the first request: nothing compiles at run time."""

from __future__ import annotations


def warm_receiver() -> None:
    """Load what a receiver process uses: the guard's scanner."""
    from collector.wire import limits

    limits.warm()


def warm() -> None:
    """Load what an engine (or an analysis in the query process) uses."""
    from analyzer import baselines, forest, latency, structure
    from analyzer.origins import warm as warm_origins
    from collector.assembly import kernels as assembly
    from collector.wire import decode, limits

    limits.warm()
    decode.warm()
    assembly.warm()
    forest.warm()
    warm_origins()
    baselines.warm()
    structure.warm()
    latency.warm()
