"""Local variables of frames, in every shape they are sent in; bounded, and never an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from analyzer.errors.frame_variables import (
    FRAMES_MAX,
    NAME_MAX,
    SAID_MAX,
    VALUE_MAX,
    VARIABLES_MAX,
    at,
    sentence,
    variables_of,
)
from analyzer.errors.model import Frame, FrameVariables
from analyzer.errors.sightings import of_log
from analyzer.errors.stack_traces import parse_stack
from analyzer.spans import SpanDetail

OUTER = {"function": "main", "filename": "app.py", "lineno": 3, "vars": {"argv": ["x"]}}
INNER = {"function": "charge", "filename": "shop/pay.py", "lineno": 42, "vars": {"amount": 1200, "card": None}}
LIBRARY = {"function": "post", "filename": "http.py", "lineno": 9}
FRAMES = [OUTER, LIBRARY, INNER]
CHARGE = FrameVariables("charge", "shop/pay.py", 42, (("amount", "1200"), ("card", "null")))
MAIN = FrameVariables("main", "app.py", 3, (("argv", '["x"]'),))


@pytest.mark.parametrize(
    "place",
    [
        {"exception.frames": FRAMES},
        {"exception.frames": json.dumps(FRAMES)},
        {"exception.frames": [json.dumps(frame) for frame in FRAMES]},
        {"frames": FRAMES},
        {"exception.values": [{"type": "E", "stacktrace": {"frames": FRAMES}}]},
        {"exception.values": json.dumps([{"stacktrace": {"frames": FRAMES}}])},
    ],
)
def test_every_shape_says_the_same_innermost_first(place: dict[str, Any]):
    assert variables_of(place) == (CHARGE, MAIN)


@pytest.mark.parametrize(
    "value",
    [
        "", "x", 7, True, None, b"\xff", [], {}, "[", "{", "[1, 2]", "[" * 20_000, '"text"', [[[[[[[[FRAMES]]]]]]]],
        [{"vars": 7}], [{"vars": []}], [{"vars": {}}], {"stacktrace": json.dumps(FRAMES)}, json.dumps([INNER] * 2_000),
    ],
)  # fmt: skip
def test_what_is_no_frame_with_variables_is_none(value: Any):
    assert variables_of({"exception.frames": value}) == ()


@pytest.mark.parametrize(
    "frame",
    [
        {"vars": {"a": 1}},
        {"vars": {"a": 1}, "function": 7, "filename": ["x"], "lineno": "42"},
        {"vars": {"a": 1}, "lineno": True},
        {"vars": {"a": 1}, "lineno": 1 << 40},
        {"vars": {"a": 1}, "lineno": -1},
    ],
)
def test_odd_frames_keep_their_variables(frame: dict[str, Any]):
    (found,) = variables_of({"frames": [frame]})

    assert found.variables == (("a", "1"),)
    assert found.line in (0, 1)
    assert sentence(found).startswith("local variables at ")


def test_what_is_long_or_many_is_cut_and_counted():
    much = {f"v{number:04}" + "n" * 500: "x" * 10_000 for number in range(300)}
    found = variables_of({"frames": [{"function": f"f{number}", "vars": much} for number in range(100)]})

    assert len(found) == FRAMES_MAX
    assert found[0].function == "f99"
    assert len(found[0].variables) == VARIABLES_MAX
    assert found[0].left_out == 300 - VARIABLES_MAX
    assert all(len(name) == NAME_MAX and len(value) == VALUE_MAX for name, value in found[0].variables)
    assert sentence(found[0]).endswith(f" and {300 - SAID_MAX} more")


def test_the_frame_of_the_stack_comes_before_the_innermost():
    """The stack names the application's frame by its whole path."""
    found = (CHARGE, MAIN)

    assert at(found, Frame("main", file="C:\\srv\\app.py", line=3)) == MAIN
    assert at(found, Frame("main", file="/srv/other.py", line=3)) == CHARGE
    assert at(found, None) == CHARGE
    assert at((), None) is None


def test_a_log_record_says_them_in_its_body_too():
    """Sentry's event as the body of a record: type and stack beside it, and no attribute of the group's."""
    stack = 'Traceback (most recent call last):\n  File "shop/pay.py", line 42, in charge\n    pay()\nCardError: no\n'
    body = {"exception": {"type": "CardError", "stacktrace": stack, "frames": FRAMES}}

    seen = of_log(SpanDetail(name="", body=body), 7, "python", parse_stack)

    assert seen is not None
    assert (seen.type, seen.variables) == ("CardError", (CHARGE, MAIN))
    assert all("frames" not in name for name, _ in seen.attributes)


def test_hostile_text_is_safe_in_a_sentence():
    frame = {"function": "f\x1b[2J", "filename": "a\u202e.py", "vars": {"x\n": "y\x00\u202e"}}

    assert sentence(variables_of({"frames": [frame]})[0]).isprintable()
