"""`firstfault impact`: whom errors hit today, asked of a running server.

In: what is wanted. Out: lines on standard output, the highest score first. Exit status as of `collector.ask`.
"""

from __future__ import annotations

import sys
from urllib.parse import urlencode

import orjson
from pydantic import ValidationError

from analyzer.errors.impact_sheet import ImpactWord
from collector.ask import TIMEOUT_S, another_program, bad_address, get, problem_text
from collector.incident_text import clock_text
from collector.verdict_text import plain


def ask_impact(server: str, service: str | None, group: str | None, top: int, as_json: bool) -> int:
    """Ask, print, and return the exit status: 0 answered, 1 not reachable, 2 wrong use."""
    wrong = bad_address(server)
    if wrong is not None:
        return wrong
    wanted = {key: value for key, value in (("service", service), ("group", group)) if value is not None}
    found = get(server, f"/api/v1/impact?{urlencode(wanted | {'top': top})}", TIMEOUT_S)
    if isinstance(found, int):
        return found
    status, body = found
    if status != 200:
        sys.stderr.write(plain(problem_text(status, body)) + "\n")
        return 2 if status in (400, 422) else 1
    try:
        whole = orjson.loads(body)
        groups, services = ([ImpactWord.model_validate(one) for one in whole[name]] for name in ("groups", "services"))
        lines = [orjson.dumps(whole).decode()] if as_json else _lines(whole, groups, services)
    except (ValidationError, ValueError, KeyError, TypeError):
        return another_program()
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def _lines(whole: dict[str, object], groups: list[ImpactWord], services: list[ImpactWord]) -> list[str]:
    begin, until = int(str(whole["from_ns"])), int(str(whole["to_ns"]))
    lines = [f"counted from {clock_text(begin)} to {clock_text(until)}"] if until else []
    for title, found in (("services", services), ("groups of errors", groups)):
        if found:
            lines.append(f"{title}, by score:")
        # Of a group its id leads the line; the sentence names the entity.
        lines += [f"  {one.score:5.1f}  {plain(one.sentence)}" for one in found]
    notes = whole["notes"]
    return lines + [f"note: {plain(str(note))}" for note in (notes if isinstance(notes, list) else [])]
