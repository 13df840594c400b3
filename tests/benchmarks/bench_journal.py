"""The price of an acknowledgement that means "on disk": the same load, in memory and with the journal, in turns.

Run: python -m tests.benchmarks.bench_journal [--quick]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.goals import Measured, show, write
from tests.benchmarks.load_client import prepare
from tests.benchmarks.server_under_load import QUIET_S, Load, Outcome, Product, drive

RATE = 100_000.0
WARM_LAPS = 2  # until the arena's pages have been touched (see bench_end_to_end)
WAYS: dict[str, dict[str, object]] = {
    "memory": {"durability": "memory"},
    "journal": {"durability": "journal"},
    "journal_zstd": {"durability": "journal", "journal": {"compression": "zstd"}},
}


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Everything in one run."""
    laps, seconds, traces = (1, 3.0, 600) if quick else (3, 6.0, 3000)
    with tempfile.TemporaryDirectory(prefix="bench_journal_", dir=".") as name:  # on a disk, not in memory
        folder = Path(name)
        data = prepare(folder / "gateway512", 512, "gateway", traces)
        products = {way: Product(folder / way, more) for way, more in WAYS.items()}
        try:
            return _race(products, data, laps, seconds)
        finally:
            for product in products.values():
                product.stop()


def _race(
    products: dict[str, Product], data: Path, laps: int, seconds: float
) -> tuple[list[Measured], dict[str, object]]:
    number = 1
    outcomes: dict[str, list[Outcome]] = {way: [] for way in products}
    for lap in range(WARM_LAPS + laps):
        for way, product in products.items():
            number += 100_000
            found = drive(product, Load(product.target, data, seconds, number), QUIET_S, 30.0)
            assert found.load["failed_calls"] == 0, f"{way}: {found.load}"
            assert found.analysed_spans >= found.load["acked_spans"], f"{way}: not all was analysed: {found}"
            if lap >= WARM_LAPS:
                outcomes[way].append(found)
    paced = {}
    for way, product in products.items():
        number += 100_000
        load = Load(product.target, data, seconds, number, "--rate", str(RATE), "--connections", "4")
        paced[way] = drive(product, load, QUIET_S, 30.0).load

    def middle(way: str) -> float:
        return statistics.median(one.spans_per_s for one in outcomes[way])

    for way in products:
        cpu = statistics.median(one.cpu_ns_per_span for one in outcomes[way])
        print(
            f"{way:14} {middle(way):10.0f} spans/s   cpu {cpu:6.0f} ns/span   at {RATE:.0f} spans/s: "
            f"ack p50 {paced[way]['ack_p50_ms']:.1f} p99 {paced[way]['ack_p99_ms']:.1f} ms"
        )
    share = f"of {middle('memory') / 1e6:.2f} M in memory, same run"
    return [
        Measured("journal", middle("journal") / 1e6, share),
        Measured("journal_zstd", middle("journal_zstd") / 1e6, share),
        Measured("journal_ack_p99", paced["journal"]["ack_p99_ms"], f"at {RATE:.0f} spans/s"),
    ], {
        "outcomes": {way: [one.__dict__ for one in found] for way, found in outcomes.items()},
        "paced": paced,
    }


if __name__ == "__main__":
    goals, numbers = run("--quick" in sys.argv)
    show(goals)
    write("journal", goals, numbers)
