"""Names of findings that never change.

In: what a finding is about. Out: the same id for the same thing, today, on a retry and on a replay.
It never looks at a clock, a counter or a random number.
"""

from __future__ import annotations

from hashlib import blake2b

ID_BYTES = 16
_PERSON = b"firstfault.find1"  # the scheme; a new one gets a new word, so ids of both never meet


def trace_name(trace_id: str, tenant: str) -> str:
    """Write what a trace is asked for by: its id, and the tenant whose credential sent it behind an `@`."""
    return f"{trace_id}@{tenant}" if tenant else trace_id


def finding_id(tenant: str, trace_id: str, rule: str, anchor_span_id: str) -> str:
    """Name a finding.

    Parameters
    ----------
    tenant : str
        Whose telemetry it is; empty when there is one tenant.
    trace_id, anchor_span_id : str
        Hex. The anchor is the span the finding hangs on; empty when there is none.
    rule : str
        The named rule that decided.

    Returns
    -------
    str
        32 lower-case hex digits: BLAKE2b over the four texts, each with its length before it.

    Examples
    --------
    >>> finding_id("", "00" * 16, "error.origin.local", "01" * 8)
    '4b7f66050cdaa9176c8f8779f6234337'
    """
    return digest(ID_BYTES, tenant, trace_id.lower(), rule, anchor_span_id.lower()).hex()


def digest(size_bytes: int, *parts: str) -> bytes:
    """Hash texts so that no two lists of texts are written alike ("ab", "c" is not "a", "bc")."""
    state = blake2b(digest_size=size_bytes, person=_PERSON)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(8, "little"))
        state.update(raw)
    return state.digest()
