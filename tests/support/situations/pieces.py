"""A trace in pieces: lost spans, queues, several roots, one item of a loop."""

from __future__ import annotations

from tests.support.situations.situation import Situation

PIECES: tuple[Situation, ...] = (
    Situation(
        "the server span was lost, what it called was not",
        """
        web   GET /a         0..100 ERROR http.response.status_code=500
          web   CLIENT GET     5..95 ERROR http.response.status_code=500 server.address=order
        order CLIENT INSERT  20..80 ERROR db.system=mysql server.address=db9 !Deadlock: "deadlock" parent:lost
        """,
        "order INSERT",
        "error.peer.unseen",
        "db9",
        kind="peer",
    ),
    Situation(
        "a client span was lost, the server below it was not",
        """
        web   GET /a         0..100 ERROR http.response.status_code=500
        order POST /order    20..80 ERROR http.response.status_code=500 !Bug: "oops" parent:lost
        """,
        "order POST /order",
        "error.origin.local",
        "order",
    ),
    Situation(
        "the origin's own span was lost: the callee answered 500",
        """
        web   GET /a         0..100 ERROR http.response.status_code=500
          web   CLIENT GET     5..95 ERROR http.response.status_code=500 server.address=order
        """,
        "web GET",
        "error.peer.unseen",
        "order",
        server_share=0.99,
    ),
    Situation(
        "a consumer failed: nobody who published it saw that",
        """
        web     POST /order             0..50 http.response.status_code=200
          web     PRODUCER send orders    10..15 messaging.system=kafka messaging.destination.name=orders
            worker  CONSUMER process orders 500..600 ERROR !ValueError: "bad row"
              worker  INSERT                  510..590
        """,
        "worker process orders",
        "error.origin.local",
        "worker",
        user_visible=False,
    ),
    Situation(
        "a consumer failed, and the publisher's caller failed for its own reason",
        """
        web     POST /order             0..50 ERROR http.response.status_code=500
          web     PRODUCER send orders    10..15 messaging.system=kafka messaging.destination.name=orders
            worker  CONSUMER process orders 20..30 ERROR !ValueError: "bad row"
          web     render                  35..48 ERROR !TemplateError: "missing block"
        """,
        "web render",
        "error.origin.local",
        "web",
    ),
    Situation(
        "two roots, the second failed",
        """
        web   GET /a          0..20 http.response.status_code=200
        web   GET /b          30..60 ERROR http.response.status_code=500
          web   parse           35..55 ERROR !ParseError: "eof"
        """,
        "web parse",
        "error.origin.local",
        "web",
    ),
    Situation(
        "one item of a loop failed and the request with it: no retry",
        """
        web  GET /a        0..100 ERROR http.response.status_code=500
          web  CLIENT GET i  5..15 http.response.status_code=200 peer.service=x
          web  CLIENT GET i  20..30 http.response.status_code=200 peer.service=x
          web  CLIENT GET i  40..95 ERROR http.response.status_code=500 peer.service=x
        """,
        "web GET i",
        "error.peer.unseen",
        "x",
        kind="peer",
    ),
    Situation(
        "a success after a resend that says so is a retry",
        """
        web  GET /a        0..100 http.response.status_code=200
          web  CLIENT GET    2..4 http.response.status_code=200 peer.service=x
          web  CLIENT GET    5..15 ERROR http.response.status_code=503 peer.service=x
          web  CLIENT GET    30..40 http.response.status_code=200 peer.service=x http.request.resend_count=1
        """,
        "web GET",
        "error.retry.recovered",
        "x",
        kind="peer",
        fatal=False,
        user_visible=False,
    ),
)
