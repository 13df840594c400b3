"""Nobody there: refused connections, open breakers, dry pools, peers that send no spans."""

from __future__ import annotations

from tests.support.situations.situation import Situation

UNANSWERED: tuple[Situation, ...] = (
    Situation(
        "a refused connection, nothing learned yet",
        """
        checkout  POST /checkout  0..30 ERROR http.response.status_code=502
          checkout  CLIENT POST     10..12 ERROR server.address=payment !ConnectionRefusedError: "connection refused"
        """,
        "checkout POST",
        "error.refused.no_server",
        "payment",
        kind="peer",
    ),
    Situation(
        "a refused connection to a service that usually answers",
        """
        checkout  POST /checkout  0..30 ERROR http.response.status_code=502
          checkout  CLIENT POST     10..28 ERROR server.address=payment !ConnectError: "[Errno 111] Connection refused"
        """,
        "checkout POST",
        "error.refused.no_server",
        "payment",
        server_share=0.99,
        roles={"checkout POST": "unseen_dependency"},
    ),
    Situation(
        "gRPC UNAVAILABLE without a server span, neutral names",
        """
        s1  m1          0..30 ERROR
          s1  CLIENT m2   10..29 rpc.system=grpc rpc.grpc.status_code=14 peer.service=s2
        """,
        "s1 m2",
        "error.refused.no_server",
        "s2",
        kind="peer",
    ),
    Situation(
        "a broker that takes no message",
        """
        orders  POST /order            0..100 ERROR http.response.status_code=500
          orders  PRODUCER send orders   20..99 ERROR messaging.system=kafka messaging.destination.name=orders-v2 !KafkaError: "x"
        """,
        "orders send orders",
        "error.peer.unseen",
        "orders-v2",
        kind="queue",
    ),
    Situation(
        "an open circuit breaker",
        """
        web  GET /a       0..10 ERROR http.response.status_code=503
          web  CLIENT GET   5..6 ERROR peer.service=ads !CallNotPermittedException: "CircuitBreaker 'ads' is OPEN"
        """,
        "web GET",
        "error.breaker.open",
        "ads",
        kind="peer",
    ),
    Situation(
        "the caller's own pool ran dry",
        """
        web  GET /a           0..1010 ERROR http.response.status_code=500
          web  CLIENT SELECT    5..1005 ERROR db.system=mysql server.address=db !PoolTimeout: "connection pool exhausted"
        """,
        "web SELECT",
        "error.pool.exhausted",
        "web",
    ),
    Situation(
        "an outside service answered 500, it sends no spans",
        """
        web  GET /a        0..50 ERROR http.response.status_code=502
          web  CLIENT POST   5..45 ERROR http.response.status_code=500 server.address=api.mail.example
        """,
        "web POST",
        "error.peer.unseen",
        "api.mail.example",
        kind="peer",
        server_share=0.0,
    ),
)
