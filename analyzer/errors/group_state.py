"""The life of one group: what is seen of it, what people decide, and what its status is then.

    seen first -> new -> (new_s) ongoing
    a person:     resolved | ignored | ongoing
    seen again:   resolved -> regressed -> (new_s) ongoing
    its bound:    ignored -> ongoing

In: observations and decisions with their times. Out: an `ErrorGroup`. Owner: `Groups`.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.errors.counting import Names, Series, Users
from analyzer.errors.group_words import ErrorGroup, GroupChange, Part
from analyzer.errors.model import ExceptionFact, Fingerprint
from analyzer.errors.versions import is_older

MINUTE_NS = 60_000_000_000
HOUR_NS = 60 * MINUTE_NS
MINUTES_MAX = 120
HOURS_MAX = 24 * 14
EXAMPLES_FIRST = 3  # how it began
EXAMPLES_LAST = 7  # how it is now
TEXT_MAX = 1024  # characters of the example's message


class GroupState:
    """One group as it is now."""

    def __init__(self, group: ErrorGroup, users: Users) -> None:
        self.group_id, self.users = group.group_id, users
        self.fixed = group
        self.status, self.reason, self.status_ns = group.status, group.status_reason, group.status_ns
        self.decided, self.regressions = group.decided, group.regressions
        self.first_ns, self.last_ns, self.count = group.first_seen_ns, group.last_seen_ns, group.count
        self.visible, self.inferred = group.visible_count, group.inferred_count
        self.logged, self.synthetic = group.logged_count, group.synthetic_count
        self.services, self.operations = Names(group.services), Names(group.operations)
        self.versions, self.environments = Names(group.versions), Names(group.environments)
        self.hosts = Names(group.hosts)
        self.examples = list(group.example_trace_ids)
        self.minutes, self.hours = Series(MINUTES_MAX, group.minutes), Series(HOURS_MAX, group.hours)
        self.resolved_ns, self.resolved_in = group.resolved_ns, group.resolved_in_version
        self.ignored_until_ns, self.ignored_until_count = group.ignored_until_ns, group.ignored_until_count
        self.users_before = group.users  # what was counted before a restart, when the count itself was lost
        self.lost, self.revision = group.lost, group.revision
        self.spike, self.quiet_looks = group.spike, 0
        self.novel, self.novel_reason = group.novel, group.novel_reason

    @classmethod
    def first(cls, found: Fingerprint, fact: ExceptionFact, at_ns: int, users: Users) -> GroupState:
        """Begin a group with what is known of its first error."""
        origin = fact.stack.origin if fact.stack is not None else None
        group = ErrorGroup(
            group_id=found.fine,
            version=found.version,
            fine=found.fine,
            coarse=found.coarse,
            tier=found.tier,
            parts=[Part(name=name, value=value) for name, value in found.parts],
            type=(fact.stack.root.type if fact.stack is not None else "") or fact.type,
            message=((fact.stack.root.message if fact.stack is not None else "") or fact.message)[:TEXT_MAX],
            location=f"{origin.file}:{origin.line}" if origin is not None and origin.file else "",
            service=fact.service,
            operation=fact.operation,
            error_class=fact.error_class,
            status_reason="seen for the first time",
            status_ns=at_ns,
            first_seen_ns=at_ns,
            last_seen_ns=at_ns,
            count=0,
        )
        return cls(group, users)

    def see(
        self,
        fact: ExceptionFact,
        at_ns: int,
        services: Sequence[str],
        user_ids: Sequence[str],
        visible: bool,
        synthetic: bool,
    ) -> None:
        """Count one trace whose error began with this group, or one logged error; it may change the status."""
        new_version = bool(fact.version) and self.versions.first_seen_ns(fact.version) is None
        self.count += 1
        self.visible += visible and not synthetic
        self.synthetic += synthetic
        self.first_ns, self.last_ns = min(self.first_ns, at_ns), max(self.last_ns, at_ns)
        self.minutes.add(at_ns // MINUTE_NS)
        self.hours.add(at_ns // HOUR_NS)
        kept = [self.services.add(service, at_ns) for service in dict.fromkeys((fact.service, *services))]
        if fact.trace_id:
            kept.append(self.operations.add(f"{fact.service} {fact.operation}", at_ns))
        else:
            self.logged += 1
        kept.append(self.versions.add(fact.version, at_ns))
        kept.append(self.environments.add(fact.environment, at_ns))
        kept.append(self.hosts.add(fact.host, at_ns))
        self.lost += kept.count(False)
        for user_id in () if synthetic else user_ids:
            self.users.add(user_id)
        if fact.trace_id and fact.trace_name not in self.examples:
            self.examples.append(fact.trace_name)
            if len(self.examples) > EXAMPLES_FIRST + EXAMPLES_LAST:
                del self.examples[EXAMPLES_FIRST]
        if self.status == "resolved":
            self._regress(fact.version, new_version, at_ns)

    def infer(self, count: int, at_ns: int) -> None:
        """Count traces that look like one of this group; of their release and users nothing is known."""
        self.count += count
        self.inferred += count
        self.last_ns = max(self.last_ns, at_ns)
        self.minutes.add(at_ns // MINUTE_NS, count)
        self.hours.add(at_ns // HOUR_NS, count)

    def _regress(self, version: str, new_version: bool, at_ns: int) -> None:
        """Seen after it was resolved: back, unless an older release than the one with the fix still runs."""
        if at_ns <= self.resolved_ns:
            return
        if self.resolved_in and version != self.resolved_in:
            older = is_older(version, self.resolved_in) if version else True
            # Names without an order: a release that was seen before the decision is not the one with the fix.
            if older or (older is None and not new_version and self._seen_before(version, self.resolved_ns)):
                return
        self.regressions += 1
        where = f" in version {version}" if version else ""
        self._become("regressed", f"seen again{where} after it was resolved", at_ns)

    def _seen_before(self, version: str, time_ns: int) -> bool:
        first_ns = self.versions.first_seen_ns(version)
        return first_ns is not None and first_ns <= time_ns

    def decide(self, change: GroupChange, now_ns: int) -> None:
        """Let a person's decision hold."""
        self.decided = change.status != "ongoing"
        self.resolved_ns, self.resolved_in = 0, ""
        self.ignored_until_ns = self.ignored_until_count = 0
        if change.status == "resolved":
            self.resolved_ns, self.resolved_in = now_ns, change.in_version
            where = f" in version {change.in_version}" if change.in_version else ""
            self._become("resolved", f"a person resolved it{where}", now_ns)
        elif change.status == "ignored":
            until_ns = change.until_ns if change.until_ns is not None else 0
            self.ignored_until_ns = now_ns + int(change.for_s * 1e9) if change.for_s is not None else until_ns
            self.ignored_until_count = self.count + change.for_count if change.for_count is not None else 0
            how = "until a time" if self.ignored_until_ns else "for a number of errors"
            bound = f" {how}" if self.ignored_until_ns or self.ignored_until_count else ""
            self._become("ignored", f"a person ignored it{bound}", now_ns)
        else:
            self._become("ongoing", "a person opened it again", now_ns)

    def age(self, now_ns: int, new_ns: int) -> bool:
        """Let time pass; whether the status changed."""
        if self.status in ("new", "regressed") and now_ns - self.status_ns >= new_ns:
            self._become("ongoing", "it has been known for a while", now_ns)
            return True
        if self.status == "ignored" and self._is_bound_over(now_ns):
            self.decided = False
            self._become("ongoing", "the bound of its being ignored was reached", now_ns)
            return True
        return False

    def _is_bound_over(self, now_ns: int) -> bool:
        return bool(
            (self.ignored_until_ns and now_ns >= self.ignored_until_ns)
            or (self.ignored_until_count and self.count >= self.ignored_until_count)
        )

    def _become(self, status: str, reason: str, at_ns: int) -> None:
        self.status, self.reason, self.status_ns = status, reason, at_ns  # type: ignore[assignment]

    def words(self, merge_with: Sequence[str] = ()) -> ErrorGroup:
        """Say what is known now."""
        return self.fixed.model_copy(
            update={
                "status": self.status,
                "status_reason": self.reason,
                "status_ns": self.status_ns,
                "decided": self.decided,
                "first_seen_ns": self.first_ns,
                "last_seen_ns": self.last_ns,
                "count": self.count,
                "inferred_count": self.inferred,
                "logged_count": self.logged,
                "synthetic_count": self.synthetic,
                "visible_count": self.visible,
                "users": max(self.users_before, self.users.count()),
                "services": self.services.words(),
                "operations": self.operations.words(),
                "versions": self.versions.words(),
                "environments": self.environments.words(),
                "hosts": self.hosts.words(),
                "example_trace_ids": list(self.examples),
                "minutes": self.minutes.buckets(),
                "hours": self.hours.buckets(),
                "resolved_ns": self.resolved_ns,
                "resolved_in_version": self.resolved_in,
                "ignored_until_ns": self.ignored_until_ns,
                "ignored_until_count": self.ignored_until_count,
                "regressions": self.regressions,
                "lost": self.lost,
                "spike": self.spike,
                "novel": self.novel,
                "novel_reason": self.novel_reason,
                "merge_with": list(merge_with),
                "revision": self.revision,
            }
        )
