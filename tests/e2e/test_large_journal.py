"""A start with a journal of 256 MiB: all of it is read before the server says that it is ready, in time (R2)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.benchmarks.server_under_load import cpu_s
from tests.support.filled_journal import fill
from tests.support.planted import Plan, Verdict, conserve, verify
from tests.support.running import end, start, write_configuration

pytestmark = [pytest.mark.e2e, pytest.mark.deep]

JOURNAL_BYTES = 256 * 2**20
READY_S = 10.0
SPANS_PER_S = 50_000
PLANTED_EVERY = 200
REQUEST_TRACES = 200


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_large_journal_is_read_before_readiness_and_in_time(tmp_path: Path, processes: int):
    """Time is that of the processor, of the process that reads, from its first instruction on: others work here too.

    Nearly all of a start is one thread, so on a machine of its own the clock shows about this sum.
    """
    plan = Plan(256, PLANTED_EVERY)
    path, tree, ports = write_configuration(tmp_path, processes=processes)
    number, spans = fill(Path(tree["storage"]["path"]) / "journal", plan, JOURNAL_BYTES, REQUEST_TRACES)
    began = time.monotonic()
    server = start(tmp_path, path, tree, ports)
    try:
        server.until(lambda: server.metrics().get("journal_replayed_requests", 0) > 0, "the replay to begin", 300)
        if server.ready():  # it was over before we looked; else it goes on, and nobody may call it ready
            assert server.metrics()["journal_replayed_requests"] == number // REQUEST_TRACES
        server.until(server.ready, "readiness", 300)
        reader = server.children()["engine"][0] if processes > 1 else server.process.pid
        spent_s, took_s = cpu_s(reader), time.monotonic() - began
        metrics = server.metrics()
        print(f"{spans} spans, {processes} processes: ready after {spent_s:.1f} s of the processor, {took_s:.1f} s")
        assert metrics["journal_replayed_spans"] == spans
        assert metrics["journal_recovery_lost_records"] == 0
        assert spent_s <= READY_S
        assert spans / spent_s >= SPANS_PER_S

        server.until(lambda: server.metrics()["assembly_open_traces"] == 0, "decisions", 300)
        assert conserve(server)["analyzer_untold_traces"] == 0
        assert verify(server, plan, range(number)) == Verdict()
    finally:
        end(server)
