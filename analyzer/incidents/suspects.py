"""What is said of a candidate: the claim, the numbers behind it, the traces that show it.

In: measured harm and the facts it came from. Out: `Suspect` words, safe to show. Decides nothing.
"""

from __future__ import annotations

import numpy as np

from analyzer.findings import Entity, Evidence
from analyzer.incident_words import Suspect
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.finer import Finer
from analyzer.incidents.harm import Harm
from analyzer.incidents.slower import Excess
from analyzer.spans import Vocabulary
from analyzer.words import ms, shown

_GROUPS_SHOWN = 3
_WORTH_SAYING = 0.05  # of a candidate's harm


def suspect(
    harm: Harm, candidate: int, rank: int, probability: float, finer: Finer | None, vocabulary: Vocabulary
) -> Suspect:
    """Say why a candidate is suspected."""
    name = shown(harm.cast.names[candidate])
    kinds = {
        "failing": float(harm.failing[candidate]),
        "slower": float(harm.slower[candidate]),
        "reshaped": float(harm.reshaped[candidate]),
    }
    total = sum(kinds.values())
    evidence: list[Evidence] = []
    if total > 0.0:
        if kinds["failing"] > _WORTH_SAYING * total:
            evidence.append(_failing(harm, candidate, name))
        if kinds["slower"] > _WORTH_SAYING * total:
            evidence.extend(_slower(harm, candidate, name, vocabulary))
        if kinds["reshaped"] > _WORTH_SAYING * total:
            evidence.extend(_reshaped(harm, candidate, name, vocabulary))
    rule = f"incident.{max(kinds, key=lambda kind: kinds[kind])}" if total > 0.0 else "incident.nothing_seen"
    claims = "; ".join(item.claim for item in evidence[:2]) or "nothing beyond the usual was seen at it"
    where = f", nearly all of it in {finer.kind} {shown(finer.name)}" if finer else ""
    return Suspect(
        rank=rank,
        entity=_entity(harm, candidate, name),
        finer=_finer(name, finer) if finer else None,
        probability=probability,
        score=float(np.log(max(1e-12, harm.total[candidate]))),
        rule=rule,
        sentence=f"{name}: {claims}{where}.",
        evidence=evidence,
    )


def bad_traces(harm: Harm, window: TraceFacts, candidate: int, most: int = 3) -> list[int]:
    """Traces of the window that show a candidate: from the middle of the worst tenth, by blame or own time, on."""
    mine = harm.cast.window.owner == candidate
    weight = np.bincount(window.trace, np.where(mine, window.blame, 0.0), window.trace_count)
    if weight.sum() < 1.0:
        between = mine | (harm.cast.window.callee == candidate)
        weight = np.bincount(window.trace, np.where(between, window.own_ns, 0), window.trace_count)
    order = np.argsort(-weight, kind="stable")
    bad = order[: max(1, int((weight > 0).sum()) // 10)]
    return [int(trace) for trace in bad[len(bad) // 2 :][:most]]


def _entity(harm: Harm, candidate: int, name: str) -> Entity:
    if harm.cast.peers[candidate]:
        return Entity(kind="peer", name=name, peer=name)
    return Entity(kind="service", name=name, service=name)


def _finer(service: str, finer: Finer) -> Entity:
    name = shown(finer.name)
    if finer.kind == "zone":
        return Entity(kind="unknown", name=f"zone {name}", service=service)
    return Entity(kind=finer.kind, name=name, service=service, **{finer.kind: name})


def _failing(harm: Harm, candidate: int, name: str) -> Evidence:
    charged, own = harm.found_failing.charged, float(harm.found_failing.own[candidate])
    into, out = float(charged.ingress[candidate]), float(charged.egress[candidate])
    share = float(harm.failing[candidate])
    where = "inside it"
    if into > max(own, out):
        where = "at calls into it"
    elif out > own:
        where = "at its calls to others"
    return Evidence(
        claim=f"{share:.1%} of requests fail beyond the usual, and the failure began {where}",
        numbers={"failed_share": share, "own": own, "calls_into": into, "calls_out": out},
    )


def _slower(harm: Harm, candidate: int, name: str, vocabulary: Vocabulary) -> list[Evidence]:
    own = [group for group in harm.found_slower.groups if group.excess_ms > 0.0 and _concerns(group, candidate)]
    own.sort(key=lambda group: -group.excess_ms)
    found = []
    for group in own[:_GROUPS_SHOWN]:
        _, text, _ = vocabulary.operations.key(group.operation)
        operation = shown(vocabulary.strings.text(text))
        before, after = ms(group.before_ms * 1e6), ms(group.after_ms * 1e6)
        if group.waits:
            claim = f"messages wait {after} for {operation} instead of {before}"
        elif group.callee < 0:
            claim = f"its own time in {operation} went from {before} to {after}"
        else:
            caller, callee = shown(harm.cast.names[group.owner]), shown(harm.cast.names[group.callee])
            claim = f"calls {caller} -> {callee} ({operation}) spend {after} between the two instead of {before}"
        numbers = {"before_ms": group.before_ms, "after_ms": group.after_ms, "z": group.z, "count": float(group.count)}
        found.append(Evidence(claim=claim, numbers=numbers))
    return found


def _concerns(group: Excess, candidate: int) -> bool:
    return candidate in ((group.owner,) if group.callee < 0 else (group.owner, group.callee))


def _reshaped(harm: Harm, candidate: int, name: str, vocabulary: Vocabulary) -> list[Evidence]:
    found = []
    mine = [change for change in harm.found_reshaped.changes if change.owner == candidate]
    for change in mine[:_GROUPS_SHOWN]:
        texts = [
            vocabulary.strings.text(vocabulary.operations.key(number)[1])
            for number in (change.operation, change.called)
        ]
        caller, called = (shown(text) for text in texts)
        before, now = 1.0 - change.before[0], 1.0 - change.now[0]
        if abs(before - now) >= 0.02:
            claim = f"{caller} makes the call {called} in {now:.0%} of its good executions instead of {before:.0%}"
        else:
            claim = f"{caller} repeats the call {called} another number of times than usual"
        found.append(Evidence(claim=claim, numbers={"before": before, "now": now, "g": change.g}))
    return found
