"""`firstfault root-cause`: one question to a running server."""

from __future__ import annotations

import http.client
import math
import re
import sys
from urllib.parse import SplitResult, urlsplit

import orjson
from pydantic import ValidationError

from analyzer.findings import Answer
from collector.verdict_text import Printer, plain

ANSWER_BYTES_MAX = 64 * 2**20
_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)


def ask_server(server: str, trace_id: str, wait_s: float, as_json: bool) -> int:
    """Ask, print, and return the exit status: 0 answered, 1 not known or not reachable, 2 wrong use."""
    address = _address(server)
    if address is None:
        sys.stderr.write(f"{server[:80]!r} is not an address; expected for example http://127.0.0.1:8080\n")
        return 2
    if not _TRACE_ID.fullmatch(trace_id):
        sys.stderr.write(f"{trace_id[:80]!r} is not a trace id; expected 32 hex digits\n")
        return 2
    if not (math.isfinite(wait_s) and wait_s >= 0):
        sys.stderr.write(f"wait is {wait_s:g}; expected 0 or more seconds\n")
        return 2
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=wait_s + 10.0)
    path = f"{address.path.rstrip('/')}/api/v1/traces/{trace_id}/root-cause?wait={wait_s:g}"
    try:
        connection.request("GET", path, headers={"accept": "application/json"})
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        why = plain(str(error)) or type(error).__name__
        sys.stderr.write(f"no answer from {plain(server)}: {why}; is `firstfault serve` running there?\n")
        return 1
    finally:
        connection.close()
    return _show(response.status, body, as_json)


def _address(server: str) -> SplitResult | None:
    try:
        found = urlsplit(server if "//" in server else f"http://{server}")
        usable = found.scheme in ("http", "https") and found.hostname and (found.port is None or found.port > 0)
    except ValueError:  # a port that is no number, brackets that do not close
        return None
    return found if usable else None


def _show(status: int, body: bytes, as_json: bool) -> int:
    if status not in (200, 202):
        sys.stderr.write(plain(_problem(status, body)) + "\n")
        return 2 if status in (400, 422) else 1
    try:
        answer = Answer.model_validate_json(body)
    except ValidationError:
        sys.stderr.write(
            "what came is not an answer of this version of firstfault; is another program listening there?\n"
        )
        return 1
    Printer(as_json).show(answer)
    return 0


def _problem(status: int, body: bytes) -> str:
    """What an answer without an answer says: what is the matter, and what to do."""
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict) or "title" not in problem:
        return f"HTTP {status}; expected an answer of firstfault, is another program listening there?"
    text = f"{problem['title']}: {problem.get('detail', '')}"
    return f"{text}; {problem['do']}" if problem.get("do") else text
