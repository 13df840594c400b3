"""Damaged storage never stops a start: what is bad is renamed and counted, never deleted; the rest is read (R3).

One directory is made once, as a killed server leaves it: two earlier hours with messages that wait, an hour that is
being written (with its WAL), traces decided and not, a journal of several segments. Each seed spoils a copy of it and
starts; most in this process, over the same rooms, some the whole program.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from collector.app.durability import handover
from collector.app.engine_room import EngineRoom
from collector.app.source import DirectSource
from collector.config import check
from collector.contracts import OutboxItem, Signal
from collector.store.database import NewerFileError
from collector.store.sqlite import SqliteStore
from tests.support.answers import stored
from tests.support.answers import trace_id as earlier_id
from tests.support.fakes.clock import ManualClock
from tests.support.filled_journal import fill
from tests.support.planted import Plan
from tests.support.running import again, end, free_port, start, write_configuration
from tests.support.wrecks import Wreck, spoil

pytestmark = pytest.mark.e2e

SEEDS = 300
WHOLE_EVERY = 12  # of these as the whole program
READY_S = 15.0
RECORD_TRACES = 20  # no more than one of them failing
DECIDED = 800
EARLIER_HOURS, EARLIER_TRACES = 2, 20
PLAN = Plan(3, every=40)
QUICK = {"root_idle_s": 0.05, "root_idle_min_s": 0.05, "root_idle_max_s": 0.1, "idle_s": 0.1, "memory_bytes_max": 2**26}
# What no checksum of SQLite's covers: its pages have none, and a WAL is read up to the first frame that is not right.
SILENT = ("hour flip", "hour zero sector", "hour cut", "hour gone", "wal ", "shm ")


def waiting(number: int) -> OutboxItem:
    return OutboxItem(b"earlier-%d" % number, "otlp", Signal.LOGS, b"a message that waits")


class Good:
    """The directory before the accident, and what was acknowledged into it."""

    def __init__(self, folder: Path) -> None:
        changes = {
            "assembly": QUICK,
            "journal": {"segment_bytes": 2**20},
            "exporters": {"otlp": {"endpoint": f"127.0.0.1:{free_port()}"}},  # nobody is there: messages wait
        }
        self.path, self.tree, self.ports = write_configuration(folder, processes=1, changes=changes)
        self.store = Path(self.tree["storage"]["path"])
        clock = ManualClock(time.time_ns())
        clock.advance(-3600 * EARLIER_HOURS)
        self.earlier = []
        for hour in range(EARLIER_HOURS):
            numbers = range(hour * EARLIER_TRACES, (hour + 1) * EARLIER_TRACES)
            store = SqliteStore.open(self.store, clock=clock)
            store.put([stored(number, exports=(waiting(number),)) for number in numbers])
            store.close()
            self.earlier += [earlier_id(number) for number in numbers]
            clock.advance(3600)
        with again(folder, self.path, self.tree, self.ports) as server:
            server.send(PLAN.request(range(DECIDED))[0])
            decided = len([n for n in range(DECIDED) if PLAN.fault(n)])
            server.until(lambda: server.metrics().get("store_stored_findings", 0) >= decided, "decisions")
            server.until(lambda: any((self.store / "journal").glob("*/passed")), "progress noted")
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(10)
        self.end, _ = fill(self.store / "journal", PLAN, 4 * 2**20, RECORD_TRACES, first=DECIDED, segment_bytes=2**20)

    def copy(self, folder: Path) -> tuple[Path, dict[str, Any]]:
        """Configuration of a copy."""
        folder.mkdir(parents=True)
        shutil.copytree(self.store, folder / "store")
        tree = self.tree | {"storage": self.tree["storage"] | {"path": str(folder / "store")}}
        return folder / "store", tree

    def missing(self, store: SqliteStore) -> Counter[str]:
        """How many acknowledged failing traces have no answer, by where they were."""
        found: Counter[str] = Counter()
        for number in range(self.end):
            if PLAN.fault(number) and store.find(PLAN.trace_id(number)).answer is None:
                found["shelf" if number < DECIDED else "journal"] += 1
        found["shelf"] += sum(store.find(trace_id).answer is None for trace_id in self.earlier)
        return found


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return Good(tmp_path_factory.mktemp("good"))


def hold_against(wreck: Wreck, store: Path, metrics: dict[str, float], missing: Counter[str]) -> None:
    """Nothing that cannot be read was deleted, and what is missing was counted."""
    names = {path.name for path in wreck.victim.parent.rglob("*")}
    said = f"{wreck.kind} of {wreck.victim.name}: {missing}, {metrics}, {sorted(names)}"
    lost = metrics["journal_recovery_lost_records"]
    gaps, torn = metrics["journal_missing_records"], metrics["journal_torn_tails"]
    quarantined = metrics["store_quarantined_files"]
    if wreck.kind.startswith("segment"):
        assert missing["shelf"] == 0, said
        if lost and wreck.kind not in ("segment swapped", "segment copied"):
            kept = list(wreck.victim.parent.rglob(wreck.victim.name + ".damaged*"))
            assert kept, said
            if kept[0].is_file():
                assert kept[0].read_bytes() == wreck.content, said
        if not wreck.is_newest:
            assert missing["journal"] <= gaps, said
        elif wreck.kind not in ("segment gone", "segment empty"):  # behind the newest record nobody can know how many
            assert not missing["journal"] or gaps + torn + lost, said
        return
    assert missing["journal"] == 0, said
    assert lost == 0, said
    if missing["shelf"] and not wreck.kind.startswith(SILENT):
        assert quarantined >= 1, said
    if quarantined and wreck.victim.suffix == ".sqlite" and wreck.victim.name not in names:
        assert f"{wreck.victim.name}.corrupt-1" in names, said
    if quarantined and wreck.kind in ("hour rubbish", "meta rubbish"):
        assert wreck.victim.with_name(f"{wreck.victim.name}.corrupt-1").read_bytes() == wreck.content, said


def start_here(good: Good, folder: Path, seed: int) -> tuple[str, Counter[str]]:
    """Spoil, start the rooms of one process, decide, ask."""
    store, tree = good.copy(folder)
    wreck = spoil(store, seed)
    before = {path: path.read_bytes() for path in store.glob("*.sqlite") if path.is_file()}
    config = check(tree)
    source = DirectSource("receiver-0", 2**26)
    try:
        _, journal = handover(config, "receiver-0", source, 1)
        engine = EngineRoom(config, source)
    except NewerFileError:
        assert wreck.kind.endswith(" newer"), wreck
        assert before == {path: path.read_bytes() for path in before}, wreck  # left alone
        return wreck.kind, Counter()
    try:
        engine.start()
        assert engine.not_ready() == ""
        deadline = time.monotonic() + 60
        while not is_decided(engine.snapshot()):
            assert time.monotonic() < deadline, wreck
            time.sleep(0.02)
        metrics = {key: value for key, value in {**engine.snapshot(), **journal()}.items() if isinstance(key, str)}
        assert metrics["analyzer_untold_traces"] == 0
        reader = SqliteStore.open(store, read_only=True)
        missing = good.missing(reader)
        reader.close()
    finally:
        assert engine.stop(10.0)
    metrics["store_quarantined_files"] = metrics.get("store_quarantined_files", 0)
    hold_against(wreck, store, metrics, missing)  # type: ignore[arg-type]
    return wreck.kind, missing


def start_whole(good: Good, folder: Path, seed: int) -> tuple[str, Counter[str]]:
    """Spoil, start the program in its processes, ask over its own reader; then stop, and start once more."""
    path, tree, ports = write_configuration(
        folder,
        processes=1 + seed // WHOLE_EVERY % 2,
        exporter=f"127.0.0.1:{free_port()}",
        changes={"assembly": QUICK, "journal": {"segment_bytes": 2**20}},
    )
    store = folder / "store"
    shutil.copytree(good.store, store)
    wreck = spoil(store, seed)
    server = start(folder, path, tree, ports)
    try:
        if wreck.kind.endswith(" newer") and not wreck.kind.startswith("segment"):
            assert server.process.wait(100) == 1
            assert "newer firstfault" in server.said()
            return wreck.kind, Counter()
        server.until(server.ready, "readiness", 100)
        server.until(lambda: is_decided(server.metrics()), "decisions", 60)
        metrics = server.metrics()
        reader = SqliteStore.open(store, read_only=True)
        missing = good.missing(reader)
        reader.close()
        assert server.stop() == 0, server.said()
        said = server.log.read_text(errors="replace")
        assert "it is started again" not in said, said
        assert "Traceback" not in said, said
    finally:
        end(server)
    hold_against(wreck, store, {"store_quarantined_files": 0.0} | metrics, missing)
    with again(folder, path, tree, ports) as server:  # no crash loop either
        assert server.stop() == 0, server.said()
    return wreck.kind, missing


def is_decided(metrics: Mapping[str, float]) -> bool:
    """Nothing is open, and what was found is on disk, the batch that is being written too."""
    found = sum(count for name, count in metrics.items() if name.startswith("analyzer_findings|"))
    return metrics["assembly_open_traces"] == 0 and metrics["store_stored_findings"] == found


@pytest.mark.parametrize("seed", range(7, SEEDS, 43))
def test_damage_never_stops_a_start(tmp_path: Path, good: Good, seed: int):
    start_here(good, tmp_path / "copy", seed)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_three_hundred_accidents(tmp_path: Path, good: Good, first: int):
    """Fifty of them; what went wrong is told of all at once."""
    seen: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(first, first + 50):
        folder = tmp_path / str(seed)
        try:
            kind, missing = (start_whole if seed % WHOLE_EVERY == 0 else start_here)(good, folder, seed)
        except Exception as error:
            wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
            print(wrong[-1])
            continue
        seen[kind] += 1
        lost[kind] += missing.total()
        shutil.rmtree(folder)
    print(dict(seen), "answers lost:", {kind: count for kind, count in lost.items() if count})

    assert wrong == []
    assert seen.total() == 50
