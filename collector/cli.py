"""The command line: `firstfault serve | root-cause | incidents | groups | analyze | report | doctor | demo | ...`.

Answers go to standard output, everything else to standard error. Exit status: 0 done, 1 the answer is
not there (or the demo is not all right), 2 wrong use.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
import yaml
from rich.console import Console

from analyzer.version import __version__
from collector.cli_operating import ConfigPath, fail, operating
from collector.config import Config, ConfigError, load_config, masked, read_tree

app = typer.Typer(
    name="firstfault",
    help="Where did the trouble begin? Root cause of failing and slow OpenTelemetry traces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(name="config", help="Check, print or describe the configuration.", no_args_is_help=True)
app.add_typer(config_app)
app.add_typer(operating)  # its commands stand beside ours


class ReportFormat(StrEnum):
    """How a report is written."""

    json = "json"
    markdown = "markdown"
    html = "html"
    monitors = "monitors"


@app.command()
def serve(
    config: ConfigPath = None,
    processes: Annotated[
        int | None, typer.Option(min=0, max=64, help="0: a receiver process a core, but one; 1: all in one process.")
    ] = None,
) -> None:
    """Run the server: OTLP in on 4317 and 4318, answers on 8080."""
    from collector.server import run

    tree = _read(config)
    if processes is not None:
        tree.setdefault("service", {})["processes"] = processes
    _check(tree)
    raise typer.Exit(run(tree))


@app.command("root-cause")
def root_cause(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits; behind them @tenant when a tenant sent it.")],
    server: Annotated[str, typer.Option(help="Address of a running firstfault.")] = "http://127.0.0.1:8080",
    wait: Annotated[float, typer.Option(help="Seconds to wait for a trace that is still open.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as one JSON object.")] = False,
) -> None:
    """Ask a running server for the root cause of one trace."""
    from collector.ask import ask_server

    raise typer.Exit(ask_server(server, trace_id, wait, as_json))


@app.command()
def incidents(
    incident_id: Annotated[str | None, typer.Argument(help="32 hex digits; without it: a list.")] = None,
    status: Annotated[str | None, typer.Option(help="open or closed; default both.")] = None,
    service: Annotated[str | None, typer.Option(help="Only where this service suffers or is suspected.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Lines of the list.")] = 20,
    server: Annotated[str, typer.Option(help="Address of a running firstfault.")] = "http://127.0.0.1:8080",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object of an incident per line.")] = False,
) -> None:
    """Ask a running server what is breaking the system, or was."""
    from collector.ask import ask_incidents

    raise typer.Exit(ask_incidents(server, incident_id, status, service, limit, as_json))


@app.command()
def groups(
    group_id: Annotated[str | None, typer.Argument(help="16 hex digits; without it: a list.")] = None,
    status: Annotated[
        str | None, typer.Option(help="new, ongoing, regressed, resolved or ignored; default all.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Only errors this service was seen in.")] = None,
    spiking: Annotated[bool, typer.Option("--spiking", help="Only those far above their own past now.")] = False,
    sort: Annotated[str, typer.Option(help="last_seen, first_seen, count or users.")] = "last_seen",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Lines of the list.")] = 20,
    server: Annotated[str, typer.Option(help="Address of a running firstfault.")] = "http://127.0.0.1:8080",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object of a group per line.")] = False,
) -> None:
    """Ask a running server which errors there are: each once, however many traces failed with it."""
    from collector.ask import ask_groups

    raise typer.Exit(ask_groups(server, group_id, status, service, sort, limit, as_json, spiking=spiking))


@app.command()
def impact(
    service: Annotated[str | None, typer.Option(help="Only it, and the groups that began in it.")] = None,
    group: Annotated[str | None, typer.Option(help="16 hex digits: only it, and the service it began in.")] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="Lines of each list.")] = 20,
    server: Annotated[str, typer.Option(help="Address of a running firstfault.")] = "http://127.0.0.1:8080",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole answer as one JSON object.")] = False,
) -> None:
    """Ask a running server whom errors hit today: users, sessions, tenants."""
    from collector.ask_impact import ask_impact

    raise typer.Exit(ask_impact(server, service, group, top, as_json))


@app.command()
def analyze(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="OTLP JSON, JSON lines or protobuf; plain, gz or zst; a JSON log; a stack trace; - is stdin."
        ),
    ] = None,
    text: Annotated[str, typer.Option(help="An error message or a stack trace, instead of files.")] = "",
    baseline: Annotated[
        list[str] | None, typer.Option(help="File of healthy traces to learn from; default: the input itself.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object of the answer's schema per line.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Answer for every trace, clean ones too.")] = False,
) -> None:
    """Find root causes in files, without a server; or say what a message, a stack trace or a log tells."""
    from collector.analyze_files import analyze_files, analyze_words

    if bool(text) == bool(files):
        fail("give files to analyze, or --text with a message or a stack trace")
    if text:
        raise typer.Exit(analyze_words(text, as_json=as_json))
    raise typer.Exit(analyze_files(files or [], baseline or [], as_json=as_json, everything=everything))


@app.command()
def regroup(
    files: Annotated[list[str], typer.Argument(help="Traces with errors, as `analyze` takes them.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="YAML file with errors.rules to be tried.")],
    against: Annotated[
        Path | None, typer.Option(help="YAML file with the rules that hold now; default: no rules.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say which groups of errors rules would merge, split or leave out, before they hold."""
    from collector.analyze_files import regroup_files

    try:
        wanted = load_config(config).errors.rules
        before = load_config(against).errors.rules if against is not None else []
    except ConfigError as error:
        fail(str(error))
    raise typer.Exit(regroup_files(files, wanted, before, as_json=as_json))


@app.command()
def evaluate(
    directory: Annotated[Path, typer.Argument(help="Folders of cases (case.json, baseline.*, fault.*), or one case.")],
    method: Annotated[
        list[str] | None, typer.Option(help="Method to score; may be given again; all: every one. Default: firstfault.")
    ] = None,
    json_out: Annotated[str, typer.Option("--json", help="Write the report to this file; - is stdout.")] = "",
    window: Annotated[
        Literal["oracle", "detected"],
        typer.Option(help="oracle: the window of the label; detected: found from the telemetry alone."),
    ] = "oracle",
    plot: Annotated[Path | None, typer.Option(help="Draw the comparison to this PNG.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    origins: Annotated[
        bool, typer.Option("--origins", help="Score the origins named in single traces of simulated cases instead.")
    ] = False,
) -> None:
    """Score methods on known faults, side by side."""
    if origins:
        from collector.evaluate_origins import evaluate_origins

        if method or plot or window != "oracle":
            fail("--origins scores firstfault trace by trace; it goes with --json only")
        raise typer.Exit(evaluate_origins(directory, json_out=json_out))
    from collector.evaluate import evaluate as run

    raise typer.Exit(run(directory, method or [], json_out=json_out, window=window, plot=plot, seed=seed))


@app.command("evaluate-detection")
def evaluate_detection(
    hours: Annotated[float, typer.Option(min=0.0, help="Of healthy traffic, beside the hour before each fault.")] = 60,
    faults: Annotated[int, typer.Option(min=0, help="Streams with a fault, of each archetype.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same streams.")] = 1,
    archetype: Annotated[list[str] | None, typer.Option(help="Only these faults; may be given again.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, help="Traces a second, mean over the day.")] = 1.0,
    json_out: Annotated[str, typer.Option("--json", help="Write the report to this file.")] = "",
) -> None:
    """Measure recall, false alarms and delay of detection on hours of simulated live traffic."""
    from collector.evaluate_detection import evaluate_detection as run

    raise typer.Exit(run(hours, faults, seed, archetype or [], rate, json_out))


@app.command()
def report(
    target: Annotated[
        str, typer.Argument(metavar="TRACE_ID|INCIDENT_ID|GROUP_ID|FILE", help="An id to ask a server, or a file.")
    ] = "",
    format: Annotated[ReportFormat, typer.Option("--format", "-f", help="How it is written.")] = ReportFormat.markdown,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write to; of several reports: a folder.")
    ] = None,
    baseline: Annotated[list[str] | None, typer.Option(help="FILE only: healthy traces to learn from.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="FILE only: reports at most.")] = 20,
    checkout: Annotated[str, typer.Option(metavar="DIR", help="FILE only: the application's code.")] = "",
    maps: Annotated[str, typer.Option(metavar="DIR", help="FILE only: source maps beside their bundles.")] = "",
    server: Annotated[str, typer.Option(help="Address of a running firstfault.")] = "http://127.0.0.1:8080",
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of reports, and nothing else.")
    ] = False,
) -> None:
    """Write a report: summary, cause, evidence, fix, tests, prevention, monitoring, runbook, five whys."""
    if schema:
        from analyzer.reports.model import report_schema

        sys.stdout.write(orjson.dumps(report_schema(), option=orjson.OPT_INDENT_2).decode() + "\n")
        return
    if not target:
        fail("give an id to ask a server, or a file; or --schema")
    from collector.report_command import write_report

    raise typer.Exit(write_report(target, format.value, output, baseline or [], limit, server, (checkout, maps)))


@app.command("convert-log")
def convert_log(
    files: Annotated[list[str], typer.Argument(help="JSON lines: ECS, OpenTelemetry, Datadog, plain; - is stdin.")],
    user: Annotated[
        Literal["keep", "hash", "drop"], typer.Option(help="User and session ids; hash keeps them countable.")
    ] = "hash",
    ip: Annotated[Literal["keep", "cut", "drop"], typer.Option(help="Addresses; cut keeps their network.")] = "cut",
) -> None:
    """Write logs of any dialect as lines of the log schema, naming nobody unless asked to."""
    from collector.convert_log import convert_logs

    raise typer.Exit(convert_logs(files, user, ip))


@app.command("check-monitors")
def check_monitors(
    file: Annotated[str, typer.Argument(help="JSON of Datadog monitors, one or a list, as their API gives them.")],
) -> None:
    """Say what is wrong with monitors you have: undefined ratios, silence nobody hears of, wrong units."""
    from collector.check_monitors import check_monitors as run

    raise typer.Exit(run(file))


@app.command()
def demo(once: Annotated[bool, typer.Option("--once", help="End after the ten faults.")] = False) -> None:
    """Run a small shop of real processes, break it in ten ways, show what is answered."""
    try:
        from collector.demo.runner import run
    except ModuleNotFoundError as error:
        fail(f"the demo needs {error.name}; install firstfault[demo] (make demo does)")
    raise typer.Exit(run(once, Console()))


@app.command()
def simulate(
    folder: Annotated[Path | None, typer.Argument(metavar="OUT_DIR", help="Gets one folder a case.")] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cases.")] = 1,
    archetype: Annotated[list[str] | None, typer.Option(help="Only these; may be given again.")] = None,
    span_loss: Annotated[float, typer.Option(help="Share of spans that never arrive, 0 to 0.2.")] = 0.05,
    traces: Annotated[int, typer.Option(min=1, help="Of the baseline, and of the window.")] = 400,
    lead_in: Annotated[int, typer.Option(min=0, help="Healthy traces before the onset in the fault file.")] = 0,
    live: Annotated[str, typer.Option(metavar="HOST:PORT", help="Send over OTLP/gRPC instead of writing.")] = "",
    pace: Annotated[float, typer.Option(min=0.0, help="Live: times as fast as it happened; 0: at once.")] = 0.0,
) -> None:
    """Draw labelled faults: case folders to evaluate with, or live spans."""
    from analyzer.simulator import CaseSettings
    from collector.simulate import simulate_cases

    if (folder is None) == (not live):
        fail("give a folder to write to, or --live HOST:PORT to send to")
    try:
        settings = CaseSettings(
            baseline_traces=traces, fault_traces=traces, lead_in_traces=lead_in, span_loss=span_loss
        )
    except ValueError as error:
        fail(str(error))
    raise typer.Exit(simulate_cases(folder, cases, seed, archetype or [], settings, live, pace))


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"{__version__}\n")


@config_app.command("check")
def config_check(config: ConfigPath = None) -> None:
    """Say whether the configuration can be used; all faults at once."""
    _check(_read(config))
    sys.stdout.write("the configuration is good\n")


@config_app.command("print")
def config_print(config: ConfigPath = None) -> None:
    """Print the whole configuration as it would be used, secrets masked."""
    try:
        found = load_config(config)
    except ConfigError as error:
        fail(str(error))
    yaml.safe_dump(masked(found), sys.stdout, sort_keys=False)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration."""
    sys.stdout.write(orjson.dumps(Config.model_json_schema(), option=orjson.OPT_INDENT_2).decode() + "\n")


def _read(path: Path | None) -> dict[str, Any]:
    try:
        return read_tree(path)
    except ConfigError as error:
        fail(str(error))


def _check(tree: dict[str, Any]) -> None:
    from collector.app.doors import check_files
    from collector.config import check

    try:
        check_files(check(tree))
    except ConfigError as error:
        fail(str(error))


def main() -> None:
    """Entry point. A bug of ours is told in a line; `FIRSTFAULT_TRACEBACK=1` shows where it is."""
    try:
        app()
    except Exception as error:
        if os.environ.get("FIRSTFAULT_TRACEBACK"):
            raise
        from collector.verdict_text import plain

        sys.stderr.write(
            plain(f"this is a bug of firstfault {__version__}: {type(error).__name__}: {error}")
            + "\nplease report it with what FIRSTFAULT_TRACEBACK=1 shows\n"
        )
        sys.exit(1)
