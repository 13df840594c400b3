"""Who may be to blame, and whose time each span's own time is.

In: facts of two populations of one vocabulary. Out: candidates (services, and peers that never send spans of their
own) and, for every span, the candidate that runs it and the one it calls. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.grouping import number_alike
from analyzer.node_words import NodeFlag
from analyzer.spans import MISSING_SERVICE, SpanKind, Vocabulary

Indices = npt.NDArray[np.int32]
Marks = npt.NDArray[np.bool_]

_NONE = -1
_UNUSABLE = int(NodeFlag.NO_TIME | NodeFlag.NEGATIVE_DURATION)
_NEARLY_ALL = 0.9
_SEEN_MIN = 5
_CALL_KINDS = (int(SpanKind.CLIENT), int(SpanKind.PRODUCER))


@dataclass(frozen=True, slots=True)
class Lines:
    """What one population's spans are to the candidates; n spans.

    owner : int32[n]    candidate whose process the span ran in
    callee : int32[n]   of calls: candidate on the other side; -1 not a call, or not known
    remote : int32[n]   of calls: the first span of another process below it; -1 none seen
    usable : bool[n]    its times say something
    alike : int32[n]    its `Alike`: spans of one operation that call the same candidate, or none
    """

    owner: Indices
    callee: Indices
    remote: Indices
    usable: npt.NDArray[np.bool_]
    alike: Indices

    @property
    def is_call(self) -> npt.NDArray[np.bool_]:
        """bool[n]: the span's own time lies between two candidates rather than inside one."""
        return self.callee >= 0


@dataclass(frozen=True, slots=True)
class Alike:
    """Which spans are compared with one another, by operation and, because many clients call everything `POST`, callee.

    operation, callee : int64[a], in this order; callee -1 where it is no call
    """

    operation: npt.NDArray[np.int64]
    callee: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.operation)


@dataclass(frozen=True, slots=True)
class Cast:
    """names : candidates by index; peers : bool[c], those that sent no span; alike : of both populations."""

    names: list[str]
    peers: npt.NDArray[np.bool_]
    alike: Alike
    reference: Lines
    window: Lines


def cast_of(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Cast:
    """Find the candidates, and what every span is to them.

    The other side of a call is, in this order: the process whose span is seen below it; the one that answers calls
    to the peer it names (a dead service sends no spans), or bears that name, or is that peer itself; the one that
    answers its operation.
    """
    seen = np.zeros(max(int(facts.service.max(initial=0)) for facts in (reference, window)) + 1, np.bool_)
    seen[reference.service] = seen[window.service] = True
    strings = np.flatnonzero(seen)
    texts = [vocabulary.strings.text(int(index)) or MISSING_SERVICE for index in strings]
    names: list[str] = list(dict.fromkeys(texts))
    place = {name: index for index, name in enumerate(names)}
    owners = np.zeros(len(seen), np.int32)
    owners[strings] = [place[text] for text in texts]
    reference_owner, window_owner = owners[reference.service], owners[window.service]
    reference_call, window_call = _calls(reference, window)
    reference_remote, window_remote = _remote(reference, reference_call), _remote(window, window_call)
    answers = _Answers((reference, reference_owner, reference_remote), (window, window_owner, window_remote))
    observed = len(names)
    for peer in np.unique(np.concatenate([_peers(reference, reference_call), _peers(window, window_call)])):
        if answers.by_peer.get(int(peer), _NONE) >= 0:
            continue
        text = vocabulary.strings.text(int(peer))
        # "payment:8443" and "payment.shop.svc" are the service that calls itself "payment".
        known = place.get(text, place.get(text.split(":")[0].split(".")[0], _NONE))
        if known < 0:
            place[text] = known = len(names)
            names.append(text)
        answers.by_peer[int(peer)] = known
    reference_callee = _callees(reference, reference_call, reference_owner, reference_remote, answers)
    window_callee = _callees(window, window_call, window_owner, window_remote, answers)
    keys, numbers = number_alike(
        [
            facts.operation.astype(np.int64) << 32 | (callee + 1)
            for facts, callee in ((reference, reference_callee), (window, window_callee))
        ]
    )
    return Cast(
        names=names,
        peers=np.arange(len(names)) >= observed,
        alike=Alike(keys >> 32, (keys & 0xFFFFFFFF) - 1),
        reference=Lines(reference_owner, reference_callee, reference_remote, _usable(reference), numbers[0]),
        window=Lines(window_owner, window_callee, window_remote, _usable(window), numbers[1]),
    )


def _calls(*populations: TraceFacts) -> list[Marks]:
    """bool[n] each: the span is the near end of a call: by its kind or, where kinds say nothing, by how it looks."""
    looks = [_looks(facts) for facts in populations]
    like_calls = _call_operations(populations, looks)
    found = []
    for facts, (alone, remote_only, vague) in zip(populations, looks, strict=True):
        named = (facts.peer > 1) & (facts.parent >= 0)
        call = (facts.kind == _CALL_KINDS[0]) | (facts.kind == _CALL_KINDS[1])
        found.append(call | (vague & (remote_only | (alone & (named | like_calls[facts.operation])))))
    return found


def _looks(facts: TraceFacts) -> tuple[Marks, Marks, Marks]:
    """bool[n] each: nothing below; only other processes below; a kind that says nothing."""
    child = np.flatnonzero(facts.parent >= 0)
    above = facts.parent[child]
    same = facts.service[child] == facts.service[above]
    has_same, has_other = np.zeros(len(facts), np.bool_), np.zeros(len(facts), np.bool_)
    has_same[above[same]] = True
    has_other[above[~same]] = True
    vague = (facts.kind == int(SpanKind.INTERNAL)) | (facts.kind == int(SpanKind.UNSPECIFIED))
    return ~has_same & ~has_other, has_other & ~has_same, vague


def _call_operations(populations: Sequence[TraceFacts], looks: Sequence[tuple[Marks, Marks, Marks]]) -> Marks:
    """bool[operations]: of those with anything below them, nearly all have other processes only."""
    size = max(int(facts.operation.max(initial=0)) for facts in populations) + 1
    remote, total = np.zeros(size), np.zeros(size)
    for facts, (alone, remote_only, vague) in zip(populations, looks, strict=True):
        remote += np.bincount(facts.operation[vague & remote_only], minlength=size)
        total += np.bincount(facts.operation[vague & ~alone], minlength=size)
    found: Marks = (remote >= _SEEN_MIN) & (remote >= _NEARLY_ALL * total)
    return found


def _remote(facts: TraceFacts, call: Marks) -> Indices:
    """int32[n]: first child that ran in another process than a call; -1."""
    found = np.full(len(facts), _NONE, np.int32)
    above = np.maximum(facts.parent, 0)
    answered = np.isin(facts.kind, (int(SpanKind.SERVER), int(SpanKind.CONSUMER)))
    other = facts.service != facts.service[above]
    below = np.flatnonzero((facts.parent >= 0) & call[above] & (answered | other))[::-1]
    found[facts.parent[below]] = below  # reversed, so the first one stays
    return found


def _peers(facts: TraceFacts, call: Marks) -> npt.NDArray[np.uint32]:
    named: npt.NDArray[np.uint32] = facts.peer[call & (facts.peer > 1)]
    return named


class _Answers:
    """Who usually answers a call, by the peer it names and by its operation; over both populations.

    by_peer, by_operation : the candidate; -1 when several answer (a client that calls everything `POST`).
    """

    def __init__(self, *populations: tuple[TraceFacts, Indices, Indices]) -> None:
        answered = [(facts, owner, remote, remote >= 0) for facts, owner, remote in populations]
        callee = np.concatenate([owner[remote[seen]] for _, owner, remote, seen in answered]).astype(np.int64)
        operation = np.concatenate([facts.operation[seen] for facts, _, _, seen in answered]).astype(np.int64)
        peer = np.concatenate([facts.peer[seen] for facts, _, _, seen in answered]).astype(np.int64)
        self.by_operation = _mostly(operation, callee)
        self.by_peer = _mostly(peer, callee)
        self.by_operation.pop(0, None)  # the operation of everything that found no room
        self.by_peer.pop(0, None)
        self.by_peer.pop(1, None)


def _mostly(keys: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> dict[int, int]:
    """The value that nearly all of a key's occurrences have; -1 where there is none."""
    pairs, (numbers,) = number_alike([keys << 32 | values])
    counts = np.bincount(numbers, minlength=len(pairs))
    total: dict[int, int] = {}
    best: dict[int, tuple[int, int]] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        key = pair >> 32
        total[key] = total.get(key, 0) + count
        best[key] = max(best.get(key, (0, _NONE)), (count, pair & 0xFFFFFFFF))
    return {key: value if count >= _NEARLY_ALL * total[key] else _NONE for key, (count, value) in best.items()}


def _callees(facts: TraceFacts, call: Marks, owner: Indices, remote: Indices, answers: _Answers) -> Indices:
    """int32[n]: candidate on the other side of a call; -1."""
    found = np.full(len(facts), _NONE, np.int32)
    seen, unseen = np.flatnonzero(call & (remote >= 0)), np.flatnonzero(call & (remote < 0))
    callee = owner[remote[seen]]
    found[seen] = np.where(callee != owner[seen], callee, _NONE)
    for column, table in ((facts.peer, answers.by_peer), (facts.operation, answers.by_operation)):
        if table:
            dense = np.full(int(max(table)) + 1, _NONE, np.int32)
            dense[list(table)] = list(table.values())
            unseen = unseen[found[unseen] < 0]
            keys = column[unseen]
            callee = dense[np.where(keys < len(dense), keys, 0)]
            found[unseen] = np.where(callee != owner[unseen], callee, _NONE)
    return found


def _usable(facts: TraceFacts) -> Marks:
    usable: Marks = (facts.flags & _UNUSABLE) == 0
    return usable
