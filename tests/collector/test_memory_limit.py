"""Assembly takes a share of the memory that is really ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.app.engine_room import assembly_config
from collector.config_assembly import Assembly
from collector.memory_limit import memory_limit, open_traces_bytes

MIB, GIB = 2**20, 2**30


def test_the_limit_of_the_control_group_counts(tmp_path: Path):
    """The smallest of all that hold for us; "max" is none."""
    own = tmp_path / "own"
    own.write_text("0::/pods/one\n")
    (tmp_path / "pods" / "one").mkdir(parents=True)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "pods" / "one" / "memory.max").write_text("536870912\n")

    assert memory_limit(tmp_path, own) == 2**29
    assert memory_limit(tmp_path / "nothing", tmp_path / "nothing") > 2**29


@pytest.mark.parametrize(
    ("limit", "share"),
    [(256 * MIB, 128 * MIB), (GIB, GIB // 6), (3 * GIB, 512 * MIB), (6 * GIB, GIB), (256 * GIB, GIB)],
)
def test_open_traces_take_a_sixth_within_bounds(limit: int, share: int):
    assert open_traces_bytes(limit) == share


def test_what_is_told_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("collector.app.engine_room.memory_limit", lambda: GIB)

    assert assembly_config(Assembly()).arena_bytes == GIB // 6
    assert assembly_config(Assembly(memory_bytes_max=32 * MIB)).arena_bytes == 32 * MIB
