"""Nothing compiles at run time, incidents included: detection, ranking and telling were ready before the first alarm."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from numba import config as numba_config

# In a process of its own: whatever other tests compiled before would hide what this one looks for.
PROGRAM = """
import json
from numba.core import event

import collector.app.engine_room
from collector.app import warming

warming.warm()
compiled = []


class Listener(event.Listener):
    def on_start(self, found):
        compiled.append(found.data["dispatcher"].py_func.__qualname__)

    def on_end(self, found):
        pass


event.register("numba:compile", Listener())

from analyzer.detection import DetectionConfig, Detector
from analyzer.incidents.ranking import rank_incident
from tests.collector.test_incidents import House
from tests.support.traffic import CHECKOUT, HOME, PAYMENT_DOWN

house = House(Detector(DetectionConfig()), rank_incident)
for _ in range(90):
    house.after(10, CHECKOUT, HOME, count=3)
for _ in range(20):
    house.after(10, PAYMENT_DOWN, HOME, count=3)
house.room.save()
again = House(Detector(DetectionConfig()), rank_incident)
again.room.load(house.shelf.states)
again.after(10, CHECKOUT)
for _ in range(40):
    house.after(10, CHECKOUT, HOME, count=3)
print(json.dumps({
    "compiled": compiled,
    "cause": next((one.suspects[0].entity.name for one in house.told if one.suspects), ""),
    "failed": house.room.counts.failed,
}))
"""


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled in this mode")
def test_nothing_compiles_when_an_incident_comes():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, env=os.environ)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"compiled": [], "cause": "payment", "failed": {}}
