"""How many steps a backtracking engine takes: Python's `re` retold in the plainest way, counting every letter looked at.

Times lie on a busy machine; steps do not. Only what our patterns use is told; anything else is refused. A step is one
letter compared or one item of the pattern begun, so quadratic matching shows as four times the steps for twice the text.
"""

from __future__ import annotations

import re
import re._constants as sre  # the parser of the standard library; there is no public one
import re._parser as sre_parser
from collections.abc import Callable, Iterator
from typing import Any

Items = list[tuple[Any, Any]]
MAXREPEAT = sre.MAXREPEAT


class Steps:
    """One pattern, walked letter by letter.

    count : steps taken so far
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.items: Items = list(sre_parser.parse(pattern.pattern, pattern.flags))
        self.count = 0

    def match(self, text: str, at: int) -> int | None:
        """The end of the match that begins at `at`, as `re.match` finds it."""
        self.count += 1
        return next(self._items(self.items, 0, text, at), None)

    def scan(self, text: str) -> int:
        """The steps taken to find all matches in a text, as `findall` does."""
        before, at = self.count, 0
        while at <= len(text):
            end = self.match(text, at)
            at = at + 1 if end is None else max(end, at + 1)
        return self.count - before

    def _items(self, items: Items, index: int, text: str, at: int) -> Iterator[int]:
        """Every end that the items from `index` on can reach, in the order the engine tries them."""
        while index < len(items):  # what has one way only needs no recursion
            end = self._one(items[index], text, at)
            if end is None:
                break
            if end < 0:
                return
            at, index = end, index + 1
        if index == len(items):
            yield at
            return
        op, argument = items[index]

        def rest(end: int) -> Iterator[int]:
            return self._items(items, index + 1, text, end)

        if op is sre.SUBPATTERN:
            for end in self._items(list(argument[3]), 0, text, at):
                yield from rest(end)
        elif op is sre.BRANCH:
            for branch in argument[1]:
                for end in self._items(list(branch), 0, text, at):
                    yield from rest(end)
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            low, high, body = argument
            yield from self._repeat(list(body), low, high, op is sre.MIN_REPEAT, text, at, rest)
        else:
            raise NotImplementedError(op)

    def _one(self, item: tuple[Any, Any], text: str, at: int) -> int | None:
        """The end behind an item that matches in one way, -1 when it does not; None when it has several ways."""
        op, argument = item
        self.count += 1
        if op is sre.LITERAL:
            return at + 1 if at < len(text) and ord(text[at]) == argument else -1
        if op is sre.NOT_LITERAL:
            return at + 1 if at < len(text) and ord(text[at]) != argument else -1
        if op is sre.ANY:
            return at + 1 if at < len(text) and text[at] != "\n" else -1
        if op is sre.IN:
            return at + 1 if at < len(text) and self._in(argument, text[at]) else -1
        if op is sre.AT:
            ends = {sre.AT_END: len(text) - at <= text.endswith("\n"), sre.AT_BEGINNING: at == 0}
            ends[sre.AT_BOUNDARY] = (at > 0 and self._word(text[at - 1])) != (at < len(text) and self._word(text[at]))
            return at if ends[argument] else -1
        if op in (sre.ASSERT, sre.ASSERT_NOT):
            direction, body = argument
            start = at if direction > 0 else at - len(body)  # behind us stand single letters only
            found = start >= 0 and next(self._items(list(body), 0, text, start), None) is not None
            return at if found == (op is sre.ASSERT) else -1
        return None

    def _repeat(
        self, body: Items, low: int, high: int, lazy: bool, text: str, at: int, rest: Callable[[int], Iterator[int]]
    ) -> Iterator[int]:
        if len(body) == 1 and body[0][0] in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN):
            yield from self._letters(body[0], low, high, lazy, text, at, rest)
            return
        # A way for each repetition begun, and where it began; the innermost is tried first, as the engine does.
        ways: list[Iterator[int]] = [iter((at,))]
        begun: list[int] = []
        while ways:
            times = len(ways) - 1
            end = next(ways[-1], None)
            if end is None:
                ways.pop()
                if begun:
                    place = begun.pop()
                    if not lazy and len(ways) - 1 >= low:
                        yield from rest(place)
                continue
            if lazy and times >= low:
                yield from rest(end)
            empty = bool(begun) and end == begun[-1]
            if (high is MAXREPEAT or times < high) and not empty:
                begun.append(end)
                ways.append(self._items(body, 0, text, end))
            elif not lazy and times >= low:
                yield from rest(end)

    def _letters(
        self,
        item: tuple[Any, Any],
        low: int,
        high: int,
        lazy: bool,
        text: str,
        at: int,
        rest: Callable[[int], Iterator[int]],
    ) -> Iterator[int]:
        most = len(text) - at if high is MAXREPEAT else min(high, len(text) - at)
        if lazy:
            for times in range(most + 1):
                if times >= low:
                    yield from rest(at + times)
                if times == most or (self._one(item, text, at + times) or -1) < 0:
                    return
            return
        times = 0
        while times < most and (self._one(item, text, at + times) or -1) >= 0:
            times += 1
        while times >= low:
            self.count += 1
            yield from rest(at + times)
            times -= 1

    def _in(self, classes: Items, letter: str) -> bool:
        code = ord(letter)
        negated = classes[0][0] is sre.NEGATE
        for op, argument in classes:
            if op is sre.NEGATE:
                continue
            if op is sre.LITERAL:
                hit = code == argument
            elif op is sre.RANGE:
                hit = argument[0] <= code <= argument[1]
            elif op is sre.CATEGORY:
                hit = {
                    sre.CATEGORY_DIGIT: letter.isdigit(),
                    sre.CATEGORY_SPACE: letter.isspace(),
                    sre.CATEGORY_NOT_SPACE: not letter.isspace(),
                }.get(argument, self._word(letter))
            else:
                raise NotImplementedError(op)
            if hit:
                return not negated
        return negated

    @staticmethod
    def _word(letter: str) -> bool:
        return letter.isalnum() or letter == "_"
