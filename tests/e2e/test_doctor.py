"""`firstfault doctor` beside a server that runs, and a server that must not start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.running import environment, firstfault, serving, write_configuration

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def test_the_doctor_knows_the_ports_of_a_server_that_runs(tmp_path: Path):
    """They are held by us: nothing to worry about."""
    with serving(tmp_path) as server:
        done = firstfault("doctor", "--json", "--config", tmp_path / "config.yaml", timeout=120)

    checks = json.loads(done.stdout)["checks"]
    ports = [check for check in checks if check["name"].startswith("port ")]
    assert done.returncode == 0, done.stdout
    assert len(ports) == 6
    assert all(f"(process {server.process.pid})" in check["words"] for check in ports)
    assert [check["level"] for check in checks if check["name"] == "compiled kernels"] == ["ok"]


def test_a_server_does_not_start_with_kernels_that_others_may_write(tmp_path: Path):
    """Exit status 2, the folder and what to do; nothing was opened or made."""
    path, _, _ = write_configuration(tmp_path)
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)

    done = firstfault("serve", "--config", path, env=environment() | {"NUMBA_CACHE_DIR": str(cache)})

    assert done.returncode == 2
    assert f"cannot start: kernel cache: {cache} has mode 0777".encode() in done.stderr
    assert f"chmod -R go-w {cache}".encode() in done.stderr
    assert not (tmp_path / "store").exists()
    assert list(cache.iterdir()) == []
