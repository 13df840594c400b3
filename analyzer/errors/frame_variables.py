"""Local variables of frames, where a program sends them: what stood in them when it failed.

In: the attributes of an exception event, or the fields of a log record. Out: `FrameVariables`, innermost first. Read
are lists of frames as the Sentry protocol has them, `{function, filename, lineno, vars: {name: value}}`, under
`exception.frames` or `frames`, and `exception.values[].stacktrace.frames`; as OTLP values or as JSON text. Secrets in
them are masked before they come here (`collector.wire.masking` knows the same keys).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from analyzer.errors.model import ExceptionFact, Frame, FrameVariables
from analyzer.spans import VARIABLES_KEYS, AttributeValue
from analyzer.words import shown

JSON_MAX = 65_536  # characters; longer text is not read
DEPTH_MAX = 6  # from the list of exceptions down to a frame
FRAMES_MAX = 32  # of one exception, innermost first
VARIABLES_MAX = 20  # of one frame
NAME_MAX = 100
VALUE_MAX = 200  # characters
SAID_MAX = 5  # variables in one sentence


def variables_of(place: Mapping[str, AttributeValue]) -> tuple[FrameVariables, ...]:
    """Read the frames that have variables; at most `FRAMES_MAX`."""
    for key in VARIABLES_KEYS:
        value = place.get(key)
        if value:
            frames = list(_frames(_parsed(value)))
            if frames:
                return tuple(_read(frame) for frame in frames[: -FRAMES_MAX - 1 : -1])  # Sentry's outermost come first
    return ()


def at(found: Sequence[FrameVariables], frame: Frame | None) -> FrameVariables | None:
    """The variables to look at first: those of a frame of the stack, else the innermost."""
    if frame is not None:
        same = next((one for one in found if _is_of(one, frame)), None)
        if same is not None:
            return same
    return found[0] if found else None


def first_of(fact: ExceptionFact) -> FrameVariables | None:
    """The variables where an exception began."""
    return at(fact.variables, fact.stack.origin if fact.stack is not None else None)


def sentence(found: FrameVariables) -> str:
    """Say what stood in a frame, safe to show."""
    said = ", ".join(f"{shown(name)} = {shown(value)}" for name, value in found.variables[:SAID_MAX])
    more = len(found.variables) - SAID_MAX + found.left_out
    return f"local variables at {shown(place_of(found))}: {said}" + (f" and {more} more" if more > 0 else "")


def place_of(found: FrameVariables) -> str:
    """Where a frame stands: file:line, else its function."""
    where = f"{found.file}:{found.line}" if found.file and found.line else found.file
    return where or found.function or "(a frame without a name)"


def _is_of(found: FrameVariables, frame: Frame) -> bool:
    if not found.file or _name(found.file) != _name(frame.file):
        return False
    return found.line == frame.line if found.line and frame.line else found.function == frame.function


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _parsed(value: AttributeValue) -> object:
    """JSON text as what it says, alone or in a list; deeper inside text stays text: nobody masked it by name."""
    if isinstance(value, list):
        return [_json(item) if isinstance(item, str) else item for item in value]
    return _json(value) if isinstance(value, str) else value


def _json(text: str) -> object:
    if len(text) > JSON_MAX or text[:1] not in ("[", "{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _frames(value: object, depth: int = 0) -> Iterator[dict[str, object]]:
    if depth > DEPTH_MAX:
        return
    if isinstance(value, list):
        for item in value:
            yield from _frames(item, depth + 1)
    elif isinstance(value, dict):
        if value.get("vars") and isinstance(value["vars"], dict):
            yield value
        for key in ("values", "stacktrace", "frames"):
            if key in value:
                yield from _frames(value[key], depth + 1)


def _read(frame: dict[str, object]) -> FrameVariables:
    found = frame["vars"]
    assert isinstance(found, dict)
    pairs = [(str(name)[:NAME_MAX], _text(value)) for name, value in list(found.items())[:VARIABLES_MAX]]
    line = frame.get("lineno")
    return FrameVariables(
        function=_text(frame.get("function") or ""),
        file=_text(frame.get("filename") or frame.get("abs_path") or frame.get("module") or ""),
        line=line if isinstance(line, int) and 0 < line < 1 << 31 else 0,
        variables=tuple(pairs),
        left_out=len(found) - len(pairs),
    )


def _text(value: object) -> str:
    """A value as its program wrote it, else as JSON; cut."""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 3] + "..."
