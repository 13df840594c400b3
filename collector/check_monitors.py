"""`firstfault check-monitors FILE`: what is wrong with monitors of Datadog that people have.

In: a file of JSON, one monitor or a list of them. Out: a line for each trap. Exit status: 0 none was found, 1 some
were, 2 the file cannot be read.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from analyzer.reports.monitors_datadog import traps_of
from collector.verdict_text import plain

FILE_BYTES_MAX = 16 * 2**20
NAME_MAX = 80


def check_monitors(name: str) -> int:
    """Read, check, print; the exit status."""
    try:
        with Path(name).open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        return _cannot(f"cannot read {name}: {error.strerror}")
    if len(raw) > FILE_BYTES_MAX:
        return _cannot(f"{name} has more than {FILE_BYTES_MAX} bytes; expected some monitors")
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return _cannot(f"{name} is no JSON: {error}")
    monitors = found if isinstance(found, list) else [found]
    if not monitors or not all(isinstance(one, dict) for one in monitors):
        return _cannot(f"{name} holds no monitor; expected an object with type and query, or a list of them")
    count = 0
    for place, monitor in enumerate(monitors, 1):
        title = str(monitor.get("name") or f"monitor {place}")[:NAME_MAX]
        for trap in traps_of(monitor):
            sys.stdout.write(plain(f"{title}: {trap}") + "\n")
            count += 1
    if not count:
        sys.stdout.write("no trap is known in them\n" if len(monitors) > 1 else "no trap is known in it\n")
    return 1 if count else 0


def _cannot(text: str) -> int:
    sys.stderr.write(plain(text) + "\n")
    return 2
