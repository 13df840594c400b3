"""A failing trace on paper with its truth: where the failure began, and what is fair to say of it.

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
