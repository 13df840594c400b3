"""`firstfault evaluate`: cases on disk in, a table, a report and a picture out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from analyzer.evaluation import Method, Ranked
from analyzer.evaluation.methods import all_methods
from collector.cli import app
from collector.evaluate_cases import CaseError, read_case
from tests.support.case_folders import begun, write_case

CHECKOUT = """
gateway POST /checkout 0..100
  gateway CLIENT payment 40..90 peer.service=payment
    payment POST /charge 42..88
      payment CLIENT bank 50..80 peer.service=bank
        bank POST /authorise 52..78
"""
SLOW_BANK = """
gateway POST /checkout 0..400
  gateway CLIENT payment 40..390 peer.service=payment
    payment POST /charge 42..388
      payment CLIENT bank 50..380 peer.service=bank
        bank POST /authorise 52..378
"""
FAILING_PAYMENT = """
gateway POST /checkout 0..60 ERROR
  gateway CLIENT payment 40..50 ERROR peer.service=payment
    payment POST /charge 42..48 ERROR
"""
MEASURES = ("ac@1", "ac@3", "ac@5", "avg@5", "mrr", "all@n")
Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate() -> Evaluate:
    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)

    return run


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A slow bank, a failing payment; 60 healthy traces before each."""
    directory = tmp_path / "cases"
    write_case(directory / "1-bank", begun(CHECKOUT, 60), begun(SLOW_BANK, 40, from_ms=60_000, seed=2), ["bank"])
    write_case(
        directory / "2-payment",
        begun(CHECKOUT, 60),
        begun(FAILING_PAYMENT, 30, from_ms=60_000, seed=2) + begun(CHECKOUT, 10, from_ms=80_000, seed=3),
        ["payment"],
        packed=False,
        fault_type="error",
    )
    return directory


def reported(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def rankings(report: dict[str, Any]) -> dict[str, list[list[str]]]:
    return {name: [case["ranking"] for case in found["cases"]] for name, found in report["methods"].items()}


def test_every_method_is_scored_over_the_same_cases(evaluate: Evaluate, cases: Path):
    report = reported(evaluate(cases, "--method", "all", "--json", "-"))

    assert list(report["methods"]) == list(all_methods())
    for name, found in report["methods"].items():
        assert [case["case_id"] for case in found["cases"]] == ["1-bank", "2-payment"], name
        assert all(0.0 <= found[key] <= 1.0 for key in MEASURES), name
        assert found["ac@1"] <= found["ac@3"] <= found["ac@5"]
        assert set(found["by_fault_type"]) == {"delay", "error"}
        assert found["root_loudest"]["case_count"] + found["root_not_loudest"]["case_count"] == 2
        low, high = found["interval"]["ac@1"]
        assert low <= found["ac@1"] <= high
        assert found["seconds_per_case"] > 0
        assert found["failed_cases"] == 0
        assert found["ns_per_span"] > 0
    assert (report["window"], report["case_count"], report["broken"]) == ("oracle", 2, [])


def test_ranks_are_those_of_the_rankings(evaluate: Evaluate, cases: Path):
    """The loudest in the first case is the bank; what failed deepest in the second is payment."""
    report = reported(evaluate(cases, "--method", "max_z", "--method", "deepest_error", "--json", "-"))

    slow, failing = report["methods"]["deepest_error"]["cases"]
    assert (slow["ranking"][0], slow["rank"], slow["fault_type"]) == ("bank", 1, "delay")
    assert (failing["ranking"][0], failing["rank"], failing["root_cause_services"]) == ("payment", 1, ["payment"])
    assert report["methods"]["deepest_error"]["ac@1"] == 1.0
    assert report["methods"]["max_z"]["cases"][0]["root_loudest"]


def test_labels_do_not_leak(evaluate: Evaluate, cases: Path):
    """Whatever the labels say, rankings are the same; scores are not."""
    before = reported(evaluate(cases, "--method", "all", "--json", "-"))
    for number, (folder, roots) in enumerate([("1-bank", ["gateway"]), ("2-payment", ["bank", "nobody"])]):
        label = {"case_id": f"x{number}", "system": "y", "fault_type": "z", "root_cause_services": roots}
        (cases / folder / "case.json").write_text(json.dumps(label))

    after = reported(evaluate(cases, "--method", "all", "--json", "-"))

    assert rankings(after) == rankings(before)
    assert after["methods"]["deepest_error"]["ac@1"] < before["methods"]["deepest_error"]["ac@1"]


def test_the_oracle_knows_the_window_and_the_other_does_not(tmp_path: Path):
    """The fault file begins with 20 healthy traces; the label's window is after them."""
    mixed = begun(CHECKOUT, 20, from_ms=60_000, seed=3) + begun(SLOW_BANK, 30, from_ms=80_000, seed=2)
    folder = write_case(tmp_path / "mixed", begun(CHECKOUT, 60), mixed, ["bank"], window_ms=(80_000, 200_000))

    oracle = read_case(folder, "oracle")

    assert (oracle.window.trace_count, oracle.notes) == (30, ())
    wide = write_case(tmp_path / "wide", begun(CHECKOUT, 60), mixed, ["bank"], window_ms=(0, 1))
    assert read_case(wide, "oracle").window.trace_count == 50
    assert "no trace of the fault file starts in the window" in read_case(wide, "oracle").notes[0]
    assert (
        read_case(wide, "detected").window.trace_id.tolist() == read_case(folder, "detected").window.trace_id.tolist()
    )


def test_a_case_without_a_root_counts_false_alarms(evaluate: Evaluate, tmp_path: Path):
    """Healthy against healthy; the alert counter can hold its tongue, and is asked whether it did."""
    write_case(tmp_path / "calm", begun(CHECKOUT, 60), begun(CHECKOUT, 40, from_ms=60_000, seed=2), [])
    write_case(tmp_path / "loud", begun(CHECKOUT, 60), begun(SLOW_BANK, 40, from_ms=60_000, seed=2), [])

    report = reported(evaluate(tmp_path, "--method", "simple_rca", "--json", "-"))

    found = report["methods"]["simple_rca"]
    assert (found["ac@1"], found["true_negatives"]) == (None, {"case_count": 2, "false_alarms": 1})
    assert "1 of 2" in evaluate(tmp_path, "--method", "simple_rca").stdout


def test_one_case_may_be_given_directly(evaluate: Evaluate, cases: Path):
    report = reported(evaluate(cases / "1-bank", "--method", "max_z", "--json", "-"))

    assert [case["case_id"] for case in report["methods"]["max_z"]["cases"]] == ["1-bank"]


def test_the_table_has_a_line_for_each_method(evaluate: Evaluate, cases: Path):
    result = evaluate(cases, "--method", "random", "--method", "max_z")

    assert result.exit_code == 0
    assert {line.split()[0] for line in result.stdout.splitlines()[2:]} == {"random", "max_z"}


def test_broken_cases_are_told_and_the_others_live(evaluate: Evaluate, cases: Path):
    healthy = begun(CHECKOUT, 3)
    (cases / "3-torn" / "case.json").parent.mkdir()
    (cases / "3-torn" / "case.json").write_text("{")
    write_case(cases / "4-roots", healthy, healthy, [], root_cause_services="bank")
    (write_case(cases / "5-missing", healthy, healthy, []) / "fault.jsonl.gz").unlink()
    (write_case(cases / "6-empty", healthy, healthy, []) / "baseline.jsonl.gz").write_bytes(b"")
    (write_case(cases / "7-unlabelled", healthy, healthy, []) / "case.json").unlink()
    (cases / "notes").mkdir()

    result = evaluate(cases, "--method", "max_z", "--json", "-")

    report = reported(result)
    told = {one["case"]: one["reason"] for one in report["broken"]}
    assert report["case_count"] == 2
    assert set(told) == {"3-torn", "4-roots", "5-missing", "6-empty", "7-unlabelled"}
    assert "case.json is not JSON" in told["3-torn"]
    assert "root_cause_services is 'bank'; expected a list" in told["4-roots"]
    assert "found none where one fault.jsonl" in told["5-missing"]
    assert "no spans were read from baseline.jsonl.gz" in told["6-empty"]
    assert "cannot read case.json" in told["7-unlabelled"]
    assert "5 of 7 cases could not be used" in result.stderr


def test_a_method_that_breaks_has_no_answer_and_stops_no_other(
    evaluate: Evaluate, cases: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: object) -> Ranked:
        raise KeyError("an operation first seen in the window")

    usual = all_methods()
    monkeypatch.setattr("collector.evaluate.all_methods", lambda: {"broken": Method("broken", broken), **usual})

    result = evaluate(cases, "--method", "broken", "--method", "max_z", "--json", "-")

    report = reported(result)["methods"]
    assert (report["broken"]["failed_cases"], report["broken"]["ac@1"]) == (2, 0.0)
    assert report["broken"]["cases"][0]["failure"].startswith("KeyError: ")
    assert (report["max_z"]["failed_cases"], report["max_z"]["case_count"]) == (0, 2)
    assert "1-bank: broken failed: KeyError" in result.stderr


def test_lines_that_cannot_be_read_are_noted(evaluate: Evaluate, tmp_path: Path):
    """Half a line at the end of a file does not lose the case."""
    folder = write_case(tmp_path / "half", begun(CHECKOUT, 5), begun(CHECKOUT, 5), [], packed=False)
    with (folder / "fault.jsonl").open("a") as file:
        file.write('{"resourceSpans": [}\n')

    assert any("1 part" in note and "fault.jsonl" in note for note in read_case(folder, "oracle").notes)
    assert "1 of 1 cases: 1 parts of fault.jsonl could not be read" in evaluate(folder, "--method", "max_z").stderr


def test_two_files_for_one_thing_are_refused(tmp_path: Path):
    """Which of them is meant is not ours to guess."""
    folder = write_case(tmp_path / "twice", begun(CHECKOUT, 2), begun(CHECKOUT, 2), [])
    (folder / "fault.jsonl").write_text("")

    with pytest.raises(CaseError, match=r"found fault\.jsonl and fault\.jsonl\.gz"):
        read_case(folder, "oracle")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{cases}", "--method", "astrology"], "there is no method astrology; expected all, "),
        (["{cases}/nowhere"], "cannot read"),
        (["{empty}"], "no case in"),
        (["{cases}", "--method", "max_z", "--json", "{cases}/no/such.json"], "cannot write"),
    ],
)
def test_wrong_use_ends_with_2(evaluate: Evaluate, cases: Path, tmp_path: Path, arguments: list[str], told: str):
    (tmp_path / "empty").mkdir()

    result = evaluate(*(word.format(cases=cases, empty=tmp_path / "empty") for word in arguments))

    assert result.exit_code == 2
    assert told in result.stderr


def test_logs_between_the_traces_are_read_and_logs_alone_are_no_case(tmp_path: Path):
    """Some recordings write both signals into one file."""
    record = {"timeUnixNano": "1760000000000000000", "severityNumber": 17, "body": {"stringValue": "it broke"}}
    line = (
        json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record | {"traceId": "0" * 31 + "1"}]}]}]}) + "\n"
    )
    mixed = write_case(tmp_path / "mixed", begun(CHECKOUT, 3), begun(CHECKOUT, 3), [], packed=False)
    with (mixed / "fault.jsonl").open("a") as file:
        file.write(line)
    alone = write_case(tmp_path / "alone", begun(CHECKOUT, 3), begun(CHECKOUT, 3), [], packed=False)
    (alone / "fault.jsonl").write_text(line)

    assert len(read_case(mixed, "detected").window) == 15
    with pytest.raises(CaseError, match="the fault file holds no spans, only logs"):
        read_case(alone, "detected")


def test_a_root_without_spans_is_told_apart(evaluate: Evaluate, tmp_path: Path):
    """A dead database has no spans of its own: whoever ranks only services with spans cannot name it."""
    write_case(tmp_path / "dead", begun(CHECKOUT, 20), begun(FAILING_PAYMENT, 20, from_ms=60_000), ["ledger-db"])

    found = reported(evaluate(tmp_path, "--method", "max_z", "--json", "-"))["methods"]["max_z"]

    assert (found["root_not_seen"]["case_count"], found["root_not_seen"]["ac@1"]) == (1, 0.0)
    assert found["cases"][0]["rank"] is None


def test_without_matplotlib_it_says_what_to_install(
    evaluate: Evaluate, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(sys.modules, "collector.evaluate_plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)

    result = evaluate(cases, "--method", "max_z", "--plot", tmp_path / "out.png")

    assert result.exit_code == 2
    assert "install firstfault[evaluate]" in result.stderr


def test_the_picture_is_a_png(evaluate: Evaluate, cases: Path, tmp_path: Path):
    result = evaluate(cases, "--method", "all", "--plot", tmp_path / "out.png", "--json", tmp_path / "out.json")

    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert set(json.loads((tmp_path / "out.json").read_text())["methods"]) == set(all_methods())
    assert result.stdout.count("\n") == 2 + len(all_methods())
