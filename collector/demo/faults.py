"""The ten faults: how each is asked for, what is true, and when an answer is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analyzer.findings import Answer


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the demo.

    origins : "service operation" of the spans that may rightly be named as the origin
    also : what else a right answer must say, and in words
    """

    name: str
    route: str
    injected: str
    origins: tuple[str, ...]
    also: Callable[[Answer], bool] = lambda answer: True
    also_text: str = ""


def _entity_names(answer: Answer) -> str:
    return " ".join(f"{cause.entity.name} {cause.entity.service}" for cause in answer.root_causes[:1])


FAULTS: tuple[Fault, ...] = (
    Fault(
        "parent_only_error",
        "POST /checkout",
        "the payment gateway answers 502; only the parent of the call records it",
        ("payment charge card",),
    ),
    Fault(
        "client_timeout",
        "POST /checkout",
        "inventory hangs on a lock; checkout gives up after 300 ms, inventory's span comes late",
        ("inventory reserve stock",),
    ),
    Fault(
        "refused_connection",
        "POST /checkout",
        "payment does not listen; there is no server span",
        ("checkout POST",),
        lambda answer: "payment" in _entity_names(answer),
        "blames payment, not its caller",
    ),
    Fault(
        "retry_recovers",
        "POST /checkout",
        "inventory answers 503 once; the second try succeeds",
        ("inventory POST /reserve",),
        lambda answer: not answer.user_visible,
        "says the user saw nothing",
    ),
    Fault(
        "handled_fallback",
        "GET /home",
        "cart's recommendations crash; the front end shows best sellers instead",
        ("cart GET /recommendations",),
        lambda answer: not answer.user_visible,
        "says the user saw nothing",
    ),
    Fault(
        "cancelled_sibling",
        "GET /overview",
        "inventory crashes; the parallel call to cart is cancelled because of it",
        ("inventory GET /overview",),
        lambda answer: any(role.role == "victim" for role in answer.roles),
        "calls the cancelled call a victim",
    ),
    Fault(
        "slow_query",
        "POST /checkout",
        "one UPDATE deep below takes 0.8 s; nothing fails",
        ("inventory UPDATE stock",),
        lambda answer: answer.verdict == "latency",
        "calls it latency",
    ),
    Fault(
        "n_plus_one",
        "POST /checkout",
        "cart asks the database once per item, forty times",
        ("cart load cart",),
        lambda answer: bool(answer.root_causes) and "n_plus_one" in answer.root_causes[0].rule,
        "names N+1",
    ),
    Fault(
        "silent_missing_call",
        "POST /checkout",
        "checkout answers 200 without ever calling payment",
        ("checkout POST /checkout",),
        lambda answer: answer.verdict == "structure",
        "calls it a missing call",
    ),
    Fault(
        "business_402",
        "POST /checkout",
        "the bank declines the card: 402 all the way up",
        ("payment charge card", "payment process payment"),
        lambda answer: answer.type is not None and answer.type.value == "business",
        "calls it business, not system",
    ),
)


def origin_of(answer: Answer) -> str:
    """Say "service operation" of the first origin span, or "" when none is named."""
    for cause in answer.root_causes[:1]:
        for span in cause.origin_spans[:1]:
            return f"{span.service} {span.operation}"
    return ""


def is_right(fault: Fault, answer: Answer) -> bool:
    """Whether the answer names a true origin and says what it must."""
    return answer.status == "finding" and origin_of(answer) in fault.origins and fault.also(answer)
