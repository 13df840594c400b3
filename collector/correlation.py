"""The correlation id of the request that is being answered: read, made when absent, echoed, written into every log.

In: what a caller sends under `x-correlation-id`. Out: an id that is safe to show, for as long as the request lasts (a
context variable: threads of a pool and tasks of a loop each see their own).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar

HEADER = "X-Correlation-Id"
SOURCE_HEADER = "X-Source-Service"  # who calls: sent beside the id to those we call
_USABLE = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)

current: ContextVar[str] = ContextVar("correlation_id", default="")


def accept(sent: Iterable[str]) -> str:
    """Take the first id that is safe to show, make one otherwise; it is the current one from now on."""
    found = next((text for text in sent if _USABLE.fullmatch(text)), "") or secrets.token_hex(16)
    current.set(found)
    return found


def outgoing(source: str) -> dict[str, str]:
    """Headers of a call to somebody else: the id of the request it is made for, or a new one, and who calls."""
    return {HEADER.lower(): current.get() or secrets.token_hex(16), SOURCE_HEADER.lower(): source}
