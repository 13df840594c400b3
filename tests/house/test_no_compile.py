"""Nothing compiles at run time: after the warm-up, no trace of any kind makes numba compile."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config as numba_config

ROOT = Path(__file__).parents[2]

# In a process of its own: whatever other tests compiled before would hide what this one looks for.
PROGRAM = """
import json
from numba.core import event

from collector.app import warming
from collector.contracts import Signal
from collector.wire.limits import prescan
from collector.wire.request_limits import RequestLimits

warming.warm_receiver()
warming.warm()
compiled = []


class Listener(event.Listener):
    def on_start(self, found):
        compiled.append(found.data["dispatcher"].py_func.__qualname__)

    def on_end(self, found):
        pass


event.register("numba:compile", Listener())

from tests.support.stepping import CLEAN, FAILING, House
from tests.support.drawing import draw

SLOW = CLEAN.replace("0..100", "0..9000").replace("45..95", "45..8995").replace("50..90", "50..8990")
house = House(clean_per_second=1000.0)
for seed in range(600):
    house.send(draw(CLEAN, seed=seed))
for payload, signal in house.queue.items:
    prescan(payload, signal, RequestLimits())
house.after(30)
slow = draw(SLOW, seed=7777)
house.send(slow)
house.after(30)
failing = draw(FAILING, seed=8888)
house.send(failing)
house.pipeline._answer_asks()
house.after(30)
house.after(700)
state = house.analyzer.save()
house.analyzer.load(state)
for seed in range(1000, 1010):
    house.send(draw(FAILING, seed=seed))
house.after(30)
print(json.dumps({
    "compiled": compiled,
    "slow": next(one.answer.verdict for one in house.shelf.traces if one.name == slow.trace_id),
    "failing": next(one.answer.verdict for one in house.shelf.traces if one.name == failing.trace_id),
    "undecodable": house.pipeline.counts.undecodable,
    "failed": house.pipeline.counts.failed_traces,
}))
"""


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled in this mode")
def test_nothing_compiles_after_the_warm_up():
    """Healthy, slow and failing traces, a restart's worth of state: every kernel was ready."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ,
    )

    assert done.returncode == 0, done.stderr
    expected = {"compiled": [], "slow": "latency", "failing": "error", "undecodable": 0, "failed": 0}
    assert json.loads(done.stdout.splitlines()[-1]) == expected


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled in this mode")
def test_the_warm_up_knows_every_kernel():
    """What it does not load is compiled by whoever comes first; on the read-only root of the image, by nobody."""
    with_kernels = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("analyzer", "collector")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^from numba import .*\bnjit\b|@njit|= njit\(", path.read_text(), re.MULTILINE)
    }
    program = (
        "import sys; from collector.app import warming; warming.warm_receiver(); warming.warm(); print(*sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=True)

    assert len(with_kernels) > 20
    assert with_kernels - set(done.stdout.split()) == set()
