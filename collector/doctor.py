"""`firstfault doctor`: would a server run here, with this configuration, and is anything about to go wrong?

In: a configuration's file. Out: a line for each thing that was looked at (ok, warn, fault) with what to do; exit
status 1 when one is a fault. Changes nothing; the file in the data directory that times the disk has no name.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from collector.app.doors import check_files
from collector.config import Config, ConfigError, load_config
from collector.doctor_machine import check_clock, check_disk, check_files_max, check_kernels, check_memory
from collector.doctor_network import check_certificates, check_doors, check_exporter, check_peers, check_ports
from collector.floors import Line, check_floors
from collector.verdict_text import plain

_WIDTH = 24


def run(config: Path | None, *, as_json: bool) -> int:
    """Look, print; the exit status: 1 when something is a fault."""
    lines = examine(config)
    faults = sum(line.level == "fault" for line in lines)
    warnings = sum(line.level == "warn" for line in lines)
    if as_json:
        told = [
            {"name": line.name, "level": line.level, "words": line.words} | ({"todo": line.todo} if line.todo else {})
            for line in lines
        ]
        found = {"well": not faults, "faults": faults, "warnings": warnings, "checks": told}
        sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        for line in lines:
            sys.stdout.write(f"{line.level:<6} {plain(line.name):<{_WIDTH}} {plain(line.words)}\n")
            if line.todo and line.level != "ok":
                sys.stdout.write(f"{'':<6} {'':<{_WIDTH}} -> {plain(line.todo)}\n")
        sys.stdout.write(f"{faults} fault(s), {warnings} warning(s) in {len(lines)} checks\n")
    return 1 if faults else 0


def examine(path: Path | None) -> list[Line]:
    """Look at everything; without a usable configuration only at the machine."""
    lines, config = _configuration(path)
    checks: list[tuple[str, Callable[[], Iterable[Line]]]] = [
        ("versions", check_floors),
        ("compiled kernels", check_kernels),
        ("clock", check_clock),
    ]
    if config is not None:
        settings = config
        checks += [
            ("ports", lambda: check_ports(settings)),
            ("open doors", lambda: check_doors(settings)),
            ("data directory", lambda: check_disk(settings)),
            ("open files", lambda: check_files_max(settings)),
            ("memory", lambda: check_memory(settings)),
            ("certificates", lambda: check_certificates(settings)),
            ("exporter", lambda: check_exporter(settings)),
            ("peers", lambda: check_peers(settings)),
        ]
    for name, check in checks:
        try:
            lines += check()
        except OSError as error:  # of a check that did not think of it: the others are still looked at
            lines.append(Line(name, "warn", f"cannot be looked at: {error}"))
    return lines


def _configuration(path: Path | None) -> tuple[list[Line], Config | None]:
    try:
        config = load_config(path)
    except ConfigError as error:
        return [Line("configuration", "fault", _flat(error), "see `firstfault config schema`")], None
    good = Line("configuration", "ok", str(path) if path is not None else "the defaults and the environment")
    try:
        check_files(config)
    except ConfigError as error:
        return [good, Line("configured files", "fault", _flat(error), "mend or exchange the files named")], config
    return [good], config


def _flat(error: ConfigError) -> str:
    """Lines of several faults in one."""
    return "; ".join(part.strip() for part in str(error).splitlines()).replace(":;", ":", 1)
