"""The half of the SQLite store that keeps incidents. See `collector.store.sqlite` for threads and processes.

Order of one put: messages into the hour file, then the incidents into `meta.sqlite`. A stop between the two loses
a revision on the shelf that the next one replaces anyway, never a message; a put that raised is repeated whole, and
what was already written is known by its key.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import AbstractContextManager

from analyzer.incident_words import Incident
from collector.contracts import IncidentChange, IncidentQuery, StoredIncident
from collector.errors import BadRequestError
from collector.incident_services import services_of
from collector.store.counters import StoreCounters
from collector.store.hours import HOUR_NS
from collector.store.incidents import LIMIT_MAX, PackedIncident, readable
from collector.store.meta import MetaFile
from collector.store.packing import Packer, integer, json_of, text_of
from collector.store.writing import HourWriter


class IncidentShelf:
    """Methods of `contracts.Store` about incidents; everything it uses is `SqliteStore`'s."""

    _meta: MetaFile
    _writer: HourWriter
    _packer: Packer
    _pending: MutableMapping[int, int]
    _counters: StoreCounters
    _now_ns: Callable[[], int]
    _guard: Callable[[], AbstractContextManager[None]]
    _require_writer: Callable[[], None]

    def put_incidents(self, incidents: Sequence[StoredIncident]) -> None:
        """Keep the highest revision of each; on disk when it returns.

        Raises
        ------
        OverloadedError
            The disk is full or does not write; put it again.
        """
        self._require_writer()
        packed = [self._packed(one) for one in incidents]
        hour = self._now_ns() // HOUR_NS
        with self._guard():
            fresh: dict[str, PackedIncident] = {}
            for one in packed:
                kept = self._meta.read(lambda meta, key=one.incident_id: meta.incidents.revision(key), -1)  # type: ignore[misc]
                if one.revision > max(kept, fresh[one.incident_id].revision if one.incident_id in fresh else -1):
                    fresh[one.incident_id] = one
            messages = [item for one in packed if one in fresh.values() for item in one.exports]
            if messages:
                self._pending[hour] = self._pending.get(hour, 0) + self._writer.post(hour, messages)
            if fresh:
                self._meta.write(lambda meta: meta.incidents.put(fresh.values()))

    def _packed(self, stored: StoredIncident) -> PackedIncident:
        incident = stored.incident
        return PackedIncident(
            incident_id=text_of(incident.incident_id),
            revision=incident.revision,
            status=incident.status,
            onset_ns=integer(incident.onset_ns),
            updated_ns=integer(incident.updated_ns),
            services=[text_of(service) for service in services_of(incident)],
            body=self._packer.pack(json_of(incident)),
            exports=[self._packer.message(item) for item in stored.exports],
        )

    def incident(self, incident_id: str) -> Incident | None:
        """Return the last revision; None when it is not known, has left, or cannot be read."""
        with self._guard():
            body = self._meta.read(lambda meta: meta.incidents.find(text_of(incident_id)), None)
            found = self._readable([(0, body)] if body is not None else [])
        return found[0].incident if found else None

    def incidents(self, query: IncidentQuery) -> list[Incident]:
        """List incidents by onset, newest first.

        Raises
        ------
        BadRequestError
            The limit cannot be used.
        """
        if query.limit < 1:
            raise BadRequestError(f"limit is {query.limit}; expected 1 to {LIMIT_MAX}", "bad_query")
        with self._guard():
            nothing: list[bytes] = []
            bodies = self._meta.read(lambda meta: meta.incidents.newest(query), nothing)
            return [change.incident for change in self._readable([(0, body) for body in bodies])]

    def incident_changes(self, after: int, limit: int) -> list[IncidentChange]:
        """Return what changed after the change of that number, oldest first."""
        with self._guard():
            return self._readable(self._meta.read(lambda meta: meta.incidents.changes(after, limit), []))

    def last_incident_change(self) -> int:
        """Return the number of the last change; 0 when there was none."""
        with self._guard():
            return self._meta.read(lambda meta: meta.incidents.last_change(), 0)

    def _readable(self, bodies: Sequence[tuple[int, bytes]]) -> list[IncidentChange]:
        found, damaged = readable(bodies)
        self._counters.unreadable_rows += damaged
        return found
