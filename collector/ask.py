"""`firstfault root-cause | incidents | groups`: one question to a running server."""

from __future__ import annotations

import http.client
import math
import os
import re
import ssl
import sys
from urllib.parse import SplitResult, urlencode, urlsplit

import orjson
from pydantic import TypeAdapter, ValidationError

from analyzer.errors.group_words import ErrorGroup, Lately, Trend
from analyzer.errors.note_words import FrameNote
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from collector.correlation import outgoing
from collector.group_text import GroupPrinter
from collector.incident_text import IncidentPrinter
from collector.trace_names import TEXT_PATTERN
from collector.verdict_text import Printer, plain

ANSWER_BYTES_MAX = 64 * 2**20
TIMEOUT_S = 30.0
# Not options: what stands on a command line is read by everybody on the machine.
TOKEN_VARIABLE, CA_VARIABLE = "FIRSTFAULT_TOKEN", "FIRSTFAULT_CA_FILE"
_INCIDENT_ID = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)
_GROUP_ID = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)


def ask_server(server: str, trace_id: str, wait_s: float, as_json: bool) -> int:
    """Ask, print, and return the exit status: 0 answered, 1 not known or not reachable, 2 wrong use."""
    wrong = bad_address(server)
    if wrong is not None:
        return wrong
    if not re.fullmatch(TEXT_PATTERN, trace_id):
        sys.stderr.write(f"{trace_id[:80]!r} is not a trace id; expected 32 hex digits (and @tenant behind them)\n")
        return 2
    if not (math.isfinite(wait_s) and wait_s >= 0):
        sys.stderr.write(f"wait is {wait_s:g}; expected 0 or more seconds\n")
        return 2
    found = get(server, f"/api/v1/traces/{trace_id}/root-cause?wait={wait_s:g}", wait_s + 10.0)
    return found if isinstance(found, int) else _show(*found, as_json)


def ask_incidents(
    server: str, incident_id: str | None, status: str | None, service: str | None, limit: int, as_json: bool
) -> int:
    """Ask for one incident or a list, print, and return the exit status as `ask_server` does."""
    wrong = bad_address(server)
    if wrong is not None:
        return wrong
    if incident_id is not None and not _INCIDENT_ID.fullmatch(incident_id):
        sys.stderr.write(f"{incident_id[:80]!r} is not an incident id; expected 32 hex digits\n")
        return 2
    wanted = {key: value for key, value in (("status", status), ("service", service)) if value is not None}
    path = f"/{incident_id}" if incident_id is not None else f"?{urlencode(wanted | {'limit': limit})}"
    found = get(server, f"/api/v1/incidents{path}", TIMEOUT_S)
    if isinstance(found, int):
        return found
    code, body = found
    if code != 200:
        sys.stderr.write(plain(problem_text(code, body)) + "\n")
        return 2 if code in (400, 422) else 1
    try:
        one = Incident.model_validate_json(body) if incident_id is not None else None
        many = TypeAdapter(list[Incident]).validate_python(orjson.loads(body)["incidents"]) if one is None else [one]
    except (ValueError, KeyError, TypeError):
        return another_program()
    IncidentPrinter(as_json).show(many, whole=one is not None)
    return 0


def ask_groups(
    server: str,
    group_id: str | None,
    status: str | None,
    service: str | None,
    sort: str,
    limit: int,
    as_json: bool,
    *,
    spiking: bool = False,
) -> int:
    """Ask for one group of errors or a list, print, and return the exit status as `ask_server` does."""
    wrong = bad_address(server)
    if wrong is not None:
        return wrong
    if group_id is not None and not _GROUP_ID.fullmatch(group_id):
        sys.stderr.write(plain(f"{group_id[:80]!r} is not the id of a group; expected 16 hex digits") + "\n")
        return 2
    wanted = {key: value for key, value in (("status", status), ("service", service)) if value is not None}
    if spiking:
        wanted["spiking"] = "true"
    path = f"/{group_id}" if group_id is not None else f"?{urlencode(wanted | {'sort': sort, 'limit': limit})}"
    found = get(server, f"/api/v1/groups{path}", TIMEOUT_S)
    if isinstance(found, int):
        return found
    code, body = found
    if code != 200:
        sys.stderr.write(plain(problem_text(code, body)) + "\n")
        return 2 if code in (400, 422) else 1
    printer = GroupPrinter(as_json)
    try:
        whole = orjson.loads(body)
        if group_id is None:
            printer.show(TypeAdapter(list[ErrorGroup]).validate_python(whole["groups"]))
        else:
            trend, lately = Trend.model_validate(whole["trend"]), Lately.model_validate(whole["lately"])
            notes = TypeAdapter(list[FrameNote] | None).validate_python(whole.get("notes", []))
            printer.show_one(ErrorGroup.model_validate(whole["group"]), str(whole["why"]), trend, lately, notes)
    except (ValueError, KeyError, TypeError):
        return another_program()
    return 0


def fetch_report(server: str, wanted: str, format: str) -> tuple[bytes, str] | int:
    """Ask for the report of a trace, else an incident; of a short id, a group. The exit status when there is none."""
    wrong = bad_address(server)
    if wrong is not None:
        return wrong
    told = ""
    for kind in ("traces", "incidents") if len(wanted) == 32 else ("groups",):
        found = get(server, f"/api/v1/{kind}/{wanted}/report?format={format}", TIMEOUT_S)
        if isinstance(found, int):
            return found
        status, body = found
        if status == 200:
            return body, kind
        told = told or problem_text(status, body)
        if status != 404:
            break
    sys.stderr.write(plain(told) + "\n")
    return 1


def bad_address(server: str) -> int | None:
    """The exit status when that is no address, which is told; None when it is one."""
    if _address(server) is not None:
        return None
    sys.stderr.write(f"{server[:80]!r} is not an address; expected for example http://127.0.0.1:8080\n")
    return 2


def get(server: str, path: str, timeout_s: float) -> tuple[int, bytes] | int:
    """Status and body of an answer; the exit status when none came."""
    address = _address(server)
    assert address is not None
    headers = {"accept": "application/json"} | outgoing("firstfault-cli")
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        headers["authorization"] = f"Bearer {token}"
    connection: http.client.HTTPConnection
    try:
        if address.scheme == "https":
            tls = ssl.create_default_context(cafile=os.environ.get(CA_VARIABLE) or None)
            connection = http.client.HTTPSConnection(
                address.hostname or "", address.port, timeout=timeout_s, context=tls
            )
        else:
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)
    except OSError as error:
        sys.stderr.write(f"{CA_VARIABLE} names a file that cannot be used: {plain(str(error))}\n")
        return 2
    try:
        connection.request("GET", address.path.rstrip("/") + path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = plain(str(error)) or type(error).__name__
        sys.stderr.write(f"no answer from {plain(server)}: {why}; is `firstfault serve` running there?\n")
        return 1
    finally:
        connection.close()


def _address(server: str) -> SplitResult | None:
    try:
        found = urlsplit(server if "//" in server else f"http://{server}")
        usable = found.scheme in ("http", "https") and found.hostname and (found.port is None or found.port > 0)
        usable = usable and all(letter.isprintable() and letter != " " for letter in found.hostname or "")
    except ValueError:  # a port that is no number, brackets that do not close
        return None
    return found if usable else None


def _show(status: int, body: bytes, as_json: bool) -> int:
    if status not in (200, 202):
        sys.stderr.write(plain(problem_text(status, body)) + "\n")
        return 2 if status in (400, 422) else 1
    try:
        answer = Answer.model_validate_json(body)
    except ValidationError:
        return another_program()
    Printer(as_json).show(answer)
    return 0


def another_program() -> int:
    """Tell that an answer cannot be read; the exit status."""
    sys.stderr.write("what came is not an answer of this version of firstfault; is another program listening there?\n")
    return 1


def problem_text(status: int, body: bytes) -> str:
    """What an answer without an answer says: what is the matter, and what to do."""
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if not isinstance(problem, dict) or "title" not in problem:
        return f"HTTP {status}; expected an answer of firstfault, is another program listening there?"
    text = f"{problem['title']}: {problem.get('detail', '')}"
    return f"{text}; {problem['do']}" if problem.get("do") else text
