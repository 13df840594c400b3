"""Many traces together: what changed, who began, which part goes wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analyzer.errors.change_words import Change
from analyzer.errors.overview import Overview, look_over
from analyzer.spans import Resource
from tests.analyzer.errors.test_cascade import FINE, PAYMENT_FAILS, RETRIED, chained
from tests.support.drawing import EPOCH_NS
from tests.support.facts import facts_of, small_vocabulary


class Resources:
    """A table of resources that holds what the test says."""

    def __init__(self, *resources: Resource) -> None:
        self._resources = resources

    def resource(self, index: int) -> Resource:
        return self._resources[index]


def looked(*parts: tuple[str, int]) -> Overview:
    words = small_vocabulary()
    return look_over(chained(words, parts), words)


def looked_on(
    pods: tuple[Resource, Resource, Resource],
    *parts: tuple[str, int],
    mixed: bool = False,
    told: tuple[Change, ...] = (),
) -> Overview:
    """The same, with payment on pods: traces that go well on the first two in turn, those that fail on the third."""
    words = small_vocabulary()
    facts = facts_of(words, *parts) if mixed else chained(words, parts)
    failing = np.isin(facts.trace, facts.trace[facts.failed])
    code = np.where(failing, 3, 1 + facts.trace % 2)
    resource = np.where(facts.service == words.strings.intern(b"payment"), code, 0).astype(np.uint32)
    return look_over(replace(facts, resource=resource), replace(words, resources=Resources(Resource(), *pods)), told)


def pod(instance: str, version: str = "1") -> Resource:
    return Resource("payment", instance=instance, version=version)


def test_who_began_is_said_first():
    found = looked((FINE, 60), (PAYMENT_FAILS, 40))

    assert [one.trigger for one in found.cascades] == ["payment"]
    assert found.sentences[0].startswith("It began where payment fails by itself; checkout, gateway only pass it on")


def test_what_amplifies_is_said_once():
    said = " ".join(looked((FINE, 60), (RETRIED, 40)).sentences)

    assert said.count("attempts per call from checkout to payment") == 1


def test_one_bad_pod_is_a_slice():
    found = looked_on((pod("a"), pod("b"), pod("c")), (FINE, 80), (PAYMENT_FAILS, 40), mixed=True)

    assert [dict(one.where) for one in found.slices] == [{"payment instance": "c"}]


def test_a_bad_deployment_is_the_change():
    found = looked_on((pod("a"), pod("b"), pod("c", "2")), (FINE, 60), (PAYMENT_FAILS, 40))

    assert [(change.version, effect.verdict) for change, effect in found.changes] == [("2", "caused")]
    assert any(sentence.startswith("Since payment 2, 40 of 40 requests failed") for sentence in found.sentences)


def told(kind: str, version: str, minute: float) -> Change:
    at = EPOCH_NS + round(minute * 60e9)
    return Change(change_id=f"{kind} {version}", kind=kind, service="payment", version=version, time_ns=at)


def test_a_deployment_that_is_told_and_seen_is_one():
    pods = pod("a"), pod("b"), pod("c", "2")
    found = looked_on(pods, (FINE, 60), (PAYMENT_FAILS, 40), told=(told("deployment", "2", 1.0),))

    assert [(change.source, effect.verdict) for change, effect in found.changes] == [("telemetry", "caused")]


def test_a_flag_that_is_told_is_judged_by_the_requests_of_its_service():
    pods = pod("a"), pod("b"), pod("a")
    found = looked_on(pods, (FINE, 60), (PAYMENT_FAILS, 40), told=(told("feature_flag", "new-flow", 1.0),))

    assert [(change.version, effect.verdict) for change, effect in found.changes] == [("new-flow", "caused")]


def test_healthy_and_few_traces_have_nothing_to_say():
    assert looked((FINE, 100)).sentences == []
    assert looked((FINE, 5), (PAYMENT_FAILS, 5)).sentences == []


def test_trouble_from_the_first_trace_on_has_no_beginning():
    found = looked((PAYMENT_FAILS, 60))

    assert (found.cascades, found.slices) == ([], [])
