"""Plain propagation: a failure travels up to the root, or began there."""

from __future__ import annotations

from tests.support.situations.situation import Situation

PROPAGATION: tuple[Situation, ...] = (
    Situation(
        "the innermost server failed by itself",
        """
        gateway   GET /checkout               0..100  ERROR http.response.status_code=500
          gateway   CLIENT POST                 10..95  ERROR http.response.status_code=500 server.address=payment
            payment   POST /charge                15..90  ERROR http.response.status_code=500 !CardError: "bad state"
        """,
        "payment POST /charge",
        "error.origin.local",
        "payment",
        roles={"gateway POST": "propagated", "gateway GET /checkout": "propagated", "payment POST /charge": "origin"},
    ),
    Situation(
        "a root that fails alone",
        "web GET / 0..20 http.response.status_code=500",
        "web GET /",
        "error.origin.local",
        "web",
    ),
    Situation(
        "a root that fails by itself after its calls went well",
        """
        web  GET /list                  0..100 ERROR http.response.status_code=500 !KeyError: "sku"
          web  CLIENT SELECT items        10..30 db.system.name=postgresql db.namespace=shop
        """,
        "web GET /list",
        "error.origin.local",
        "web",
    ),
    Situation(
        "old HTTP attribute names, no status set anywhere",
        """
        a  GET /x          0..50 http.status_code=500
          a  CLIENT GET      5..45 http.status_code=500 net.peer.name=b
            b  GET /y          8..40 http.status_code=500
        """,
        "b GET /y",
        "error.origin.local",
        "b",
    ),
    Situation(
        "gRPC codes, no status set anywhere",
        """
        a  shop.Cart/Get             0..50 rpc.system=grpc rpc.grpc.status_code=13
          a  CLIENT shop.Stock/Count   5..45 rpc.system=grpc rpc.grpc.status_code=13 rpc.service=shop.Stock
            b  shop.Stock/Count          8..40 rpc.system=grpc rpc.grpc.status_code=13
        """,
        "b shop.Stock/Count",
        "error.origin.local",
        "b",
    ),
    Situation(
        "new gRPC names, status by name",
        """
        a  shop.Cart/Get             0..50 rpc.system.name=grpc rpc.response.status_code=INTERNAL
          a  CLIENT shop.Stock/Count   5..45 rpc.system.name=grpc rpc.response.status_code=DATA_LOSS
            b  shop.Stock/Count          8..40 rpc.system.name=grpc rpc.response.status_code=DATA_LOSS
        """,
        "b shop.Stock/Count",
        "error.origin.local",
        "b",
    ),
    Situation(
        "a class that changes on the way",
        """
        web   GET /order             0..200 ERROR http.response.status_code=500
          web   CLIENT POST            10..190 ERROR http.response.status_code=500 server.address=order
            order POST /order            15..185 ERROR http.response.status_code=500 !OrderFailed: "could not save"
              order CLIENT INSERT          100..180 ERROR db.system=mysql server.address=db1 !Deadlock: "Deadlock found"
        """,
        "order INSERT",
        "error.peer.unseen",
        "db1",
        kind="peer",
    ),
    Situation(
        "spans in the middle that never set a status",
        """
        web   GET /order              0..200 ERROR
          web   checkout                5..198
            web   reserve                 10..195
              web   CLIENT POST             15..190 ERROR http.response.status_code=500 server.address=stock
                stock POST /reserve           20..185 ERROR http.response.status_code=500 !Bug: "oops"
        """,
        "stock POST /reserve",
        "error.origin.local",
        "stock",
    ),
)
