"""All groups of errors an engine knows: bounded, with what changed since somebody asked.

In: facts with their fingerprints, decisions of people, the time. Out: `ErrorGroup`s that changed. Pure: it has no clock
and no thread. Owner: the engine's thread.

A trace counts once in a group, however often a late span has it explained again. When there is no room for another
group, the one that was seen longest ago and about which nobody decided leaves; it is counted.
"""

from __future__ import annotations

import json
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from analyzer.errors.counting import Users, UserSketch
from analyzer.errors.group_news import CallsOf, GroupNews, Turn
from analyzer.errors.group_state import HOUR_NS, MINUTE_NS, GroupState
from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.errors.model import ExceptionFact, Fingerprint
from analyzer.errors.own_past import WINDOW_MINUTES
from analyzer.errors.templates import similarity, template_of

AHEAD_MAX_NS = 5 * MINUTE_NS  # a time farther in the future is a wrong clock
BEHIND_MAX_NS = 14 * 24 * HOUR_NS
COUNTED_MAX = 100_000  # traces that are remembered to have been counted; ids only
MERGE_SIMILARITY = 0.8  # of message templates, from which on merging is suggested
MERGES_MAX = 8  # suggested for one group
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class GroupsConfig:
    """groups_max : some 5 KB each. new_s : how long a group counts as new, or as regressed."""

    groups_max: int = 5_000
    new_s: float = 86_400.0


@dataclass(slots=True)
class GroupCounts:
    """Plain counters."""

    observed: int = 0
    repeated: int = 0  # traces that were counted before
    inferred: int = 0  # traces counted by their look
    opened: int = 0
    regressed: int = 0
    evicted: int = 0
    recalled: int = 0  # of these: came back
    misdated: int = 0  # facts whose time cannot be; counted at the time they came


class Groups:
    """The groups. Owner: one thread.

    Parameters
    ----------
    config : GroupsConfig, optional
    users : makes what counts the users of a group
    recall : a group that had to leave, as it was kept elsewhere; so that it comes back with its true beginning
    """

    def __init__(
        self,
        config: GroupsConfig | None = None,
        users: Callable[[], Users] = UserSketch,
        recall: Callable[[str], ErrorGroup | None] = lambda group_id: None,
    ) -> None:
        self.config = config or GroupsConfig()
        self._recall = recall
        self.counts = GroupCounts()
        self.news = GroupNews()
        self._new_users = users
        self._groups: dict[str, GroupState] = {}
        self._counted: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._near: dict[str, dict[str, str]] = defaultdict(dict)  # coarse -> group id -> template of its message

    def __len__(self) -> int:
        return len(self._groups)

    def observe(
        self,
        fact: ExceptionFact,
        found: Fingerprint,
        now_ns: int,
        services: Sequence[str] = (),
        user_ids: Sequence[str] = (),
        *,
        visible: bool = False,
        synthetic: bool = False,
        key: str = "",
    ) -> str:
        """Count one trace's error, or one that was only logged; the id of its group.

        Parameters
        ----------
        fact : the fact the trace is about
        found : its fingerprint
        now_ns : Unix nanoseconds
        services : others that failed because of it
        user_ids : who was hit
        visible : the request failed for its caller
        synthetic : a synthetic check or a bot asked: nobody was hit
        key : tells a logged error from the next one; a trace counts once under its id
        """
        once = (fact.trace_name or key, found.fine)
        if once in self._counted:
            self.counts.repeated += 1
            return found.fine
        self._counted[once] = None
        if len(self._counted) > COUNTED_MAX:
            self._counted.popitem(last=False)
        self.counts.observed += 1
        at_ns = fact.time_ns
        if not now_ns - BEHIND_MAX_NS <= at_ns <= now_ns + AHEAD_MAX_NS:
            self.counts.misdated += 1
            at_ns = now_ns
        state = self._known(found.fine)
        if state is None:
            state = GroupState.first(found, fact, at_ns, self._new_users())
            self._surprise(state, now_ns)
            self._enter(state)
            self.counts.opened += 1
        before = state.regressions
        state.see(fact, at_ns, services, user_ids, visible, synthetic)
        if state.regressions > before:
            self.counts.regressed += 1
            self.news.tell(Turn(state.group_id, "regressed", state.status_ns))
        self._touch(state)
        return found.fine

    def infer(self, group_id: str, count: int, now_ns: int) -> None:
        """Count traces nobody had time to explain in the group of one that looks like them."""
        state = self._groups.get(group_id)
        if state is not None:
            state.infer(count, now_ns)
            self.counts.inferred += count
            self._touch(state)

    def decide(self, group_id: str, change: GroupChange, now_ns: int) -> ErrorGroup | None:
        """Let a person's decision hold; None when the group is not known."""
        state = self._known(group_id)
        if state is None:
            return None
        state.decide(change, now_ns)
        self._touch(state)
        return self._words(state)

    def age(self, now_ns: int) -> None:
        """Let time pass: what was new becomes ongoing, what was ignored for a while comes back."""
        new_ns = int(self.config.new_s * 1e9)
        for state in self._groups.values():
            if state.age(now_ns, new_ns):
                self._touch(state)

    def judge(self, now_ns: int, calls: CallsOf = lambda service: {}) -> None:
        """Hold every group against its own past, per call where calls are known. Once a minute."""
        for state in self.news.look(self._groups, now_ns, calls):
            self._touch(state)

    def _surprise(self, state: GroupState, now_ns: int) -> None:
        """Say whether a kind that was never seen is news for its service."""
        if self.news.is_flooded():
            state.novel_reason = "too many new groups came in the same minute for one to be news"
            return
        known = [other for other in self._groups.values() if other.fixed.service == state.fixed.service]
        minute = now_ns // MINUTE_NS
        recent = sum(other.minutes.between(minute - WINDOW_MINUTES + 1, minute + 1) for other in known)
        state.novel, state.novel_reason = self.news.is_novel([one.count for one in known], recent, now_ns)
        if state.novel:
            self.news.counts.novel += 1
            self.news.tell(Turn(state.group_id, "new", state.first_ns))

    def is_known(self, group_id: str) -> bool:
        """Whether a group is held here, or can be recalled."""
        return group_id in self._groups or self._recall(group_id) is not None

    def find(self, group_id: str) -> ErrorGroup | None:
        state = self._groups.get(group_id)
        return self._words(state) if state is not None else None

    def take_changed(self, most: int) -> list[ErrorGroup]:
        """Return groups that changed since they were taken last, at most so many; the others wait."""
        taken = []
        for group_id in list(self._changed)[:most]:
            del self._changed[group_id]
            state = self._groups.get(group_id)
            if state is not None:
                taken.append(self._words(state))
        return taken

    def _touch(self, state: GroupState) -> None:
        if state.group_id not in self._changed:
            self._changed[state.group_id] = None
            state.revision += 1

    def _known(self, group_id: str) -> GroupState | None:
        state = self._groups.get(group_id)
        if state is None and (kept := self._recall(group_id)) is not None:
            state = GroupState(kept, self._new_users())
            self._enter(state)
            self.counts.recalled += 1
        return state

    def _enter(self, state: GroupState) -> None:
        self._make_room()
        self._groups[state.group_id] = state
        self._near[state.fixed.coarse][state.group_id] = template_of(state.fixed.message)

    def _make_room(self) -> None:
        """A sixteenth leaves at once, so that a flood of new groups does not sort all of them for each."""
        if len(self._groups) < self.config.groups_max:
            return
        leaving = sorted(
            self._groups.values(), key=lambda state: (state.decided or state.spike is not None, state.last_ns)
        )
        for state in leaving[: max(1, self.config.groups_max // 16)]:
            del self._groups[state.group_id]
            near = self._near[state.fixed.coarse]
            near.pop(state.group_id, None)
            if not near:
                del self._near[state.fixed.coarse]
            self.counts.evicted += 1

    def _words(self, state: GroupState) -> ErrorGroup:
        near = self._near[state.fixed.coarse]
        own = near.get(state.group_id, "")
        others = [
            group_id
            for group_id, template in near.items()
            if group_id != state.group_id and similarity(own, template) >= MERGE_SIMILARITY
        ]
        return state.words(others[:MERGES_MAX])

    # -- over a restart ----------------------------------------------------------------------

    def save(self) -> bytes:
        """Return the counts of users and the traces counted last, as bytes; the groups themselves the store has."""
        users = {state.group_id: saved for state in self._groups.values() if (saved := state.users.save())}
        recent = list(self._counted)[-COUNTED_MAX // 10 :]
        return json.dumps({"version": STATE_VERSION, "users": users, "counted": recent}).encode()

    def load(self, groups: Iterable[ErrorGroup], blob: bytes) -> None:
        """Take the groups the store has, and what `save` wrote.

        Raises
        ------
        ValueError
            The blob is not one that `save` wrote; the groups are taken all the same.
        """
        for group in groups:
            if len(self._groups) < self.config.groups_max:
                self._enter(GroupState(group, self._new_users()))
        if not blob:
            return
        try:
            saved = json.loads(blob)
            if saved["version"] != STATE_VERSION:
                raise ValueError(f"version {saved['version']!r}")
            for group_id, sketch in saved["users"].items():
                if group_id in self._groups:
                    self._groups[group_id].users.load(sketch)
            for trace_id, group_id in saved["counted"]:
                self._counted[(trace_id, group_id)] = None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"the saved counts of groups cannot be used ({error}); expected version {STATE_VERSION}: remove them"
            ) from error
