"""Failures beside the one that counts: retried, handled, ignored, or cancelled because another failed."""

from __future__ import annotations

from tests.support.situations.situation import Situation

ATTEMPTS: tuple[Situation, ...] = (
    Situation(
        "a retry that recovers",
        """
        checkout   POST /checkout      0..100 http.response.status_code=200
          checkout   CLIENT POST         10..20 ERROR http.response.status_code=503 server.address=inventory
            inventory  POST /reserve       12..18 ERROR http.response.status_code=503
          checkout   CLIENT POST         40..60 http.response.status_code=200 server.address=inventory
            inventory  POST /reserve again 42..58 http.response.status_code=200
        """,
        "inventory POST /reserve",
        "error.retry.recovered",
        "inventory",
        fatal=False,
        user_visible=False,
    ),
    Situation(
        "all attempts in vain",
        """
        web  GET /a        0..100 ERROR http.response.status_code=500
          web  CLIENT GET try 5..15 ERROR http.response.status_code=500 peer.service=x
          web  CLIENT GET try 30..40 ERROR http.response.status_code=500 peer.service=x
          web  CLIENT GET try 80..95 ERROR http.response.status_code=500 peer.service=x
        """,
        "web GET try",
        "error.retry.exhausted",
        "x",
        kind="peer",
    ),
    Situation(
        "a recovered retry, then another failure",
        """
        web  GET /a          0..200 ERROR http.response.status_code=500
          web  CLIENT fetch    5..15 ERROR peer.service=x http.response.status_code=503
          web  CLIENT fetch    20..30 peer.service=x http.response.status_code=200
          web  CLIENT store    150..195 ERROR db.system=redis server.address=cache !ResponseError: "OOM"
        """,
        "web store",
        "error.peer.unseen",
        "cache",
        kind="peer",
    ),
    Situation(
        "a handled fallback",
        """
        web   GET /home            0..100 http.response.status_code=200
          web   CLIENT GET           5..30 ERROR http.response.status_code=500 server.address=cart
            cart  GET /recommend       8..28 ERROR http.response.status_code=500 !Boom: "model missing"
          web   best sellers         40..60
        """,
        "cart GET /recommend",
        "error.handled.fallback",
        "cart",
        fatal=False,
        user_visible=False,
        roles={"web GET": "handled"},
    ),
    Situation(
        "an ignored failure",
        """
        web   GET /home            0..100 OK
          web   page                 2..30
          web   CLIENT GET           40..99 ERROR http.response.status_code=500 server.address=ads
            ads   GET /ad              45..95 ERROR http.response.status_code=500
        """,
        "ads GET /ad",
        "error.handled.ignored",
        "ads",
        fatal=False,
        user_visible=False,
    ),
    Situation(
        "a handled failure, and the one that killed the request",
        """
        web   GET /home            0..200 ERROR http.response.status_code=500
          web   CLIENT GET ads       5..20 ERROR http.response.status_code=500 server.address=ads
            ads   GET /ad              8..18 ERROR http.response.status_code=500
              ads   lookup               9..17 ERROR !Deep: "deeper than the real one"
          web   CLIENT GET cart      150..195 ERROR http.response.status_code=500 server.address=cart
            cart  GET /cart            155..190 ERROR http.response.status_code=500
        """,
        "cart GET /cart",
        "error.origin.local",
        "cart",
    ),
    Situation(
        "a sibling cancelled because another failed",
        """
        web        GET /overview         0..60 ERROR http.response.status_code=500
          web        CLIENT GET a          5..50 ERROR http.response.status_code=500 server.address=inventory
            inventory  GET /overview         8..45 ERROR http.response.status_code=500 !RuntimeError: "index corrupt"
          web        CLIENT GET b          5..52 ERROR !CancelledError: "cancelled" server.address=cart
            cart       GET /cart             8..300 ERROR !CancelledError: "cancelled"
              cart       CLIENT SELECT         10..299 ERROR !CancelledError: "cancelled" db.system=mysql server.address=d
        """,
        "inventory GET /overview",
        "error.origin.local",
        "inventory",
        roles={"web GET b": "victim", "cart SELECT": "victim"},
    ),
    Situation(
        "Go's context: the failing sibling is shallow, the victims are deep",
        """
        s1  root          0..60 ERROR
          s1  check         5..40 ERROR !errors.errorString: "quota file is corrupt"
          s1  CLIENT fan    5..42 ERROR rpc.grpc.status_code=1 peer.service=s2
            s2  fan           8..41 ERROR rpc.grpc.status_code=1
              s2  CLIENT deep   9..41 ERROR rpc.grpc.status_code=1 peer.service=s3
                s3  deep          10..41 ERROR rpc.grpc.status_code=1
        """,
        "s1 check",
        "error.origin.local",
        "s1",
        roles={"s3 deep": "victim", "s2 fan": "victim"},
    ),
)
