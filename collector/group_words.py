"""Groups of errors in sentences; one place, so that REST and the command line say the same."""

from __future__ import annotations

from analyzer.errors.group_words import ErrorGroup

_SHOWN_MAX = 200


def why(group: ErrorGroup) -> str:
    """Say what the members of a group have in common."""
    parts: dict[str, str] = {}
    for part in group.parts:
        parts.setdefault(part.name, part.value)
    kind = f"same type {_shown(parts['type'])}" if parts.get("type") else "same kind"
    if group.tier == "custom":
        return f"the program or a rule says so: {_shown(parts.get('custom', ''))}"
    if group.tier == "stack":
        return f"{kind}, same application frames from {_shown(parts.get('frame', ''))} outwards"
    if group.tier == "message":
        return f"{kind}, same message but for its values: {_shown(parts.get('message', ''))}"
    codes = [f"{name} {_shown(parts[name])}" for name in ("class", "http_status", "rpc_status") if parts.get(name)]
    return f"nothing but its status is known: {', '.join(codes) or 'failed'}, same operation"


def news_of(group: ErrorGroup, what: str) -> str:
    """Say what is new about a group: "spike", "new" or "regressed"."""
    name = f"{_shown(group.type or group.operation or 'failure')} in {_shown(group.service)}"
    if what == "spike" and group.spike is not None:
        return group.spike.sentence
    if what == "new":
        return f"{name}: {_shown(group.novel_reason)}"
    if what == "regressed":
        return f"{name}: {_shown(group.status_reason)}"
    return f"{name}: it is over"


def _shown(text: str) -> str:
    clean = "".join(letter if letter.isprintable() else " " for letter in text[: _SHOWN_MAX + 1])
    return clean if len(clean) <= _SHOWN_MAX else clean[: _SHOWN_MAX - 1] + "…"
