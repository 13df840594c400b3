"""Asking peers: GET over HTTP/1.1, all at once, in bounded time and bytes, from one thread with an event loop.

In: the name of a trace. Out: a `Reply` of every peer. No redirect is followed, no host is asked that is not configured,
and the header says that whoever is asked asks no others. What peers say is checked here; it is no more trusted than
telemetry.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import httptools
from pydantic import ValidationError

from collector.correlation import outgoing
from collector.query.grpc_mapping import answer_to_proto
from collector.query.peer_addresses import PeerAddresses
from collector.query.peer_words import HEADER, Held, Identity, Part, Reply
from collector.telemetry import Snapshot, sample

SKETCH_BYTES_MAX = 64 * 2**10
WHOLE_BYTES_MAX = 128 * 2**20  # of all that are asked together; the spans of one trace stand in it as base64
HEAD_BYTES_MAX = 64 * 2**10
CONNECTIONS_MAX = 256  # at the same time; a process may open some 1,000 files
T = TypeVar("T")


class CallError(Exception):
    """A peer did not say what it holds. `kind` is a counter label."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class PeerCalls:
    """Asks the peers of this instance. `start` and `stop` belong to one owner thread, everything else to any.

    Parameters
    ----------
    tls : None: plain HTTP
    server_name : the name that certificates of peers must have; None: the address that is asked
    headers : sent with every question, for instance a credential
    """

    def __init__(
        self,
        addresses: PeerAddresses,
        identity: Identity,
        *,
        timeout_s: float = 0.5,
        answer_timeout_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.identity = identity
        self.answer_timeout_s = answer_timeout_s
        self._timeout_s = timeout_s
        self._addresses = addresses
        self._tls = tls
        self._server_name = server_name if tls is not None else None
        self._headers = dict(headers or {})
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections = 0  # owner: the loop
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()  # of the counts

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="query-peers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up what is being asked."""
        if self._loop is None or self._thread is None:
            return
        with suppress(TimeoutError):
            self._run(self._close(), 5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        if not self._loop.is_running():
            self._loop.close()
        self._loop = self._thread = None

    def ask_all(self, name: str) -> list[Reply]:
        """Ask every peer for a sketch of what it holds; one reply each, this instance itself left out."""
        fetched, missed = self._run(self._sketches(name), self._timeout_s)
        return [*self._read(fetched, name, "sketch"), *missed]

    def ask(self, peers: Iterable[str], name: str, part: Part, timeout_s: float) -> list[Reply]:
        """Ask some of them for a part of what they hold."""
        wanted = list(peers)
        fetched = self._run(self._fetch_all(wanted, name, part, timeout_s), timeout_s)
        return self._read(fetched, name, part)

    def count_merged(self) -> None:
        """Count a trace whose spans were put together."""
        with self._lock:
            self._counts["query_peer_merged_traces"] += 1

    def snapshot(self) -> Snapshot:
        """Counters under the names of the metric table."""
        with self._lock:
            found = {name: float(count) for name, count in self._counts.items()}
        return found | {
            "query_peer_addresses": self._addresses.count,
            "query_peer_failed_lookups": self._addresses.failed_lookups,
        }

    def _run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        assert self._loop is not None
        # The work ends by itself in time; a second more is for a loop that is gone.
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s + 1.0)

    async def _close(self) -> None:
        await self._addresses.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _sketches(self, name: str) -> tuple[dict[str, bytes | CallError], list[Reply]]:
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout_s
        peers, missed = await self._addresses.current(self._timeout_s / 2)
        return await self._fetch_all(peers, name, "sketch", deadline - now()), missed

    async def _fetch_all(
        self, peers: list[str], name: str, part: Part, timeout_s: float
    ) -> dict[str, bytes | CallError]:
        if not peers:
            return {}
        bytes_max = SKETCH_BYTES_MAX if part == "sketch" else WHOLE_BYTES_MAX // len(peers)
        path = f"/api/v1/traces/{name}/held?part={part}"
        tasks = {peer: asyncio.ensure_future(self._fetch(peer, path, bytes_max)) for peer in peers}
        await asyncio.wait(tasks.values(), timeout=max(timeout_s, 0.0))
        found: dict[str, bytes | CallError] = {}
        for peer, task in tasks.items():
            if task.done():
                found[peer] = task.result()
            else:
                task.cancel()
                found[peer] = CallError("timeout", f"no answer within {timeout_s:.2g} s")
        return found

    async def _fetch(self, peer: str, path: str, bytes_max: int) -> bytes | CallError:
        if self._connections >= CONNECTIONS_MAX:
            return CallError("busy", f"not asked; {CONNECTIONS_MAX} questions to peers are under way")
        self._connections += 1
        try:
            return await self._get(peer, path, bytes_max)
        except CallError as error:
            return error
        except (OSError, ValueError) as error:  # refused, no route, a name that cannot be resolved or written
            why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            return CallError("unreachable", f"cannot be reached: {why}")
        finally:
            self._connections -= 1

    async def _get(self, peer: str, path: str, bytes_max: int) -> bytes:
        host, _, port = peer.rpartition(":")
        reader, writer = await asyncio.open_connection(
            host.strip("[]"), int(port), ssl=self._tls, server_hostname=self._server_name
        )
        try:
            headers = {"host": peer, "accept": "application/json", "connection": "close"}
            headers |= outgoing("firstfault-query") | self._headers | {HEADER: self.identity.instance}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            return await _read_response(reader, bytes_max)
        finally:
            writer.transport.abort()

    def _read(self, fetched: Mapping[str, bytes | CallError], name: str, part: Part) -> list[Reply]:
        """Check what came, in the thread that asked: large answers must not hold up the loop."""
        replies = []
        outcomes = []
        for peer, came in fetched.items():
            try:
                held = self._check(came, name)
            except CallError as error:
                outcomes.append(error.kind)
                replies.append(Reply(peer, failure=str(error)))
                continue
            if held.instance == self.identity.instance:
                outcomes.append("own")
                self._addresses.found_me(peer)
                continue
            outcomes.append("answered")
            replies.append(Reply(peer, held))
        with self._lock:
            self._counts[sample("query_peer_requests", part)] += len(fetched)
            self._counts.update(sample("query_peer_replies", outcome) for outcome in outcomes)
        return replies

    def _check(self, came: bytes | CallError, name: str) -> Held:
        if isinstance(came, CallError):
            raise came
        try:
            held = Held.model_validate_json(came, extra="ignore")  # of a newer version too
            if held.answer is not None:
                answer_to_proto(held.answer)  # numbers that only JSON can hold
        except ValidationError as error:
            where = ".".join(str(word) for word in error.errors()[0]["loc"][:4]) or "the whole"
            raise CallError("unreadable", f"its answer cannot be read (at {where}); is it a firstfault?") from error
        except ValueError as error:
            raise CallError("unreadable", "its answer holds what no answer can") from error
        if held.answer is not None and held.answer.name != name:
            raise CallError("unreadable", "it answered for another trace")
        return held


async def _read_response(reader: asyncio.StreamReader, bytes_max: int) -> bytes:
    """The body of a response with status 200."""
    response = _Response()
    parser = httptools.HttpResponseParser(response)
    size = 0
    try:
        while not response.complete:
            piece = await reader.read(64 * 2**10)
            if not piece:
                raise CallError("unreadable", "it hung up before the end of its answer")
            size += len(piece)
            if size > bytes_max + HEAD_BYTES_MAX:
                raise CallError("too_large", f"its answer is larger than {bytes_max} bytes")
            parser.feed_data(piece)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        raise CallError("unreadable", "what it speaks is not HTTP") from error
    if (status := parser.get_status_code()) != 200:
        raise CallError("status", f"it answered HTTP {status}")
    return b"".join(response.pieces)


class _Response:
    """What httptools calls back."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.complete = False

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.complete = True
