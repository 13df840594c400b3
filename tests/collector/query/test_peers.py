"""Several instances, one answer: whichever is asked, whoever holds the trace, and whoever is silent is named."""

from __future__ import annotations

from typing import Any

import grpc
import httpx
import pytest

from collector.contracts import Found
from collector.query.peer_words import Held
from collector.trace_names import name_of
from tests.collector.query.answers import TRACE, small
from tests.support.drawing import draw
from tests.support.instances import Instance, instances
from tests.support.running import free_port

CHECKOUT = draw(
    """
    gateway   GET /checkout            0..100  ERROR
      gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
        payment   Charge                   50..90  ERROR  !CardError: "declined by bank"  log: "no money"
    """,
    trace_id=TRACE,
)
GATEWAY, PAYMENT = CHECKOUT.spans[:2], CHECKOUT.spans[2:]


def said(answer: dict[str, Any]) -> dict[str, Any]:
    """All of an answer but who was asked: that differs from where one asks."""
    return {name: value for name, value in answer.items() if name not in ("asked_peers", "status_reason")}


def problem(response: httpx.Response, status: int, word: str) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["type"]) == (status, f"urn:firstfault:problem:{word}")
    return body


def test_a_trace_of_another_instance_is_answered():
    """Every door of the instance that does not hold it."""
    with instances("a", "b") as (a, b):
        kept = b.keep(CHECKOUT)

        answer = a.root_cause(TRACE)

        assert answer["root_causes"][0]["entity"]["service"] == "payment"
        assert (answer["answered_by"], answer["merged_from"], answer["revision"]) == ("b", [], 1)
        (peer,) = answer["asked_peers"]
        assert peer == {
            "peer": b.address,
            "name": "b",
            "state": "answered",
            "reason": "",
            "status": "finding",
            "revision": 1,
            "span_count": 3,
        }
        assert a.get(TRACE, "spans").json()["span_count"] == 3
        assert {node["name"] for node in a.get(TRACE, "graph").json()["nodes"]} >= {"gateway", "payment"}
        assert "CardError" in a.get(TRACE, "report?format=markdown").text
        called = a.call(TRACE).answer
        assert (called.answered_by, called.summary) == ("b", kept.summary)
        assert [peer.name for peer in called.asked_peers] == ["b"]


def test_parts_of_a_trace_become_one():
    """The gateway's spans came to one instance, the payment's to another: the origin is found by everybody."""
    with instances("a", "b", "c") as (a, b, c):
        alone = a.keep(CHECKOUT, GATEWAY, revision=2)
        b.keep(CHECKOUT, PAYMENT, revision=3)

        answers = [one.root_cause(TRACE) for one in (a, b, c)]

        assert alone.root_causes[0].error_type == ""  # the gateway alone does not know it
        assert answers[0]["root_causes"][0]["error_type"] == "CardError"
        assert answers[0]["completeness"]["span_count"] == 3
        assert (answers[0]["merged_from"], answers[0]["revision"]) == (["a", "b"], 5)
        assert said(answers[0]) == said(answers[1]) == said(answers[2])
        assert {one.get(TRACE, "spans").json()["span_count"] for one in (a, b, c)} == {3}
        assert len({one.get(TRACE, "graph").text for one in (a, b, c)}) == 1
        assert all("CardError" in one.get(TRACE, "report").text for one in (a, b, c))
        merged = Held.model_validate_json(a.get(TRACE, "held?part=merged").content)
        assert b"no money" in (merged.logs or b"")
        assert sum(one.calls.snapshot().get("query_peer_merged_traces", 0) for one in (a, b, c)) > 0


def test_parts_of_one_tenant_become_one_and_no_other_comes_in():
    """Both hold spans of the shop under one id; b also those of the bank."""
    with instances("a", "b") as (a, b):
        a.keep(CHECKOUT, GATEWAY, tenant="shop")
        b.keep(CHECKOUT, PAYMENT, tenant="shop")
        b.keep(CHECKOUT, tenant="bank")

        shop, bank = (a.root_cause(name_of(TRACE, tenant)) for tenant in ("shop", "bank"))

        assert (shop["tenant"], shop["merged_from"], shop["completeness"]["span_count"]) == ("shop", ["a", "b"], 3)
        assert (bank["tenant"], bank["merged_from"], bank["answered_by"]) == ("bank", [], "b")


def test_an_id_without_a_tenant_is_the_only_tenants_that_has_it():
    """Wherever its trace is kept; when there are two, they are named: neither may stand for the other."""
    with instances("a", "b") as (a, b):
        b.keep(CHECKOUT, tenant="shop")

        assert [one.root_cause(TRACE)["tenant"] for one in (a, b)] == ["shop"] * 2

        a.keep(CHECKOUT, tenant="bank")

        for one in (a, b):
            assert f"{TRACE.hex()}@bank, {TRACE.hex()}@shop" in problem(one.get(TRACE), 409, "trace_several")["detail"]
            with pytest.raises(grpc.RpcError) as caught:
                one.call(TRACE)
            assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION

        b.keep(CHECKOUT)  # and nobody's: now the id alone is a name

        assert [one.root_cause(TRACE)["tenant"] for one in (a, b)] == [""] * 2


def test_spans_that_came_to_two_instances_count_once():
    """A client that got no answer sends again, to another instance: nothing is analysed anew."""
    with instances("a", "b") as (a, b):
        a.keep(CHECKOUT, revision=2)
        b.keep(CHECKOUT, revision=1)

        answers = [a.root_cause(TRACE), b.root_cause(TRACE)]

        assert said(answers[0]) == said(answers[1])
        assert (answers[0]["answered_by"], answers[0]["revision"], answers[0]["merged_from"]) == ("a", 2, [])
        assert a.get(TRACE, "spans").json()["span_count"] == 3


def test_overlapping_parts_have_every_span_once():
    with instances("a", "b") as (a, b):
        a.keep(CHECKOUT, CHECKOUT.spans[:2])
        b.keep(CHECKOUT, CHECKOUT.spans[1:])

        page = a.get(TRACE, "spans").json()

        assert page["span_count"] == 3
        assert page["resourceSpans"] == b.get(TRACE, "spans").json()["resourceSpans"]


def test_a_finding_wins_over_what_is_clean_without_spans():
    """The clean half was kept as an id only; the finding is told from everywhere."""
    with instances("a", "b") as (a, b):
        a.store.found[TRACE] = Found("clean")
        b.keep(CHECKOUT)

        assert said(a.root_cause(TRACE)) == said(b.root_cause(TRACE))
        assert a.root_cause(TRACE)["status"] == "finding"


def test_open_clean_expired_dropped_and_unknown_are_told_apart():
    with instances("a", "b") as (a, b):
        body = problem(a.get(TRACE), 404, "trace_unknown")
        assert body["detail"] == f"trace {TRACE.hex()} is unknown here and at 1 peer"

        b.open_traces.answers[TRACE] = small(status="in_progress", revision=0)
        assert (a.get(TRACE).status_code, a.get(TRACE).json()["status"]) == (202, "in_progress")
        problem(a.get(TRACE, "spans"), 404, "trace_open")
        b.open_traces.answers.clear()

        b.store.found[TRACE] = Found("dropped", reason="memory_pressure: 3 spans")
        assert problem(a.get(TRACE), 410, "trace_dropped")["detail"] == "memory_pressure: 3 spans (at b)"

        b.store.found[TRACE] = Found("expired")
        problem(a.get(TRACE), 410, "trace_expired")

        b.store.found[TRACE] = Found("clean")
        assert (a.root_cause(TRACE)["status"], a.root_cause(TRACE)["answered_by"]) == ("clean", "b")


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_clean_part_does_not_make_good_what_another_could_not_tell(where: str):
    with instances("a", "b") as (a, b):
        clean, dropped = (b, a) if where == "here" else (a, b)
        clean.store.found[TRACE] = Found("clean")
        dropped.store.found[TRACE] = Found("dropped", reason="something was wrong with it")

        answer = a.root_cause(TRACE)

        assert answer["status"] == "partial"
        assert (
            f"{'a' if where == 'here' else 'b'} had a part of it: something was wrong with it"
            in answer["status_reason"]
        )


def test_a_part_that_is_still_open_keeps_the_answer_open():
    """Decided here, open there: waiting longer can change it."""
    with instances("a", "b") as (a, b):
        a.keep(CHECKOUT)
        b.open_traces.answers[TRACE] = small(status="in_progress", revision=0)

        for one in (a, b):
            response = one.get(TRACE)
            assert (response.status_code, response.json()["status"]) == (202, "in_progress")
            assert response.json()["root_causes"][0]["error_type"] == "CardError"
            assert "still holds spans" in response.json()["status_reason"]


def test_waiting_ends_when_a_peer_has_the_verdict():
    with instances("a", "b") as (a, b):
        looks = iter(range(100))
        b.store.on_find = lambda trace_id: next(looks) == 4 and b.keep(CHECKOUT) and None

        response = a.get(TRACE, "root-cause?wait=30")

        assert (response.status_code, response.json()["answered_by"]) == (200, "b")
        assert next(looks) < 12


def test_a_peer_that_is_down_is_named_and_nothing_is_called_unknown():
    down = f"127.0.0.1:{free_port()}"
    with instances("a", others=[down]) as (a,):
        body = problem(a.get(TRACE), 503, "peers_silent")
        assert f"{down} (cannot be reached: " in body["detail"]
        with pytest.raises(grpc.RpcError) as refused:
            a.call(TRACE)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert down in refused.value.details()

        a.keep(CHECKOUT)
        answer = a.root_cause(TRACE)
        assert answer["status"] == "finding"
        assert answer["status_reason"] == f"what {down} may hold is missing here"
        assert [(peer["peer"], peer["state"]) for peer in answer["asked_peers"]] == [(down, "failed")]

        a.store.found[TRACE] = Found("expired")
        assert problem(a.get(TRACE), 410, "trace_expired")["detail"].endswith(f"; {down} did not answer")


def test_a_home_that_dies_before_it_answers_is_named():
    """It said that it has the best part, and was gone when it was asked for it: what is here must do."""
    with instances("a", "b") as (a, b):
        a.keep(CHECKOUT, GATEWAY)
        b.keep(CHECKOUT, PAYMENT, revision=7)
        # b's part has no root, so a is home; b forgets its spans between sketch and whole
        sketched = iter(range(100))
        kept = b.store.found[TRACE]
        b.store.on_find = lambda trace_id: b.store.found.update(
            {TRACE: kept if next(sketched) == 0 else Found("unknown")}
        )

        answer = a.root_cause(TRACE)

        assert (answer["answered_by"], answer["merged_from"]) == ("a", [])
        (peer,) = answer["asked_peers"]
        assert (peer["state"], peer["reason"]) == ("failed", "it has let go of its spans")


def test_who_is_asked_asks_nobody():
    """Two instances that are peers of one another: one question, one question to the other, and no more."""
    with instances("a", "b") as (a, b):
        a.get(TRACE)

        assert a.counts("query_peer_replies") == {"answered": 1, "own": 1}
        assert b.counts("query_peer_requests") == {}


def test_an_instance_meets_itself_once_and_then_leaves_itself_out():
    """A headless service names all instances, this one too."""
    with instances("a", "b") as (a, _):
        a.get(TRACE)
        a.get(TRACE)

        assert a.counts("query_peer_replies") == {"answered": 2, "own": 1}
        assert a.calls.snapshot()["query_peer_addresses"] == 1


@pytest.mark.parametrize("what", ["root-cause", "root-cause?wait=1", "graph", "spans", "report"])
def test_the_header_only_narrows(what: str):
    """Whoever sends it, from outside too, gets what this instance holds, and no word of it goes further."""
    with instances("a", "b") as (a, b):
        b.keep(CHECKOUT)

        problem(a.get(TRACE, what, x_firstfault_peer="1"), 404, "trace_unknown")
        with pytest.raises(grpc.RpcError) as refused:
            a.call(TRACE, x_firstfault_peer="1")

        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert a.counts("query_peer_requests") == {}


def test_every_question_to_a_peer_has_one_outcome():
    down = f"127.0.0.1:{free_port()}"
    with instances("a", "b", "c", others=[down]) as everybody:
        a, b, c = everybody
        b.keep(CHECKOUT, GATEWAY)
        c.keep(CHECKOUT, PAYMENT)
        for one in everybody:
            one.get(TRACE)
            one.get(TRACE, "spans")

        for one in everybody:
            requests, replies = one.counts("query_peer_requests"), one.counts("query_peer_replies")
            assert sum(requests.values()) == sum(replies.values()) > 0
        assert {"sketch", "merged"} <= set(a.counts("query_peer_requests"))
        assert a.counts("query_peer_replies")["unreachable"] > 0


def test_an_instance_without_peers_says_nothing_of_peers(only: Instance):
    only.keep(CHECKOUT)

    answer = only.root_cause(TRACE)

    assert (answer["answered_by"], answer["asked_peers"]) == ("a", [])


@pytest.fixture
def only():
    with instances("a") as (one,):
        yield one
