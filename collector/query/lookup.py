"""One trace id -> what happened to that trace.

In: 32 hex digits. Out: a `Look`: an answer, or one word that says why there is none. What this instance itself holds;
what the others hold is asked for in `peers`. Reads only; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from analyzer.findings import Answer
from analyzer.version import __version__
from collector.contracts import Found
from collector.errors import BadRequestError
from collector.query.desk import Desk

_TRACE_ID = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a trace.

    state : answered (answer is final), open (answer is in progress), expired, dropped, unknown; unsure: not here, and
        a peer did not say whether it is there
    """

    state: str
    trace_id: str
    answer: Answer | None = None
    found: Found | None = None
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether waiting longer could not change it."""
        return self.state not in ("open", "unknown", "unsure")


# Why there is no answer: title, and what to do about it.
MISSING = {
    "unknown": (
        "Trace not known",
        "check the id; if the trace is new, ask again with wait=10: its spans may still be on their way",
    ),
    "expired": ("Trace expired", "retention has let it go; keep findings longer with storage.retention_hours"),
    "unsure": (
        "Peers did not answer",
        "ask again after the time in Retry-After, and look after the peers that are named",
    ),
    "dropped": (
        "Trace dropped",
        "see the reason; what else went wrong in its services then is in /api/v1/incidents and /api/v1/groups",
    ),
}


def read_trace_id(text: str) -> bytes:
    """Read a trace id as everybody shows it.

    Raises
    ------
    BadRequestError
        Not 32 hex digits, or all zero (the trace id that OTLP calls invalid).
    """
    if not _TRACE_ID.fullmatch(text):
        raise BadRequestError(f"trace id {text[:80]!r} has {len(text)} characters; expected 32 hex digits", "trace_id")
    found = bytes.fromhex(text)
    if not any(found):
        raise BadRequestError("trace id is all zeros; expected the id of a trace, that one is invalid", "trace_id")
    return found


def look(desk: Desk, trace_id: bytes) -> Look:
    """Look on the shelf."""
    return _read(trace_id.hex(), desk.store.find(trace_id))


def look_here(desk: Desk, trace_id: bytes, find: Callable[[bytes], Found] | None = None) -> Look:
    """Look on the shelf, then ask the engine, then look again.

    The second look is for the trace that was released between the two.

    Parameters
    ----------
    find : how to look on the shelf; None: as people see it
    """
    find = find or desk.store.find
    first = _read(trace_id.hex(), find(trace_id))
    if first.decided:
        return first
    answer = desk.open_traces.ask(trace_id, desk.settings.ask_timeout_s)
    if answer is not None:
        return Look("open", trace_id.hex(), answer)
    return _read(trace_id.hex(), find(trace_id))


def _read(trace_id: str, found: Found) -> Look:
    if found.status == "stored" and found.answer is not None:
        return Look("answered", trace_id, found.answer, found)
    if found.status in ("clean", "partial"):
        answer = Answer(
            trace_id=trace_id,
            status=found.status,
            status_reason=found.reason or "analysed, nothing to say; its spans were not kept",
            revision=1,
            engine_version=__version__,
        )
        return Look("answered", trace_id, answer, found)
    state = found.status if found.status in MISSING else "unknown"
    return Look(state, trace_id, None, found, found.reason)
