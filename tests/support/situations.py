"""Failing traces on paper, each with the truth: where the failure began, and what is fair to say of it.

`origin` is "service operation" of the span where it began (or shows, when the culprit sends no spans);
`entity` the culprit's own name; `rule` the named rule that must decide. `roles` are some of the roles
that must be told. The names of the systems do not matter: the same shapes stand here under other names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.drawing import Drawing, draw


@dataclass(frozen=True)
class Situation:
    name: str
    text: str
    origin: str
    rule: str
    entity: str
    fatal: bool = True
    user_visible: bool = True
    kind: str = "service"
    roles: dict[str, str] = field(default_factory=dict)
    server_share: float | None = None  # what was learned: a server span is usually below each call
    missing: float = 0.0  # what was learned: surprise of calls that should follow

    def drawing(self) -> Drawing:
        return draw(self.text)


def _s(name: str, text: str, origin: str, rule: str, entity: str, **more: object) -> Situation:
    return Situation(name, text, origin, rule, entity, **more)  # type: ignore[arg-type]


SITUATIONS: tuple[Situation, ...] = (
    # -- plain propagation ---------------------------------------------------------------
    _s(
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
    _s(
        "a root that fails alone",
        "web GET / 0..20 http.response.status_code=500",
        "web GET /",
        "error.origin.local",
        "web",
    ),
    _s(
        "a root that fails by itself after its calls went well",
        """
        web  GET /list                  0..100 ERROR http.response.status_code=500 !KeyError: "sku"
          web  CLIENT SELECT items        10..30 db.system.name=postgresql db.namespace=shop
        """,
        "web GET /list",
        "error.origin.local",
        "web",
    ),
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    # -- only the parent says so ---------------------------------------------------------
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
        "a programming mistake right after a query that went well",
        """
        shop  GET /items           0..30 ERROR http.response.status_code=500 !builtins.TypeError: "NoneType"
          shop  CLIENT SELECT items  5..29 db.system.name=postgresql server.address=db
        """,
        "shop GET /items",
        "error.origin.local",
        "shop",
    ),
    _s(
        "an exception logged under a span that set no status",
        """
        web  GET /report      0..100 ERROR http.response.status_code=500
          web  render           10..90 log!TemplateError: "no such block"
        """,
        "web render",
        "error.origin.local",
        "web",
    ),
    _s(
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
    # -- waiting -------------------------------------------------------------------------
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
        "an inner deadline in code, no call failed",
        """
        web  GET /feed     0..260 ERROR !TimeoutError: "timed out after 250 ms"
          web  rank          5..900
        """,
        "web rank",
        "error.timeout.slow_server",
        "web",
    ),
    _s(
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
    _s(
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
    _s(
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
    # -- nobody there --------------------------------------------------------------------
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
        "the caller's own pool ran dry",
        """
        web  GET /a           0..1010 ERROR http.response.status_code=500
          web  CLIENT SELECT    5..1005 ERROR db.system=mysql server.address=db !PoolTimeout: "connection pool exhausted"
        """,
        "web SELECT",
        "error.pool.exhausted",
        "web",
    ),
    _s(
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
    # -- retries, fallbacks, victims ------------------------------------------------------
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    # -- whose fault ---------------------------------------------------------------------
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    # -- lost spans, queues, several roots ------------------------------------------------
    _s(
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
    _s(
        "a client span was lost, the server below it was not",
        """
        web   GET /a         0..100 ERROR http.response.status_code=500
        order POST /order    20..80 ERROR http.response.status_code=500 !Bug: "oops" parent:lost
        """,
        "order POST /order",
        "error.origin.local",
        "order",
    ),
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
    _s(
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
