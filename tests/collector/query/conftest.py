"""Fixtures of the questions: a room of its own for each test."""

from __future__ import annotations

import pytest

from tests.collector.query.rooms import Room


@pytest.fixture
def room() -> Room:
    return Room()
