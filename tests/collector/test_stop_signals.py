"""A signal to stop is heard, whichever thread the kernel gives it to."""

from __future__ import annotations

import subprocess
import sys

import pytest

WAITS_FOR_TWO = """
import signal, threading
from collector.stop_signals import on_stop_signal

heard = threading.Semaphore(0)
on_stop_signal(heard.release)
idle = threading.Thread(target=threading.Event().wait, daemon=True)
idle.start()
print("ready", flush=True)
for number in {numbers}:
    # Not to the main thread, which does nothing but wait: as the kernel does it now and then.
    threading.Timer(0.1, signal.pthread_kill, (idle.ident, number)).start()
    heard.acquire()
    print("heard", flush=True)
"""


@pytest.mark.parametrize("numbers", ["[signal.SIGTERM]", "[signal.SIGTERM, signal.SIGINT]"])
def test_a_signal_that_another_thread_was_given_wakes_who_waits(numbers: str):
    program = WAITS_FOR_TWO.format(numbers=numbers)

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)

    assert ran.stdout.split() == ["ready"] + ["heard"] * numbers.count("SIG"), ran.stderr
    assert ran.returncode == 0
