"""Only the parent says so: the span where it began set no status, its parent's error speaks of it."""

from __future__ import annotations

from tests.support.situations.situation import Situation

UNMARKED: tuple[Situation, ...] = (
    Situation(
        "the gateway's error is recorded by the parent only",
        """
        payment-service processPayment 0..100 ERROR !errors.wrapError: "payment gateway error: upstream said 502"
          payment-service chargeCard     5..99
        """,
        "payment-service chargeCard",
        "error.origin.unmarked_child",
        "payment gateway",
        kind="peer",
        roles={"payment-service chargeCard": "unseen_dependency"},
    ),
    Situation(
        "the same within a request, its message names the silent span",
        """
        web      POST /checkout       0..120 ERROR http.response.status_code=502
          web      CLIENT POST          5..115 ERROR http.response.status_code=502 server.address=payment
            payment  POST /charge         10..110 ERROR http.response.status_code=502
              payment  process payment      12..108 ERROR !GatewayError: "charge card: payment gateway answered 502"
                payment  charge card          14..107
        """,
        "payment charge card",
        "error.origin.unmarked_child",
        "payment gateway",
        kind="peer",
    ),
    Situation(
        "under neutral names: a call out that did not mark itself, after which nothing else was called",
        """
        alpha  op1              0..100 ERROR
          alpha  op2              10..40
          alpha  CLIENT op3       45..99 peer.service=omega
        """,
        "alpha op3",
        "error.origin.unmarked_child",
        "omega",
        kind="peer",
        missing=4.0,
    ),
    Situation(
        "a silent child with a bad response code",
        """
        pay  settle      0..100 ERROR status: "settlement did not go through"
          pay  prepare     2..10
          pay  submit      12..98 gateway.response_code=timeout
        """,
        "pay submit",
        "error.origin.unmarked_child",
        "pay",
    ),
    Situation(
        "down a silent chain to the call at its end",
        """
        pay  settle                0..100 ERROR !Wrapped: "submit: bank refused: EOF"
          pay  submit                10..99
            pay  post                  12..98.5
              pay  CLIENT POST /v1/tx    15..98 server.address=api.bank.example
        """,
        "pay POST /v1/tx",
        "error.origin.unmarked_child",
        "api.bank.example",
        kind="peer",
    ),
    Situation(
        "a programming mistake right after a query that went well",
        """
        shop  GET /items           0..30 ERROR http.response.status_code=500 !builtins.TypeError: "NoneType"
          shop  CLIENT SELECT items  5..29 db.system.name=postgresql server.address=db
        """,
        "shop GET /items",
        "error.origin.local",
        "shop",
    ),
    Situation(
        "an exception logged under a span that set no status",
        """
        web  GET /report      0..100 ERROR http.response.status_code=500
          web  render           10..90 log!TemplateError: "no such block"
        """,
        "web render",
        "error.origin.local",
        "web",
    ),
    Situation(
        "an exception event on a span without status",
        """
        web  GET /report      0..100 ERROR http.response.status_code=500
          web  load             5..20
          web  render           25..99 !TemplateError: "no such block"
        """,
        "web render",
        "error.origin.local",
        "web",
    ),
)
