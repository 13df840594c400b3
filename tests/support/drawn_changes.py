"""Simulated deployments with known effect. `python -m tests.support.drawn_changes 0 60` (first seed, how many) prints how many are judged rightly.

Regressions: the archetype "deploy_regression", half slow, half failing, on all pods or on a part. Benign: the
archetype "benign_deploy", and new versions that come to others in the very window in which something breaks (other
archetypes). Only what the spans say is used; the label only names the guilty service.
"""

from __future__ import annotations

import sys
from collections import Counter

from analyzer.engine import Analyzer
from analyzer.errors.change_requests import judge_deployments
from analyzer.incidents import gather_facts
from analyzer.incidents.facts import join_facts
from analyzer.simulator import CaseSettings, SimulatedCase, simulate_case
from analyzer.strings import new_vocabulary
from collector.contracts import Signal
from collector.offline import TraceReader
from collector.simulate import requests_of

FAULTS = ("error", "own_latency", "network_delay", "saas_dependency", "pool_exhaustion", "benign_load_shift")


def judged(case: SimulatedCase) -> dict[str, tuple[str, str]]:
    """Verdict and sentence of every deployment that the spans of a case show, by service."""
    vocabulary = new_vocabulary()
    batches = []
    for spans in (case.baseline, case.fault):
        reader = TraceReader(vocabulary)
        for payload in requests_of(spans):
            reader.add(payload, Signal.TRACES)
        batches.append(reader.batch())
    analyzer = Analyzer()
    included = analyzer.learn_file(batches[0], 0)
    facts = join_facts(
        [
            gather_facts(analyzer.analyse(batches[0], included).analysis, analyzer.propagation),
            gather_facts(analyzer.analyse(batches[1]).analysis, analyzer.propagation),
        ]
    )
    return {
        change.service: (effect.verdict, effect.sentence) for change, effect in judge_deployments(facts, vocabulary)
    }


def measure(seeds: range, *, verbose: bool = False) -> tuple[Counter[str], Counter[str]]:
    """Verdicts of guilty deployments ("not seen": the spans name no versions), and of benign ones."""
    guilty: Counter[str] = Counter()
    benign: Counter[str] = Counter()
    settings = CaseSettings(benign_deploys=2, services=20)
    for seed in seeds:
        for archetype in ("deploy_regression", "benign_deploy", FAULTS[seed % len(FAULTS)]):
            try:
                case = simulate_case(archetype, seed, settings=settings)
            except RuntimeError:
                continue  # no system of this seed can have this fault
            found = judged(case)
            roots = case.root_cause_services if archetype == "deploy_regression" else []
            guilty.update(found.get(service, ("not seen", ""))[0] for service in roots)
            of_others = {service: one for service, one in found.items() if service not in case.root_cause_services}
            benign.update(verdict for verdict, _ in of_others.values())
            if verbose:
                for service, (verdict, sentence) in found.items():
                    if (verdict == "caused") != (service in roots):
                        print(archetype, seed, service, verdict, sentence, case.details)
    return guilty, benign


def shares(guilty: Counter[str], benign: Counter[str]) -> tuple[float, float]:
    """Share of the visible guilty ones that are blamed, and of the benign ones that are."""
    seen = guilty.total() - guilty["not seen"]
    return guilty["caused"] / max(1, seen), benign["caused"] / max(1, benign.total())


if __name__ == "__main__":
    first, count = (int(word) for word in (*sys.argv[1:3], "0", "60")[:2])
    found = measure(range(first, first + count), verbose="-v" in sys.argv)
    print("guilty:", dict(found[0]))
    print("benign:", dict(found[1]))
    print("guilty blamed {:.3f}, benign blamed {:.3f}".format(*shares(*found)))
