"""Somebody waited longer than it would: timeouts, deadlines, answers that came late or never."""

from __future__ import annotations

from tests.support.situations.situation import Situation

WAITING: tuple[Situation, ...] = (
    Situation(
        "a client gave up, the server span outlives it",
        """
        checkout   POST /checkout        0..320 ERROR http.response.status_code=504
          checkout   CLIENT POST           10..310 ERROR error.type=timeout server.address=inventory
            inventory  POST /reserve         12..1220
              inventory  reserve stock         14..1218
                inventory  CLIENT UPDATE stock   1210..1216 db.system.name=postgresql server.address=db
        """,
        "inventory reserve stock",
        "error.timeout.slow_server",
        "inventory",
        roles={"checkout POST": "propagated", "inventory reserve stock": "origin"},
    ),
    Situation(
        "a client gave up, the query below the late server is what took the time",
        """
        a  GET /a                   0..520 ERROR http.response.status_code=504
          a  CLIENT GET               5..510 ERROR !TimeoutError: "deadline exceeded" server.address=b
            b  GET /b                   7..2000
              b  CLIENT SELECT huge       20..1990 db.system.name=postgresql server.address=warehouse
        """,
        "b SELECT huge",
        "error.timeout.slow_server",
        "warehouse",
        kind="peer",
    ),
    Situation(
        "the late server was then cancelled and says so",
        """
        a  GET /a           0..520 ERROR http.response.status_code=504
          a  CLIENT GET       5..510 ERROR rpc.grpc.status_code=4 server.address=b
            b  GET /b           7..600 ERROR rpc.grpc.status_code=1 !Canceled: "context canceled"
              b  crunch           10..598 ERROR !Canceled: "context canceled"
        """,
        "b crunch",
        "error.timeout.slow_server",
        "b",
    ),
    Situation(
        "deadlines run out one inside the other",
        """
        a  GET /a             0..1000 ERROR http.response.status_code=504
          a  CLIENT GET         5..990 ERROR error.type=timeout server.address=b
            b  GET /b             7..1500 ERROR http.response.status_code=500
              b  CLIENT GET         10..1495 ERROR error.type=timeout server.address=c
                c  GET /c             12..4000
        """,
        "c GET /c",
        "error.timeout.slow_server",
        "c",
    ),
    Situation(
        "an inner deadline in code, no call failed",
        """
        web  GET /feed     0..260 ERROR !TimeoutError: "timed out after 250 ms"
          web  rank          5..900
        """,
        "web rank",
        "error.timeout.slow_server",
        "web",
    ),
    Situation(
        "a callee that never answered, though it usually does",
        """
        a  GET /a         0..3010 ERROR http.response.status_code=504
          a  CLIENT GET     5..3005 ERROR error.type=timeout server.address=b
        """,
        "a GET",
        "error.timeout.silent_callee",
        "b",
        roles={"a GET": "unseen_dependency"},
        server_share=0.99,
    ),
    Situation(
        "a database that never answered",
        """
        a  GET /a             0..5010 ERROR http.response.status_code=500
          a  CLIENT SELECT x    5..5005 ERROR db.system=postgresql server.address=pg-1 !QueryTimeout: "timeout expired"
        """,
        "a SELECT x",
        "error.timeout.silent_callee",
        "pg-1",
        kind="peer",
        server_share=0.0,
    ),
    Situation(
        "the server did its work in time, the answer was lost",
        """
        a  GET /a         0..1010 ERROR http.response.status_code=500
          a  CLIENT GET     5..1005 ERROR error.type=timeout server.address=b
            b  GET /b         10..60 http.response.status_code=200
        """,
        "a GET",
        "error.edge.response",
        "a -> b",
        kind="edge",
    ),
)
