"""What is known of a trace of which no answer is kept, in words.

In: its name. Out: a `Found` without an answer: expired, dropped, clean, partial or unknown.
"""

from __future__ import annotations

from collector.contracts import Found
from collector.store.meta import MetaFile
from collector.store.schema import Decision
from collector.trace_names import digest_of

_UNKNOWN = "no span of this trace was seen within retention"
# In this order. Dropped stands before clean: a part of it that went wrong is not made good by another that went well.
# Partial stands behind: who has seen the whole trace knows better than who had a part of it.
_WORDS = (
    (Decision.STORED, "expired", "it was kept, and has left: retention, or a file that could not be read"),
    (
        Decision.UNTOLD,
        "dropped",
        "something was wrong with it that was not told: so much failed at once that there was no time to say what, "
        "or saying it failed, which is in the log; its spans were not kept",
    ),
    (Decision.CLEAN, "clean", "it was analysed and nothing was wrong with it; its spans were not kept"),
    (Decision.PARTIAL, "partial", "spans are missing; nothing was wrong with what came, which was not kept"),
)


def decided(meta: MetaFile, name: bytes) -> Found:
    """Say what was decided of a trace.

    Raises
    ------
    sqlite3.DatabaseError
        The disk does not read.
    """
    digest = digest_of(name)
    for decision, status, reason in _WORDS:
        if meta.read(lambda found, decision=decision: found.holds(decision, digest), False):  # type: ignore[misc]
            return Found(status, reason=reason)
    return Found("unknown", reason=_UNKNOWN)
