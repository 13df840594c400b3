"""What instances tell one another of a trace: the words, and which of them has the better part.

In: a look of this instance, or the JSON of another. Out: a `Held`. Values only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from analyzer.findings import Answer, AskedPeer
from collector.trace_names import NAMESAKES_MAX, TEXT_PATTERN

HEADER = "x-firstfault-peer"  # who asks; whoever is asked with it asks no others
Part = Literal["sketch", "whole", "merged"]

# A finding outweighs what is clean: the instance that holds the clean half cannot know of the other half. What is
# clean outweighs a part: it had a whole tree, and the part may be log records only, sent another way.
_RANKS = {"finding": 5, "unknown": 4, "in_progress": 3, "clean": 2, "partial": 1}


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this instance is among its peers.

    name : for people; the host name when nothing is configured
    instance : of this process, new at every start; so an instance knows itself behind any address
    """

    name: str = "firstfault"
    instance: str = field(default_factory=lambda: secrets.token_hex(16))


class Held(BaseModel):
    """What one instance holds of one trace.

    A sketch has everything but the answer and the bytes. Fields of a newer version are passed over.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    name: str = Field(pattern=r"^[A-Za-z0-9._:-]{1,253}$")
    instance: str = Field(pattern=r"^[0-9a-f]{32}$")
    state: Literal["answered", "open", "expired", "dropped", "unknown"]
    reason: str = Field("", max_length=1_000)
    status: str = Field("", max_length=32)
    revision: int = Field(0, ge=0, le=2**24)
    span_count: int = Field(0, ge=0, le=2**48)
    root_seen: bool = False
    spans_kept: bool = False
    # Names under which traces of this id are kept, when it is unknown without a tenant.
    namesakes: list[Annotated[str, StringConstraints(pattern=TEXT_PATTERN)]] = Field([], max_length=NAMESAKES_MAX)
    answer: Answer | None = None
    spans: bytes | None = None  # ExportTraceServiceRequest; base64 in JSON
    logs: bytes | None = None  # ExportLogsServiceRequest

    @property
    def found(self) -> bool:
        """Whether there is an answer, final or so far."""
        return self.state in ("answered", "open")

    @property
    def order(self) -> tuple[int, bool, int, int, str, str]:
        """The largest has the best part; the same whichever instance compares."""
        rank = _RANKS.get(self.status, 0)
        return (rank, self.root_seen, self.span_count, self.revision, self.name, self.instance)


def held_from(
    identity: Identity,
    state: str,
    reason: str,
    answer: Answer | None,
    spans: bytes | None,
    logs: bytes | None,
    namesakes: Sequence[str] = (),
) -> Held:
    """Say all of what this instance holds; cut to a sketch with `sketch`."""
    completeness = answer.completeness if answer is not None else None
    return Held.model_validate(
        {
            "name": identity.name,
            "instance": identity.instance,
            "state": state,
            "reason": reason[:1_000],
            "status": answer.status if answer is not None else "",
            "revision": answer.revision if answer is not None else 0,
            "span_count": completeness.span_count if completeness is not None else 0,
            "root_seen": completeness is not None and completeness.root_seen,
            "spans_kept": bool(spans),
            "answer": answer,
            "spans": spans,
            "logs": logs,
            "namesakes": namesakes,
        }
    )


def sketch(held: Held) -> Held:
    """Leave out what is large."""
    return held.model_copy(update={"answer": None, "spans": None, "logs": None})


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of asking one peer: `held`, or why there is none."""

    peer: str
    held: Held | None = None
    failure: str = ""

    def asked(self) -> AskedPeer:
        """As an answer tells of it."""
        if self.held is None:
            return AskedPeer(peer=self.peer, state="failed", reason=self.failure)
        held = self.held
        return AskedPeer(
            peer=self.peer,
            name=held.name,
            state=held.state,
            reason=held.reason,
            status=held.status,
            revision=held.revision,
            span_count=held.span_count,
        )
