"""Commands of those who run a server: does it work, does it go on working, would it work here.

Exit status: 0 all is well, 1 it is not, 2 wrong use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

operating = typer.Typer()

ConfigPath = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file; without one the defaults (loopback only) hold.")
]
Otlp = Annotated[str, typer.Option(metavar="HOST:PORT", help="OTLP/gRPC receiver; https://HOST:PORT with TLS.")]
Query = Annotated[str, typer.Option(metavar="URL", help="The query API.")]
CaFile = Annotated[Path | None, typer.Option(help="Who signed the server's certificate; default: the system's.")]
CertFile = Annotated[Path | None, typer.Option(help="A certificate of ours, where the server asks for one.")]
KeyFile = Annotated[Path | None, typer.Option(help="Its key.")]


def fail(message: str) -> NoReturn:
    """Say what is wrong with what was asked for, and end."""
    sys.stderr.write(message + "\n")
    raise typer.Exit(2)


@operating.command()
def selftest(
    otlp: Otlp = "127.0.0.1:4317",
    query: Query = "http://127.0.0.1:8080",
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds, for everything together.")] = 60.0,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Send one failing trace to a running server and ask for its root cause; 0 only if the answer is right.

    FIRSTFAULT_TOKEN is sent when it is set; FIRSTFAULT_CA_FILE is the default of --ca-file.
    """
    from collector.probing import keys_of
    from collector.selftest import selftest as run

    if (cert_file is None) != (key_file is None):
        fail("--cert-file and --key-file go together")
    raise typer.Exit(run(otlp, query, timeout, keys_of(ca_file, cert_file, key_file)))


@operating.command()
def canary(
    otlp: Otlp = "127.0.0.1:4317",
    query: Query = "http://127.0.0.1:8080",
    every: Annotated[float, typer.Option(min=1.0, help="Seconds from one round to the next.")] = 60.0,
    once: Annotated[bool, typer.Option("--once", help="One round, a table; 0 only if all answers are right.")] = False,
    metrics: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where our own metrics are; not with --once.")
    ] = "127.0.0.1:9464",
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault; may be given again.")] = None,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds, for each answer.")] = 60.0,
    reread_hours: Annotated[
        float, typer.Option(min=0.0, help="Older traces are asked for again up to this age; 0: never.")
    ] = 24.0,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
) -> None:
    """Plant known faults in a running server again and again, and export whether its answers are right.

    FIRSTFAULT_TOKEN is sent when it is set; FIRSTFAULT_CA_FILE is the default of --ca-file.
    """
    from collector.canary import NAME, WAIT_S, run, run_once, start_logging
    from collector.canary_faults import chosen
    from collector.config_base import endpoint
    from collector.probing import Doors, ProbeError, address, keys_of

    if (cert_file is None) != (key_file is None):
        fail("--cert-file and --key-file go together")
    try:
        faults = chosen(fault or [])
        endpoint(metrics)
        keys = keys_of(ca_file, cert_file, key_file)
        doors = Doors(address(otlp, 4317), address(query, 8080), keys, NAME, WAIT_S)
    except (ProbeError, ValueError) as error:
        fail(str(error))
    start_logging()
    if once:
        raise typer.Exit(run_once(doors, faults, timeout))
    raise typer.Exit(run(doors, faults, timeout, reread_hours * 3600, every, metrics))


@operating.command()
def doctor(
    config: ConfigPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Look at this machine and a configuration: would the server run here, and is anything about to go wrong?"""
    from collector.doctor import run

    raise typer.Exit(run(config, as_json=as_json))
