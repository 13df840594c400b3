"""Every kernel loaded (or compiled, once per install) before the first request: nothing compiles at run time."""

from __future__ import annotations


def warm_receiver() -> None:
    """Load what a receiver process uses: the guard's scanner, the budget of JSON, the stamp of tenants."""
    from collector.wire import json_budget, limits, stamp  # noqa: F401 - kernels with a signature are ready when imported

    limits.warm()


def warm() -> None:
    """Load what an engine (or an analysis in the query process) uses."""
    import analyzer.detection
    import analyzer.engine  # noqa: F401
    from analyzer.kernels import grouping  # noqa: F401 - of the ranking, which only an incident needs
    from analyzer.origins import warm as warm_origins
    from analyzer.strings import new_vocabulary
    from collector import needles  # noqa: F401 - with signatures, ready when imported
    from collector.assembly.warm import warm as warm_assembly
    from collector.wire import decode, grouped, limits  # noqa: F401 - grouped is too
    from collector.wire.detail import read_detail

    limits.warm()
    decode.warm()
    warm_assembly(new_vocabulary(strings_max=4, operations_max=4, resources_max=4, scopes_max=4), read_detail)
    warm_origins()


if __name__ == "__main__":
    warm_receiver()
    warm()
