"""Alarms -> incidents: what belongs together, how long it goes on, when its cause is looked for.

In: alarms of the detector, recent traces, a way to rank. Out: `Told`, an incident in words and what is new about it.
It has no clock and no thread: its owner says what time it is, and how much ranking there is time for. It names no
cause itself, and it says "insufficient evidence" rather than a name when the ranking does, or when nothing healthy
was seen to compare with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from analyzer.errors.change_words import Change
from analyzer.incident_config import IncidentConfig
from analyzer.incident_words import Incident
from analyzer.incidents.case import ALARMS_MAX, TURNS_MAX, Case, Trouble, Turn, key_of, name_incident, trouble_of
from analyzer.incidents.ports import Alarm, Rank, Ranking
from analyzer.incidents.recent import Recent
from analyzer.incidents.story import look_around, tell
from analyzer.spans import Vocabulary

Note = Literal["opened", "cause_changed", "merged", "closed", "updated"]
STATE_VERSION = 1
CHANGES_BEFORE_NS = 3_600_000_000_000  # told changes older than an hour before the onset are not shown with it
NO_REFERENCE = "too little healthy traffic was seen before it began to compare with"
NO_WINDOW = "no traces came in since it began"
NOT_CLEAR = "no cause stands out from the others"


@dataclass(frozen=True, slots=True)
class Told:
    """An incident in words, and what is new about it."""

    incident: Incident
    note: Note


@dataclass(slots=True)
class TrackerCounts:
    """What happened so far; only grows."""

    opened: int = 0
    closed: int = 0
    merged: int = 0
    alarms: dict[str, int] = field(default_factory=dict)  # newly raised, by symptom
    rankings: int = 0
    crowded_alarms: int = 0  # found no room: joined the newest incident, or left out of a full one


class IncidentTracker:
    """Incidents that are open now. Owner: one thread.

    Parameters
    ----------
    config : IncidentConfig
    recent : Recent
        Where reference and window are drawn from; told which minutes are part of an incident.
    rank : Rank
    """

    def __init__(
        self,
        config: IncidentConfig,
        recent: Recent,
        rank: Rank,
        changes: Callable[[int, int], Sequence[Change]] = lambda from_ns, to_ns: (),
    ) -> None:
        self.config = config
        self._changes = changes
        self.counts = TrackerCounts()
        self._recent = recent
        self._rank = rank
        self._cases: dict[str, Case] = {}

    @property
    def open_count(self) -> int:
        return len(self._cases)

    def holds(self, incident_id: str) -> bool:
        """Whether an incident goes on here."""
        return incident_id in self._cases

    def take(self, alarms: Iterable[Alarm], now_ns: int) -> None:
        """Take what the detector says; open incidents and let quiet ones end.

        Parameters
        ----------
        alarms : raised or cleared since the last time; one that is raised again is known
        now_ns : the detector's time
        """
        news = [(trouble_of(alarm), alarm.cleared) for alarm in alarms]
        for trouble, cleared in sorted(news, key=lambda one: (one[0].onset_ns, key_of(one[0]))):
            if cleared:
                self._clear(trouble, now_ns)
            else:
                self._raise(trouble, now_ns)
        for case in self._cases.values():
            self._end_when_quiet(case, now_ns)
        ongoing = [case for case in self._cases.values() if case.status == "open"]
        self._recent.keep_before(min((case.onset_ns for case in ongoing), default=None))
        for case in ongoing:
            self._recent.mark_troubled(case.onset_ns, now_ns)

    def is_due(self, now_ns: int) -> bool:
        """Whether `rank_next` would rank."""
        return self._due(now_ns) is not None

    def rank_next(self, vocabulary: Vocabulary, now_ns: int) -> None:
        """Look for the cause of the incident that waits longest; the one thing here that takes time.

        Whatever the ranking raises is raised; the incident then waits for its next turn.
        """
        case = self._due(now_ns)
        if case is None:
            return
        case.next_rank_ns = now_ns + int(self.config.rank_every_s * 1e9)
        case.ranked_ns = now_ns
        reference, window = self._recent.compare(case.onset_ns, now_ns + 1)
        if reference.facts.trace_count < self.config.reference_traces_min or not window.facts.trace_count:
            if not case.cause:  # after a restart nothing is remembered to compare with; what was said before holds
                case.why_not = NO_WINDOW if reference.facts.trace_count else NO_REFERENCE
            return
        ranking = self._rank(reference.facts, window.facts, vocabulary)
        self.counts.rankings += 1
        case.suspects, case.roots = list(ranking.suspects), _roots(ranking)
        case.candidate_set, case.next_probe = list(ranking.candidate_set), ranking.next_probe
        case.coverage = min(1.0, max(0.0, ranking.coverage))
        case.why_not = "" if case.suspects and not ranking.insufficient else NOT_CLEAR
        cause = case.suspects[0].entity.name if not case.why_not else ""
        if cause != case.cause:
            case.turns = [*case.turns, Turn(at_ns=now_ns, cause=cause)][-TURNS_MAX:]
            case.note = case.note or "cause_changed"
        told = self._changes(case.onset_ns - CHANGES_BEFORE_NS, now_ns + 1)
        look_around(case, reference, window, self._recent.entries, vocabulary, self.config, now_ns, told)
        case.changed = True
        if cause:
            self._merge(case, now_ns)

    def tell(self, now_ns: int) -> list[Told]:
        """Put every incident that changed into words; closed ones for the last time."""
        told = []
        for case in list(self._cases.values()):
            if case.changed:
                case.revision += 1
                note: Note = case.note or "updated"  # type: ignore[assignment]
                told.append(Told(tell(case, now_ns), note))
                case.note, case.changed = "", False
            if case.status == "closed":
                del self._cases[case.incident_id]
        return told

    def save(self) -> bytes:
        """Return the open incidents as bytes."""
        cases = [case.model_dump(mode="json") for case in self._cases.values()]
        return json.dumps({"version": STATE_VERSION, "cases": cases}).encode()

    def load(self, blob: bytes) -> None:
        """Take what was saved.

        Raises
        ------
        ValueError
            When `save` did not write it; nothing is changed then.
        """
        if not blob:
            return
        state = json.loads(blob)
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            found = state.get("version") if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"open incidents: found version {found}, expected {STATE_VERSION}; start without them")
        cases = [Case.model_validate(one) for one in state["cases"]]
        for case in cases:
            for trouble in case.troubles:
                if trouble.instance and trouble.cleared_ns is None:  # the detector forgets these; it may raise it again
                    trouble.cleared_ns = case.joined_ns
        self._cases = {case.incident_id: case for case in cases[: self.config.open_max]}

    # -- inside ------------------------------------------------------------------------------

    def _raise(self, alarm: Trouble, now_ns: int) -> None:
        key = key_of(alarm)
        for case in self._cases.values():
            held = case.find(key)
            if held is not None and case.status == "open":
                held.e_value = alarm.e_value
                if held.cleared_ns is not None:
                    held.cleared_ns, case.quiet_ns, case.changed = None, None, True
                return
        self.counts.alarms[alarm.symptom] = self.counts.alarms.get(alarm.symptom, 0) + 1
        home = self._home(alarm, now_ns)
        if len(home.troubles) >= ALARMS_MAX:
            home.left_out_alarms += 1
            self.counts.crowded_alarms += 1
            return
        home.troubles.append(alarm)
        home.onset_ns = min(home.onset_ns, alarm.onset_ns)
        home.joined_ns, home.quiet_ns, home.changed = now_ns, None, True

    def _home(self, alarm: Trouble, now_ns: int) -> Case:
        """The incident an alarm belongs to: one that began about then or shows at that service, else a new one."""
        join_ns = int(self.config.join_s * 1e9)
        ongoing = [case for case in self._cases.values() if case.status == "open"]
        for case in ongoing:
            together = abs(alarm.onset_ns - case.onset_ns) <= join_ns or now_ns - case.joined_ns <= join_ns
            if together or alarm.service in case.services:
                return case
        if len(ongoing) >= self.config.open_max:
            self.counts.crowded_alarms += 1
            return ongoing[-1]
        case = Case(
            incident_id=name_incident(alarm),
            onset_ns=alarm.onset_ns,
            detected_ns=now_ns,
            joined_ns=now_ns,
            next_rank_ns=now_ns,
        )
        self._cases[case.incident_id] = case
        self.counts.opened += 1
        return case

    def _clear(self, alarm: Trouble, now_ns: int) -> None:
        for case in self._cases.values():
            held = case.find(key_of(alarm))
            if held is not None and held.cleared_ns is None:
                held.cleared_ns, case.changed = now_ns, True

    def _end_when_quiet(self, case: Case, now_ns: int) -> None:
        if case.status == "closed":
            return
        if now_ns - case.joined_ns >= int(self.config.age_max_s * 1e9):  # its alarms may have been forgotten
            self._close(case, now_ns, "closed")
            return
        if case.raised:
            return
        if case.quiet_ns is None:
            case.quiet_ns = now_ns
        if now_ns - case.quiet_ns >= int(self.config.close_after_s * 1e9):
            self._close(case, case.quiet_ns, "closed")

    def _close(self, case: Case, ended_ns: int, note: Note) -> None:
        case.status, case.ended_ns, case.note, case.changed = "closed", ended_ns, note, True
        self.counts.closed += 1

    def _due(self, now_ns: int) -> Case | None:
        """While alarms are raised only: afterwards the window would fill with what is healthy again."""
        due = [case for case in self._cases.values() if case.status == "open" and case.raised]
        due = [case for case in due if case.next_rank_ns <= now_ns]
        return min(due, key=lambda case: (case.next_rank_ns, case.incident_id), default=None)

    def _merge(self, case: Case, now_ns: int) -> None:
        """Two open incidents with the same first cause are one: the older goes on."""
        alike = [
            other
            for other in self._cases.values()
            if other is not case and other.status == "open" and other.cause == case.cause
        ]
        for other in alike:
            older, newer = sorted((case, other), key=lambda one: (one.onset_ns, one.incident_id))
            known = {key_of(trouble) for trouble in older.troubles}
            older.troubles += [trouble for trouble in newer.troubles if key_of(trouble) not in known]
            older.left_out_alarms += max(0, len(older.troubles) - ALARMS_MAX)
            older.troubles = older.troubles[:ALARMS_MAX]
            older.changed, newer.merged_into = True, older.incident_id
            self._close(newer, now_ns, "merged")
            self.counts.merged += 1
            case = older


def _roots(ranking: Ranking) -> list[str]:
    """Independent causes: beside the first suspect only those for which something speaks."""
    backed = {one.entity.name for one in ranking.suspects if one.rank == 1 or one.evidence}
    return [name for name in ranking.roots if name in backed]
