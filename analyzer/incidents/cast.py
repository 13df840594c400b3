"""Who may be to blame, and whose time each span's own time is.

In: facts of two populations of one vocabulary. Out: candidates (services, and peers that never send spans of their
own) and, for every span, the candidate that runs it and the one it calls. Decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.incidents.facts import TraceFacts
from analyzer.node_words import NodeFlag
from analyzer.spans import MISSING_SERVICE, SpanKind, Vocabulary

Indices = npt.NDArray[np.int32]

_NONE = -1
_UNUSABLE = int(NodeFlag.NO_TIME | NodeFlag.NEGATIVE_DURATION)
_CALLS = (int(SpanKind.CLIENT), int(SpanKind.PRODUCER))


@dataclass(frozen=True, slots=True)
class Lines:
    """What one population's spans are to the candidates; n spans.

    owner : int32[n]    candidate whose process the span ran in
    callee : int32[n]   of calls: candidate on the other side; -1 not a call, or not known
    remote : int32[n]   of calls: the first span of another process below it; -1 none seen
    usable : bool[n]    its times say something
    """

    owner: Indices
    callee: Indices
    remote: Indices
    usable: npt.NDArray[np.bool_]

    @property
    def is_call(self) -> npt.NDArray[np.bool_]:
        """bool[n]: the span's own time lies between two candidates rather than inside one."""
        return self.callee >= 0


@dataclass(frozen=True, slots=True)
class Cast:
    """names : candidates by index; peers : bool[c], those that sent no span; `service` : string id -> candidate."""

    names: list[str]
    peers: npt.NDArray[np.bool_]
    reference: Lines
    window: Lines


def cast_of(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Cast:
    """Find the candidates, and what every span is to them.

    The other side of a call is, in this order: the process whose span is seen below it; the one that usually
    answers this operation (over both populations; a dead service sends no spans); the peer that the span names.
    """
    strings = np.unique(np.concatenate([reference.service, window.service]))
    texts = [vocabulary.strings.text(int(index)) or MISSING_SERVICE for index in strings]
    names: list[str] = list(dict.fromkeys(texts))
    place = {name: index for index, name in enumerate(names)}
    owners = np.array([place[text] for text in texts], np.int32)
    reference_owner = owners[np.searchsorted(strings, reference.service)]
    window_owner = owners[np.searchsorted(strings, window.service)]
    reference_remote, window_remote = _remote(reference), _remote(window)
    usual = _usual_callee((reference, reference_owner, reference_remote), (window, window_owner, window_remote))
    observed = len(names)
    peer_of: dict[int, int] = {}
    for peer in np.unique(np.concatenate([_peers(reference), _peers(window)])):
        text = vocabulary.strings.text(int(peer))
        # "payment:8443" and "payment.shop.svc" are the service that calls itself "payment".
        known = place.get(text, place.get(text.split(":")[0].split(".")[0], _NONE))
        if known < 0:
            place[text] = known = len(names)
            names.append(text)
        peer_of[int(peer)] = known
    return Cast(
        names=names,
        peers=np.arange(len(names)) >= observed,
        reference=_lines(reference, reference_owner, reference_remote, usual, peer_of),
        window=_lines(window, window_owner, window_remote, usual, peer_of),
    )


def _remote(facts: TraceFacts) -> Indices:
    """int32[n]: first child that ran in another process than a call; -1."""
    found = np.full(len(facts), _NONE, np.int32)
    above = np.maximum(facts.parent, 0)
    call = np.isin(facts.kind[above], _CALLS)
    answered = np.isin(facts.kind, (int(SpanKind.SERVER), int(SpanKind.CONSUMER)))
    other = facts.service != facts.service[above]
    below = np.flatnonzero((facts.parent >= 0) & call & (answered | other))[::-1]
    found[facts.parent[below]] = below  # reversed, so the first one stays
    return found


def _peers(facts: TraceFacts) -> npt.NDArray[np.uint32]:
    named: npt.NDArray[np.uint32] = facts.peer[np.isin(facts.kind, _CALLS) & (facts.peer > 1)]
    return named


def _usual_callee(*populations: tuple[TraceFacts, Indices, Indices]) -> Indices:
    """int32[operations]: candidate that answered most calls of an operation; -1 when none was seen to."""
    last = max((int(facts.operation.max(initial=0)) for facts, _, _ in populations), default=0)
    usual = np.full(last + 1, _NONE, np.int32)
    operation = np.concatenate([facts.operation[remote >= 0] for facts, _, remote in populations]).astype(np.int64)
    answered = np.concatenate([owner[remote[remote >= 0]] for _, owner, remote in populations]).astype(np.int64)
    pairs, counts = np.unique(operation << 32 | answered, return_counts=True)
    order = np.argsort(counts, kind="stable")  # ascending: the most frequent is written last
    usual[pairs[order] >> 32] = (pairs[order] & 0xFFFFFFFF).astype(np.int32)
    usual[0] = _NONE  # the operation of everything that found no room
    return usual


def _lines(facts: TraceFacts, owner: Indices, remote: Indices, usual: Indices, peer_of: dict[int, int]) -> Lines:
    call = np.isin(facts.kind, _CALLS)
    callee = np.where(remote >= 0, owner[np.maximum(remote, 0)], usual[facts.operation])
    if peer_of:
        table = np.full(int(max(peer_of)) + 1, _NONE, np.int32)
        table[list(peer_of)] = list(peer_of.values())
        named = np.where(facts.peer < len(table), facts.peer, 0)
        callee = np.where(callee < 0, table[named], callee)
    callee = np.where(call & (callee != owner), callee, _NONE).astype(np.int32)
    return Lines(owner=owner, callee=callee, remote=remote, usable=(facts.flags & _UNUSABLE) == 0)
