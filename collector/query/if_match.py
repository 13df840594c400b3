"""If-Match (RFC 9110, 13.1.1): whoever changes what people wrote says which version they read."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from collector.query.problems import ProblemError

_TAG = re.compile(r'"([\x21\x23-\x7e]*)"')
IfMatch = Annotated[str | None, Header(max_length=512, description="the ETag that was read; * for whatever is there")]


def matches(header: str, version: str) -> bool:
    """Whether a header names a version. It compares strongly: a weak tag matches nothing."""
    return header.strip() == "*" or version in _TAG.findall(re.sub(r'W/"[^"]*"', "", header))


def not_said(version: str, what: str) -> ProblemError:
    """There is no If-Match."""
    return ProblemError(
        428,
        "if_match_missing",
        "Which version was read is not said",
        "there is no If-Match",
        expected=f'If-Match: "{version}"',
        do=f"read {what}, and send its ETag as If-Match",
    )


def not_the_last(reason: str, what: str, version: str, found: str, *, stands_at: str, do: str) -> ProblemError:
    """What If-Match names is not the last version any more."""
    return ProblemError(
        412,
        reason,
        f"The {what} was changed since it was read",
        f"it is at {stands_at}",
        found=found,
        expected=f'If-Match: "{version}"',
        do=f"read it again, {do}",
        headers={"ETag": f'"{version}"'},
    )
