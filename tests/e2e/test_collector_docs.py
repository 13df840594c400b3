"""Every configuration in the documentation is taken by the program it is for: the real Collector, or firstfault."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from collector.config import check
from tests.support.running import ROOT, environment
from tests.support.tools import built

PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL), 1)
]
COLLECTORS = [block for block in BLOCKS if "pipelines:" in str(block.values[0])]
OURS = [block for block in BLOCKS if block not in COLLECTORS]

pytestmark = [pytest.mark.e2e]


@pytest.mark.go
@pytest.mark.parametrize("block", COLLECTORS)
def test_the_collector_takes_its_configurations(tmp_path: Path, block: str):
    """By its own command; a directory that it would make is made here."""
    path = tmp_path / "otelcol.yaml"
    path.write_text(block.replace("/var/lib/otelcol", str(tmp_path)))

    done = subprocess.run(
        [built("go/otelcol", "Go"), "validate", "--config", path],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.go
def test_the_collector_would_say_what_is_wrong(tmp_path: Path):
    """The check above can fail."""
    path = tmp_path / "otelcol.yaml"
    path.write_text(str(COLLECTORS[0].values[0]).replace("sending_queue", "sending_queu"))

    done = subprocess.run(
        [built("go/otelcol", "Go"), "validate", "--config", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "sending_queu" in done.stderr


@pytest.mark.parametrize("block", OURS)
def test_firstfault_takes_its_configurations(block: str):
    check(yaml.safe_load(block))
