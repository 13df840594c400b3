"""A pipeline one can step through that counts errors, and a shelf that remembers their groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from analyzer.engine import Analyzer
from analyzer.errors.group_words import ErrorGroup, GroupChange
from collector.contracts import OutboxItem
from collector.groups import GroupRoom
from collector.pipeline import Pipeline
from tests.support.stepping import FAILING, House
from tests.support.stepping import Shelf as PlainShelf

RESOLVED = GroupChange(status="resolved")


@dataclass
class Shelf(PlainShelf):
    groups: dict[str, ErrorGroup] = field(default_factory=dict)
    messages: list[OutboxItem] = field(default_factory=list)

    def put_groups(self, groups: list[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None:
        self.groups |= {one.group_id: one for one in groups}
        self.messages += messages


class Counting(House):
    """A pipeline with a room for groups behind it."""

    def __init__(self, analyzer: Analyzer | None = None) -> None:
        super().__init__(analyzer=analyzer)
        self.shelf = Shelf()
        self.room = GroupRoom(self.shelf, self.clock)  # type: ignore[arg-type]
        self.pipeline = Pipeline(replace(self.pipeline._desk, shelf=self.shelf, groups=self.room))  # type: ignore[arg-type]

    @property
    def groups(self) -> list[ErrorGroup]:
        return list(self.shelf.groups.values())


def with_user(name: str) -> str:
    """The failing trace; its first span says who asked."""
    who = f"user.id={name} session.id=s-{name} tenant.id=acme"
    return FAILING.replace("0..100  ERROR", f"0..100  ERROR  {who}")
