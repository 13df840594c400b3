"""The payment endpoint of the brief, as a tracer without status sees it: attributes say what happened, spans do not."""

from __future__ import annotations

import pytest

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from tests.support.drawing import batch, draw

ENDPOINT = "payment-service SERVER POST /api/v1/payments/charge 0..50"
CHARGE = "payment-service INTERNAL payment.charge 5..45 payment.amount=149.99 payment.currency=USD customer.id=c-1"


def answer_to(entry: str, charge: str) -> Answer:
    return Analyzer().answer(batch(draw(f"{ENDPOINT} {entry}\n  {CHARGE} {charge}")))


def test_insufficient_funds_are_no_failure():
    """402 and no status: the endpoint did what it is for."""
    answer = answer_to("http.response.status_code=402", "payment.status=insufficient_funds error=true")

    assert (answer.status, answer.verdict) == ("clean", "none")


def test_a_refusal_that_was_marked_as_an_error_is_business():
    answer = answer_to("ERROR http.response.status_code=402", "payment.status=insufficient_funds error=true")

    assert (answer.root_causes[0].rule, answer.severity.value, answer.type.value) == (
        "error.business",
        "low",
        "business",
    )


def test_any_other_error_leads_into_the_charge():
    """The span says so in attributes only; the endpoint answers 500."""
    answer = answer_to(
        "ERROR http.response.status_code=500",
        'payment.status=error error=true error.message="gateway timeout: connect to gateway.example timed out"',
    )

    cause = answer.root_causes[0]
    assert (cause.rule, [span.operation for span in cause.origin_spans]) == (
        "error.origin.unmarked_child",
        ["payment.charge"],
    )
    assert cause.probability == pytest.approx(0.49, abs=0.01)  # as likely the endpoint itself: it says so
    assert answer.next_probe is not None
