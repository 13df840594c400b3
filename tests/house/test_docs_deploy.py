"""What docs/deploy.md says is so: settings, metrics, ports, bounds."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from collector.config import Config, check
from collector.metric_table import METRICS
from collector.query import peer_calls
from tests.support.dockerfile import read_dockerfile

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()


def test_the_example_configurations_are_accepted():
    examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

    assert examples
    for example in examples:
        check(yaml.safe_load(example))


def test_every_setting_named_exists():
    for name in ("assembly.memory_bytes_max", "incidents.spans_max", "storage.bytes_max", "storage.retention_hours",
                 "service.stop_timeout_s", "service.processes", "query.peers"):  # fmt: skip
        assert f"`{name}`" in PAGE
        place: object = Config()
        for key in name.split("."):
            place = getattr(place, key)


def test_every_metric_named_exists():
    named = set(re.findall(r"`firstfault_([a-z_]+?)(?:_total)?[`{]", PAGE))

    assert len(named) >= 5
    assert named - set(METRICS) == set()


def test_the_ports_are_those_of_the_image():
    table = re.findall(r"^\| ([\d, ]+) \|", PAGE, re.MULTILINE)
    _, stages = read_dockerfile(ROOT / "Dockerfile")

    assert {int(port) for row in table for port in row.split(",")} == set(map(int, stages[-1].last("EXPOSE").words))


def test_the_bounds_are_those_of_the_program():
    assert f"{peer_calls.SKETCH_BYTES_MAX // 2**10} KiB are read of a sketch" in PAGE
    assert f"{peer_calls.WHOLE_BYTES_MAX // 2**20} MiB of spans in all" in PAGE
    assert f"at most {peer_calls.CONNECTIONS_MAX} connections" in PAGE
    assert Config().query.peers.timeout_s == 0.5
    assert Config().service.stop_timeout_s == 10
