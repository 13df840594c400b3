"""A store, a sink of each protocol, and a delivery between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.store.sqlite import SqliteStore
from tests.collector.exporters.deliveries import Bench
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.otlp_sink import GrpcSink, HttpSink


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    store = SqliteStore.open(tmp_path / "shelf", clock=clock)
    yield store
    store.close()


@pytest.fixture(params=["grpc", "http"])
def sink(request: pytest.FixtureRequest) -> Iterator[GrpcSink | HttpSink]:
    with GrpcSink() if request.param == "grpc" else HttpSink() as sink:
        yield sink


@pytest.fixture
def bench(store: SqliteStore, sink: GrpcSink | HttpSink, clock: ManualClock) -> Iterator[Bench]:
    bench = Bench(store, sink, clock)
    yield bench
    bench.exporter.stop(10)
