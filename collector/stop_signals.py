"""SIGTERM and SIGINT are heard whichever thread the kernel gives them to.

Python runs signal handlers in the main thread only, and a main thread that waits for a lock is woken by a signal
only if the kernel gave it to that very thread. With some twenty threads beside it (gRPC's, uvicorn's) about one
SIGTERM in thirty went to another, and the server never began to stop. So the main thread's handlers do nothing:
the number goes through a socket (`signal.set_wakeup_fd`, written by whichever thread was chosen) to a thread that
does nothing but wait for it.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

STOPS = (signal.SIGTERM, signal.SIGINT)


def on_stop_signal(act: Callable[[], None]) -> None:
    """Have `act` called once for each SIGTERM or SIGINT, on a thread of its own. Call this from the main thread.

    Raises
    ------
    ValueError
        Not called from the main thread.
    """
    ours, handlers = socket.socketpair()
    handlers.setblocking(False)  # a handler must not wait: a full socket holds thousands of signals that say the same
    signal.set_wakeup_fd(handlers.detach(), warn_on_full_buffer=False)
    for number in STOPS:
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_listen, args=(ours, act), name="signals", daemon=True).start()


def _listen(ours: socket.socket, act: Callable[[], None]) -> None:
    while heard := ours.recv(64):
        for number in heard:
            if number in STOPS:
                act()
