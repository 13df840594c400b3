"""Whose fault it is: the caller's request, its credentials, the callee, or what lies between."""

from __future__ import annotations

from tests.support.situations.situation import Situation

BLAME: tuple[Situation, ...] = (
    Situation(
        "a declined card",
        """
        web      POST /checkout     0..100 http.response.status_code=402 ERROR
          web      CLIENT POST        5..95 http.response.status_code=402 ERROR server.address=payment
            payment  POST /charge       8..90 http.response.status_code=402
              payment  process payment    10..88 ERROR !CardDeclined: "card declined by the issuer: insufficient funds"
        """,
        "payment process payment",
        "error.business",
        "payment",
    ),
    Situation(
        "a bad request that the caller made",
        """
        web   GET /a         0..50 ERROR http.response.status_code=500
          web   CLIENT GET     5..45 http.response.status_code=400 server.address=stock
            stock GET /items     8..40 http.response.status_code=400
        """,
        "web GET",
        "error.request.rejected",
        "web",
    ),
    Situation(
        "credentials that were refused",
        """
        web   GET /a        0..50 ERROR http.response.status_code=500
          web   CLIENT GET    5..45 http.response.status_code=401 server.address=api.crm.example
        """,
        "web GET",
        "error.auth",
        "web",
        server_share=0.0,
    ),
    Situation(
        "a rate limit",
        """
        web   GET /a        0..50 ERROR http.response.status_code=503
          web   CLIENT GET    5..45 http.response.status_code=429 server.address=api.crm.example
        """,
        "web GET",
        "error.throttled",
        "api.crm.example",
        kind="peer",
        server_share=0.0,
    ),
    Situation(
        "the caller got 500, the server span does not say so",
        """
        web   GET /a        0..50 ERROR http.response.status_code=500
          web   CLIENT GET    5..45 http.response.status_code=500 server.address=old
            old   handle        8..40
        """,
        "old handle",
        "error.origin.unmarked_child",
        "old",
    ),
    Situation(
        "a proxy in between answered 502 though the server said 200",
        """
        web   GET /a        0..50 ERROR http.response.status_code=500
          web   CLIENT GET    5..45 http.response.status_code=502 server.address=api
            api   GET /         8..40 http.response.status_code=200
        """,
        "web GET",
        "error.edge.response",
        "web -> api",
        kind="edge",
    ),
)
