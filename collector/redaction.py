"""Masks secrets in telemetry, before they are kept or shown.

In: the text of an attribute, a message, a statement, a stack trace, a URL. Out: the same with `[redacted]` where a
secret stood (`collector.secret_shapes` says what is one). Masking twice changes nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from collector.secret_shapes import (
    BY_NAME,
    CAMEL,
    DIGITS,
    LITERAL,
    MASK,
    NAME_NEEDLES,
    PARAMETER_PREFIXES,
    SECRET_NAME,
    SHAPES,
    SHORT_NEEDLES,
    STATEMENT,
    STATEMENT_NAMES,
    URL_PASSWORD,
    Shape,
)
from collector.telemetry import Snapshot, sample

if TYPE_CHECKING:
    from collector.needles import Needles

TEXT_MAX = 65_536  # longer text is cut here: what was not looked at is neither kept nor shown
NAMES_MAX = 4_096  # attribute names are few
SEEN_MAX = 8_192  # texts that were looked at; most values of attributes come again and again
SEEN_LENGTH_MAX = 256
# The same without looking back: what begins with a literal is found fast in many bytes.
_URL_PASSWORD_BYTES = re.compile(URL_PASSWORD.pattern.replace("(?<=://)", "://").encode())
_DIGITS_ONLY = bytes(ord("9") if chr(byte).isdigit() and byte < 128 else 0 for byte in range(256))
_CARD = b"9" * 13
_NOTHING: dict[str, int] = {}
_PARAMETER = b".parameter."
_STATEMENT_NAMES = tuple(sorted(name.encode() for name in STATEMENT_NAMES))
# Behind its name: an AnyValue and its length, a string and its length.
_STRING_VALUE = re.compile(rb"\x12[\x80-\xff]{0,4}[\x00-\x7f]\x0a([\x80-\xff]{0,4}[\x00-\x7f])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class UserRule:
    """
    keys : names, with * for any part, of attributes whose whole value is masked
    pattern : of a secret inside of any text
    """

    name: str
    keys: Sequence[str] = ()
    pattern: re.Pattern[str] | None = None


class Redactor:
    """Masks. One owner thread; `snapshot` by any.

    Parameters
    ----------
    without : names of built-in rules that do not hold
    rules : of the user, after the built-in ones
    """

    def __init__(self, without: Iterable[str] = (), rules: Sequence[UserRule] = ()) -> None:
        left_out = frozenset(without)
        self._shapes = [shape for shape in SHAPES if shape.name not in left_out]
        self._by_name, self._statements = BY_NAME not in left_out, STATEMENT not in left_out
        self._urls = any(shape.pattern is URL_PASSWORD for shape in self._shapes)
        self._digits = any(not shape.needles and not shape.exact for shape in self._shapes)
        self._patterns = [(rule.name, rule.pattern) for rule in rules if rule.pattern is not None]
        self._keys = [(rule.name, re.compile(fnmatch.translate(key.lower()))) for rule in rules for key in rule.keys]
        self._counts: Counter[str] = Counter()
        self._rules: dict[str, str] = {}
        self._seen: OrderedDict[tuple[str, str], tuple[str, dict[str, int]]] = OrderedDict()

    @cached_property
    def _needles(self) -> Needles:
        """Made when it is first asked for: its kernel is not loaded by who only masks texts (query)."""
        from collector.needles import Needles

        return Needles(
            [
                *(needle.encode() for shape in self._shapes for needle in shape.needles),
                *NAME_NEEDLES * self._by_name,
                *(_PARAMETER,) * self._statements,
            ],
            [
                word.encode()
                for shape in self._shapes
                for needle in shape.exact
                for word in SHORT_NEEDLES.get(needle, (needle,))
            ],
        )

    def may_hold_secrets(self, payload: bytes) -> bool:
        """Whether it is worth while to look at each text of a serialised request; False: nothing would be masked."""
        if self._patterns or self._keys or self._needles.stand_in(payload):
            return True
        if self._statements and _has_literal(payload):
            return True
        if self._urls and b"@" in payload and _URL_PASSWORD_BYTES.search(payload):
            return True
        return self._digits and _CARD in payload.translate(_DIGITS_ONLY, b" -")

    def text(self, text: str) -> str:
        """Mask what stands inside of a text."""
        return self.value("", text)

    def value(self, key: str, text: str) -> str:
        """Mask the value of an attribute: whole when its name says so, else what stands inside."""
        seen = self._seen.get((key, text))
        if seen is None:
            seen = self._look(key, text)
            if len(text) <= SEEN_LENGTH_MAX:
                self._seen[key, text] = seen
                if len(self._seen) > SEEN_MAX:
                    self._seen.popitem(last=False)
        if seen[1]:
            self._counts.update(seen[1])
        return seen[0]

    def hides(self, key: str) -> bool:
        """Whether the whole value is masked, whatever its type."""
        return self._rule_of(key) not in ("", STATEMENT)

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        return {sample("redacted_values", name): float(count) for name, count in list(self._counts.items())}

    def _look(self, key: str, text: str) -> tuple[str, dict[str, int]]:
        rule = self._rule_of(key) if key else ""
        if rule and rule != STATEMENT:
            return (MASK, {rule: 1}) if text not in ("", MASK) else (text, _NOTHING)
        counts: dict[str, int] = {}
        text = text[:TEXT_MAX]
        if rule == STATEMENT and "'" in text:
            found = LITERAL.sub("'?'", text)
            if found != text:
                text, counts[STATEMENT] = found, 1
        low = text.lower()
        for shape in self._shapes:
            if _may_match(shape, text, low):
                found = shape.pattern.sub(shape.replace, text)
                if found != text:
                    counts[shape.name] = max(1, found.count(MASK) - text.count(MASK))
                    text = found
        for name, pattern in self._patterns:
            text, count = pattern.subn(MASK, text)
            if count:
                counts[name] = count
        return text, counts or _NOTHING

    def _rule_of(self, key: str) -> str:
        found = self._rules.get(key)
        if found is None:
            if len(self._rules) >= NAMES_MAX:
                self._rules.clear()
            found = self._rules[key] = self._find_rule(key)
        return found

    def _find_rule(self, key: str) -> str:
        for name, pattern in self._keys:
            if pattern.fullmatch(key.lower()):
                return name
        if self._statements and key in STATEMENT_NAMES:
            return STATEMENT
        if self._statements and key.startswith(PARAMETER_PREFIXES):
            return BY_NAME
        return BY_NAME if self._by_name and SECRET_NAME.search(CAMEL.sub("_", key[-128:]).lower()) else ""


def _has_literal(payload: bytes) -> bool:
    """Whether a quote stands in the text of a statement; elsewhere (a stack trace, a length of 39) it says nothing."""
    for name in _STATEMENT_NAMES:
        at = payload.find(name)
        while at >= 0:
            at += len(name)
            head = _STRING_VALUE.match(payload, at)
            if head is None:  # a list, or written in another order: whatever follows may be it
                return b"'" in payload
            if payload.find(b"'", head.end(), head.end() + _length(head[1])) >= 0:
                return True
            at = payload.find(name, at)
    return False


def _length(varint: bytes) -> int:
    return sum((byte & 127) << 7 * place for place, byte in enumerate(varint))


def _may_match(shape: Shape, text: str, low: str) -> bool:
    """Loops, not `any`: this is asked eight times for every text that was not seen before."""
    if len(text) < shape.length_min:
        return False
    for sign in shape.signs:
        if sign in text:
            break
    else:
        return False
    for needle in shape.exact:
        if needle in text:
            return True
    for needle in shape.needles:
        if needle in low:
            return True
    return not shape.needles and not shape.exact and DIGITS.search(text) is not None
