"""Groups of errors, kept while the server runs and beyond it.

In: explained traces, from the engine's thread, and decisions of people, from any. Out: groups for the shelf. Counting
is a few dictionary steps for a trace that was worth milliseconds of words. It never takes a trace with it: what fails
here is logged, counted, and left out.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from analyzer.engine import Verdicts
from analyzer.errors.counting import Users, UserSketch
from analyzer.errors.exposure import Exposure, Places
from analyzer.errors.fingerprint import fingerprint_of
from analyzer.errors.group_news import Turn
from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.errors.groups import Groups, GroupsConfig
from analyzer.errors.impact_sheet import Hit, ImpactDesk, who_of
from analyzer.errors.signatures import signatures
from analyzer.errors.synthetic import synthetic_of
from analyzer.errors.taxonomy import Context, Overrule, judged
from analyzer.errors.trace_groups import Explained, Group, user_ids
from collector.contracts import GROUPS_STATE_NAME, IMPACT_BOOKS_STATE_NAME, IMPACT_STATE_NAME, Clock, OutboxItem
from collector.desk import Shelf
from collector.errors import OverloadedError
from collector.group_words import news_of
from collector.logged_errors import LoggedErrors
from collector.telemetry import Snapshot, sample

logger = logging.getLogger(__name__)

LOOK_NS = 1_000_000_000  # how often changed groups are told
AGE_NS = 10_000_000_000
JUDGE_NS = 60_000_000_000  # groups are held against their own past, by the minute
TOLD_MAX = 200  # groups handed to the shelf in one look; the others wait for the next
ALIKE_MAX = 20_000  # looks whose group is remembered
DECISIONS_MAX = 64  # waiting at once; people are slower than the engine
LOGGED_MAX = 3  # tracebacks of each kind of failure; the counter counts them all


@dataclass(slots=True)
class _Decision:
    group_id: str
    change: GroupChange
    done: threading.Event = field(default_factory=threading.Event)
    group: ErrorGroup | None = None
    failed: bool = False


class GroupRoom:
    """Owner of the groups. `decide` and `snapshot` are for other threads; the rest is the engine's.

    Parameters
    ----------
    shelf : Shelf
    clock : Clock
    config : GroupsConfig, optional
    recall : a group the shelf still has, by its id
    users : makes what counts the users of a group
    overrules : what people say of severity, type and observability
    group : tells the group of an error that was only logged
    agents : more user agents of synthetic checks
    exports : a group, what is new about it, when that began and the time -> messages
    """

    def __init__(
        self,
        shelf: Shelf,
        clock: Clock,
        config: GroupsConfig | None = None,
        recall: Callable[[str], ErrorGroup | None] = lambda group_id: None,
        users: Callable[[], Users] = UserSketch,
        overrules: Sequence[Overrule] = (),
        exports: Callable[[ErrorGroup, Turn, int], list[OutboxItem]] = lambda group, turn, now_ns: [],
        group: Group = fingerprint_of,
        agents: Sequence[str] = (),
    ) -> None:
        self._shelf, self._clock = shelf, clock
        self.groups = Groups(config, users, recall)
        self.groups.news.begin(clock.now_ns())
        self._exports = exports
        self.logged = LoggedErrors(group)
        self.told: dict[str, int] = {}  # what was new -> times it was told
        self.exposure = Exposure()
        self.impact = ImpactDesk()
        self._overrules, self._agents = overrules, agents
        self._places: dict[str, Places] = {}
        self._shares: dict[str, tuple[float | None, int]] = {}  # of the operation where a group began, as told last
        self._looks: dict[int, int] = {}  # of the batch observed last: trace -> look
        self._alike: OrderedDict[int, str] = OrderedDict()  # look -> group of the last explained one
        self.unlike = 0
        self.heard = 0
        self.failed: dict[str, int] = {}
        self.decided = 0
        self._decisions: queue.Queue[_Decision] = queue.Queue(DECISIONS_MAX)
        now = clock.monotonic_ns()
        self._next_look_ns, self._next_age_ns, self._next_judge_ns = now, now, now

    def observe(self, verdicts: Verdicts) -> None:
        """Count the calls of a batch: what errors are compared with."""
        self._looks = {}
        self._guarded("calls", lambda: self.exposure.add(verdicts.analysis, self._clock.now_ns()))
        self._guarded("looks", lambda: self._look(verdicts))

    def _look(self, verdicts: Verdicts) -> None:
        traces, keys = signatures(verdicts.analysis)
        first = verdicts.analysis.traces.revisions[traces] <= 1  # others were counted before their late spans came
        self._looks = dict(zip(traces[first].tolist(), keys[first].tolist(), strict=True))

    def take(self, explained: Explained, index: int) -> None:
        """Count the errors of one explained trace, and learn what looks like it."""
        self._guarded("counting", lambda: self._count(explained))
        look = self._looks.get(index)
        if look is not None and explained.groups:
            self._alike[look] = explained.groups[0].fingerprint.fine
            self._alike.move_to_end(look)
            if len(self._alike) > ALIKE_MAX:
                self._alike.popitem(last=False)

    def open(self, explained: Explained) -> None:
        """Open the groups of a trace explained on request that nobody keeps; in others its look may have counted it."""
        self._guarded("counting", lambda: self._open(explained))

    def _open(self, explained: Explained) -> None:
        new = tuple(one for one in explained.groups if not self.groups.is_known(one.fingerprint.fine))
        self._count(replace(explained, groups=new))

    def rest(self, explained: Collection[int]) -> None:
        """Count what nobody had time to explain in the group of what looks like it."""
        told = set(explained)
        left = Counter(look for index, look in self._looks.items() if index not in told)
        if left:
            self._guarded("counting", lambda: self._infer(left))

    def _infer(self, left: Counter[int]) -> None:
        now_ns = self._clock.now_ns()
        for look, count in left.items():
            group_id = self._alike.get(look)
            if group_id is None:
                self.unlike += count
            else:
                self.groups.infer(group_id, count, now_ns)

    def _count(self, explained: Explained) -> None:
        now_ns, hits = self._clock.now_ns(), []
        synthetic = synthetic_of(explained.facts, self._agents) is not None
        for place, one in enumerate(explained.groups):
            before = self.groups.counts.observed
            group_id = self.groups.observe(
                one.fact,
                one.fingerprint,
                now_ns,
                one.services,
                one.user_ids,
                visible=one.visible,
                synthetic=synthetic,
            )
            if self.groups.counts.observed == before:
                continue  # counted when it was explained first
            hits.append(Hit(group_id, one.fact.service, one.services, one.visible))
            if group_id not in self._places:
                self._places[group_id] = Places(self.exposure.of(one.fact.service))
            self._places[group_id].add(one.fact)
            if not place:  # the share is of the operation where the trace's own trouble began
                self._shares[group_id] = (explained.failed_share, explained.call_count)
        if hits:
            who = who_of(explained.facts)
            self._guarded("impact", lambda: self.impact.add(hits, who, now_ns, synthetic=synthetic))
        if len(self._places) > 2 * self.groups.config.groups_max:  # of groups that left; the next errors tell it again
            self._places.clear()
            self._shares.clear()

    def hear(self, payload: bytes | memoryview) -> None:
        """Count errors that were only logged, outside of any trace; as many as the budget allows."""
        self._guarded("logged", lambda: self._hear(payload))

    def _hear(self, payload: bytes | memoryview) -> None:
        now_ns = self._clock.now_ns()
        for one in self.logged.read(payload, self._clock.monotonic_ns()):
            before = self.groups.counts.observed
            group_id = self.groups.observe(one.fact, one.group, now_ns, (), user_ids((one.fact,)), key=one.key)
            if self.groups.counts.observed == before:
                continue  # the request was sent again
            self.heard += 1
            if group_id not in self._places:
                self._places[group_id] = Places(self.exposure.of(one.fact.service))
            self._places[group_id].add(one.fact)

    def keep_house(self) -> None:
        """Let decisions hold at once; once a second tell what changed."""
        self._guarded("deciding", self._let_decisions_hold)
        now = self._clock.monotonic_ns()
        if now >= self._next_age_ns:
            self._next_age_ns = now + AGE_NS
            self._guarded("ageing", lambda: self.groups.age(self._clock.now_ns()))
        if now >= self._next_judge_ns:
            self._next_judge_ns = now + JUDGE_NS
            self._guarded("judging", lambda: self.groups.judge(self._clock.now_ns(), self._calls_of))
            self._guarded("impact", self._tell_impact)
        if now >= self._next_look_ns:
            self._next_look_ns = now + LOOK_NS
            self._guarded("telling", lambda: self._tell(TOLD_MAX))

    def _calls_of(self, service: str) -> Mapping[int, int]:
        return self.exposure.of(service).minutes

    def _let_decisions_hold(self) -> None:
        while True:
            try:
                one = self._decisions.get_nowait()
            except queue.Empty:
                return
            try:
                one.group = self.groups.decide(one.group_id, one.change, self._clock.now_ns())
                if one.group is not None:
                    self.decided += 1
                    one.group = self._judged(one.group)
                    self._tell(len(self.groups))  # who decided must find it on the shelf
            except Exception:
                one.failed = True
                raise
            finally:
                one.done.set()

    def _tell(self, most: int) -> None:
        changed = self.groups.take_changed(most)
        messages = self._news()
        if changed or messages:
            self._shelf.put_groups([self._judged(group) for group in changed], messages)

    def _tell_impact(self) -> None:
        now_ns = self._clock.now_ns()
        self.impact.turn(now_ns)
        if self.impact.changed:
            sheet = self.impact.sheet(now_ns)
            self._shelf.save_state(IMPACT_STATE_NAME, sheet.model_dump_json().encode())

    def _news(self) -> list[OutboxItem]:
        now_ns, found = self._clock.now_ns(), []
        for turn in self.groups.news.take():
            group = self.groups.find(turn.group_id)
            if group is not None:
                self.told[turn.what] = self.told.get(turn.what, 0) + 1
                logger.info("group %s %s: %s", group.group_id, turn.what, news_of(group, turn.what))
                found += self._exports(self._judged(group), turn, now_ns)
        return found

    def _judged(self, group: ErrorGroup) -> ErrorGroup:
        share, count = self._shares.get(group.group_id, (None, 0))
        places, calls = self._places.get(group.group_id), self.exposure.of(group.service)
        return judged(group, Context(places, calls, share, count), self._overrules)

    def save(self) -> None:
        """Hand every change, and the counts of users, to the shelf."""
        self._guarded("telling", lambda: self._tell(len(self.groups)))
        self._guarded("telling", lambda: self._shelf.save_state(GROUPS_STATE_NAME, self.groups.save()))
        self._guarded("impact", self._tell_impact)
        if self.impact.unsaved:  # up to 0.2 s when the books are full
            self._guarded("impact", lambda: self._shelf.save_state(IMPACT_BOOKS_STATE_NAME, self.impact.save()))

    def load(self, groups: Sequence[ErrorGroup], state: bytes | None, impact: bytes | None = None) -> None:
        """Take what the shelf has. Before the engine's thread starts."""
        try:
            self.groups.load(groups, state or b"")
        except ValueError as error:
            logger.warning("users of error groups are counted anew: %s", error)
        try:
            self.impact.load(impact or b"")
        except ValueError as error:
            logger.warning("whom errors hit is counted anew: %s", error)

    def decide(self, group_id: str, change: GroupChange, timeout_s: float) -> ErrorGroup | None:
        """`contracts.Decisions`: let a person's decision hold; None when there is no such group.

        Raises
        ------
        OverloadedError
            The engine's thread did not come to it in time.
        """
        one = _Decision(group_id, change)
        try:
            self._decisions.put_nowait(one)
        except queue.Full:
            raise OverloadedError(f"{DECISIONS_MAX} decisions wait already", "decisions") from None
        if not one.done.wait(timeout_s) or one.failed:
            raise OverloadedError(
                f"the engine did not let the decision hold within {timeout_s:g} s; it may yet", "engine_silent"
            )
        return one.group

    def snapshot(self) -> Snapshot:
        """Counters under the names of the metric table; any thread."""
        counts = self.groups.counts
        news = self.groups.news
        found: Snapshot = {
            "groups_spiking": news.spiking,
            "groups_spikes": news.counts.spikes,
            "groups_novel": news.counts.novel,
            "groups_unjudged": news.counts.unjudged,
            "groups_left_out_impact": self.impact.left_out,
            "groups_untold_news": news.counts.untold,
            "groups_held": len(self.groups),
            "groups_observed_errors": counts.observed,
            "groups_repeated_errors": counts.repeated,
            "groups_inferred_errors": counts.inferred,
            "groups_uncounted_errors": self.unlike,
            "groups_logged_errors": self.heard,
            "groups_unopened_log_requests": self.logged.unopened_requests,
            "groups_unread_log_records": self.logged.unread_records,
            "groups_opened": counts.opened,
            "groups_regressed": counts.regressed,
            "groups_evicted": counts.evicted,
            "groups_recalled": counts.recalled,
            "groups_misdated_errors": counts.misdated,
            "groups_decisions": self.decided,
            "groups_lost_calls": self.exposure.lost_calls,
        }
        found |= {sample("groups_told_news", what): number for what, number in list(self.told.items())}
        return found | {sample("groups_failed", part): number for part, number in list(self.failed.items())}

    def _guarded(self, part: str, work: Callable[[], None]) -> None:
        """A defect in counting must not cost the answer to a trace."""
        try:
            work()
        except Exception:
            count = self.failed[part] = self.failed.get(part, 0) + 1
            if count <= LOGGED_MAX:
                logger.exception("groups: %s failed; it goes on without", part)
