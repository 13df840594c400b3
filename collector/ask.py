"""`firstfault root-cause`: one question to a running server."""

from __future__ import annotations

import http.client
import sys
from urllib.parse import quote, urlsplit

import orjson
from pydantic import ValidationError
from rich.console import Console

from analyzer.findings import Answer
from collector.verdict_text import plain, verdict_text

ANSWER_BYTES_MAX = 64 * 2**20


def ask_server(server: str, trace_id: str, wait_s: float, as_json: bool) -> int:
    """Ask, print, and return the exit status: 0 answered, 1 not known or not reachable, 2 wrong use."""
    address = urlsplit(server if "//" in server else f"http://{server}")
    if address.scheme not in ("http", "https") or not address.hostname:
        sys.stderr.write(f"{server!r} is not an address; expected for example http://127.0.0.1:8080\n")
        return 2
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname, address.port, timeout=wait_s + 10.0)
    path = f"{address.path.rstrip('/')}/api/v1/traces/{quote(trace_id, safe='')}/root-cause?wait={wait_s:g}"
    try:
        connection.request("GET", path, headers={"accept": "application/json"})
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"no answer from {server}: {error}; is `firstfault serve` running there?\n")
        return 1
    finally:
        connection.close()
    return _show(response.status, body, as_json)


def _show(status: int, body: bytes, as_json: bool) -> int:
    if status not in (200, 202):
        try:
            problem = orjson.loads(body)
            text = f"{problem.get('title', '')}: {problem.get('detail', '')}"
        except (orjson.JSONDecodeError, AttributeError):
            text = f"HTTP {status}"
        sys.stderr.write(plain(text) + "\n")
        return 2 if status in (400, 422) else 1
    if as_json:
        sys.stdout.write(body.decode("utf-8", "replace") + "\n")
        return 0
    try:
        answer = Answer.model_validate_json(body)
    except ValidationError:
        sys.stderr.write("the answer is not of a schema this version knows; use --json\n")
        return 1
    Console(highlight=False).print(verdict_text(answer), soft_wrap=True)
    return 0
