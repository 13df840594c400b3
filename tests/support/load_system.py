"""The system that realistic load walks through: a gateway, layers that call the layers below, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SERVICES = 60
LAYERS = 5

_THINGS = [
    "account",
    "address",
    "basket",
    "billing",
    "booking",
    "campaign",
    "carrier",
    "catalogue",
    "category",
    "checkout",
    "consent",
    "coupon",
    "currency",
    "customer",
    "delivery",
    "discount",
    "gift",
    "identity",
    "inventory",
    "invoice",
    "ledger",
    "loyalty",
    "mail",
    "market",
    "menu",
    "message",
    "notice",
    "offer",
    "order",
    "parcel",
    "partner",
    "payment",
    "picture",
    "policy",
    "pricing",
    "product",
    "profile",
    "promotion",
    "quote",
    "rating",
    "receipt",
    "refund",
    "region",
    "reminder",
    "return",
    "review",
    "reward",
    "risk",
    "route",
    "sales",
    "search",
    "seller",
    "session",
    "shipment",
    "stock",
    "subscription",
    "supplier",
    "tariff",
    "ticket",
    "voucher",
]
_LANGUAGES = ("java", "go", "python", "nodejs", "dotnet")


@dataclass(slots=True)
class Service:
    """One service of the drawn system."""

    name: str
    layer: int
    language: str
    version: str
    instances: list[str]
    routes: list[tuple[str, str]]
    table: str
    stack: str
    callees: list[Service] = field(default_factory=list)


def system(seed: int) -> list[Service]:
    """Draw the services; the first one is the gateway. The same for the same seed."""
    rng = random.Random(seed)
    services = []
    for i in range(SERVICES):
        thing = _THINGS[i]
        name = "edge-gateway" if i == 0 else f"{thing}-service"
        services.append(
            Service(
                name=name,
                layer=0 if i == 0 else 1 + i * (LAYERS - 1) // SERVICES,
                language=rng.choice(_LANGUAGES),
                version=f"{rng.randint(1, 5)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}",
                instances=[f"{name}-{rng.getrandbits(36):09x}-{rng.getrandbits(20):05x}" for _ in range(2)],
                routes=[
                    (rng.choice(("GET", "GET", "POST", "PUT")), f"/v1/{thing}/{{id}}/{rng.choice(_THINGS)}")
                    for _ in range(rng.randint(3, 8))
                ],
                table=f"{thing}_rows",
                stack="\n".join(
                    f"\tat shop.{rng.choice(_THINGS)}.{rng.choice(_THINGS).title()}Handler.step{k}"
                    f"({rng.choice(_THINGS).title()}.java:{rng.randint(12, 900)})"
                    for k in range(14)
                ),
            )
        )
    for service in services:
        below = [other for other in services if other.layer == service.layer + 1]
        if below:
            service.callees = rng.sample(below, min(len(below), rng.randint(2, 4)))
    return services
