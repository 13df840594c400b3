"""One known kind of failure: how it is recognised, and what is known about it.

Values only. Type names are compared without their package and in lower case; messages by regular expressions
that take linear time (no nested repetition), on lower-case text cut to `MESSAGE_MAX`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from analyzer.errors.model import ExceptionFact, StackTrace
from analyzer.findings import Answer

MESSAGE_MAX = 4096  # of a message, looked at; patterns speak of its beginning

# (claim, span ids) of what was seen, and how sure that makes: 0..1
Seen: TypeAlias = "tuple[str, tuple[str, ...], float]"
Look: TypeAlias = "Callable[[Answer, Sequence[ExceptionFact]], Seen | None]"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A known kind of failure.

    id : "family.name"
    title : what people call it
    cause, fix, test_idea, prevention, monitor : what is known about it; nothing in them speaks of one trace
    types : exception types that mean it, without package, lower case
    messages : regular expressions over the lower-case message
    with_message : the types are too general alone: one of `messages` must be there too
    http, rpc : response codes that mean it
    rules : named rules of the answer that mean it
    stack : what must be so of the parsed stack besides
    look : structure or timing that means it
    instead_of : broader patterns that are not named when this one is
    weight : less than 1 when it says how the failure was met or told, not what it was
    patch : a code change that is right whenever the pattern is
    """

    id: str
    title: str
    cause: str
    fix: str
    test_idea: str
    prevention: str
    monitor: str
    types: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    with_message: bool = False
    http: tuple[int, ...] = ()
    rpc: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()
    stack: Callable[[StackTrace], bool] | None = None
    look: Look | None = None
    instead_of: tuple[str, ...] = ()
    weight: float = 1.0
    patch: str = ""

    @property
    def family(self) -> str:
        """First word of the id."""
        return self.id.partition(".")[0]
