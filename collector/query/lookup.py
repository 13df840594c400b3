"""One trace -> what happened to it.

In: its name (collector.trace_names). Out: a `Look`: an answer, or one word that says why there is none. What this
instance itself holds; what the others hold is asked for in `peers`. Reads only; any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from analyzer.findings import Answer
from analyzer.version import __version__
from collector.contracts import Found
from collector.query.desk import Desk
from collector.trace_names import NAMESAKES_MAX, split_name, text_of


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a trace.

    state : answered (answer is final), open (answer is in progress), expired, dropped, unknown; unsure: not here, and
        a peer did not say whether it is there; several: tenants sent it, and nobody said which of them is meant
    name : as people see it
    """

    state: str
    name: str
    answer: Answer | None = None
    found: Found | None = None
    reason: str = ""

    @property
    def decided(self) -> bool:
        """Whether waiting longer could not change it."""
        return self.state not in ("open", "unknown", "unsure")

    @property
    def trace_id(self) -> str:
        """The 32 hex digits of the name."""
        return self.name[:32]


# Why there is no answer: title, and what to do about it.
MISSING = {
    "unknown": (
        "Trace not known",
        "check the id (and behind it @tenant, when a credential with a tenant sent it); if the trace is new, ask again "
        "with wait=10: its spans may still be on their way",
    ),
    "expired": ("Trace expired", "retention has let it go; keep findings longer with storage.retention_hours"),
    "unsure": (
        "Peers did not answer",
        "ask again after the time in Retry-After, and look after the peers that are named",
    ),
    "several": ("Several traces", "ask with @tenant behind the id"),
    "dropped": (
        "Trace dropped",
        "see the reason; what else went wrong in its services then is in /api/v1/incidents and /api/v1/groups",
    ),
}

_SHED = "left out under stress since the start (assembly.stress), whose ids nobody kept"


def look(desk: Desk, name: bytes) -> Look:
    """Look on the shelf."""
    return _read(text_of(name), desk.store.find(name))


def look_here(desk: Desk, name: bytes, find: Callable[[bytes], Found] | None = None) -> Look:
    """Look on the shelf, then ask the engine, then look again.

    The second look is for the trace that was released between the two.

    Parameters
    ----------
    find : how to look on the shelf; None: as people see it
    """
    find = find or desk.store.find
    first = _read(text_of(name), find(name))
    if first.decided:
        return first
    answer = desk.open_traces.ask(name, desk.settings.ask_timeout_s)
    if answer is not None:
        return Look("open", text_of(name), answer)
    last = _read(text_of(name), find(name))
    if last.state == "unknown" and (shed := desk.shed_traces()):
        # How many is of all tenants, and told to who sees all.
        which = "it was" if split_name(name)[1] else f"it is one of {shed} traces that were"
        return replace(last, reason=f"{last.reason or 'no span of it is kept'}, or {which} {_SHED}")
    return last


def kept_by_tenants(desk: Desk, name: bytes) -> set[str]:
    """Names of the traces of this id that are kept here, when its name does not say whose it is."""
    return {text_of(one) for one in desk.store.namesakes(name)} if not split_name(name)[1] else set()


def which_of(name: bytes, namesakes: Iterable[str]) -> Look:
    """Say that an id stands for several traces."""
    listed = sorted(namesakes)
    shown = ", ".join(listed[:NAMESAKES_MAX])
    return Look("several", text_of(name), reason=f"{len(listed)} tenants sent a trace of this id: {shown}")


def _read(name: str, found: Found) -> Look:
    if found.status == "stored" and found.answer is not None:
        return Look("answered", name, found.answer, found)
    if found.status in ("clean", "partial"):
        answer = Answer(
            trace_id=name[:32],
            tenant=name[33:],
            status=found.status,
            status_reason=found.reason or "analysed, nothing to say; its spans were not kept",
            revision=1,
            engine_version=__version__,
        )
        return Look("answered", name, answer, found)
    state = found.status if found.status in MISSING else "unknown"
    return Look(state, name, None, found, found.reason)
