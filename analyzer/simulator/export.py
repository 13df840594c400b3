"""From what happened to what arrives: ids, dialects, clocks, losses, services that emit nothing.

In: played traces. Out: `SimulatedSpans` with the truth beside them. What is lost keeps its id, so its children
become orphans; what was never instrumented leaves no id, so its children hang on its caller (or begin new traces).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer.simulator.case import Attributes, CaseSettings, SimulatedSpans
from analyzer.simulator.dialects import DIALECTS, Written, write
from analyzer.simulator.dice import Dice
from analyzer.simulator.player import Record
from analyzer.simulator.system import CLIENT, SERVER, Call, System

_BURST_SHARE = 0.4  # of the losses, those in which a service's whole export of a trace is lost
_BROKEN = -2


@dataclass(slots=True, eq=False)
class PlayedTrace:
    records: list[Record]
    tenant: str
    clocks: dict[int, float] = field(default_factory=dict)  # service -> ns that its clock is off now


@dataclass(slots=True)
class _Columns:
    trace_id: list[bytes] = field(default_factory=list)
    span_id: list[bytes] = field(default_factory=list)
    parent_id: list[bytes] = field(default_factory=list)
    service: list[str] = field(default_factory=list)
    pod: list[str] = field(default_factory=list)
    host: list[str] = field(default_factory=list)
    zone: list[str] = field(default_factory=list)
    version: list[str] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    attributes: list[Attributes] = field(default_factory=list)
    exception: list[tuple[str, str] | None] = field(default_factory=list)
    late: list[bool] = field(default_factory=list)
    origin: list[bool] = field(default_factory=list)
    touched: list[bool] = field(default_factory=list)
    background: list[bool] = field(default_factory=list)
    leads_out: list[bool] = field(default_factory=list)
    lost: list[tuple[bytes, str, str]] = field(default_factory=list)
    culprits: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    ways: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    bystanders: dict[bytes, tuple[str, ...]] = field(default_factory=dict)


class Exporter:
    """Owner of what was written before (a dialect writes the same thing the same way)."""

    def __init__(self, system: System, dice: Dice, settings: CaseSettings, epoch_ns: int) -> None:
        self._system, self._dice, self._settings, self._epoch_ns = system, dice, settings, epoch_ns
        self._written: dict[tuple[object, ...], Written] = {}
        self._without_clients = [not DIALECTS[s.dialect].clients for s in system.services]

    def export(self, traces: list[PlayedTrace]) -> SimulatedSpans:
        """Write traces down as they arrive."""
        columns = _Columns()
        for trace in traces:
            self._export_trace(trace, columns)
        return SimulatedSpans(
            trace_id=columns.trace_id,
            span_id=columns.span_id,
            parent_id=columns.parent_id,
            service=columns.service,
            pod=columns.pod,
            host=columns.host,
            zone=columns.zone,
            version=columns.version,
            name=columns.name,
            kind=np.array(columns.kind, np.int8),
            start_ns=np.array(columns.start, np.int64),
            end_ns=np.array(columns.end, np.int64),
            status=np.array(columns.status, np.int8),
            attributes=columns.attributes,
            exception=columns.exception,
            late=np.array(columns.late, np.bool_),
            is_origin=np.array(columns.origin, np.bool_),
            fault_touched=np.array(columns.touched, np.bool_),
            is_background=np.array(columns.background, np.bool_),
            leads_out=np.array(columns.leads_out, np.bool_),
            lost_origins=columns.lost,
            culprits=columns.culprits,
            ways=columns.ways,
            bystanders=columns.bystanders,
        )

    def _export_trace(self, trace: PlayedTrace, columns: _Columns) -> None:
        system, records = self._system, trace.records
        count = len(records)
        ids = self._dice.rng.bytes(8 * count + 16)
        first_trace = ids[8 * count :]
        hidden = [self._is_hidden(record) for record in records]
        anchor = [-1] * count  # the span that children name as their parent
        trace_of = [first_trace] * count
        for i, record in enumerate(records):
            above = anchor[record.parent] if record.parent >= 0 else -1
            trace_of[i] = trace_of[record.parent] if record.parent >= 0 else first_trace
            if not hidden[i]:
                if above == _BROKEN:
                    trace_of[i] = ids[8 * i : 8 * i + 8][::-1] + first_trace[:8]
                anchor[i] = i
            elif not system.services[record.service].seen and system.breaks_context:
                anchor[i] = _BROKEN
            else:
                anchor[i] = above
        self._name_culprits(records, trace_of, columns)
        origin, touched = self._truth(records, hidden, anchor)
        leads_out = self._leads_out(records, hidden, touched, trace_of)
        for i in np.flatnonzero(leads_out).tolist():
            self._name(records, records[i], trace_of[i], columns.ways)
        background = self._where_seen([record.background for record in records], records, hidden, anchor)
        for i, record in enumerate(records):  # without a span of its own, the exception is seen by the caller's span
            if hidden[i] and record.raised and anchor[i] >= 0 and records[anchor[i]].failure is not None:
                records[anchor[i]].raised = True
        lost = self._losses(records)
        late: dict[int, bool] = {}
        piece = {trace_id: number for number, trace_id in enumerate(dict.fromkeys(trace_of))}
        order: Sequence[int] = range(count)
        if len(piece) > 1:  # each trace in one piece
            order = sorted(order, key=lambda i: piece[trace_of[i]])
        for i in order:
            record = records[i]
            if hidden[i] or lost[i]:
                if origin[i]:
                    written = self._write(record, trace.tenant)
                    columns.lost.append((trace_of[i], system.services[record.service].name, written.name))
                continue
            service = system.services[record.service]
            if service.index not in late:
                late[service.index] = record.parent >= 0 and self._dice.chance(self._settings.late_share)
            above = anchor[record.parent] if record.parent >= 0 else -1
            self._add(columns, trace, record)
            columns.trace_id.append(trace_of[i])
            columns.span_id.append(ids[8 * i : 8 * i + 8])
            columns.parent_id.append(ids[8 * above : 8 * above + 8] if above >= 0 else b"")
            columns.late.append(late[service.index])
            columns.origin.append(origin[i])
            columns.touched.append(touched[i])
            columns.background.append(background[i])
            columns.leads_out.append(leads_out[i])

    def _add(self, columns: _Columns, trace: PlayedTrace, record: Record) -> None:
        service, pod = self._system.services[record.service], record.pod
        written = self._write(record, trace.tenant)
        pods = DIALECTS[service.dialect].pods
        columns.service.append(service.name)
        columns.pod.append(pod.name if pods else "")
        columns.host.append(self._system.hosts[pod.host] if pods else "")
        columns.zone.append(self._system.zones[pod.host % len(self._system.zones)] if pods else "")
        columns.version.append(pod.version if pods else "")
        columns.name.append(written.name)
        columns.kind.append(written.kind)
        columns.status.append(written.status)
        columns.attributes.append(written.attributes)
        columns.exception.append(written.exception)
        clock = self._epoch_ns + int(pod.clock_ns + trace.clocks.get(record.service, 0.0))
        columns.start.append(clock + int(record.start))
        columns.end.append(clock + int(record.end))

    def _write(self, record: Record, tenant: str) -> Written:
        service = self._system.services[record.service]
        key = (id(record.what), record.role, record.label, record.failure, record.raised, service.dialect, tenant)
        found = self._written.get(key)
        if found is None:
            found = self._written[key] = write(record, DIALECTS[service.dialect], tenant)
        return found

    def _is_hidden(self, record: Record) -> bool:
        """Return whether nobody was there to write it down."""
        if not self._system.services[record.service].seen:
            return True
        if record.role != CLIENT or not self._without_clients[record.service]:
            return False
        return isinstance(record.what, Call) and record.what.kind == "service"

    def _name_culprits(self, records: list[Record], trace_of: list[bytes], columns: _Columns) -> None:
        for record, trace_id in zip(records, trace_of, strict=True):
            if record.origin:
                self._name(records, record, trace_id, columns.culprits)
            if record.background:
                self._name(records, record, trace_id, columns.bystanders)
            if record.origin and record.between:
                self._name(records, record, trace_id, columns.ways)

    def _name(
        self, records: list[Record], record: Record, trace_id: bytes, found: dict[bytes, tuple[str, ...]]
    ) -> None:
        names = {self._system.services[record.service].name, *found.get(trace_id, ())}
        if isinstance(record.what, Call):
            names.add(record.what.callee)
        above = records[record.parent].what if record.parent >= 0 else None
        if record.origin and isinstance(above, Call) and above.kind == "publish":
            names.add(above.callee)  # a message that waited: its queue
        found[trace_id] = tuple(sorted(names))

    def _truth(self, records: list[Record], hidden: list[bool], anchor: list[int]) -> tuple[list[bool], list[bool]]:
        """Return (origins, touched)."""
        origin = self._where_seen([record.origin for record in records], records, hidden, anchor)
        touched = list(origin)
        for i in range(len(records) - 1, 0, -1):
            record = records[i]
            waits = not (isinstance(record.what, Call) and record.what.fire and record.role != SERVER)
            if touched[i] and waits:
                touched[record.parent] = True
        return origin, touched

    def _leads_out(
        self, records: list[Record], hidden: list[bool], touched: list[bool], trace_of: list[bytes]
    ) -> list[bool]:
        """Mark the last span of a trace before the trouble goes on in another one, which lost the context."""
        found = [False] * len(records)
        for i, record in enumerate(records):
            at = record.parent
            if not touched[i] or at < 0 or trace_of[i] == trace_of[at] or not touched[at]:
                continue
            while at >= 0 and hidden[at]:
                at = records[at].parent
            if at >= 0:
                found[at] = True
        return found

    def _where_seen(
        self, marks: list[bool], records: list[Record], hidden: list[bool], anchor: list[int]
    ) -> list[bool]:
        """Move marks (in place) from spans that were never written to where the trouble can be seen to begin.

        No dialect for it, or it hangs for ever: then it is the span around it.
        """
        for i in range(len(records) - 1, -1, -1):
            record = records[i]
            if marks[i] and record.lost and record.parent >= 0:
                marks[i], marks[record.parent] = False, True
            elif marks[i] and hidden[i] and self._system.services[record.service].seen and anchor[i] >= 0:
                marks[i], marks[anchor[i]] = False, True
        return marks

    def _losses(self, records: list[Record]) -> list[bool]:
        share, uniform = self._settings.span_loss, self._dice.uniform
        if share <= 0:
            return [record.lost for record in records]
        alone, together = share * (1 - _BURST_SHARE), share * _BURST_SHARE
        whole = {service: uniform() < together for service in sorted({record.service for record in records})}
        return [record.lost or whole[record.service] or uniform() < alone for record in records]
