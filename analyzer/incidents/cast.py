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

    The other side of a call is, in this order: the process whose span is seen below it; the one that answers calls
    to the peer it names (a dead service sends no spans), or bears that name, or is that peer itself; the one that
    answers its operation.
    """
    strings = np.unique(np.concatenate([reference.service, window.service]))
    texts = [vocabulary.strings.text(int(index)) or MISSING_SERVICE for index in strings]
    names: list[str] = list(dict.fromkeys(texts))
    place = {name: index for index, name in enumerate(names)}
    owners = np.array([place[text] for text in texts], np.int32)
    reference_owner = owners[np.searchsorted(strings, reference.service)]
    window_owner = owners[np.searchsorted(strings, window.service)]
    like_calls = _call_operations(reference, window)
    reference_call, window_call = _calls(reference, like_calls), _calls(window, like_calls)
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
    return Cast(
        names=names,
        peers=np.arange(len(names)) >= observed,
        reference=_lines(reference, reference_call, reference_owner, reference_remote, answers),
        window=_lines(window, window_call, window_owner, window_remote, answers),
    )


def _calls(facts: TraceFacts, like_calls: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """bool[n]: the span is the near end of a call: by its kind or, where kinds say nothing, by how it looks.

    like_calls : bool[operations], see `_call_operations`
    """
    alone, remote_only, vague = _looks(facts)
    named = (facts.peer > 1) & (facts.parent >= 0)
    found: npt.NDArray[np.bool_] = np.isin(facts.kind, _CALL_KINDS)
    return found | (vague & (remote_only | (alone & (named | like_calls[facts.operation]))))


def _looks(facts: TraceFacts) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """bool[n] each: nothing below; only other processes below; a kind that says nothing."""
    child = np.flatnonzero(facts.parent >= 0)
    above = facts.parent[child]
    same = facts.service[child] == facts.service[above]
    has_same, has_other = np.zeros(len(facts), np.bool_), np.zeros(len(facts), np.bool_)
    has_same[above[same]] = True
    has_other[above[~same]] = True
    vague = (facts.kind == int(SpanKind.INTERNAL)) | (facts.kind == int(SpanKind.UNSPECIFIED))
    return ~has_same & ~has_other, has_other & ~has_same, vague


def _call_operations(*populations: TraceFacts) -> npt.NDArray[np.bool_]:
    """bool[operations]: of those with anything below them, nearly all have other processes only."""
    size = max(int(facts.operation.max(initial=0)) for facts in populations) + 1
    remote, total = np.zeros(size), np.zeros(size)
    for facts in populations:
        alone, remote_only, vague = _looks(facts)
        remote += np.bincount(facts.operation[vague & remote_only], minlength=size)
        total += np.bincount(facts.operation[vague & ~alone], minlength=size)
    found: npt.NDArray[np.bool_] = (remote >= _SEEN_MIN) & (remote >= _NEARLY_ALL * total)
    return found


def _remote(facts: TraceFacts, call: npt.NDArray[np.bool_]) -> Indices:
    """int32[n]: first child that ran in another process than a call; -1."""
    found = np.full(len(facts), _NONE, np.int32)
    above = np.maximum(facts.parent, 0)
    answered = np.isin(facts.kind, (int(SpanKind.SERVER), int(SpanKind.CONSUMER)))
    other = facts.service != facts.service[above]
    below = np.flatnonzero((facts.parent >= 0) & call[above] & (answered | other))[::-1]
    found[facts.parent[below]] = below  # reversed, so the first one stays
    return found


def _peers(facts: TraceFacts, call: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
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
    pairs, counts = np.unique(keys << 32 | values, return_counts=True)
    total: dict[int, int] = {}
    best: dict[int, tuple[int, int]] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        key = pair >> 32
        total[key] = total.get(key, 0) + count
        best[key] = max(best.get(key, (0, _NONE)), (count, pair & 0xFFFFFFFF))
    return {key: value if count >= _NEARLY_ALL * total[key] else _NONE for key, (count, value) in best.items()}


def _lines(facts: TraceFacts, call: npt.NDArray[np.bool_], owner: Indices, remote: Indices, answers: _Answers) -> Lines:
    callee = np.where(remote >= 0, owner[np.maximum(remote, 0)], _NONE)
    for keys, table in ((facts.peer, answers.by_peer), (facts.operation, answers.by_operation)):
        if table:
            dense = np.full(int(max(table)) + 1, _NONE, np.int32)
            dense[list(table)] = list(table.values())
            found = dense[np.where(keys < len(dense), keys, 0)]
            callee = np.where((callee < 0) & (found != owner), found, callee)
    callee = np.where(call & (callee != owner), callee, _NONE).astype(np.int32)
    return Lines(owner=owner, callee=callee, remote=remote, usable=(facts.flags & _UNUSABLE) == 0)
