"""The shop of the demo, drawn: a healthy checkout and the ten faults with their true origin."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.drawing import Drawing, draw

CART = """
  frontend CLIENT GET 1..12 server.address=cart http.response.status_code=200
    cart GET /cart 2..11 http.response.status_code=200
      cart load cart 3..10
        cart CLIENT SELECT items 4..9 db.system.name=postgresql db.namespace=shop server.address=shop-db
"""
RESERVE = """
      checkout CLIENT POST 16..28 server.address=inventory http.response.status_code=200
        inventory POST /reserve 17..27 http.response.status_code=200
          inventory reserve stock 18..26
            inventory CLIENT UPDATE stock 19..25 db.system.name=postgresql db.namespace=shop server.address=shop-db
"""
CHARGE = """
      checkout CLIENT POST 30..48 server.address=payment http.response.status_code=200
        payment POST /charge 31..47 http.response.status_code=200
          payment process payment 32..40 OK
            payment charge card 33..39 transaction.id=t-1
          payment CLIENT INSERT payments 41..46 db.system.name=postgresql db.namespace=shop server.address=shop-db
"""
PUBLISH = """
      checkout PRODUCER orders publish 50..55 messaging.system=demoq messaging.destination.name=orders
        shipping CONSUMER orders process 56..66 messaging.system=demoq messaging.destination.name=orders
          shipping CLIENT INSERT shipments 58..64 db.system.name=postgresql db.namespace=shop server.address=shop-db
"""


def checkout(*parts: str, status: int = 200, error: bool = False, end: int = 57, cart: str = CART) -> str:
    """A checkout request made of parts; the outer spans carry the status."""
    mark = " ERROR" if error else ""
    kind = f" error.type={status}" if status >= 400 else ""
    client = " ERROR" if status >= 400 else ""
    return (
        f"frontend POST /checkout 0..{end + 3}{mark} http.response.status_code={status}\n"
        + cart.strip("\n")
        + f"\n  frontend CLIENT POST 14..{end + 1}{client} server.address=checkout http.response.status_code={status}{kind}\n"
        + f"    checkout POST /checkout 15..{end}{mark} http.response.status_code={status}\n"
        + "\n".join(part.strip("\n") for part in parts)
    )


HOME = """
frontend GET /home 0..20 http.response.status_code=200
  frontend CLIENT GET 1..18 server.address=cart http.response.status_code=200
    cart GET /recommendations 2..17 http.response.status_code=200
      cart CLIENT SELECT recommendations 3..9 db.system.name=postgresql db.namespace=shop server.address=shop-db
"""
OVERVIEW = """
frontend GET /overview 0..80 http.response.status_code=200
  frontend CLIENT GET 1..70 server.address=cart http.response.status_code=200
    cart GET /history 2..68 http.response.status_code=200
      cart CLIENT SELECT orders 3..65 db.system.name=postgresql db.namespace=shop server.address=shop-db
  frontend CLIENT GET 1..14 server.address=inventory http.response.status_code=200
    inventory GET /overview 2..13 http.response.status_code=200
      inventory CLIENT SELECT stock 3..12 db.system.name=postgresql db.namespace=shop server.address=shop-db
"""
HEALTHY = (checkout(RESERVE, CHARGE, PUBLISH), HOME, OVERVIEW)


@dataclass(frozen=True)
class DrawnFault:
    """One fault on paper: which span is the true origin, and which verdict and type belong to it."""

    name: str
    text: str
    origins: tuple[str, ...]
    verdict: str
    user_visible: bool | None = None
    type: str | None = None
    entity: str | None = None

    def drawing(self) -> Drawing:
        return draw(self.text, seed=sum(self.name.encode()))


FAULTS = (
    DrawnFault(
        "parent_only_error",
        checkout(
            RESERVE,
            """
      checkout CLIENT POST 30..41 ERROR server.address=payment http.response.status_code=502 error.type=502
        payment POST /charge 31..40.5 ERROR http.response.status_code=502 !HttpFault: "payment failed: charge card: payment gateway answered 502"
          payment process payment 32..40 ERROR !GatewayError: "charge card: payment gateway answered 502" error.type=GatewayError
            payment charge card 33..39.8
""",
            status=500,
            error=True,
            end=43,
        ),
        ("payment charge card",),
        "error",
        user_visible=True,
    ),
    DrawnFault(
        "client_timeout",
        checkout(
            """
      checkout CLIENT POST 16..316 ERROR server.address=inventory error.type=TimeoutError !TimeoutError: "timed out"
        inventory POST /reserve 17..1230 http.response.status_code=200
          inventory reserve stock 18..1228
            inventory CLIENT UPDATE stock 1220..1226 db.system.name=postgresql db.namespace=shop server.address=shop-db
""",
            status=500,
            error=True,
            end=318,
        ),
        ("inventory reserve stock",),
        "error",
        user_visible=True,
    ),
    DrawnFault(
        "refused_connection",
        checkout(
            RESERVE,
            """
      checkout CLIENT POST 30..31 ERROR server.address=payment error.type=ConnectionRefusedError !ConnectionRefusedError: "[Errno 111] Connection refused"
""",
            status=500,
            error=True,
            end=33,
        ),
        ("checkout POST",),
        "error",
        user_visible=True,
        entity="payment",
    ),
    DrawnFault(
        "retry_recovers",
        checkout(
            """
      checkout CLIENT POST 16..19 ERROR server.address=inventory http.response.status_code=503 error.type=503
        inventory POST /reserve 17..18 ERROR http.response.status_code=503 !HttpFault: "stock shard is moving, try again"
      checkout CLIENT POST 29..41 server.address=inventory http.response.status_code=200
        inventory POST /reserve 30..40 http.response.status_code=200
          inventory reserve stock 31..39
            inventory CLIENT UPDATE stock 32..38 db.system.name=postgresql db.namespace=shop server.address=shop-db
""",
            CHARGE.replace("..", "..")
            .replace("30..48", "42..60")
            .replace("31..47", "43..59")
            .replace("32..40", "44..52")
            .replace("33..39", "45..51")
            .replace("41..46", "53..58"),
            PUBLISH.replace("50..55", "61..66").replace("56..66", "67..77").replace("58..64", "69..75"),
            end=68,
        ),
        ("inventory POST /reserve",),
        "error",
        user_visible=False,
    ),
    DrawnFault(
        "handled_fallback",
        """
frontend GET /home 0..14 http.response.status_code=200
  frontend CLIENT GET 1..13 ERROR server.address=cart http.response.status_code=500 error.type=500
    cart GET /recommendations 2..12 ERROR http.response.status_code=500 !KeyError: "model 'spring' is not loaded" error.type=KeyError
      cart CLIENT SELECT recommendations 3..9 db.system.name=postgresql db.namespace=shop server.address=shop-db
""",
        ("cart GET /recommendations",),
        "error",
        user_visible=False,
    ),
    DrawnFault(
        "cancelled_sibling",
        """
frontend GET /overview 0..20 ERROR http.response.status_code=500 !HttpFault: "inventory answered 500"
  frontend CLIENT GET 1..16 ERROR server.address=cart error.type=Cancelled !Cancelled: "request cancelled: a sibling failed"
    cart GET /history 2..68 http.response.status_code=200
      cart CLIENT SELECT orders 3..65 db.system.name=postgresql db.namespace=shop server.address=shop-db
  frontend CLIENT GET 1..5 ERROR server.address=inventory http.response.status_code=500 error.type=500
    inventory GET /overview 2..4 ERROR http.response.status_code=500 !RuntimeError: "stock index is corrupt" error.type=RuntimeError
""",
        ("inventory GET /overview",),
        "error",
        user_visible=True,
    ),
    DrawnFault(
        "slow_query",
        checkout(
            """
      checkout CLIENT POST 16..828 server.address=inventory http.response.status_code=200
        inventory POST /reserve 17..827 http.response.status_code=200
          inventory reserve stock 18..826
            inventory CLIENT UPDATE stock 19..825 db.system.name=postgresql db.namespace=shop server.address=shop-db
""",
            CHARGE.replace("30..48", "830..848")
            .replace("31..47", "831..847")
            .replace("32..40", "832..840")
            .replace("33..39", "833..839")
            .replace("41..46", "841..846"),
            PUBLISH.replace("50..55", "850..855").replace("56..66", "856..866").replace("58..64", "858..864"),
            end=857,
        ),
        ("inventory UPDATE stock",),
        "latency",
    ),
    DrawnFault(
        "n_plus_one",
        """
frontend POST /checkout 0..300 http.response.status_code=200
  frontend CLIENT GET 1..252 server.address=cart http.response.status_code=200
    cart GET /cart 2..251 http.response.status_code=200
      cart load cart 3..250
"""
        + "\n".join(
            f"        cart CLIENT SELECT items {4 + 6 * i}..{9 + 6 * i} db.system.name=postgresql db.namespace=shop server.address=shop-db"
            for i in range(40)
        )
        + """
  frontend CLIENT POST 254..298 server.address=checkout http.response.status_code=200
    checkout POST /checkout 255..297 http.response.status_code=200
"""
        + RESERVE.strip("\n")
        .replace("16..28", "256..268")
        .replace("17..27", "257..267")
        .replace("18..26", "258..266")
        .replace("19..25", "259..265")
        + "\n"
        + CHARGE.strip("\n")
        .replace("30..48", "270..288")
        .replace("31..47", "271..287")
        .replace("32..40", "272..280")
        .replace("33..39", "273..279")
        .replace("41..46", "281..286")
        + "\n"
        + PUBLISH.strip("\n").replace("50..55", "290..295").replace("56..66", "296..306").replace("58..64", "298..304"),
        ("cart load cart",),
        "structure",
    ),
    DrawnFault(
        "silent_missing_call",
        checkout(
            RESERVE, PUBLISH.replace("50..55", "30..35").replace("56..66", "36..46").replace("58..64", "38..44"), end=37
        ),
        ("checkout POST /checkout",),
        "structure",
    ),
    DrawnFault(
        "business_402",
        checkout(
            RESERVE,
            """
      checkout CLIENT POST 30..41 ERROR server.address=payment http.response.status_code=402 error.type=402
        payment POST /charge 31..40.5 http.response.status_code=402
          payment process payment 32..40 ERROR !CardDeclined: "card declined by the bank: insufficient funds" error.type=CardDeclined
            payment charge card 33..39.8
""",
            status=402,
            end=43,
        ),
        ("payment charge card", "payment process payment"),
        "error",
        type="business",
    ),
)
