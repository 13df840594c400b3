"""Questions about incidents, whoever asks: an id that can be read, and what changed since the last look.

In: text, a desk. Out: ids, changes. REST and gRPC both ask here, so they cannot disagree. Reads only.
"""

from __future__ import annotations

import re

from collector.contracts import IncidentChange
from collector.errors import BadRequestError
from collector.incident_services import services_of
from collector.query.desk import Desk

LIMIT_DEFAULT = 50
CHANGES_MAX = 100  # of one look; the rest comes with the next
NOT_KNOWN = (
    "Incident not known",
    "check the id; incidents are kept for storage.retention_hours after they last changed",
)
_INCIDENT_ID = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)


def read_incident_id(text: str) -> str:
    """Read an incident id, either case.

    Raises
    ------
    BadRequestError
        Not 32 hex digits.
    """
    if not _INCIDENT_ID.fullmatch(text):
        shown = text[:80]
        raise BadRequestError(
            f"incident id {shown!r} has {len(text)} characters; expected 32 hex digits", "incident_id"
        )
    return text.lower()


class IncidentChanges:
    """What one watcher has not seen yet. Owner: one thread at a time.

    Parameters
    ----------
    desk : Desk
    status, service : which incidents; None: any
    after : number of the last change seen; None: only what changes from now on
    """

    def __init__(self, desk: Desk, status: str | None, service: str | None, after: int | None) -> None:
        self._desk = desk
        self._status, self._service = status, service
        self._after = desk.store.last_incident_change() if after is None else after

    def take(self) -> list[IncidentChange]:
        """Return what changed since the last time and is wanted, oldest first; each incident as it is now."""
        found = self._desk.store.incident_changes(self._after, CHANGES_MAX)
        if found:
            self._after = found[-1].sequence
        elif self._desk.store.last_incident_change() < self._after:
            self._after = 0  # the shelf was begun anew: its numbers too
        return [change for change in found if self._wants(change)]

    def _wants(self, change: IncidentChange) -> bool:
        incident = change.incident
        return self._status in (None, incident.status) and (
            self._service is None or self._service in services_of(incident)
        )
