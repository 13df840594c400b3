"""The running program filled with hostile text in every field, a browser, and an address nobody may ask."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from collector.contracts import StoredIncident
from collector.store.sqlite import SqliteStore
from tests.support.browser import Browser, Seen, chromium
from tests.support.hostile_text import PAYLOADS, filled, hostile_incident, hostile_trace
from tests.support.running import Server, serving

AT_ONCE = 8


@contextmanager
def tripwire() -> Iterator[tuple[str, list[bytes]]]:
    """An address nobody may ask -> (address, who did)."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    # A browser also connects ahead and says nothing: who asks after it must still be heard.
                    with connection, suppress(OSError):
                        connection.settimeout(1)
                        asked.append(connection.recv(4096))
                        connection.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/leak", asked
        listener.shutdown(socket.SHUT_RDWR)


@dataclass
class House:
    """The running program, with a trace, an incident and a group for each payload; and a browser."""

    server: Server
    browser: Browser
    folder: Path
    url: str
    asked: list[bytes]
    paths: Mapping[str, Mapping[str, str]]  # payload -> subject -> path

    def page(self, name: str, subject: str, format: str) -> httpx.Response:
        answer = self.server.get(f"{self.paths[name][subject]}/report?format={format}")
        assert answer.status_code == 200, answer.text
        return answer

    def as_file(self, content: str | bytes, *, wall: bool) -> Seen:
        path = self.folder / "mailed.html"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.browser.open(path.as_uri(), wall=wall)


def trace_id(number: int) -> bytes:
    return bytes([number + 1]) * 16


def fill(server: Server, names: Sequence[str], url: str, begin_ns: int) -> dict[str, dict[str, str]]:
    """Send every trace, tell of changes, write in runbooks; where each payload is to be seen."""
    paths: dict[str, dict[str, str]] = {}
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=40, trust_env=False) as client:
        for number, name in enumerate(names):
            if number % AT_ONCE == 0:  # a busy engine tells failing traces in brief, and this is not about that
                for ahead, other in enumerate(names[number : number + AT_ONCE], number):
                    server.send(*hostile_trace(PAYLOADS[other], url, trace_id(ahead), begin_ns))
            payload = PAYLOADS[name]
            answer = server.root_cause(trace_id(number))
            assert answer["verdict"] == "error", name
            paths[name] = {
                "traces": f"/api/v1/traces/{trace_id(number).hex()}",
                "incidents": f"/api/v1/incidents/{number + 1:032x}",
                "groups": f"/api/v1/groups/{answer['group']['id']}",
            }
            text = filled(payload, "by_hand", url)
            words = {"title": text[:200], "text": text[:8000], "commands": [text[:2000]]}
            runbook = f"{paths[name]['traces'].removeprefix('/api/v1')}/runbook"
            put = client.put(
                runbook,
                json={"sections": [{"section": "mitigate", **words}, {"section": "ours", **words}]},
                headers={"If-Match": "*"},
            )
            assert put.status_code == 200, put.text
            server.until(lambda path=paths[name]["groups"]: server.get(path).status_code == 200, "its group to be kept")
            paths[name]["noted"] = leave_note(client, paths[name]["groups"], filled(payload, "noted", url))
            change = dict.fromkeys(("service", "version", "previous", "environment", "description", "url"), text[:200])
            assert client.post("/changes", json=change).status_code in (200, 201)
    return paths


def leave_note(client: httpx.Client, group: str, text: str) -> str:
    """Leave a note at a frame, where the group has any; the mark that is to be seen then."""
    path = group.removeprefix("/api/v1")
    frames = client.get(f"{path}/notes").json()["frames"] or client.get(f"{path}/report").json()["frames"]
    if not frames:  # some payloads leave no stack that can be read
        return ""
    left = client.post(f"{path}/notes", json={"frame": frames[0]["frame"], "text": text[:2000]})
    assert left.status_code == 201, left.text
    return "noted"


@contextmanager
def opened(folder: Path, names: Sequence[str]) -> Iterator[House]:
    begin_ns = time.time_ns() - 2 * 10**9
    with tripwire() as (url, asked):
        store = SqliteStore.open(folder / "store")
        incidents = [
            StoredIncident(hostile_incident(PAYLOADS[name], url, number + 1, trace_id(number), begin_ns))
            for number, name in enumerate(names)
        ]
        store.put_incidents(incidents)
        store.close()
        with serving(folder) as server, chromium(folder) as browser:
            paths = fill(server, names, url, begin_ns)
            assert asked == []
            yield House(server, browser, folder, url, asked, paths)
