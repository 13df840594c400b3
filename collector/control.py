"""How the processes of one firstfault talk: one Unix socket each, short questions, whole answers.

A question is one message: a word, and what it is about behind it: for `ask` and `explain` the name of a trace
(collector.trace_names), for `decide` the id of a group and the decision as JSON. An answer is one message: JSON, or
empty for "I do not hold that". No pickle: messages are bytes. The sockets stand in a directory of mode 0700.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import orjson

from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.findings import Answer
from collector.errors import OverloadedError

QUESTION_BYTES_MAX = 4096  # a decision of a person is the longest
ANSWER_BYTES_MAX = 64 * 2**20
LOOK_UP_S = 0.2  # how often a resting connection looks whether we are stopping
DECIDE_S = 5.0  # the engine's thread comes to it between two batches
CONNECTIONS_MAX = 64  # one a process of ours and some; more are closed at once

Responder = Callable[[bytes], bytes]


class ControlServer:
    """Answers questions of our own processes. Each connection has a thread; `start` and `stop` by the owner."""

    def __init__(self, path: Path, responders: Mapping[str, Responder]) -> None:
        self._path = path
        self._responders = dict(responders)
        self._stopping = threading.Event()
        self._open: dict[Connection[bytes, bytes], threading.Thread] = {}
        self._listener: Listener | None = None

    def start(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)  # left by a process that was killed
        self._listener = Listener(str(self._path), family="AF_UNIX", backlog=CONNECTIONS_MAX)
        self._path.chmod(0o600)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            Client(str(self._path), family="AF_UNIX").close()  # wakes the accepting thread
        if self._listener is not None:
            self._listener.close()
        for thread in list(self._open.values()):
            thread.join(2 * LOOK_UP_S)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._stopping.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                continue
            if self._stopping.is_set() or len(self._open) >= CONNECTIONS_MAX:
                connection.close()
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), name="control-answer", daemon=True)
            self._open[connection] = thread
            thread.start()

    def _serve(self, connection: Connection[bytes, bytes]) -> None:
        try:
            while not self._stopping.is_set():
                if not connection.poll(LOOK_UP_S):
                    continue
                question = connection.recv_bytes(QUESTION_BYTES_MAX)
                word, _, rest = question.partition(b" ")
                responder = self._responders.get(word.decode("ascii", "replace"))
                connection.send_bytes(responder(rest) if responder else b"")
        except (EOFError, OSError):
            pass  # the other side left, or we are stopping
        finally:
            self._open.pop(connection, None)
            with contextlib.suppress(OSError):
                connection.close()


class ControlClient:
    """Asks one process. Any thread; one question at a time. A dead process answers None."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: Connection[bytes, bytes] | None = None

    def question(self, word: str, rest: bytes = b"", timeout_s: float = 2.0) -> bytes | None:
        """Send one question; None when nobody answers in time."""
        if not self._lock.acquire(timeout=timeout_s):
            return None
        try:
            if self._connection is None:
                self._connection = Client(str(self._path), family="AF_UNIX")
            self._connection.send_bytes(word.encode("ascii") + b" " + rest)
            if self._connection.poll(timeout_s):
                return self._connection.recv_bytes(ANSWER_BYTES_MAX)
            self._drop()  # a late answer must not be taken for the next one
            return None
        except (EOFError, OSError):
            self._drop()
            return None
        finally:
            self._lock.release()

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        with self._lock:
            self._drop()

    def json(self, word: str, timeout_s: float = 2.0) -> dict[str, object] | None:
        answer = self.question(word, timeout_s=timeout_s)
        found = orjson.loads(answer) if answer else None
        return found if isinstance(found, dict) else None


class RemoteOpenTraces:
    """`contracts.OpenTraces` over a control socket of the engine process."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    def ask(self, name: bytes, timeout_s: float) -> Answer | None:
        return self._question("ask", name, timeout_s)

    def explain(self, name: bytes, timeout_s: float) -> Answer | None:
        return self._question("explain", name, timeout_s)

    def _question(self, word: str, name: bytes, timeout_s: float) -> Answer | None:
        found = self._client.question(word, name, timeout_s)
        return Answer.model_validate_json(found) if found else None


class RemoteDecisions:
    """`contracts.Decisions` over a control socket of the engine process."""

    def __init__(self, client: ControlClient) -> None:
        self._client = client

    def decide(self, group_id: str, change: GroupChange, timeout_s: float) -> ErrorGroup | None:
        """Tell the engine.

        Raises
        ------
        OverloadedError
            It did not answer in time; the decision may hold or not.
        """
        rest = group_id.encode() + b" " + change.model_dump_json().encode()
        found = self._client.question("decide", rest, timeout_s)
        if not found:
            raise OverloadedError(f"the engine did not answer within {timeout_s:g} s", "engine_silent")
        return None if found == b"null" else ErrorGroup.model_validate_json(found)


def answer_decision(decide: Callable[[str, GroupChange, float], ErrorGroup | None], rest: bytes) -> bytes:
    """The engine's side of `RemoteDecisions`: empty when it could not be done in time."""
    group_id, _, change = rest.partition(b" ")
    try:
        group = decide(group_id.decode("ascii"), GroupChange.model_validate_json(change), DECIDE_S)
    except (OverloadedError, ValueError):
        return b""
    return b"null" if group is None else group.model_dump_json().encode()
