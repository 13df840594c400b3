"""How many receiver processes there are: the engine has a core left to it."""

from __future__ import annotations

import os

import pytest

from collector.config import Config
from collector.server import receiver_count


@pytest.mark.parametrize(("cores", "wanted", "count"), [(1, 0, 1), (2, 0, 1), (4, 0, 3), (2, 2, 2), (64, 3, 3)])
def test_one_less_than_there_are_cores_unless_said(
    monkeypatch: pytest.MonkeyPatch, cores: int, wanted: int, count: int
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert receiver_count(Config.model_validate({"service": {"processes": wanted}})) == count
