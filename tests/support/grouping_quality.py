"""How well a way of grouping finds the bugs again, over pairs of reports.

python -m tests.support.grouping_quality     # the table of docs/errors.md
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.support.grouping_ways import (
    coarse,
    fine,
    suggested,
    type_and_message,
    type_and_top_frame,
    with_wrapper_types,
)
from tests.support.mutations import Generator, Report


@dataclass(frozen=True)
class Quality:
    """Over pairs of reports: put together and of one bug."""

    precision: float
    recall: float
    bugs: int
    groups: int
    split_bugs: int  # bugs in more than one group
    mixed_groups: int  # groups with more than one bug

    @property
    def f1(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def quality(reports: Iterable[Report], group: Callable[[Report], str]) -> Quality:
    """Compare groups with the truth by pairs."""
    cells = Counter((report.bug, group(report)) for report in reports)
    bugs: Counter[int] = Counter()
    groups: Counter[str] = Counter()
    for (bug, found), count in cells.items():
        bugs[bug] += count
        groups[found] += count

    def pairs(counts: Iterable[int]) -> int:
        return sum(count * (count - 1) // 2 for count in counts)

    together = pairs(cells.values())
    in_bugs, in_groups = Counter(bug for bug, _ in cells), Counter(found for _, found in cells)
    return Quality(
        precision=together / max(1, pairs(groups.values())),
        recall=together / max(1, pairs(bugs.values())),
        bugs=len(bugs),
        groups=len(groups),
        split_bugs=sum(count > 1 for count in in_bugs.values()),
        mixed_groups=sum(count > 1 for count in in_groups.values()),
    )


METHODS: dict[str, Callable[[Report], str]] = {
    "fine (what a group is)": fine,
    "coarse": coarse,
    "chain of types hashed too": with_wrapper_types,
    "type and top frame": type_and_top_frame,
    "type and message at the edge": type_and_message,
}


def main(seeds: Sequence[int] = (1, 2, 3), bugs: int = 200, each: int = 26) -> None:
    out = sys.stdout
    for hard in (False, True):
        out.write("\n| grouping, " + ("hard reports too" if hard else "asked-for mutations"))
        out.write(" | seed | pairwise F1 | precision | recall | bugs | groups | split bugs | mixed groups |\n")
        out.write("|---|---|---|---|---|---|---|---|---|\n")
        drawn = {seed: Generator(seed, hard=hard).reports(bugs, each) for seed in seeds}
        for name in (*METHODS, "fine, suggested merges made"):
            for seed, reports in drawn.items():
                found = quality(reports, METHODS[name] if name in METHODS else suggested(reports))
                numbers = f"{found.f1:.3f} | {found.precision:.3f} | {found.recall:.3f} | {found.bugs} | {found.groups}"
                out.write(f"| {name} | {seed} | {numbers} | {found.split_bugs} | {found.mixed_groups} |\n")


if __name__ == "__main__":
    main()
