"""What the image promises: small, sealed, reproducible; every rule is one test."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from collector.config import Config, check
from tests.support.dockerfile import context_of, environment_of, read_dockerfile

ROOT = Path(__file__).parents[2]
ARGUMENTS, STAGES = read_dockerfile(ROOT / "Dockerfile")
FINAL = STAGES[-1]
RUNS = [step.text for stage in STAGES for step in stage.all("RUN")]
LINTER = ROOT / ".tools" / "go" / "dockerfile"  # tests/go/dockerfile, built by make
CONFIG = yaml.safe_load((ROOT / "container" / "config.yaml").read_text())


def lint(text: str) -> str:
    """What BuildKit says of it. In CI its linter must be there; elsewhere the reason is told."""
    if not LINTER.exists():
        reason = f"{LINTER.relative_to(ROOT)} is not built; run make test, with Go installed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run([LINTER], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


@pytest.mark.go
def test_buildkit_finds_no_fault():
    assert lint((ROOT / "Dockerfile").read_text()) == ""


@pytest.mark.go
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("FROM a\nCOPPY b c\n", "unknown instruction: COPPY"),
        ("FROM a as b\n", "FromAsCasing"),
        ("FROM a AS Big\n", "StageNameCasing"),
        ("FROM a\nHEALTHCHECK --often CMD x\n", "unknown flag: --often"),
        ("FROM a\nMAINTAINER b\n", "MaintainerDeprecated"),
    ],
)
def test_buildkit_finds_faults(text: str, words: str):
    assert words in lint(text)


def test_every_variable_is_declared_in_its_stage():
    """What is declared before FROM is empty in a stage that does not name it again."""
    for stage in STAGES:
        declared = set(environment_of(STAGES, stage))
        for step in stage.steps:
            if step.word == "ARG":
                declared.add(step.text.partition("=")[0])
            assert set(re.findall(r"\$\{?(\w+)", step.text)) <= declared, step


def test_it_runs_as_nobody():
    """A number: Kubernetes must see that it is not root."""
    assert FINAL.last("USER").text == "65532:65532"


def test_the_base_is_slim_and_named_with_its_versions():
    bases = {stage.base for stage in STAGES} - {stage.name for stage in STAGES}

    assert bases == {"python:3.11-slim-bookworm"}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == f">={ARGUMENTS['PYTHON_VERSION']}"


def test_nothing_is_run_in_the_final_stage():
    """It is copied together: no shell step, no installer, no second layer of what was removed."""
    assert FINAL.all("RUN") == []
    assert FINAL.all("ADD") == [step for stage in STAGES for step in stage.all("ADD")] == []


def test_everything_installed_is_pinned_by_hash():
    installs = [run for run in RUNS if " install " in run and "pip" in run]

    assert installs
    for run in installs:
        assert "--require-hashes --only-binary :all:" in run or "--no-deps --no-index" in run, run
    for name in ("requirements.lock", "requirements-build.lock"):
        pins = re.findall(r"^[a-z0-9-]+==\S+.*$", (ROOT / name).read_text(), re.MULTILINE)
        assert pins
        assert (ROOT / name).read_text().count("--hash=sha256:") >= len(pins)


def test_the_builder_is_the_one_that_tests_use():
    """What builds the wheel has the versions of the development lock."""
    pin = re.compile(r"^([a-z0-9-]+==[^\s;]+)", re.MULTILINE)
    ours = set(pin.findall((ROOT / "requirements-build.lock").read_text()))

    assert ours <= set(pin.findall((ROOT / "requirements-dev.lock").read_text()))


def test_kernels_are_compiled_as_the_last_step_that_changes_the_program():
    (build,) = [stage for stage in STAGES if stage.name == "build"]
    runs = [step.text for step in build.all("RUN")]

    assert runs[-2] == "bin/python -m collector.app.warming"
    assert not re.search(r"/opt/firstfault", runs[-1])


def test_both_stages_look_for_kernels_in_the_same_place():
    for stage in STAGES[1:]:
        environment = environment_of(STAGES, stage)
        assert environment["NUMBA_CPU_NAME"] == "generic"
        assert environment["NUMBA_CACHE_LOCATOR_CLASSES"] == "collector.app.sealed_cache.SealedCacheLocator"


def test_it_stops_is_probed_and_labelled():
    assert FINAL.last("STOPSIGNAL").text == "SIGTERM"
    assert '["/opt/firstfault/bin/python", "-m", "collector.app.probe"]' in FINAL.last("HEALTHCHECK").text
    labels = " ".join(step.text for step in FINAL.all("LABEL"))
    for name in ("title", "description", "licenses", "version", "revision", "created", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert FINAL.last("ENTRYPOINT").words == ["firstfault"]
    assert FINAL.last("CMD").words == ["serve", "--config", "/etc/firstfault/config.yaml"]


def test_it_holds_no_secret():
    for stage in STAGES:
        for step in stage.steps:
            assert not re.search(r"(?i)(password|secret|token|api_?key)", step.text), step


def test_only_what_is_copied_is_in_the_context():
    wanted = {"Dockerfile"}
    for stage in STAGES:
        for step in stage.all("COPY"):
            if "--from=" not in step.text:
                wanted |= {source.split("/")[0] for source in step.words[:-1]}

    assert set(context_of(ROOT)) == wanted
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_the_configuration_of_the_image_is_good_and_opens_the_exposed_ports():
    config = check(CONFIG)

    assert str(config.storage.path) == FINAL.last("WORKDIR").text == FINAL.last("VOLUME").words[0]
    assert {int(port) for port in FINAL.last("EXPOSE").words} == {port for _, port in endpoints(config)}
    assert {host for host, _ in endpoints(config)} == {"0.0.0.0"}


def endpoints(config: Config) -> list[tuple[str, int]]:
    protocols = config.receivers.otlp.protocols
    found = [
        protocols.grpc.endpoint,
        protocols.http.endpoint,
        config.query.endpoint,
        config.query.grpc_endpoint,
        config.service.telemetry.metrics.endpoint,
        config.service.health.endpoint,
    ]
    return [(one.rpartition(":")[0], int(one.rpartition(":")[2])) for one in found]


@pytest.mark.parametrize("text", ["FROM a AS b\nRUN x \\\n  && y\n# c\nCOPY a b\n"])
def test_the_reader_joins_lines(tmp_path: Path, text: str):
    (tmp_path / "Dockerfile").write_text(text)

    _, (stage,) = read_dockerfile(tmp_path / "Dockerfile")

    assert [(step.line, step.word, step.words) for step in stage.steps] == [
        (2, "RUN", ["x", "&&", "y"]),
        (5, "COPY", ["a", "b"]),
    ]
