"""What is not there, as REST says it: one trace, one incident.

In: a look, a desk. Out: what was found, or a problem that says why there is nothing and what to do.
"""

from __future__ import annotations

from fastapi import Request

from analyzer.findings import Answer
from analyzer.incident_words import Incident
from collector.query.access import tenant_asking
from collector.query.desk import Desk
from collector.query.incidents import NOT_KNOWN, read_incident_id
from collector.query.lookup import MISSING, Look
from collector.query.own_traces import own_name
from collector.query.problems import ProblemError
from collector.trace_names import read_name, text_of

_STATUS = {"unknown": 404, "several": 409}


def require_answer(found: Look, retry_after_s: int) -> Answer:
    """Return the answer of a look.

    Raises
    ------
    ProblemError
        404 unknown, 409 several, 410 expired or dropped, 503 unknown here while a peer does not say what it holds.
    """
    if found.answer is not None:
        return found.answer
    raise _missing(found, retry_after_s)


def _missing(found: Look, retry_after_s: int) -> ProblemError:
    again = {"Retry-After": str(retry_after_s)}
    title, advice = MISSING[found.state]
    if found.state == "unsure":
        return ProblemError(
            503,
            "peers_silent",
            title,
            found.reason,
            found=found.name,
            expected="a word of every instance that query.peers names",
            do=advice,
            headers=again,
        )
    return ProblemError(
        _STATUS.get(found.state, 410),
        f"trace_{found.state}",
        title,
        found.reason or f"trace {found.name} is {found.state}",
        found=found.name,
        expected="the id of a trace that was sent here and is still kept",
        do=advice,
        headers=again if found.state == "unknown" else {},
    )


def require_name(desk: Desk, request: Request, text: str) -> bytes:
    """Return the name of the trace that is asked for.

    Raises
    ------
    BadRequestError
        That is no name.
    ProblemError
        404: it is a trace of another tenant than the one that asks, known or not.
    """
    name = own_name(text, tenant_asking(request))
    if name is None:
        raise _missing(Look("unknown", text_of(read_name(text))), desk.settings.retry_after_s)
    return name


def require_incident(desk: Desk, incident_id: str) -> Incident:
    """Return the incident of an id.

    Raises
    ------
    BadRequestError
        That is no id.
    ProblemError
        404: none of that id is kept.
    """
    wanted = read_incident_id(incident_id)
    found = desk.store.incident(wanted)
    if found is None:
        title, advice = NOT_KNOWN
        raise ProblemError(
            404,
            "incident_unknown",
            title,
            f"no incident {wanted} is kept",
            found=wanted,
            expected="the id of an incident of GET /api/v1/incidents",
            do=advice,
        )
    return found
