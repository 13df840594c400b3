"""Stack traces without a memory: every text is read whole, by its pattern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from analyzer.errors.stack_traces.in_app import Calls, InAppRules, Split, Stack


class PlainCalls(Calls):
    """Calls that remember neither stacks nor lines."""

    def stack(self, block: str, read: Callable[[str, Calls], Stack]) -> Stack:
        return read(block, self)

    def by_line(self, text: str, read: Callable[[str, Calls], Sequence[Any]]) -> tuple[Any, ...]:
        return tuple(read(text, self))

    def by_part(self, block: Any, read: Callable[[Any, Calls], Sequence[Any]], *_how: object) -> tuple[Any, ...]:
        return tuple(read(block, self))


class PlainRules(InAppRules):
    """The same decisions."""

    def calls(self, language: str, split: Split) -> Calls:
        return PlainCalls(split, lambda module, file: self.decide(language, module, file))
