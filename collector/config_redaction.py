"""The section `redaction`: which secrets of telemetry are masked, besides the built-in ones."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from collector.config_base import Section
from collector.secret_shapes import RULES

RULES_MAX = 64


def _built_in(name: str) -> str:
    if name not in RULES:
        raise ValueError(f"{name!r} is not a built-in rule; expected one of {', '.join(RULES)}")
    return name


def _pattern(text: str) -> str:
    try:
        found = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is not a regular expression of Python: {error}") from error
    if found.search("") is not None:
        raise ValueError("matches empty text, so it would mask everywhere")
    return text


class RedactionRule(Section):
    """One of yours: names of attributes, a pattern, or both."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")] = Field(description="counted under it")
    keys: list[Annotated[str, StringConstraints(min_length=1, max_length=256)]] = Field(
        [], max_length=256, description="names of attributes, * for any part; their whole value is masked"
    )
    pattern: Annotated[str, StringConstraints(max_length=1024), AfterValidator(_pattern)] = Field(
        "(?!)", description="regular expression; what it matches in any text is masked. Keep it linear"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.keys and self.compiled is None:
            raise ValueError("expected keys, a pattern, or both")
        if self.name in RULES:
            raise ValueError(f"{self.name} is a built-in rule; expected another name")
        return self

    @property
    def compiled(self) -> re.Pattern[str] | None:
        return None if self.pattern == "(?!)" else re.compile(self.pattern)


class Redaction(Section):
    """Built-in rules always hold, unless they are named in `without`."""

    without: list[Annotated[str, AfterValidator(_built_in)]] = Field([], description="built-in rules that do not hold")
    rules: list[RedactionRule] = Field([], max_length=RULES_MAX)
    before_journal: bool = Field(
        False, description="mask all that comes in before anything is written: 8 to 60 us of a receiver's time a span"
    )
