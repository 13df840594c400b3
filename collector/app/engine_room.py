"""Everything behind the source of requests."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from analyzer.detection import DetectionConfig, Detector
from analyzer.engine import Analyzer
from analyzer.errors.change_words import Change
from analyzer.errors.groups import GroupsConfig
from analyzer.errors.rules import Grouping
from analyzer.incident_config import IncidentConfig
from analyzer.incidents.ranking import rank_incident
from analyzer.spans import TraceBatch
from analyzer.strings import new_vocabulary
from collector.app import warming
from collector.app.doors import new_redactor
from collector.app.durability import journal_root
from collector.app.exporting import Destinations, Words
from collector.assembly.buffer import Assembler
from collector.assembly.release import AssemblyConfig
from collector.clock import SystemClock
from collector.config import Config, Errors, Incidents
from collector.config_assembly import Assembly
from collector.contracts import (
    DETECTION_STATE_NAME,
    GROUPS_STATE_NAME,
    IMPACT_BOOKS_STATE_NAME,
    INCIDENTS_STATE_NAME,
    STATE_NAME,
    ChangeLog,
    ChangeQuery,
    Clock,
    Decisions,
    GroupQuery,
    IncidentQuery,
    OpenTraces,
    Signal,
)
from collector.desk import Desk, LiveSource
from collector.errors import OverloadedError
from collector.groups import GroupRoom
from collector.incidents import IncidentRoom
from collector.journal.keeper import Keeper
from collector.journal.replay import Replay
from collector.memory_limit import memory_limit, open_traces_bytes
from collector.offline import new_analyzer
from collector.pipeline import Pipeline
from collector.recall import Recalled, join, reread
from collector.samples import (
    analyzer_samples,
    assembly_samples,
    pipeline_samples,
    shelf_samples,
)
from collector.shelf import ShelfWriter
from collector.store.changes import ChangeShelf
from collector.store.incidents import LIMIT_MAX
from collector.store.sqlite import SqliteStore
from collector.stress import StressLimits, StressMode
from collector.telemetry import Snapshot, merge
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.encode import encode_logs, encode_traces
from collector.wire.masking import masked_details, masked_request

logger = logging.getLogger(__name__)

CHANGES_SHOWN = 20  # of those told of around an incident, the newest


class EngineRoom:
    """Everything behind the source. `start` and `stop` by the owner; `ask` from any thread."""

    def __init__(self, config: Config, source: LiveSource, is_stopping: Callable[[], bool] = lambda: False) -> None:
        self._is_stopping = is_stopping
        clock = SystemClock()
        self._config = config
        self._store = SqliteStore.open(
            config.storage.path,
            clock=clock,
            retention_hours=config.storage.retention_hours,
            bytes_max=config.storage.bytes_max,
        )
        self._destinations = Destinations(config.exporters, self._store, clock)
        words = Words(config.exporters)
        self._shelf = ShelfWriter(self._store, clock, self._destinations.wake)
        self._analyzer = new_analyzer(config.analysis, config.errors.rules, config.errors.synthetic_agents)
        self._redactor = redactor = new_redactor(config.redaction)
        self._details = masked_details(read_detail, redactor)
        vocabulary = new_vocabulary(clean=redactor.text)
        self._assembler = Assembler(assembly_config(config.assembly), Decoder(vocabulary), vocabulary, self._details)
        self._groups = GroupRoom(
            self._shelf,
            clock,
            groups_config(config.errors),
            self._store.group,
            overrules=config.errors.taxonomy,
            agents=config.errors.synthetic_agents,
            exports=words.group,
            group=Grouping(config.errors.rules),
        )
        self._changes = ChangeShelf(Path(config.storage.path), clock, config.storage.retention_hours)
        self._incidents = _incidents(config, self._analyzer, self._shelf, clock, self._changes, words)
        root = journal_root(config)
        self._replay = Replay(root) if root is not None else None
        self._journal = Keeper(root) if root is not None else None
        stress = config.assembly.stress
        limits = StressLimits(**stress.model_dump(exclude={"enabled"}))
        self._stress = StressMode(limits, self._assembler, source.fill) if stress.enabled else None
        self._pipeline = Pipeline(
            Desk(
                source=source,
                assembler=self._assembler,
                analyzer=self._analyzer,
                shelf=self._shelf,
                clock=clock,
                encode_traces=lambda traces, i: masked_request(encode_traces(traces, i), Signal.TRACES, redactor),
                encode_logs=lambda traces, i: masked_request(encode_logs(traces, i), Signal.LOGS, redactor),
                exports=words.finding,
                brief_exports=words.brief,
                find=self._store.find,
                reread=lambda found: reread(found, vocabulary, self._details),
                recall=self._recall,
                clean_traces_per_second=config.storage.clean_traces_per_second,
                incidents=self._incidents,
                groups=self._groups,
                journal=self._journal,
                stress=self._stress,
            )
        )
        self._ready = False

    def _recall(self, name: bytes, traces: TraceBatch, index: int) -> Recalled | None:
        """Join a trace with what the shelf has of it; the engine's thread only."""
        return join(self._store.find(name), traces, index)

    def start(self) -> None:
        warming.warm()
        state = self._store.load_state(STATE_NAME)
        try:
            self._analyzer.load(state or b"")
        except ValueError as error:
            logger.warning("what was learned before cannot be used and is left alone: %s", error)
        if self._incidents is not None:
            names = (DETECTION_STATE_NAME, INCIDENTS_STATE_NAME)
            self._incidents.load({name: self._store.load_state(name) for name in names})
            self._incidents.close_forgotten(self._store.incidents(IncidentQuery(status="open", limit=LIMIT_MAX)))
        kept = self._store.groups(GroupQuery(limit=self._config.errors.groups_max))
        self._groups.load(
            kept, self._store.load_state(GROUPS_STATE_NAME), self._store.load_state(IMPACT_BOOKS_STATE_NAME)
        )
        self._shelf.start()
        self._destinations.start()
        if self._replay is not None:
            self._pipeline.replay(self._replay, self._is_stopping)
        if not self._is_stopping():  # behind a replay that was cut short nothing may be taken: it would count as passed
            self._pipeline.start()
            self._ready = True

    def stop(self, timeout_s: float) -> bool:
        """Decide what is open, write it, send what can be sent in time."""
        self._ready = False
        clean = self._pipeline.stop(timeout_s * 0.6)
        clean = self._shelf.stop(timeout_s * 0.2) and clean
        if self._journal is not None and clean:
            for _ in range(2):  # what the shelf wrote last has passed too: a restart reads back what is open, no more
                self._journal.keep_house(self._assembler.oldest_ms(), self._shelf.handed, self._shelf.written)
            self._journal.clear()
        self._destinations.stop(timeout_s * 0.2)
        self._store.close()
        self._changes.close()
        return clean

    @property
    def open_traces(self) -> OpenTraces:
        return self._pipeline

    @property
    def decisions(self) -> Decisions:
        return self._groups

    def not_ready(self) -> str:
        return "" if self._ready else "starting or stopping"

    def stuck(self) -> str:
        return "" if self._pipeline.alive or not self._ready else "the engine's thread has ended"

    def snapshot(self) -> Snapshot:
        counts = self._assembler.counts()
        parts: list[Snapshot] = [
            assembly_samples(counts),
            {"spans_at_risk": 0 if self._journal is not None else counts.open_spans},
            pipeline_samples(self._pipeline.counts),
            analyzer_samples(self._analyzer),
            shelf_samples(self._shelf, self._store.counters()),
            self._redactor.snapshot(),
        ]
        parts.append(self._groups.snapshot())
        if self._stress is not None:
            parts.append(self._stress.snapshot())
        if self._incidents is not None:
            parts.append(self._incidents.snapshot())
        if self._replay is not None and self._journal is not None:
            parts += (self._replay.snapshot(), self._journal.snapshot())
        parts.append(self._destinations.snapshot())
        return merge(parts)


def assembly_config(section: Assembly) -> AssemblyConfig:
    """Turn the section of the configuration into what assembly takes: milliseconds, shares of the memory."""
    arena_bytes = section.memory_bytes_max or open_traces_bytes(memory_limit())
    return AssemblyConfig(
        idle_ms=_ms(section.idle_s),
        root_idle_ms=_ms(section.root_idle_s),
        root_idle_min_ms=_ms(section.root_idle_min_s),
        root_idle_max_ms=_ms(section.root_idle_max_s),
        age_max_ms=_ms(section.age_max_s),
        trace_spans_max=section.trace_spans_max,
        trace_bytes_max=section.trace_bytes_max,
        open_traces_max=section.open_traces_max,
        arena_bytes=arena_bytes,
        segment_bytes=_segment_bytes(arena_bytes),
        late_window_ms=max(1, _ms(section.late_window_s)),
    )


def _segment_bytes(arena_bytes: int) -> int:
    """A 32nd of the arena, from 1 to 32 MiB: the end of a segment into which no request fits is lost to all."""
    whole: int = 1 << (arena_bytes // 32).bit_length() - 1
    return min(32 * 2**20, max(2**20, whole))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _incidents(
    config: Config, analyzer: Analyzer, shelf: ShelfWriter, clock: Clock, told: ChangeLog, words: Words
) -> IncidentRoom | None:
    section = config.incidents
    if not section.enabled:
        return None

    def changes(from_ns: int, to_ns: int) -> list[Change]:
        try:
            return told.changes(ChangeQuery(from_ns=from_ns, to_ns=to_ns, limit=CHANGES_SHOWN))
        except OverloadedError as error:  # an incident without them is better than none
            logger.warning("changes cannot be read: %s", error)
            return []

    return IncidentRoom(
        analyzer,
        shelf,
        clock,
        Detector(
            DetectionConfig(
                tick_s=section.tick_s,
                false_alarms_per_hour=section.false_alarms_per_hour,
                cold_s=section.cold_s,
                cold_count=section.cold_count,
            )
        ),
        rank_incident,
        incident_config(section),
        words.incident,
        changes,
    )


def incident_config(section: Incidents) -> IncidentConfig:
    """Turn the section of the configuration into what the tracker takes."""
    return IncidentConfig(**section.model_dump(include=set(IncidentConfig.model_fields)))


def groups_config(section: Errors) -> GroupsConfig:
    """Turn the section of the configuration into what the groups take."""
    return GroupsConfig(groups_max=section.groups_max, new_s=section.new_hours * 3600)
